"""`skycue split`: cut a dataset into train, val and test, once and for all."""

import json
from pathlib import Path
from typing import Annotated

import typer

from skycue.cli.options import ForceOption
from skycue.errors import SplitError


def split(
    data: Annotated[Path, typer.Argument(help="A folder of scenes, as `skycue fit` takes it.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="PATH", help="Where to write; DATA/split.json if not given."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Chooses the cut.")] = 1,
    fractions: Annotated[
        str, typer.Option(metavar="TRAIN,VAL,TEST", help="Parts of each class; they add up to 1.")
    ] = "0.49,0.21,0.30",
    official: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Take the split of a captions.jsonl; val is cut from its train."
        ),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Write a split file for DATA, and print its counts and hash as one JSON line.

    Every command that is given DATA uses the split.json inside it.
    """
    from skycue.data.scenes import PARTS  # pydantic and Pillow: imported when used
    from skycue.data.split_files import SPLIT_FILE, write_split
    from skycue.data.splits import make_split, split_from_captions
    from skycue.files import refuse_overwrite

    path = output or data / SPLIT_FILE
    refuse_overwrite(path, force=force)
    if official is None:
        cut = make_split(data, seed, _parse_fractions(fractions))
    else:
        cut = split_from_captions(data, seed, official)
    write_split(cut, path)
    summary: dict[str, str | int] = {"split": str(path), "classes": len(cut.class_names)}
    summary |= {part: len(cut.part(part)) for part in PARTS}
    typer.echo(json.dumps({**summary, "sha256": cut.sha256}))


def _parse_fractions(text: str) -> tuple[float, float, float]:
    """Read three numbers parted by commas."""
    try:
        train, val, test = (float(part) for part in text.split(","))
    except ValueError as error:
        raise SplitError(
            f"fractions '{text}' are not three numbers; write them as 0.49,0.21,0.30."
        ) from error
    return train, val, test
