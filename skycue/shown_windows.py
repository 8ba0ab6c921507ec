"""What a region model is shown of a raster: the pixels of a window, and which the raster holds."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skycue.answers import Answer
from skycue.box_windows import ShownWindow
from skycue.boxes import Box
from skycue.data.mask_crops import MaskCrop
from skycue.geo.georeference import GeoReference
from skycue.region_inputs import DescribedRaster
from skycue.windows import OUTSIDE

NOTHING_VALID = "the box holds no valid pixel, only nodata"
"""Flag of a box that was not shown to the model."""


class ShownPixels(NamedTuple):
    """A window as it was read.

    Attributes:
        pixels: As the model is shown them, RGB [3, h, w].
        valid: Which of them the raster holds, [h, w].
        georeference: Where they lie.
    """

    pixels: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    georeference: GeoReference | None

    def holds_any(self, box: Box) -> bool:
        """Say whether a box, in pixels of the window as shown, has a valid pixel."""
        if self.valid.all():
            return True
        x_min, y_min, x_max, y_max = box
        part = self.valid[int(y_min) : int(np.ceil(y_max)), int(x_min) : int(np.ceil(x_max))]
        return bool(part.any())

    def cut(self, answer: Answer) -> Answer:
        """Take from the masks of an answer the pixels that the raster does not hold."""
        if self.valid.all():
            return answer
        phrases = []
        for phrase in answer.phrases:
            mask = phrase.mask
            if mask is not None and mask.pixels.size:
                (x, y), (height, width) = mask.corner, mask.pixels.shape
                held = mask.pixels & self.valid[y : y + height, x : x + width]
                mask = MaskCrop.of(held, mask.corner, mask.size)
            phrases.append(replace(phrase, mask=mask))
        return replace(answer, phrases=tuple(phrases))


def read_shown(raster: DescribedRaster, shown: ShownWindow) -> ShownPixels:
    """Read a window; what the raster does not hold is shown as what lies outside of images.

    Raises:
        ImageReadError: If the raster cannot be read there.
    """
    read = raster.read(shown.window, shown.size)
    outside = np.array(OUTSIDE, dtype=np.uint8)[:, None, None]
    pixels = read.pixels if read.valid.all() else np.where(read.valid, read.pixels, outside)
    return ShownPixels(pixels, read.valid, read.georeference)


def answer_of_nothing(shown: ShownWindow, box: Box, model: str) -> Answer:
    """Return the answer to a box without a valid pixel, which is not shown to the model.

    Args:
        shown: The window.
        box: In pixels of the raster.
        model: What answers call the model.
    """
    flags = (NOTHING_VALID,)
    return Answer("", shown.size, shown.to_shown(box), "", (), None, (), model, flags)
