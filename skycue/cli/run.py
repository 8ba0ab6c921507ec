"""`skycue run`: classify or describe an archive, on this machine or on a Ray cluster."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from skycue.cli.options import ConfigOption, OutputOption, SetOption

if TYPE_CHECKING:
    from skycue.scale.archive import ArchiveConfig, ArchiveResult
    from skycue.scale.work import Work

run = typer.Typer(
    name="run",
    help="Classify or describe an archive of rasters, on one machine or many.",
    no_args_is_help=True,
)

InputsArgument = Annotated[
    list[str],
    typer.Argument(
        help="Rasters, folders, patterns in quotes, STAC files (.json), lists of paths (.txt)."
    ),
]
EngineOption = Annotated[
    Literal["local", "ray"], typer.Option(help="Processes of this machine, or Ray.")
]
AddressOption = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Of a Ray cluster, or `auto`; one of its own if none."),
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="At a time.", show_default="as many as have room")
]
OutCrsOption = Annotated[str, typer.Option(metavar="CRS", help="Of all rows.")]
CompactOption = Annotated[
    bool, typer.Option("--compact", help="Merge the parts into rows-00000.parquet and so on.")
]
AgainOption = Annotated[
    Literal["failed", "inputs"] | None,
    typer.Option(help="Do what failed once more, or look for new and changed rasters."),
]


@run.command()
def classify(
    model: Annotated[Path, typer.Argument(help="A folder made by `skycue fit`.")],
    inputs: InputsArgument,
    output: OutputOption,
    window: Annotated[int, typer.Option(min=1, help="Side of a window in pixels.")] = 256,
    stride: Annotated[
        int | None, typer.Option(min=1, help="From window to window.", show_default="the window")
    ] = None,
    out_crs: OutCrsOption = "EPSG:4326",
    engine: EngineOption = "local",
    address: AddressOption = None,
    workers: WorkersOption = None,
    compact: CompactOption = False,
    again: AgainOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
) -> None:
    """Classify the windows of all rasters: a row for each, as GeoParquet, into the folder -o.

    A run that was killed goes on when the same command is given again. Places that failed stand in
    manifest.json with their reasons.
    """
    from skycue.scale.classify_work import open_classify_work

    asked = _load(config, settings)
    work = open_classify_work(
        model,
        window=window,
        stride=stride or window,
        out_crs=out_crs,
        bands=asked.bands,
        batch_size=asked.batch_size,
        device=asked.device,
        dtype=asked.dtype,
    )
    facts = {
        "work": "classify",
        "model": str(model),
        "window": str(window),
        "stride": str(work.stride),
        "out_crs": out_crs,
        "bands": ",".join(map(str, asked.bands or ())),
    }
    _run(work, inputs, output, facts, engine, address, workers, asked, again, compact)


@run.command()
def describe(
    model: Annotated[str, typer.Argument(help="`mini`, a folder, or a name on the hub.")],
    inputs: InputsArgument,
    output: OutputOption,
    boxes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="GeoJSON, GeoPackage or GeoParquet in any CRS."),
    ] = None,
    window: Annotated[
        int, typer.Option(min=1, help="Without --boxes: every window of so many pixels is one.")
    ] = 256,
    out_crs: OutCrsOption = "EPSG:4326",
    engine: EngineOption = "local",
    address: AddressOption = None,
    workers: WorkersOption = None,
    compact: CompactOption = False,
    again: AgainOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
) -> None:
    """Describe boxes on all rasters: a row for each phrase, as GeoParquet, into the folder -o.

    Each box is described on every raster that it lies on; those that lie on none stand in
    manifest.json with the places that failed. A run that was killed goes on when the same command
    is given again.
    """
    from skycue.files import sha256_of
    from skycue.scale.describe_work import open_describe_work

    asked = _load(config, settings)
    work = open_describe_work(
        model,
        boxes=boxes,
        boxes_crs=asked.box_crs,
        window=window,
        ask=asked.ask,
        out_crs=out_crs,
        bands=asked.bands,
        device=asked.device,
        dtype="float32" if asked.dtype == "auto" else asked.dtype,
    )
    facts = {
        "work": "describe",
        "model": model,
        "window": "" if boxes else str(window),
        "ask": asked.ask or "",
        "out_crs": out_crs,
        "bands": ",".join(map(str, asked.bands or ())),
    }
    if boxes is not None:  # another file of boxes is another run, whatever its name
        facts["boxes"] = sha256_of(boxes)
    _run(work, inputs, output, facts, engine, address, workers, asked, again, compact)


def _load(config: Path | None, settings: list[str] | None) -> "ArchiveConfig":
    from skycue.config import load_config
    from skycue.scale.archive import ArchiveConfig

    return load_config(ArchiveConfig, config, settings or ())


def _run(
    work: "Work",
    inputs: list[str],
    output: Path,
    facts: dict[str, str],
    engine: Literal["local", "ray"],
    address: str | None,
    workers: int | None,
    asked: "ArchiveConfig",
    again: Literal["failed", "inputs"] | None,
    compact: bool,
) -> None:
    """Do the archive and print what came of it as one JSON line."""
    from skycue.scale.archive import run_archive

    if address is not None and engine != "ray":
        raise typer.BadParameter("--address is that of a Ray cluster: give --engine ray too.")
    result: ArchiveResult = run_archive(
        work,
        inputs,
        output,
        settings=facts,
        engine=engine,
        address=address,
        n_workers=workers,
        config=asked,
        again=again,
        merge=compact,
    )
    manifest = result.manifest
    summary = {
        "output": str(output),
        "units": manifest.n_units,
        "rows": manifest.n_rows,
        "skipped": manifest.n_skipped,
        "failed": manifest.n_failed,
        "files": [str(path) for path in result.files],
    }
    typer.echo(json.dumps(summary))
