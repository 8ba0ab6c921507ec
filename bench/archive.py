"""What do two workers do over an archive, of what twice one worker would?

    python -m bench.archive

Drawn rasters are classified window by window by zero-shot `mini`, each worker on one thread. A run
starts processes and loads the model before it does its first unit; an archive that takes hours does
not feel that, so what counts is the difference of two runs, one of few units and one of many.
Efficiency is the speed of two workers over twice that of one. The cores of one machine share memory
and clock, so the bare loop of a worker is timed too, in two processes that know nothing of each
other: an engine can reach no more. The last answer compares a worker with that loop; between them
lie checking rasters, placing outlines, and writing and proving parts.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from bench.timing import NO_TARGET, Options, Result, read_options, report
from skycue.backbones.pretrained import load_clip
from skycue.encoding import SceneEncoder
from skycue.geo.raster import GeoReference, Raster
from skycue.geo.tiles import grid_of
from skycue.geo.write_raster import write_raster
from skycue.inference import SceneClassifier
from skycue.scale.classify_work import ClassifyWork, open_classify_work
from skycue.scale.crew import Engine
from skycue.scale.local import LocalEngine
from skycue.scale.plan import Plan, make_plan
from skycue.scale.ray_engine import RayEngine
from skycue.scale.run import run_plan
from skycue.scene_config import config_of
from skycue.scene_windows import classify_windows

TARGET = 0.9
"""Of the efficiency of two workers, where the cores allow it."""
CLASSES = ("forest", "water", "houses", "field", "road", "harbour", "airport", "desert")
WINDOW = 64
PLACE = GeoReference("EPSG:32631", (0.5, 0.0, 593_000.0, 0.0, -0.5, 5_750_000.0))
SPOTS_OF_WINDOW = 4
"""Random colours along a window; what lies between them is interpolated."""


class Size(NamedTuple):
    """How much is done.

    Attributes:
        side: Pixels along a raster.
        few: Units of the short run.
        many: Units of the long one.
        unit_size: Windows of a unit.
    """

    side: int = 2048
    few: int = 2
    many: int = 10
    unit_size: int = 128


class Case(NamedTuple):
    """What all runs share."""

    work: ClassifyWork
    plan: Plan
    size: Size


def prepare(folder: Path, size: Size, backbone: str = "mini") -> Case:
    """Write a classifier and rasters, and plan them."""
    encoder = SceneEncoder(load_clip(backbone, "cpu"), batch_size=64)
    config = config_of("zero-shot")
    classifier = SceneClassifier.fit_items(
        [], CLASSES, config, encoder=encoder, seed=1, backbone=backbone
    )
    classifier.save(folder / "model")
    rng = np.random.default_rng(1)
    n_windows = (size.side // WINDOW) ** 2
    rasters = []
    for number in range(-(-size.many * size.unit_size // n_windows)):
        spots = size.side * SPOTS_OF_WINDOW // WINDOW
        colours = rng.integers(256, size=(spots, spots, 3), dtype=np.uint8)
        whole = Image.fromarray(colours).resize((size.side, size.side), Image.Resampling.BICUBIC)
        rasters.append(folder / f"raster_{number}.tif")
        pixels = np.ascontiguousarray(np.asarray(whole).transpose(2, 0, 1))
        write_raster(rasters[-1], pixels, PLACE)
    work = open_classify_work(
        folder / "model", window=WINDOW, stride=WINDOW, out_crs=PLACE.crs, device="cpu"
    )
    return Case(work, make_plan(rasters, work, unit_size=size.unit_size), size)


def measure(options: Options, size: Size | None = None, *, backbone: str = "mini") -> list[Result]:
    """Time the bare loop and both engines with one worker and with two."""
    with tempfile.TemporaryDirectory() as name:
        case = prepare(Path(name), size or Size(), backbone)
        speeds: dict[str, list[float]] = {}
        for _ in range(options.rounds):  # in turns
            for way, speed in (("loop", bare), ("local", by_local), ("ray", by_ray)):
                found = [speed(case, n_workers) for n_workers in (1, 2)]
                speeds[way] = [*map(max, found, speeds.get(way, found))]
    loop = _efficiency("the bare loop in two processes", speeds["loop"], options, asked=False)
    overhead = speeds["local"][0] / speeds["loop"][0]
    return [
        loop,
        _efficiency("skycue run --engine local", speeds["local"], options, asked=True),
        _efficiency("skycue run --engine ray", speeds["ray"], options, asked=True),
        Result(
            question="one worker of `skycue run classify` against the bare loop",
            answer=f"{100 * overhead:.0f} %",
            target=f"at least {100 * TARGET:.0f} %",
            met=overhead >= TARGET,
            detail=f"{speeds['local'][0]:.0f} against {speeds['loop'][0]:.0f} windows/s",
        ),
    ]


def bare(case: Case, n_workers: int) -> float:
    """Return the windows a second of independent processes, together."""
    with ProcessPoolExecutor(n_workers, get_context("spawn")) as processes:
        found = [processes.submit(loop_alone, case) for _ in range(n_workers)]
        return sum(future.result() for future in found)


def loop_alone(case: Case) -> float:
    """Classify the windows of the units of a short run, and return windows a second."""
    torch.set_num_threads(1)
    classifier = SceneClassifier.load(case.work.model, device="cpu")
    units = list(case.plan.units())[: case.size.many // 2]
    started = 0.0
    n_windows = 0
    for number, unit in enumerate(units):
        if number == 1:  # the first warms up, and waits for the other process
            started, n_windows = time.perf_counter(), 0
        raster = Raster.open(unit.raster)
        grid = grid_of(raster.size, WINDOW, WINDOW)
        windows = grid[unit.first : unit.first + unit.n_places]
        n_windows += len(classify_windows(classifier, raster, windows, advance=lambda _: None))
    return n_windows / (time.perf_counter() - started)


def by_local(case: Case, n_workers: int) -> float:
    """Return the windows a second of processes of this machine."""
    return _marginal(
        case, lambda folder: LocalEngine(case.work, folder, n_workers=n_workers, threads=1)
    )


def by_ray(case: Case, n_workers: int) -> float:
    """Return the windows a second of a Ray cluster of this machine."""
    return _marginal(
        case, lambda folder: RayEngine(case.work, folder, n_workers=n_workers, threads=1)
    )


def _marginal(case: Case, engine: Callable[[Path], Engine]) -> float:
    """Return the windows a second that a longer run does more than a shorter one."""
    sizes = (case.size.few, case.size.many)
    times = [_time_run(case, n_units, engine) for n_units in sizes]
    windows = [int(sum(case.plan.table["n_places"][:n].to_pylist())) for n in sizes]
    return (windows[1] - windows[0]) / (times[1] - times[0])


def _time_run(case: Case, n_units: int, engine: Callable[[Path], Engine]) -> float:
    """Return the seconds of a run of the first units of the plan."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan = Plan(case.plan.record, case.plan.table.slice(0, n_units))
        plan.save(folder)
        started = time.perf_counter()
        manifest = run_plan(folder, plan, case.work, lambda: engine(folder))
        taken = time.perf_counter() - started
        assert manifest.is_flawless
        return taken


def _efficiency(what: str, speeds: Sequence[float], options: Options, *, asked: bool) -> Result:
    """Say how two workers compare with twice one."""
    efficiency = speeds[1] / (2 * speeds[0])
    return Result(
        question=f"two workers of one thread against twice one, {what}",
        answer=f"{100 * efficiency:.0f} %",
        target=f"at least {100 * TARGET:.0f} %" if asked else NO_TARGET,
        met=not asked or efficiency >= TARGET,
        detail=f"{speeds[0]:.0f} and {speeds[1]:.0f} windows/s, best of {options.rounds}",
    )


if __name__ == "__main__":
    chosen = read_options(__doc__)
    report(measure(chosen), chosen)
