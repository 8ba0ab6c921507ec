"""`skycue classify`: class probabilities of images, by a fitted classifier."""

import json
from pathlib import Path
from typing import Annotated

import typer

from skycue.cli.options import (
    CaptionsOption,
    DeviceOption,
    DtypeOption,
    ForceOption,
    OptionalOutputOption,
)

DRAWN_IMAGES = 60
"""Images that a picture shows at most."""


def classify(
    model: Annotated[Path, typer.Argument(help="A folder made by `skycue fit`.")],
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    output: OptionalOutputOption = None,
    classes: Annotated[
        str | None,
        typer.Option(help="Classes to tell apart, by commas; those fitted on if not given."),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Also draw the first 60 images.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Images encoded at once.", show_default="32")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option("--backbone", "-b", metavar="NAME", help="If it was moved.")
    ] = None,
    captions: CaptionsOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    force: ForceOption = False,
) -> None:
    """Print one JSON line of class probabilities, the highest first, for each of IMAGES."""
    from skycue.data.image_files import find_images  # heavy: imported when used
    from skycue.data.images import read_image
    from skycue.device import resolve_device, resolve_dtype
    from skycue.drawing import Tile, draw_contact_sheet
    from skycue.files import refuse_overwrite, write_atomically
    from skycue.fitting import IMAGES_AT_ONCE
    from skycue.inference import SceneClassifier

    for path in (output, picture):
        if path is not None:
            refuse_overwrite(path, force=force)
    paths = find_images(images)
    names = None if classes is None else [name.strip() for name in classes.split(",")]
    place = resolve_device(device)
    classifier = SceneClassifier.load(
        model,
        device=place,
        dtype=resolve_dtype(dtype, place),
        backbone=backbone,
        captions=captions,
        batch_size=batch_size,
    )
    lines: list[str] = []
    tiles: list[Tile] = []
    for start in range(0, len(paths), IMAGES_AT_ONCE):
        chosen = paths[start : start + IMAGES_AT_ONCE]
        for path, probabilities in zip(chosen, classifier.predict(chosen, names), strict=True):
            line = json.dumps({"image": str(path), "probabilities": probabilities})
            if output is None:
                typer.echo(line)
            lines.append(line + "\n")
            if picture is not None and len(tiles) < DRAWN_IMAGES:
                tiles.append(Tile(read_image(path).numpy(), *next(iter(probabilities.items()))))
    if output is not None:
        write_atomically(output, "".join(lines))
    if picture is not None:
        write_atomically(picture, draw_contact_sheet(tiles))
