"""Rasters of a plan as workers open them: unchanged since then, stretched as was found then."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from skycue.errors import GeoError, ImageReadError
from skycue.files import sha256_of
from skycue.geo.raster import Raster
from skycue.geo.stretch import Stretch
from skycue.scale.work import Failure, Unit

PLACE_ERRORS = (ImageReadError, GeoError)
"""What is wrong with a part of a raster, and not with the run."""

T = TypeVar("T")
R = TypeVar("R")


def note_of(raster: Raster) -> str:
    """Return what every worker needs to read a raster alike: its stretch, as JSON."""
    return raster.stretch.model_dump_json()


def open_planned(unit: Unit, bands: Sequence[int | str] | None) -> Raster:
    """Open the raster of a unit.

    Args:
        unit: What is to be done.
        bands: One band or three; None takes those that the raster says.

    Raises:
        ImageReadError: If it cannot be read, or its content is not that of the plan.
    """
    path = Path(unit.raster)
    raster = Raster.open(path, bands=bands, stretch=Stretch.model_validate_json(unit.note))
    facts = path.stat()
    is_as_planned = (facts.st_size, facts.st_mtime_ns) == (unit.n_bytes, unit.modified_ns)
    if not is_as_planned and sha256_of(path) != unit.sha256:  # a copy may have another time
        raise ImageReadError(f"{path} has changed since it was planned: give --again inputs.")
    return raster


def try_each(
    places: Sequence[T],
    do: Callable[[Sequence[T]], R],
    name: Callable[[T], str],
    raster: str,
) -> tuple[list[R], list[Failure]]:
    """Do places together, and find those that cannot be done by halving.

    Args:
        places: What is to be done.
        do: Does some places, or raises one of `PLACE_ERRORS`.
        name: What a failure calls a place.
        raster: What a failure calls the raster.

    Returns:
        What `do` returned of the places that could be done, in their order, and a failure for each
        of the others.
    """
    if not places:
        return [], []
    try:
        return [do(places)], []
    except PLACE_ERRORS as error:
        if len(places) == 1:
            return [], [Failure(raster, name(places[0]), 1, str(error))]
    middle = len(places) // 2
    done, failures = try_each(places[:middle], do, name, raster)
    more, more_failures = try_each(places[middle:], do, name, raster)
    return [*done, *more], [*failures, *more_failures]
