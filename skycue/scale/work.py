"""What is done to the rasters of an archive, as the plan and the engines see it.

A `Work` says how many places (windows or boxes) a raster has, and turns a unit (some places of one
raster) into rows. Engines know nothing else of it: neither a model nor a raster.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

    from skycue.boxes import PlacedBox


class Unit(NamedTuple):
    """Some places of one raster: a row of the plan, done by one process at a time.

    Attributes:
        id: Hash of the raster's content, the places and the work.
        raster: Path of the raster, as workers open it.
        sha256: Of the raster's content when the plan was made.
        n_bytes: Size of the raster's file then.
        modified_ns: When it had last been changed, in nanoseconds since 1970.
        first: Number of the first place.
        n_places: How many places.
        boxes: The places themselves, where they are no regular grid.
        note: What the work found out of the raster when the plan was made.
    """

    id: str
    raster: str
    sha256: str
    n_bytes: int
    modified_ns: int
    first: int
    n_places: int
    boxes: "tuple[PlacedBox, ...]" = ()
    note: str = ""


class Failure(NamedTuple):
    """Places of which nothing could be said.

    Attributes:
        raster: Path of the raster; empty for a box that lies on none.
        place: "x,y,width,height" of a window or the id of a box; empty for all `n_places` places.
        n_places: How many places.
        reason: Why, in one line.
    """

    raster: str
    place: str
    n_places: int
    reason: str


class UnitRows(NamedTuple):
    """What a unit gave.

    Attributes:
        table: Its rows; tables of one run have one schema, its metadata aside.
        failures: Places that failed.
        n_skipped: Places that hold no measurement, and so no row.
    """

    table: "pa.Table"
    failures: tuple[Failure, ...] = ()
    n_skipped: int = 0


class Places(NamedTuple):
    """What of a raster is to be done: a number of windows of its grid, or boxes.

    Attributes:
        n_places: How many.
        boxes: The boxes, neighbours near each other; empty for a grid.
        note: What every unit of the raster needs and is found once, such as its stretch.
    """

    n_places: int
    boxes: "tuple[PlacedBox, ...]" = ()
    note: str = ""


DoUnit = Callable[[Unit], UnitRows]
"""Does a unit. What is wrong with a place is a `Failure`; what is raised ends the run."""


class Work(Protocol):
    """Settings that travel to every worker, which loads its model once. It must be picklable."""

    @property
    def identity(self) -> str:
        """Hash of all that decides the rows of a place: the model and the settings."""
        ...

    def places(self, raster: Path) -> Places:
        """Say what there is to do on a raster.

        Raises:
            SkycueError: If the raster cannot be used; the plan notes it and passes it over.
        """
        ...

    def off_all_rasters(self, placed: AbstractSet[str]) -> list[tuple[str, str]]:
        """Return the id of each box that was asked for and is not among those placed, and why."""
        ...

    def empty(self) -> "pa.Table":
        """Return a table without rows, with the schema of all others."""
        ...

    def load(self, threads: int) -> DoUnit:
        """Load the model in this process.

        Args:
            threads: Processor cores that it may use.

        Raises:
            SkycueError: If it cannot be loaded; no worker can do any unit then.
        """
        ...
