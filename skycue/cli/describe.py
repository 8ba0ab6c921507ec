"""`skycue describe`: boxes on images become captions whose phrases have masks."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skycue.cli.options import DeviceOption, DtypeOption, ForceOption, OptionalOutputOption

if TYPE_CHECKING:
    from skycue.answers import Describer
    from skycue.boxes import Box
    from skycue.inference import SceneClassifier

BOX_FORM = "X0,Y0,X1,Y1"
POINT_FORM = "X,Y"
CAPTIONS_SUFFIX = ".jsonl"
"""An output that ends so is a captions file."""


def describe(
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    output: OptionalOutputOption = None,
    box: Annotated[
        list[str] | None, typer.Option(metavar=BOX_FORM, help="In pixels; repeatable.")
    ] = None,
    point: Annotated[
        list[str] | None,
        typer.Option(metavar=POINT_FORM, help="A box of a tenth of the shorter side; repeatable."),
    ] = None,
    full_frame: Annotated[
        bool, typer.Option("--full-frame", help="A box around the whole image.")
    ] = False,
    ask: Annotated[str | None, typer.Option(help="Ask this in place of the usual.")] = None,
    model: Annotated[
        str, typer.Option(metavar="NAME", help="`mini`, a folder, or a name on the hub.")
    ] = "mini",
    classes: Annotated[
        Path | None,
        typer.Option(metavar="MODEL", help="Name masks by a classifier that `skycue fit` made."),
    ] = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    force: ForceOption = False,
) -> None:
    """Print one JSON line for each box on IMAGES: caption, phrases, masks, scores, doubts.

    In the folder -o: answer.json, masks.json (COCO), overlay.png and, where the image has a CRS,
    features.geojson; several answers lie in numbered folders. With --full-frame and -o FILE.jsonl:
    a captions file that `skycue fit --captions file:FILE.jsonl` reads; a killed run goes on.
    """
    if not (box or point or full_frame):
        raise typer.BadParameter("say where to look: --box, --point or --full-frame.")
    if output is not None and output.suffix == CAPTIONS_SUFFIX:
        if box or point or classes:
            raise typer.BadParameter(f"{output} takes whole images: --full-frame alone.")
        _write_captions(images, output, ask, lambda: _load_describer(model, device, dtype), force)
        return
    from skycue.answers import ANSWER_FILE, write_answer  # heavy: imported when used
    from skycue.files import refuse_overwrite
    from skycue.region_inputs import read_region_image
    from skycue.region_naming import name_masks

    boxes = _check_boxes(images, box or [], point or [], full_frame=full_frame)
    folders = None if output is None else _folders(output, boxes)
    for folder in folders or ():
        refuse_overwrite(folder / ANSWER_FILE, force=force)
    describer = _load_describer(model, device, dtype)
    namer = None if classes is None else _load_classifier(classes, device, dtype)
    for path, asked in boxes.items():
        image = read_region_image(path)
        answers = describer.encode(image.pixels).describe_all(asked, ask=ask)
        if namer is not None:
            answers = name_masks(answers, image.pixels, namer)
        for answer in answers:
            named = replace(answer, image=str(path))
            if folders is not None:
                write_answer(folders.pop(0), named, image)
            typer.echo(named.to_json())


def _check_boxes(
    images: list[Path], boxes: list[str], points: list[str], *, full_frame: bool
) -> dict[Path, list["Box"]]:
    """Return the boxes on each image, all of them checked before any work begins."""
    from skycue.data.image_files import find_images
    from skycue.errors import BoxError
    from skycue.region_inputs import boxes_of, parse_numbers, read_region_image

    corners = [parse_numbers(text, f"box {n}", BOX_FORM) for n, text in enumerate(boxes, start=1)]
    centres = [
        parse_numbers(text, f"point {n}", POINT_FORM) for n, text in enumerate(points, start=1)
    ]
    found = {}
    for path in find_images(images):
        pixels = read_region_image(path).pixels
        size = (pixels.shape[1], pixels.shape[2])
        try:
            found[path] = boxes_of(size, corners, centres, whole=full_frame)
        except BoxError as error:
            raise BoxError(f"{path}: {error}") from error
    return found


def _folders(output: Path, boxes: Mapping[Path, Sequence["Box"]]) -> list[Path]:
    """Return the folder of each answer: -o for the only one, else NAME_1, NAME_2, ... in it."""
    stems = [path.stem for path, asked in boxes.items() for _ in asked]
    if len(stems) == 1:
        return [output]
    return [output / f"{stem}_{stems[: place + 1].count(stem)}" for place, stem in enumerate(stems)]


def _load_describer(model: str, device: str, dtype: str) -> "Describer":
    """Load the region model."""
    from skycue.device import resolve_device, resolve_dtype
    from skycue.region_describer import RegionDescriber

    place = resolve_device(device)
    return RegionDescriber.load(model, device=place, dtype=resolve_dtype(dtype, place))


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
    load: Callable[[], "Describer"],
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
