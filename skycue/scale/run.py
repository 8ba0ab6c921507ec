"""Do an archive: plan it, do the units that are not finished, and write the manifest.

All that must outlive a kill lies in the folder of the run, in files that are whole or not there:
the plan, and the part of each finished unit. To go on is to start again: the plan is read instead
of made, and units whose parts are whole are passed over.
"""

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from skycue.errors import RunError
from skycue.files import PARTIAL_SUFFIX
from skycue.progress import progress_bar
from skycue.scale.crew import Crew, Engine
from skycue.scale.manifest import Manifest, make_manifest, write_manifest
from skycue.scale.parts import PARTS_FOLDER, Receipt, part_path, read_receipt, write_part
from skycue.scale.plan import Plan, load_plan, make_plan
from skycue.scale.work import Failure, Unit, UnitRows, Work

logger = logging.getLogger(__name__)

MODEL = "model"
"""The setting that names the model."""
SHOWN_DIGITS = 12
"""Digits of a hash that a message shows."""
READERS = 8
"""Threads that check parts; most of their time they wait for the file system."""


def open_plan(
    folder: Path,
    work: Work,
    inputs: Sequence[str],
    find: Callable[[Sequence[str]], list[Path]],
    *,
    unit_size: int,
    settings: dict[str, str],
    replan: bool = False,
) -> Plan:
    """Return the plan in the folder of a run, or make it and keep it there.

    Args:
        folder: Of the run.
        work: What is to be done.
        inputs: What names the rasters.
        find: Turns `inputs` into rasters; called only where a plan is made.
        unit_size: Places of a unit at most.
        settings: What the work is called by, for people.
        replan: Look at the inputs again; units that are planned again stay finished, and parts
            that no unit of the new plan has are removed.

    Raises:
        RunError: If the folder holds the plan of another run, or nothing can be planned.
    """
    plan = load_plan(folder)
    if plan is not None and not replan:
        _require_same(plan, folder, work, inputs, unit_size, settings)
        logger.info("going on with the plan in %s", folder)
        return plan
    new = make_plan(find(inputs), work, unit_size=unit_size, inputs=inputs, settings=settings)
    if not len(new):
        reasons = [failure.reason for failure in new.record.unusable[:1]]
        raise RunError(
            f"there is nothing to do on {', '.join(inputs)}: "
            f"{reasons[0] if reasons else 'no raster has a window or a box'}"
        )
    new.save(folder)
    if plan is not None:
        _remove_strays(folder, new)
    return new


def run_plan(
    folder: Path,
    plan: Plan,
    work: Work,
    start_engine: Callable[[], Engine],
    *,
    retry_failed: bool = False,
) -> Manifest:
    """Do the units of a plan that are not finished, and write the manifest.

    Args:
        folder: Of the run, with the plan in it.
        plan: What is to be done.
        work: How.
        start_engine: Starts what starts workers; not called where all is finished.
        retry_failed: Do the units again in which something failed.

    Raises:
        SkycueError: If no worker can be started, or a unit asks for the end of the run.
    """
    receipts = finished_units(folder, plan)
    if retry_failed:
        receipts = {key: kept for key, kept in receipts.items() if not kept.n_failed}
    logger.info("%d of %d units are finished", len(receipts), len(plan))
    n_left = len(plan) - len(receipts)
    if n_left:
        done = receipts.copy()
        left = (unit for unit in plan.units() if unit.id not in done)
        with closing(start_engine()) as engine, progress_bar("units", len(plan)) as advance:
            advance(len(receipts))
            crew = Crew(engine, left, n_left, lambda unit, why: _give_up(folder, unit, work, why))
            for receipt in crew.run():
                receipts[receipt.id] = receipt
                advance(1)
    manifest = make_manifest(plan.record, (receipts[unit] for unit in _ids(plan)))
    write_manifest(folder, manifest)
    _remove_leftovers(folder)
    return manifest


def finished_units(folder: Path, plan: Plan) -> dict[str, Receipt]:
    """Return the receipts of the units whose parts are there and whole, by id."""
    with ThreadPoolExecutor(READERS) as pool:
        found = pool.map(lambda unit: read_receipt(folder, unit), _ids(plan))
        return {receipt.id: receipt for receipt in found if receipt is not None}


def _ids(plan: Plan) -> list[str]:
    ids: list[str] = plan.table["id"].to_pylist()
    return ids


def _require_same(
    plan: Plan,
    folder: Path,
    work: Work,
    inputs: Sequence[str],
    unit_size: int,
    settings: dict[str, str],
) -> None:
    """Refuse to go on with other work or inputs than a run was begun with."""
    kept = plan.record
    begun = {**kept.settings, "inputs": " ".join(kept.inputs), "unit_size": str(kept.unit_size)}
    asked = {**settings, "inputs": " ".join(inputs), "unit_size": str(unit_size)}
    if kept.identity == work.identity:
        asked.pop(MODEL, None)  # the same model under another name
    else:  # one may change under its name
        begun["hash of the work"] = kept.identity[:SHOWN_DIGITS]
        asked["hash of the work"] = work.identity[:SHOWN_DIGITS]
    for key, value in asked.items():
        if begun.get(key) != value:
            raise RunError(
                f"{folder} holds a run with {key} {begun.get(key)}, not {value}: choose another "
                "-o, ask for the same, or plan it anew with --again inputs."
            )


def _give_up(folder: Path, unit: Unit, work: Work, reason: str) -> Receipt:
    """Keep the part of a unit that no worker survives: no rows, and all its places failed."""
    failure = Failure(unit.raster, "", unit.n_places, reason)
    return write_part(folder, unit, UnitRows(work.empty(), (failure,)))


def _remove_strays(folder: Path, plan: Plan) -> None:
    """Remove parts that belong to no unit of the plan."""
    planned = {part_path(folder, unit) for unit in _ids(plan)}
    strays = [part for part in _parts(folder) if part not in planned]
    for part in strays:
        part.unlink()
    if strays:
        logger.info("removed %d parts that are planned no more", len(strays))


def _parts(folder: Path) -> Iterator[Path]:
    return (folder / PARTS_FOLDER).glob("*/*.parquet")


def _remove_leftovers(folder: Path) -> None:
    """Remove what killed workers left half written."""
    for leftover in (folder / PARTS_FOLDER).glob(f"*/.*{PARTIAL_SUFFIX}"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
