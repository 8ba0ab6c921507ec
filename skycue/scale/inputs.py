"""The rasters that a user means: files, folders, patterns, STAC files and lists.

- A folder: the rasters below it, by their file name endings; hidden ones are passed over.
- A pattern with *, ? or [: what it matches, ** in any depth; in quotes, so that the shell leaves
  it alone.
- A .json file: a STAC Catalog, Collection or Item (https://stacspec.org, version 1.0 or 1.1), whose
  Items' assets with the role "data" are taken, or the one of a given name.
- A .txt file: one path a line, relative to the file; empty lines and lines after # are passed over.
- Any other file is a raster.
"""

import glob
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from skycue.errors import ArchiveError

if TYPE_CHECKING:
    from pystac import Item, STACObject

RASTER_SUFFIXES = frozenset(
    {".tif", ".tiff", ".jp2", ".j2k", ".png", ".jpg", ".jpeg", ".webp", ".img", ".ntf", ".nitf"}
)
"""File name endings, in lower case, by which a raster below a folder is known."""
LIST_SUFFIX = ".txt"
STAC_SUFFIX = ".json"
PATTERN_SIGNS = frozenset("*?[")
STAC_TYPES = ("Catalog", "Collection", "Feature")
DATA_ROLE = "data"
"""Role of the assets of a STAC Item that hold the measurements (best practices, asset roles)."""


def find_rasters(inputs: Sequence[str], *, asset: str | None = None) -> list[Path]:
    """Return the rasters that some inputs name, sorted, each once.

    Args:
        inputs: Folders, patterns, STAC files, lists and rasters.
        asset: Key of the asset that is taken of each STAC Item; those of role "data" if not given.

    Raises:
        ArchiveError: If an input is not there, holds no raster, or names one that is not on this
            machine.
    """
    found: set[Path] = set()
    for given in inputs:
        rasters = list(_rasters_of(given, asset))
        if not rasters:
            raise ArchiveError(
                f"no raster in {given}: folders are searched for files that end in "
                f"{', '.join(sorted(RASTER_SUFFIXES))}."
            )
        found.update(rasters)
    return sorted(found)


def _rasters_of(given: str, asset: str | None) -> Iterator[Path]:
    """Yield what one input names."""
    path = Path(given)
    if path.is_dir():
        yield from (file for file in path.rglob("*") if _is_raster(file, path))
    elif path.is_file():
        if path.suffix.lower() == LIST_SUFFIX:
            yield from _listed(path)
        elif path.suffix.lower() == STAC_SUFFIX:
            yield from _catalogued(path, asset)
        else:
            yield path
    elif PATTERN_SIGNS & set(given):
        matches = (Path(match) for match in glob.iglob(given, recursive=True))
        yield from (match for match in matches if match.is_file())
    else:
        raise ArchiveError(
            f"no file or folder {given}: give rasters, folders, patterns in quotes, STAC files "
            f"({STAC_SUFFIX}) or lists of paths ({LIST_SUFFIX})."
        )


def _is_raster(file: Path, folder: Path) -> bool:
    """Say whether a file below a folder is a visible raster."""
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return not hidden and file.suffix.lower() in RASTER_SUFFIXES and file.is_file()


def _listed(path: Path) -> Iterator[Path]:
    """Yield the rasters of a list."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ArchiveError(f"{path} is no list of paths: it is not text in UTF-8.") from error
    for number, line in enumerate(lines, start=1):
        name = line.split("#", 1)[0].strip()
        if not name:
            continue
        raster = path.parent / name
        if not raster.is_file():
            raise ArchiveError(
                f"line {number} of {path} names {name}, and there is no file {raster}: paths are "
                "relative to the list."
            )
        yield raster


def _catalogued(path: Path, asset: str | None) -> Iterator[Path]:
    """Yield the rasters of a STAC Catalog, Collection or Item."""
    import pystac  # imported when used

    try:
        entry = _read_stac(path)
        items = [entry] if isinstance(entry, pystac.Item) else list(_items(entry))
    except (pystac.STACError, KeyError, ValueError, TypeError, OSError) as error:
        cause = error.__cause__ or error
        first = (str(cause).splitlines() or [""])[0]
        raise ArchiveError(
            f"cannot read {path} as a STAC Catalog, Collection or Item: "
            f"{type(cause).__name__}: {first}"
        ) from error
    for item in items:
        keys = [key for key, one in item.assets.items() if DATA_ROLE in (one.roles or [])]
        if asset is not None:
            keys = [asset] if asset in item.assets else []
        if not keys:
            wanted = f"named {asset!r}" if asset else f"with the role {DATA_ROLE!r}"
            raise ArchiveError(
                f"STAC Item {item.id} has no asset {wanted}; its assets are "
                f"{', '.join(item.assets) or 'none'}: name one with --set asset=NAME."
            )
        for key in keys:
            yield _local(item.assets[key].get_absolute_href() or "", item.id)


def _read_stac(path: Path) -> "STACObject":
    """Read a STAC file, whose links are followed on this machine alone."""
    import pystac

    class LocalFiles(pystac.stac_io.DefaultStacIO):
        """Reads what lies on this machine; pystac would fetch the rest from the network."""

        def read_text_from_href(self, href: str) -> str:
            if urlsplit(href).scheme:
                raise ValueError(f"it leads to {href}, which is no file of this machine")
            return super().read_text_from_href(href)

    kind = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(kind, dict) or kind.get("type") not in STAC_TYPES:
        raise ValueError(f"its type is none of {', '.join(STAC_TYPES)}")
    return pystac.read_file(str(path.resolve()), stac_io=LocalFiles())


def _items(entry: "STACObject") -> "Iterator[Item]":
    """Yield all Items below a Catalog or Collection."""
    import pystac

    assert isinstance(entry, pystac.Catalog)
    yield from entry.get_items(recursive=True)


def _local(href: str, item: str) -> Path:
    """Return the path of an asset on this machine."""
    parts = urlsplit(href)
    path = Path(unquote(parts.path) if parts.scheme == "file" else href)
    if parts.scheme not in ("", "file") or not path.is_file():
        raise ArchiveError(
            f"STAC Item {item} names {href}, which is no file of this machine: copy the archive to "
            "a file system that all workers share (docs/scale.md)."
        )
    return path
