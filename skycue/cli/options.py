"""Options that several commands share, so that a flag means the same everywhere.

The default stands in the signature of the command: `device: DeviceOption = "auto"`,
`dtype: DtypeOption = "float32"`, `backbone: BackboneOption = "mini"`, `force: ForceOption = False`,
`config: ConfigOption = None`, `settings: SetOption = None`.
"""

from pathlib import Path
from typing import Annotated

import typer

DeviceOption = Annotated[
    str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")
]
DtypeOption = Annotated[
    str,
    typer.Option("--dtype", metavar="NAME", help="auto, float32, bfloat16 or float16."),
]
BackboneOption = Annotated[
    str,
    typer.Option(
        "--backbone",
        "-b",
        metavar="NAME",
        help="`mini`, a folder made by `skycue convert`, or a name on the Hugging Face hub.",
    ),
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Overwrite what stands at the output.", show_default=False)
]
OutputOption = Annotated[
    Path, typer.Option("--output", "-o", metavar="PATH", help="Where to write the result.")
]
OptionalOutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="PATH", help="Where to write; standard output if not given."
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="A YAML file of settings."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override one setting, as in train.lr=0.01; repeatable."
    ),
]
CacheOption = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        metavar="DIR",
        help="Where encodings are kept for the next run; `skycue doctor` tells the default.",
    ),
]
CaptionsOption = Annotated[
    str | None,
    typer.Option(
        "--captions",
        metavar="SOURCE",
        help="bank, hf:NAME or file:captions.jsonl, for methods that read captions.",
    ),
]
BandsOption = Annotated[
    str | None,
    typer.Option(
        "--bands", metavar="R,G,B", help="Bands to show, one or three: numbers from 1, or names."
    ),
]


def parse_bands(text: str | None) -> list[int | str] | None:
    """Return the bands that `--bands` names; None where it is not given."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    return [int(name) if name.isdecimal() else name for name in names]
