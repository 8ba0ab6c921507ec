"""`skycue describe`: boxes on images become captions whose phrases have masks."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from skycue.cli.box_options import (
    Asked,
    BoxCrsOption,
    BoxesOption,
    BoxOption,
    FullFrameOption,
    KeepGoingOption,
    PointOption,
    Where,
    place_all,
)
from skycue.cli.options import (
    BandsOption,
    DeviceOption,
    DtypeOption,
    ForceOption,
    OptionalOutputOption,
    parse_bands,
)

if TYPE_CHECKING:
    from skycue.inference import SceneClassifier
    from skycue.raster_results import FeatureKind
    from skycue.region_describer import RegionDescriber

CAPTIONS_SUFFIX = ".jsonl"
"""An output that ends so is a captions file."""


def describe(
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    output: OptionalOutputOption = None,
    box: BoxOption = None,
    point: PointOption = None,
    full_frame: FullFrameOption = False,
    boxes: BoxesOption = None,
    box_crs: BoxCrsOption = None,
    keep_going: KeepGoingOption = False,
    bands: BandsOption = None,
    form: Annotated[
        Literal["parquet", "gpkg", "geojson"] | None,
        typer.Option("--format", help="Of the file of features; parquet with --boxes."),
    ] = None,
    out_crs: Annotated[
        str | None, typer.Option(metavar="CRS", help="Of that file; else the image's own.")
    ] = None,
    ask: Annotated[str | None, typer.Option(help="A question; <bbox> in it is the box.")] = None,
    model: Annotated[
        str, typer.Option(metavar="NAME", help="`mini`, a folder, or a name on the hub.")
    ] = "mini",
    classes: Annotated[
        Path | None,
        typer.Option(metavar="MODEL", help="Name masks by a classifier that `skycue fit` made."),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep encoded windows here for the next run."),
    ] = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    force: ForceOption = False,
) -> None:
    """Print one JSON line for each box on IMAGES: caption, phrases, masks, scores, doubts.

    In the folder -o: answer.json, masks.json (COCO), overlay.png and, where the image has a CRS,
    features.geojson; several answers lie in numbered folders. With --boxes or --format all answers
    of an image lie in one folder: answers.jsonl, features.parquet (.gpkg, .geojson), masks.json,
    item.json (STAC); a summary is printed. On rasters over 2,048 pixels the model sees a window
    around each box, which the answer names with its scale. With --full-frame and -o FILE.jsonl: a
    captions file that `skycue fit --captions file:FILE.jsonl` reads; a killed run goes on.
    """
    where = Where(box or [], point or [], full_frame, boxes, box_crs, keep_going)
    if not (where.boxes or where.points or where.whole or where.file):
        raise typer.BadParameter("say where to look: --box, --boxes, --point or --full-frame.")
    if output is not None and output.suffix == CAPTIONS_SUFFIX:
        if where != Where([], [], True, None, None, False) or classes or bands or form:
            raise typer.BadParameter(f"{output} takes whole images: --full-frame alone.")
        _write_captions(images, output, ask, lambda: _load_describer(model, device, dtype), force)
        return
    if out_crs is not None and form is None and boxes is None:
        raise typer.BadParameter("--out-crs is of the file of features: give --boxes or --format.")
    asked = place_all(images, where, bands, needs_place=form is not None)
    if form is None and boxes is not None:
        form = "parquet"
    folders = None if output is None else _folders(output, asked, together=form is not None)
    _refuse_overwrite(folders or (), form, force=force)
    describer = _load_describer(model, device, dtype, cache)
    namer = None if classes is None else _load_classifier(classes, device, dtype)
    from skycue.geo.stac import UsedModel
    from skycue.raster_describer import RasterDescriber, in_order  # heavy: imported when used
    from skycue.raster_results import write_answer, write_answers
    from skycue.region_inputs import open_described

    used = UsedModel(describer.model, describer.fingerprint)
    for path, placed in asked:
        raster = open_described(path, parse_bands(bands))
        source = None if cache is None else raster.content_key()
        run = RasterDescriber(describer, raster, ask=ask, namer=namer, source=source)
        answers = run.describe(placed)
        if folders is not None and form is not None:
            folder = folders.pop(0)
            written = write_answers(folder, answers, raster, used, form, out_crs=out_crs)
            typer.echo(json.dumps({"answers": str(folder), **written._asdict()}))
            continue
        for answer in in_order(answers, placed):
            if folders is not None:
                write_answer(folders.pop(0), answer, raster)
            typer.echo(answer.to_json())


def _folders(output: Path, asked: Sequence[Asked], *, together: bool) -> list[Path]:
    """Return the folder of each answer, or of all of an image.

    It is -o for the only one, else NAME_1, NAME_2, ... in it.
    """
    stems = [each.path.stem for each in asked for _ in each.boxes[: 1 if together else None]]
    if len(stems) == 1:
        return [output]
    return [output / f"{stem}_{stems[: place + 1].count(stem)}" for place, stem in enumerate(stems)]


def _refuse_overwrite(folders: Sequence[Path], form: "FeatureKind | None", *, force: bool) -> None:
    """Stop before answers would replace others."""
    from skycue.files import refuse_overwrite
    from skycue.raster_results import ANSWER_FILE, ANSWERS_FILE, features_file

    for folder in folders:
        if form is None:
            refuse_overwrite(folder / ANSWER_FILE, force=force)
        else:
            refuse_overwrite(folder / ANSWERS_FILE, force=force)
            refuse_overwrite(features_file(folder, form), force=force)


def _load_describer(
    model: str, device: str, dtype: str, cache: Path | None = None
) -> "RegionDescriber":
    """Load the region model, with a store of encodings where a folder is given."""
    from skycue.device import resolve_device, resolve_dtype
    from skycue.region_describer import RegionDescriber

    place = resolve_device(device)
    number_format = resolve_dtype(dtype, place)
    return RegionDescriber.load(model, device=place, dtype=number_format, cache=cache)


def _load_classifier(folder: Path, device: str, dtype: str) -> "SceneClassifier":
    """Load the scene classifier that names masks."""
    from skycue.device import resolve_device, resolve_dtype
    from skycue.inference import SceneClassifier

    place = resolve_device(device)
    return SceneClassifier.load(folder, device=place, dtype=resolve_dtype(dtype, place))


def _write_captions(
    images: list[Path],
    output: Path,
    ask: str | None,
    load: Callable[[], "RegionDescriber"],
    force: bool,
) -> None:
    """Describe whole images into a captions file, going on where a killed run stopped."""
    from skycue.backbones.caption_file import write_captions
    from skycue.data.image_files import find_images
    from skycue.region_text_source import RegionTextSource

    paths = find_images(images)
    source = RegionTextSource(load(), ask=ask)
    if force:
        output.unlink(missing_ok=True)
    written = write_captions(source, paths, output)
    typer.echo(json.dumps({"captions": str(output), **written._asdict()}))
