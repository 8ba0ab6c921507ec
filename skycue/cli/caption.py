"""`skycue caption`: write a caption for each image into a captions file."""

import json
from pathlib import Path
from typing import Annotated

import typer

from skycue.cli.options import (
    BackboneOption,
    ConfigOption,
    DeviceOption,
    DtypeOption,
    ForceOption,
    OutputOption,
    SetOption,
)


def caption(
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    output: OutputOption,
    source: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="bank, or hf: and a folder or hub name of a captioning model."
        ),
    ] = "bank",
    backbone: BackboneOption = "mini",
    batch_size: Annotated[int, typer.Option(min=1, help="Images in one pass.")] = 8,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    config: ConfigOption = None,
    settings: SetOption = None,
    force: ForceOption = False,
) -> None:
    """Write a caption for each of IMAGES to a JSON Lines file, with the settings that made it.

    A run that was killed goes on where it stopped when it is started again. Image paths in the
    file are relative to the file's folder; `--captions file:PATH` reads it.
    """
    from skycue.backbones.caption_file import write_captions  # heavy: imported when used
    from skycue.backbones.captioner import TextConfig, open_text_source
    from skycue.backbones.pretrained import load_clip
    from skycue.config import load_config
    from skycue.data.image_files import find_images
    from skycue.device import resolve_device, resolve_dtype
    from skycue.errors import CaptionError

    if source != "bank" and not source.startswith("hf:"):
        raise CaptionError(f"'{source}' writes no captions; --source is bank or hf:NAME.")
    options = load_config(TextConfig, config, settings or ())
    paths = find_images(images)
    place = resolve_device(device)
    clip = load_clip(backbone, place) if source == "bank" else None
    text_source = open_text_source(
        source,
        clip,
        config=options,
        batch_size=batch_size,
        device=place,
        dtype=resolve_dtype(dtype, place),
    )
    if force:
        output.unlink(missing_ok=True)
    written = write_captions(text_source, paths, output)
    typer.echo(json.dumps({"captions": str(output), **written._asdict()}))
