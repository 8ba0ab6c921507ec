"""Captions that were written before, looked up by the image's path.

Paths in a captions file are relative to the folder that the file lies in. A file says what wrote it
in the `settings` of its lines. One that does not say is of unknown origin, perhaps human captions
of the very images that are classified, which mostly name the class; it is read as `oracle:` only,
and results that rest on it are named so.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from skycue.backbones.text_source import TextKind, TextSettings, TextSource
from skycue.data.captions import (
    CaptionRecord,
    Setting,
    append_captions,
    read_captions,
    resume_captions,
)
from skycue.data.scenes import check_images
from skycue.errors import CaptionError, ImageReadError
from skycue.files import sha256_of
from skycue.progress import progress_bar

SAVED_AT_ONCE = 32
"""Images between two writes to the disk: what a killed run loses at most."""


class CaptionFile:
    """The text sources `file:PATH` and `oracle:PATH`; an image's first caption is taken."""

    def __init__(self, *paths: Path, oracle: bool = False, root: Path | None = None) -> None:
        """Read captions files.

        Args:
            paths: Captions files, one or several whose captions have the same maker.
            oracle: The captions were written by people; otherwise each record has settings.
            root: The dataset's folder, for files that lie apart from the images they name.

        Raises:
            CaptionError: If a file cannot be read, or its origin is not as said.
        """
        self._paths = paths
        self._caption_of: dict[str, str] = {}
        makers: list[dict[str, Setting]] = []
        for path in paths:
            records = read_captions(path)
            makers.append(_maker(path, records, oracle=oracle))
            for folder in (path.parent, root):
                if folder is not None:
                    keys = (_key(folder / record.image) for record in records)
                    first = (record.captions[0] for record in records)
                    self._caption_of |= dict(zip(keys, first, strict=True))
        if any(maker != makers[0] for maker in makers):
            raise CaptionError(
                f"{', '.join(map(str, paths))} were made with different settings: {makers}. "
                "Use captions of one source at a time."
            )
        hashes = sorted(sha256_of(path) for path in paths)
        digest = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode())
        self._settings = TextSettings(
            kind="oracle" if oracle else _kind(makers[0]),
            maker=makers[0],
            captions_sha256=digest if isinstance(digest, str) else digest.hexdigest(),
        )

    @property
    def settings(self) -> TextSettings:
        """What wrote the file, as its records say, and the file's hash."""
        return self._settings

    def caption(self, paths: Sequence[Path]) -> list[str]:
        """Look up the caption of each image.

        Raises:
            CaptionError: If images have none; the line says how many and names the first.
        """
        keys = [_key(path) for path in paths]
        missing = [p for p, key in zip(paths, keys, strict=True) if key not in self._caption_of]
        if missing:
            raise CaptionError(
                f"{', '.join(map(str, self._paths))}: no caption for {len(missing)} of "
                f"{len(paths)} images, the first {missing[0]}; paths in the file are relative to "
                "its folder. `skycue caption` adds what is missing."
            )
        return [self._caption_of[key] for key in keys]


class Written(NamedTuple):
    """What `write_captions` did."""

    n_new: int
    """Captions written in this run."""
    n_kept: int
    """Captions that the file already held."""


def write_captions(source: TextSource, images: Sequence[Path], output: Path) -> Written:
    """Caption images into a captions file, going on where a killed run stopped.

    Args:
        source: Writes the captions.
        images: Image files; those that the file already has are passed over.
        output: The captions file; image paths in it are relative to its folder.

    Raises:
        CaptionError: If the file holds captions with other settings, or the source fails.
        ImageReadError: If images cannot be read; all of them are named before the work begins.
    """
    bad = [check for check in check_images(images) if check.problem is not None]
    if bad:
        named = "; ".join(f"{check.path}: {check.problem}" for check in bad)
        raise ImageReadError(f"{len(bad)} of {len(images)} images cannot be captioned: {named}")
    kept = resume_captions(output)
    maker = source.settings.maker
    other = next((record for record in kept if record.settings != maker), None)
    if other is not None:
        raise CaptionError(
            f"{output} holds captions with other settings: {_difference(other.settings, maker)}. "
            "Choose another -o, or replace it with --force."
        )
    done = {_key(output.parent / record.image) for record in kept}
    todo = [path for path in dict.fromkeys(images) if _key(path) not in done]
    with progress_bar("caption", total=len(todo)) as advance:
        for start in range(0, len(todo), SAVED_AT_ONCE):
            batch = todo[start : start + SAVED_AT_ONCE]
            captions = source.caption(batch)
            append_captions(
                output,
                [
                    CaptionRecord(image=name, captions=(caption,), settings=maker)
                    for name, caption in zip(_names(batch, output), captions, strict=True)
                ],
            )
            advance(len(batch))
    return Written(n_new=len(todo), n_kept=len(images) - len(todo))


def _maker(path: Path, records: Sequence[CaptionRecord], *, oracle: bool) -> dict[str, Setting]:
    """Return what wrote all records of a file, after comparing it with what the user says."""
    unknown = [record.image for record in records if not record.settings]
    if oracle:
        if len(unknown) < len(records):
            raise CaptionError(
                f"{path} says what software wrote it: it is no oracle. Use file:{path}."
            )
        return {"source": "oracle"}
    if unknown:
        raise CaptionError(
            f"{path} does not say what wrote {len(unknown)} of its {len(records)} captions, the "
            f"first of {unknown[0]}: they may be by people, who name the class. Use oracle:{path}, "
            "and results are named oracle captions; or add `settings` to its lines."
        )
    maker = records[0].settings
    other = next((record for record in records if record.settings != maker), None)
    if other is not None:
        raise CaptionError(
            f"{path} mixes settings: {other.image} differs in {_difference(maker, other.settings)}."
        )
    return maker


def _kind(maker: dict[str, Setting]) -> TextKind:
    """Name the kind of source that recorded these settings."""
    match maker.get("source"):
        case "hf":
            return "hf"
        case "bank":
            return "bank"
        case _:
            return "other"


def _difference(old: dict[str, Setting], new: dict[str, Setting]) -> str:
    """Name the settings that differ, with both values."""
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    if "source" in keys:
        keys = ["source"]  # all others differ with it
    return ", ".join(f"{key} {old.get(key)!r} and now {new.get(key)!r}" for key in keys)


def _key(path: Path) -> str:
    """Return what is equal for two ways to write the path of one file."""
    return os.path.realpath(path)


def _names(images: Sequence[Path], output: Path) -> list[str]:
    """Return the paths of images relative to the folder of a captions file."""
    folder = os.path.realpath(output.parent)
    return [Path(os.path.relpath(_key(image), folder)).as_posix() for image in images]
