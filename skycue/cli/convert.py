"""`skycue convert`: somebody else's CLIP into a backbone folder, a GLaMM into a region model."""

import json
from typing import Annotated

import typer

from skycue.cli.options import ForceOption, OutputOption


def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC",
            help="A file of weights (.pt, .bin, .safetensors), a folder, or a hub name.",
        ),
    ],
    output: OutputOption,
    arch: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="For a file of weights that does not say it, such as ViT-B-32 (GELU) or "
            "ViT-B-32-quickgelu; the error message lists those that fit.",
        ),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Write the CLIP in SRC as a folder for --backbone, or the GLaMM in SRC as a region model.

    Prints one JSON line about it.
    """
    from skycue.backbones.convert import convert as convert_source  # heavy: imported when used

    done = convert_source(source, output, arch, force=force)
    typer.echo(json.dumps({"source": source, "backbone": str(output), **done._asdict()}))
