"""Which bands of a raster are shown as red, green and blue, and where its pixels hold nothing."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skycue.errors import BandError, ImageReadError

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

logger = logging.getLogger(__name__)

RGB = ("red", "green", "blue")


class BandChoice(NamedTuple):
    """The bands that are read of a raster.

    Attributes:
        shown: One band for grey or three for red, green, blue; counted from 1.
        dtype: NumPy's name of their values.
        nodata: Of each shown band, the value that stands for none, or None.
        alpha: The band that is 0 where a pixel is transparent, or None.
        masked: The file has a mask beside its bands.
        palette: Colours of the values of one shown band, uint8 [V, 4] with alpha, or None.
        bits: Of a value, where the file states fewer than its type has; or None.
        left: How many bands the file has beside the shown ones.
    """

    shown: tuple[int, ...]
    dtype: str
    nodata: tuple[float | None, ...]
    alpha: int | None
    masked: bool
    palette: NDArray[np.uint8] | None
    bits: int | None
    left: int

    @property
    def always_holds(self) -> bool:
        """Whether every pixel holds a value: neither nodata, alpha, mask nor real numbers."""
        may_lack = self.alpha is not None or self.masked or np.dtype(self.dtype).kind == "f"
        return not may_lack and set(self.nodata) == {None}

    @property
    def is_plain(self) -> bool:
        """Whether these are 8 bits, all bands of the file, and hold a value everywhere."""
        eight_bits = self.dtype == "uint8" and self.bits is None
        return eight_bits and self.always_holds and self.left == 0


def choose_bands(
    dataset: "DatasetReader", path: Path, wanted: Sequence[int | str] | None
) -> BandChoice:
    """Decide which bands are shown.

    Asked for none, the bands that the file marks as red, green and blue are taken, then those that
    it describes by these words; else the first three, or the first if there are fewer. If others
    are left over, a warning says so.

    Args:
        dataset: An open raster.
        path: Its file, for messages.
        wanted: One band or three, each by its number from 1 or by its name: the description in
            the file or a colour such as "red" or "nir", in any case.

    Raises:
        BandError: If a band is not there, a name is not unique, or the count is not 1 or 3.
        ImageReadError: If the values are complex numbers, or differ in type.
    """
    from rasterio.enums import ColorInterp, MaskFlags

    alpha = next(
        (
            i
            for i, c in zip(dataset.indexes, dataset.colorinterp, strict=True)
            if c == ColorInterp.alpha
        ),
        None,
    )
    if wanted is None:
        shown = _usual_bands(dataset, path, alpha)
    else:
        shown = tuple(_find_band(dataset, path, band) for band in wanted)
        if len(shown) not in (1, 3):
            raise BandError(f"{len(shown)} bands of {path} are asked for; give 1 (grey) or 3.")
    dtypes = {dataset.dtypes[i - 1] for i in shown}
    dtype = dtypes.pop()
    if dtypes or dtype.startswith("complex"):
        kinds = ", ".join(sorted({dtype, *dtypes}))
        raise ImageReadError(
            f"cannot read {path}: values of {kinds} in bands {list(shown)}; one type of whole or "
            "real numbers is read: convert them by `gdal_translate -ot Float32`"
        )
    flags = dataset.mask_flag_enums[shown[0] - 1]
    bits = dataset.tags(shown[0], ns="IMAGE_STRUCTURE").get("NBITS")
    return BandChoice(
        shown,
        dtype,
        tuple(_nodata(dataset.nodatavals[i - 1], dtype) for i in shown),
        None if alpha in shown else alpha,
        MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags,
        _palette(dataset, shown),
        int(bits) if bits else None,
        dataset.count - len(set(shown)),
    )


def _usual_bands(dataset: "DatasetReader", path: Path, alpha: int | None) -> tuple[int, ...]:
    """Return the bands to show where none are asked for."""
    others = [i for i in dataset.indexes if i != alpha] or [1]
    marked = [dataset.colorinterp[i - 1].name for i in others]
    described = [(dataset.descriptions[i - 1] or "").strip().casefold() for i in others]
    for names in (marked, described):
        if all(names.count(colour) == 1 for colour in RGB):
            return tuple(others[names.index(colour)] for colour in RGB)
    shown = tuple(others[:3] if len(others) >= 3 else others[:1])
    if len(others) > len(shown):
        logger.warning(
            "%s has %d bands and names no colours: of them %s %s shown. Choose others by --bands.",
            path,
            len(others),
            ", ".join(map(str, shown)),
            "is" if len(shown) == 1 else "are",
        )
    return shown


def _find_band(dataset: "DatasetReader", path: Path, band: int | str) -> int:
    """Return the number of a band that is asked for by number or name."""
    text = str(band).strip()
    if text.isdecimal():
        if 1 <= int(text) <= dataset.count:
            return int(text)
        raise BandError(f"{path} has no band {text}: its bands are 1 to {dataset.count}.")
    for names in (dataset.descriptions, [colour.name for colour in dataset.colorinterp]):
        found = [
            i
            for i, name in zip(dataset.indexes, names, strict=True)
            if name and name.strip().casefold() == text.casefold()
        ]
        if len(found) == 1:
            return int(found[0])
        if found:
            raise BandError(f"bands {found} of {path} are all named '{text}': give a number.")
    names = band_names(dataset)[:_MOST_NAMES]
    named = [f"{i} ({name})" if name else str(i) for i, name in enumerate(names, start=1)]
    more = " ..." if dataset.count > _MOST_NAMES else ""
    raise BandError(f"{path} has no band '{text}': its bands are {', '.join(named)}{more}.")


_MOST_NAMES = 20
_NO_COLOUR = ("undefined", "gray")


def band_names(dataset: "DatasetReader") -> tuple[str, ...]:
    """Return what a file calls each of its bands: the description, else the colour, else ""."""
    colours = ("" if c.name in _NO_COLOUR else c.name for c in dataset.colorinterp)
    described = (" ".join((text or "").split()) for text in dataset.descriptions)
    return tuple(text or colour for text, colour in zip(described, colours, strict=True))


def _nodata(value: float | None, dtype: str) -> float | None:
    """Return the value for none, if the type of the band can hold it."""
    kind = np.dtype(dtype)
    if value is None or kind.kind == "f":
        return value
    limits = np.iinfo(kind)
    held = float(value).is_integer() and limits.min <= value <= limits.max
    return value if held else None


def _palette(dataset: "DatasetReader", shown: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """Return the colours that the values of the only shown band stand for, or None."""
    from rasterio.enums import ColorInterp

    if len(shown) > 1 or dataset.colorinterp[shown[0] - 1] != ColorInterp.palette:
        return None
    values = 1 + int(np.iinfo(dataset.dtypes[shown[0] - 1]).max)
    table = np.zeros((values, 4), dtype=np.uint8)
    for value, colour in dataset.colormap(shown[0]).items():
        table[value] = colour
    return table
