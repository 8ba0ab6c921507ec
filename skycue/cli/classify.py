"""`skycue classify`: class probabilities of images, or a map of rasters, by a fitted classifier."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from skycue.cli.options import (
    BandsOption,
    CacheOption,
    CaptionsOption,
    DeviceOption,
    DtypeOption,
    ForceOption,
    OptionalOutputOption,
    parse_bands,
)

if TYPE_CHECKING:
    from skycue.inference import SceneClassifier

DRAWN_IMAGES = 60
"""Images that a picture shows at most."""


class MapOptions(NamedTuple):
    """What is said of a map.

    Attributes:
        output: Where it is written.
        window: Side of a window in pixels.
        stride: Side of a cell in pixels.
        bands: As `--bands` has them.
        format: Of the polygons.
    """

    output: Path
    window: int
    stride: int
    bands: str | None
    format: Literal["gpkg", "parquet", "geojson"]


def classify(
    model: Annotated[Path, typer.Argument(help="A folder made by `skycue fit`.")],
    images: Annotated[list[Path], typer.Argument(help="Image files or rasters, or their folders.")],
    output: OptionalOutputOption = None,
    window: Annotated[
        int | None, typer.Option(min=8, help="Make maps: classify windows of so many pixels.")
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Pixels from window to window, a cell of the map.",
            show_default="half the window",
        ),
    ] = None,
    bands: BandsOption = None,
    form: Annotated[
        Literal["gpkg", "parquet", "geojson"] | None,
        typer.Option("--format", help="Of a map's class polygons; gpkg if not given."),
    ] = None,
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
    cache: CacheOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    force: ForceOption = False,
) -> None:
    """Print one JSON line of class probabilities, the highest first, for each of IMAGES.

    A model of images that show several classes also prints the labels over their thresholds; its
    probabilities do not sum to one.

    With --window: maps. The folder -o gets probabilities.tif with a band for each class and a cell
    for each stride, class polygons, quicklook.png, a STAC item.json, and map.json, which is
    printed; for several rasters, a folder for each. A second run over a raster finds its encodings
    in the cache.
    """
    asked = _map_options(output, window, stride, bands, form, picture)
    from skycue.device import resolve_device, resolve_dtype  # heavy: imported when used
    from skycue.inference import SceneClassifier
    from skycue.store import default_cache_folder

    places = [path for path in (output, picture) if path is not None and asked is None]
    paths = _find_inputs(images, places, asked, force=force)
    names = None if classes is None else [name.strip() for name in classes.split(",")]
    place = resolve_device(device)
    classifier = SceneClassifier.load(
        model,
        device=place,
        dtype=resolve_dtype(dtype, place),
        backbone=backbone,
        captions=captions,
        cache=cache if asked is None else cache or default_cache_folder(),
        batch_size=batch_size,
    )
    if asked is None:
        _classify_images(classifier, paths, names, output, picture)
    else:
        _make_maps(classifier, model, paths, names, asked)


def _map_options(
    output: Path | None,
    window: int | None,
    stride: int | None,
    bands: str | None,
    form: Literal["gpkg", "parquet", "geojson"] | None,
    picture: Path | None,
) -> MapOptions | None:
    """Return what is said of a map, or None where images are classified as they are."""
    if window is None:
        if stride is not None or bands is not None or form is not None:
            raise typer.BadParameter("--stride, --bands and --format are of maps: give --window.")
        return None
    if output is None:
        raise typer.BadParameter("a map is several files: name their folder by -o.")
    if picture is not None:
        raise typer.BadParameter("a map has its quicklook.png: leave out --picture.")
    return MapOptions(output, window, stride or max(1, window // 2), bands, form or "gpkg")


def _find_inputs(
    images: Sequence[Path], places: Sequence[Path], asked: MapOptions | None, *, force: bool
) -> list[Path]:
    """Return the files to classify, once it is clear that no result would be overwritten."""
    from skycue.data.image_files import find_images
    from skycue.files import refuse_overwrite

    for path in places:
        refuse_overwrite(path, force=force)
    paths = find_images(images)
    if asked is not None:
        from skycue.scene_map import MAP_FILE

        for folder in _map_folders(asked.output, paths):
            refuse_overwrite(folder / MAP_FILE, force=force)
    return paths


def _classify_images(
    classifier: "SceneClassifier",
    paths: Sequence[Path],
    names: Sequence[str] | None,
    output: Path | None,
    picture: Path | None,
) -> None:
    """Print or write a line for each image, and draw the first ones."""
    from skycue.data.images import read_image
    from skycue.drawing import Tile, draw_contact_sheet
    from skycue.files import write_atomically
    from skycue.fitting import IMAGES_AT_ONCE

    lines: list[str] = []
    tiles: list[Tile] = []
    for start in range(0, len(paths), IMAGES_AT_ONCE):
        chosen = paths[start : start + IMAGES_AT_ONCE]
        for path, probabilities in zip(chosen, classifier.predict(chosen, names), strict=True):
            told: dict[str, object] = {"image": str(path)}
            if classifier.label_scores is not None:
                told["labels"] = classifier.shown_classes(probabilities)
            line = json.dumps(told | {"probabilities": probabilities})
            if output is None:
                typer.echo(line)
            lines.append(line + "\n")
            if picture is not None and len(tiles) < DRAWN_IMAGES:
                tiles.append(Tile(read_image(path).numpy(), *next(iter(probabilities.items()))))
    if output is not None:
        write_atomically(output, "".join(lines))
    if picture is not None:
        write_atomically(picture, draw_contact_sheet(tiles))


def _make_maps(
    classifier: "SceneClassifier",
    model: Path,
    paths: Sequence[Path],
    names: Sequence[str] | None,
    asked: MapOptions,
) -> None:
    """Write a map of each raster and print its record; all are opened before any is classified."""
    from skycue.geo.cells import CellGrid
    from skycue.geo.raster import Raster
    from skycue.scene_map import write_map

    rasters = [Raster.open(path, bands=parse_bands(asked.bands)) for path in paths]
    for raster in rasters:
        CellGrid(raster.size, asked.window, asked.stride)  # refuses a stride that leaves gaps
    for raster, folder in zip(rasters, _map_folders(asked.output, paths), strict=True):
        record = write_map(
            classifier,
            raster,
            folder,
            window=asked.window,
            stride=asked.stride,
            class_names=names,
            formats=(asked.format,),
            model=str(model),
        )
        typer.echo(json.dumps({"map": str(folder), **record.model_dump(mode="json")}))


def _map_folders(output: Path, paths: Sequence[Path]) -> list[Path]:
    """Return the folder of each map: -o for the only one, else NAME, NAME_2 and so on in it."""
    if len(paths) == 1:
        return [output]
    names: list[str] = []
    for path in paths:
        tried = (path.stem if n == 1 else f"{path.stem}_{n}" for n in itertools.count(1))
        names.append(next(name for name in tried if name not in names))
    return [output / name for name in names]
