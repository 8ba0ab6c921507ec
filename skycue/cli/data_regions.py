"""`skycue data` for region records: write them from outlined objects, import and check them."""

import json
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skycue.cli.options import ForceOption, OutputOption

if TYPE_CHECKING:
    from skycue.data.regions import RegionRecord


class CaptionScope(StrEnum):
    """What rule-written captions are about."""

    REGION = "region"
    IMAGE = "image"


class SourceFormat(StrEnum):
    """Layouts of datasets that are imported."""

    COCO = "coco"
    GRANDF = "grandf"
    GEOPIXELD = "geopixeld"


class AnswerMode(StrEnum):
    """What follows a box."""

    INTENT = "intent"
    FULL = "full"


def captions_from_instances(
    instances: Annotated[
        Path, typer.Argument(metavar="COCO.json", help="A COCO instances file.", show_default=False)
    ],
    output: OutputOption,
    mode: Annotated[
        CaptionScope, typer.Option(help="A caption of each object, or of each image.")
    ] = CaptionScope.REGION,
    force: ForceOption = False,
) -> None:
    """Write captions of outlined objects by rules from their geometry; print statistics.

    Each phrase of a caption owns the masks of the objects that it names. The same file always gives
    the same captions, and all that they say is true of the masks.
    """
    from skycue.data.importers.coco import import_coco
    from skycue.files import refuse_overwrite

    refuse_overwrite(output, force=force)
    _write(output, import_coco(instances, mode.value), instances)


def import_regions(
    layout: Annotated[
        SourceFormat, typer.Argument(metavar="FORMAT", help="coco, grandf or geopixeld.")
    ],
    source: Annotated[
        Path,
        typer.Argument(metavar="SRC", help="The dataset's annotation file, or folder of them."),
    ],
    output: OutputOption,
    images: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the images, where SRC does not tell sizes."),
    ] = None,
    mode: Annotated[
        AnswerMode, typer.Option(help="The sentences that hold the phrase, or the whole caption.")
    ] = AnswerMode.INTENT,
    force: ForceOption = False,
) -> None:
    """Turn a published dataset into region records, a box for each phrase; print statistics.

    COCO instances have no text: their captions are written by rules, of each object (intent) or of
    each image (full).
    """
    from skycue.data.importers.coco import import_coco
    from skycue.data.importers.geopixeld import import_geopixeld
    from skycue.data.importers.grandf import import_grandf
    from skycue.files import refuse_overwrite

    refuse_overwrite(output, force=force)
    records: Iterable[RegionRecord]
    if layout is SourceFormat.COCO:
        records = import_coco(source, "region" if mode is AnswerMode.INTENT else "image")
    elif layout is SourceFormat.GRANDF:
        records = import_grandf(source, images, mode.value)
    else:
        records = import_geopixeld(source, images, mode.value)
    _write(output, records, source)


def check_regions(
    records: Annotated[
        Path, typer.Argument(metavar="RECORDS", help="A records file (JSON Lines).")
    ],
) -> None:
    """Check every line of a records file; print statistics, or what is wrong and exit 1."""
    from skycue.data.region_statistics import describe_records
    from skycue.data.regions import read_records

    typer.echo(json.dumps(describe_records(read_records(records))._asdict(), ensure_ascii=False))


def _write(output: Path, records: Iterable["RegionRecord"], source: Path) -> None:
    """Write records and print what they hold."""
    from skycue.data.region_statistics import describe_records
    from skycue.data.regions import write_records
    from skycue.errors import RecordError

    found = tuple(records)
    if not found:
        raise RecordError(f"{source} holds no object that could be boxed: nothing to write.")
    write_records(output, found)
    told = {"file": str(output), **describe_records(found)._asdict()}
    typer.echo(json.dumps(told, ensure_ascii=False))
