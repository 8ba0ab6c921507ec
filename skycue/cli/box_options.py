"""Where `skycue describe` looks: boxes of options and of files, put on images of any size."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from skycue.cli.options import parse_bands

if TYPE_CHECKING:
    from skycue.boxes import PlacedBox
    from skycue.region_inputs import DescribedRaster

BOX_FORM = "X0,Y0,X1,Y1"
POINT_FORM = "X,Y"

BoxOption = Annotated[
    list[str] | None,
    typer.Option(
        "--box", metavar=BOX_FORM, help="In pixels, or in --box-crs: west,south,...; repeatable."
    ),
]
PointOption = Annotated[
    list[str] | None,
    typer.Option(
        "--point",
        metavar=POINT_FORM,
        help="In pixels: a box of a tenth of the shorter side; repeatable.",
    ),
]
FullFrameOption = Annotated[
    bool, typer.Option("--full-frame", help="A box around the whole image.")
]
BoxesOption = Annotated[
    Path | None,
    typer.Option(
        "--boxes", metavar="FILE", help="Boxes around the features of .geojson, .gpkg or .parquet."
    ),
]
BoxCrsOption = Annotated[
    str | None,
    typer.Option("--box-crs", metavar="CRS", help="Of the boxes, such as EPSG:4326, or pixels."),
]
KeepGoingOption = Annotated[
    bool,
    typer.Option("--keep-going", help="Leave out boxes of --boxes that are not on the image."),
]


class Where(NamedTuple):
    """Where to look on every image, as the options say it.

    Attributes:
        boxes: Of --box.
        points: Of --point.
        whole: --full-frame.
        file: Of --boxes.
        crs: Of --box-crs.
        keep_going: Leave boxes of the file out that cannot be used.
    """

    boxes: list[str]
    points: list[str]
    whole: bool
    file: Path | None
    crs: str | None
    keep_going: bool


class Asked(NamedTuple):
    """An image with the boxes on it; it is opened again when its turn comes, for there may be many.

    Attributes:
        path: Its file.
        boxes: In its pixels.
    """

    path: Path
    boxes: "list[PlacedBox]"


def place_all(
    images: list[Path], where: Where, bands: str | None, *, needs_place: bool
) -> list[Asked]:
    """Look at all images and put the boxes on each of them, before any work begins."""
    from skycue.data.image_files import find_images
    from skycue.errors import BoxError, GeoError
    from skycue.region_inputs import open_described

    asked = []
    for path in find_images(images):
        raster = open_described(path, parse_bands(bands))
        if needs_place and raster.georeference is None:
            raise GeoError(
                f"{path} has no place on the ground, so no features: leave --format out."
            )
        try:
            asked.append(Asked(path, _place(raster, where)))
        except BoxError as error:
            raise BoxError(f"{path}: {error}") from error
    return asked


def _place(raster: "DescribedRaster", where: Where) -> "list[PlacedBox]":
    """Return the boxes on one image, in its pixels and named: those of options by their number."""
    from skycue.boxes import PlacedBox
    from skycue.errors import BoxError
    from skycue.geo.box_files import read_box_file
    from skycue.geo.box_places import PIXELS, place_boxes
    from skycue.region_inputs import boxes_of, parse_numbers

    corners = [
        parse_numbers(text, f"box {n}", BOX_FORM) for n, text in enumerate(where.boxes, start=1)
    ]
    centres = [
        parse_numbers(text, f"point {n}", POINT_FORM)
        for n, text in enumerate(where.points, start=1)
    ]
    size, place = raster.size, raster.georeference
    found = []
    if where.crs is not None and where.crs != PIXELS:
        if where.points:
            raise BoxError("--point is in pixels, whatever --box-crs says: give a --box.")
        placed = place_boxes(corners, where.crs, place, size)
        if placed.refused:
            raise BoxError(placed.refused[0].reason)
        found, corners = [each.box for each in placed.boxes], []
    found += boxes_of(size, corners, centres, whole=where.whole)
    named = [PlacedBox(str(number), each) for number, each in enumerate(found, start=1)]
    if where.file is None:
        return named
    if named:
        raise BoxError("--boxes FILE stands alone: leave out --box, --point and --full-frame.")
    read = read_box_file(where.file, place, size, crs=where.crs)
    if read.refused and (not where.keep_going or not read.boxes):
        others = f" ({len(read.refused)} such)" if len(read.refused) > 1 else ""
        hint = "" if where.keep_going else " --keep-going leaves them out."
        raise BoxError(f"{where.file}: {read.refused[0].reason}{others}{hint}")
    for refused in read.refused:
        typer.echo(f"left out: {refused.reason}", err=True)
    return read.boxes
