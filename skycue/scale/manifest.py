"""The manifest of a run: what was done, and every place that failed with its reason.

It holds nothing that the parts do not say, and is written anew from them whenever a run ends.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from skycue.config import Config
from skycue.files import write_atomically
from skycue.scale.parts import Receipt
from skycue.scale.plan import PlanRecord
from skycue.scale.work import Failure

MANIFEST_FILE = "manifest.json"


class Manifest(Config):
    """The content of `manifest.json`."""

    format: Literal["skycue-manifest-1"] = "skycue-manifest-1"
    settings: dict[str, str]
    """Of the work: command, model, windows, CRS."""
    identity: str
    """Hash of the work."""
    n_units: int
    """Units of the plan, all finished."""
    n_places: int
    """Windows or boxes of the plan."""
    n_rows: int
    """Rows of all parts."""
    n_skipped: int
    """Places without a measurement."""
    n_failed: int
    """Places that failed."""
    unusable: tuple[Failure, ...]
    """Rasters that could not be planned, and boxes that lie on none."""
    duplicates: tuple[tuple[str, str], ...]
    """Rasters with the content of another one, and that one."""
    failures: tuple[Failure, ...]
    """Places that failed."""

    @property
    def is_flawless(self) -> bool:
        """Say whether no place failed and all that was asked for could be planned."""
        return self.n_failed == 0 and not self.unusable


def make_manifest(record: PlanRecord, receipts: Iterable[Receipt]) -> Manifest:
    """Add up the receipts of all units, given in the order of the plan."""
    n_units = n_places = n_rows = n_skipped = n_failed = 0
    failures: list[Failure] = []
    for receipt in receipts:
        n_units += 1
        n_places += receipt.n_places
        n_rows += receipt.n_rows
        n_skipped += receipt.n_skipped
        n_failed += receipt.n_failed
        failures += receipt.failures
    return Manifest(
        settings=record.settings,
        identity=record.identity,
        n_units=n_units,
        n_places=n_places,
        n_rows=n_rows,
        n_skipped=n_skipped,
        n_failed=n_failed,
        unusable=record.unusable,
        duplicates=record.duplicates,
        failures=tuple(failures),
    )


def write_manifest(folder: Path, manifest: Manifest) -> Path:
    """Write `manifest.json` into the folder of a run and return its path."""
    path = folder / MANIFEST_FILE
    write_atomically(path, manifest.model_dump_json(indent=1) + "\n")
    return path
