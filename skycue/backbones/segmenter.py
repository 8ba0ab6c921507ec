"""What a segmentation network offers: pixels to features once, then queries to masks at will.

SAM (`sam.py`) and the small network of `mini` (`small_segmenter.py`) are such. A query is one
vector that asks for one mask; queries of an image never see each other in here.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from skycue.windows import OUTSIDE


class MaskFeatures(NamedTuple):
    """Images as a segmenter sees them.

    Attributes:
        coarse: The map that queries look at, [B, D, h, w].
        fine: Finer maps that sharpen the masks, from coarse to fine; SAM has none.
    """

    coarse: Tensor
    fine: tuple[Tensor, ...] = ()

    def rows(self, index: Tensor) -> "MaskFeatures":
        """Return the features of some images, by their numbers [R]; an image may stand twice."""
        return MaskFeatures(self.coarse[index], tuple(level[index] for level in self.fine))

    def contiguous(self) -> "MaskFeatures":
        """Return the features in the order of memory in which they come back from a file.

        In another order sums are rounded in another way.
        """
        return MaskFeatures(self.coarse.contiguous(), tuple(f.contiguous() for f in self.fine))


class MaskOutput(NamedTuple):
    """Masks of queries.

    Attributes:
        logits: Mask logits on the network's input frame, at its mask resolution, [B, K, h', w'].
        iou: How well the network expects each mask to overlap the truth, [B, K].
    """

    logits: Tensor
    iou: Tensor


class Segmenter(nn.Module, ABC):
    """A segmentation network that is prompted by query vectors.

    Attributes:
        width: Channels of `MaskFeatures.coarse`, D.
        query_width: Width of a query.
        seen_width: Channels of the coarse and the finest map together.
        input_size: Side of the square input in pixels.
        padding: Levels of RGB, 0 to 255, where the input shows nothing of the image.
    """

    width: int
    query_width: int
    seen_width: int
    input_size: int
    padding: tuple[int, int, int] = OUTSIDE

    @abstractmethod
    def encode(self, pixels: Tensor) -> MaskFeatures:
        """Encode RGB in [0, 1], [B, 3, S, S]; it normalises them itself."""

    @abstractmethod
    def decode(
        self, features: MaskFeatures, queries: Tensor, boxes: Tensor | None = None
    ) -> MaskOutput:
        """Turn queries [B, K, query_width] into masks.

        Args:
            features: Of B images, as `encode` returned them, or rows of those.
            queries: K for each image; each one is decoded on its own.
            boxes: The prompt box of each image as shares of the input, [B, 4], for networks that
                were trained to look at it; None where there is no box prompt.
        """
