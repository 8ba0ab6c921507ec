"""`skycue data render`: draw images of places with exact masks of their objects."""

import json
from typing import Annotated

import typer

from skycue.cli.options import ForceOption, OutputOption


def render(
    count: Annotated[int, typer.Argument(metavar="N", min=1, help="How many images.")],
    output: OutputOption,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first; others follow on.")] = 0,
    size: Annotated[int, typer.Option(min=64, max=4096, help="Pixels along each side.")] = 512,
    sensors: Annotated[
        str, typer.Option(metavar="train|test|NAME", help="Whose colours and sharpness to show.")
    ] = "train",
    crs: Annotated[
        str | None,
        typer.Option(metavar="CRS", help="Write GeoTIFF in a CRS in metres, such as EPSG:32631."),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Draw N aerial-looking images from a seed into OUTPUT/images; print what they show.

    OUTPUT/instances.json outlines every aircraft, ship, vehicle, tank, court, field, track, pier,
    bridge and building as COCO instances. The sensors of `test` are never used in training.
    """
    from skycue.data.renderer.rendered_files import render_set, write_set
    from skycue.progress import track

    images = render_set(count, seed=seed, size=size, sensors=sensors)
    written = write_set(output, track(images, "images", count), crs=crs, force=force)
    typer.echo(json.dumps(written._asdict()))
