"""STAC Items: what a result is of, what made it, and which files belong to it.

SpatioTemporal Asset Catalog 1.1.0, https://github.com/radiantearth/stac-spec, written by pystac.
Fields of our own begin with `skycue:`; no extension is named, so that an Item can be validated
without a network.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from skycue import __version__
from skycue.files import sha256_of, write_atomically
from skycue.geo.georeference import GeoReference
from skycue.geo.vectors import feature_json

if TYPE_CHECKING:
    from pystac import Asset

_KINDS = {
    ".parquet": ("application/vnd.apache.parquet", "data"),
    ".gpkg": ("application/geopackage+sqlite3", "data"),
    ".geojson": ("application/geo+json", "data"),
    ".tif": ("image/tiff; application=geotiff; profile=cloud-optimized", "data"),
    ".png": ("image/png", "overview"),
    ".json": ("application/json", "metadata"),
    ".jsonl": ("application/jsonl", "data"),
}
"""Media type and role of a file, by how its name ends."""
_ID_DIGITS = 8  # of a hash, enough to tell the results of one raster apart


class SourceRaster(NamedTuple):
    """The raster that a result is of.

    Attributes:
        name: Its file name.
        sha256: Hash of its content.
        size: (height, width).
        georeference: Where it lies, or None.
        taken: When it was taken, with a time zone; None where nobody knows.
    """

    name: str
    sha256: str
    size: tuple[int, int]
    georeference: GeoReference | None
    taken: datetime | None = None


class UsedModel(NamedTuple):
    """The model that made a result.

    Attributes:
        name: As answers name it.
        sha256: Hash of its weights.
    """

    name: str
    sha256: str


def write_stac_item(
    path: Path,
    assets: Mapping[str, Path],
    *,
    source: SourceRaster,
    model: UsedModel,
    created: datetime,
) -> None:
    """Write an Item about the files of a result.

    Its geometry is the outline of the raster in WGS 84, and null where the raster has no place.
    Assets are named relative to the Item, with the SHA-256 of their content.

    Args:
        path: Where to write the Item; ends in .json. A file of this name is replaced.
        assets: The files of the result by what they are, such as "map" or "features".
        source: The raster.
        model: The model.
        created: When the result was made, with a time zone. STAC wants a time of every Item: it is
            this one where nobody knows when the raster was taken.

    Raises:
        GeoError: If the raster's outline cannot be brought to WGS 84.
    """
    from pystac import Item  # heavy: imported when used
    from shapely import MultiPolygon, box

    place: Mapping[str, object] = {}
    if source.georeference is not None:
        height, width = source.size
        outline = MultiPolygon([box(0, 0, width, height)])
        place, _ = feature_json(outline, {}, source.georeference)
    known = "" if source.taken else " When the raster was taken is not known."
    item = Item(
        id=f"{Path(source.name).stem}-{source.sha256[:_ID_DIGITS]}-{model.sha256[:_ID_DIGITS]}",
        geometry=place.get("geometry"),  # type: ignore[arg-type]
        bbox=place.get("bbox"),  # type: ignore[arg-type]
        datetime=source.taken or created,
        properties={
            "created": created.isoformat(),
            "description": f"What {model.name} says of {source.name}.{known}",
            "skycue:version": __version__,
            "skycue:model": model.name,
            "skycue:model_sha256": model.sha256,
            "skycue:source": source.name,
            "skycue:source_sha256": source.sha256,
            "skycue:source_crs": source.georeference.crs if source.georeference else None,
        },
    )
    for key, file in assets.items():
        item.add_asset(key, _asset_of(file, path.parent))
    content = item.to_dict(include_self_link=False)
    write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _asset_of(file: Path, folder: Path) -> Asset:
    """Describe a file of a result whose Item lies in a folder."""
    from pystac import Asset  # heavy: imported when used

    media_type, role = _KINDS.get(file.suffix.lower(), (None, "data"))
    href = Path(os.path.relpath(file, folder)).as_posix()
    return Asset(
        href if href.startswith("../") else f"./{href}",
        media_type=media_type,
        roles=[role],
        extra_fields={"skycue:sha256": sha256_of(file)},
    )
