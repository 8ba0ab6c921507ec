"""`skycue benchmark regions`: variants of a region model, over seeds and sets of boxes."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from skycue.cli.benchmark import numbers_of
from skycue.cli.options import (
    ConfigOption,
    DeviceOption,
    DtypeOption,
    ForceOption,
    OutputOption,
    SetOption,
)


def benchmark_regions(
    data: Annotated[
        list[str],
        typer.Option("--data", metavar="NAME=RECORDS", help="Boxes to measure on; repeatable."),
    ],
    output: OutputOption,
    seeds: Annotated[str, typer.Option(help="Seeds of the trainings, by commas.")] = "1,2,3",
    data_root: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder that holds what the recipe trains on.")
    ] = Path(),
    config: ConfigOption = None,
    settings: SetOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    force: ForceOption = False,
) -> None:
    """Train the variants of a region model, let each describe boxes, and write one table a set.

    The configuration names a recipe (base) and what each variant changes in it (variants), and
    finished models to compare with (models). Run it again to go on where it was killed. The last
    line on standard output is the path of the report.
    """
    from skycue.config import load_config  # heavy: imported when used
    from skycue.device import explain_out_of_memory, resolve_device, resolve_dtype
    from skycue.metrics.captions import require_caption_tools
    from skycue.protocols.environment import describe_environment
    from skycue.protocols.region_report import build_card, write_region_report
    from skycue.protocols.region_runs import run_regions
    from skycue.protocols.regions import (
        RegionBenchmarkConfig,
        RegionRun,
        load_sets,
        plan_rows,
        recipe_folder,
        starts_of,
    )
    from skycue.region_describer import RegionDescriber
    from skycue.region_measures import open_sentence_encoder
    from skycue.region_recipe import RegionTrainingConfig
    from skycue.region_training import train_regions

    benchmark = load_config(RegionBenchmarkConfig, config, settings or ())
    if {"meteor", "cider"} & set(benchmark.metrics):
        require_caption_tools(meteor="meteor" in benchmark.metrics)
    where = resolve_device(device)
    precision = resolve_dtype(dtype, where)
    run = RegionRun(
        folder=output,
        rows=plan_rows(benchmark),
        data=load_sets(data, benchmark),
        seeds=numbers_of(seeds, "--seeds"),
        metrics=benchmark.metrics,
        sentence=open_sentence_encoder(benchmark.encoder)
        if "recall" in benchmark.metrics
        else None,
        force=force,
        references=benchmark.references,
    )

    def train(recipe: RegionTrainingConfig, folder: Path, seed: int) -> None:
        beside = recipe_folder(benchmark)
        train_regions(
            recipe, data_root, folder, seed=seed, device=where, dtype=precision, beside=beside
        )

    def load(model: str) -> RegionDescriber:
        return RegionDescriber.load(model, device=where, dtype=precision)

    with explain_out_of_memory("train.batch_size of the stages"):
        cells = run_regions(run, train=train, load=load)
    command = shlex.join(["skycue", *sys.argv[1:]])
    card = build_card(
        run,
        starts=[load(start).model for start in starts_of(run.rows)],
        command=command,
        environment=describe_environment(where, precision),
    )
    typer.echo(str(write_region_report(output, card, cells)))
