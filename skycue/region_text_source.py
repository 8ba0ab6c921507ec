"""Captions of whole images by a region model: a source of text for scene methods."""

import logging
from collections.abc import Sequence
from pathlib import Path

from skycue.answers import Describer
from skycue.backbones.text_source import TextSettings
from skycue.errors import CaptionError
from skycue.region_inputs import full_frame, read_region_image

logger = logging.getLogger(__name__)

SOURCE = "regions"
"""What the settings of such captions name as their source."""


class RegionTextSource:
    """Describes whole images; `fit --captions file:` reads what `write_captions` makes of it."""

    def __init__(self, describer: Describer, *, ask: str | None = None) -> None:
        """Keep a model.

        Args:
            describer: The model.
            ask: What to ask in place of the model's usual question.
        """
        self._describer = describer
        self._ask = ask

    @property
    def settings(self) -> TextSettings:
        """The model and the question, as every line of a captions file records them."""
        maker = {"source": SOURCE, "model": self._describer.model, "ask": self._ask}
        return TextSettings(kind="other", maker=maker)

    def caption(self, paths: Sequence[Path]) -> list[str]:
        """Describe each image file as a whole; doubtful ones are counted in the log.

        Raises:
            CaptionError: If a caption comes out empty.
            ImageReadError: If an image cannot be read.
        """
        captions, doubts = [], []
        for path in paths:
            pixels = read_region_image(path).pixels
            box = full_frame((pixels.shape[1], pixels.shape[2]))
            (answer,) = self._describer.encode(pixels).describe_all([box], ask=self._ask)
            if not answer.caption.strip():
                raise CaptionError(
                    f"{path}: the model wrote an empty caption; use another --model."
                )
            if answer.flags:
                doubts.append(f"{path}: {'; '.join(answer.flags)}")
            captions.append(answer.caption)
        if doubts:
            logger.warning("%d of %d are doubtful, first %s", len(doubts), len(paths), doubts[0])
        return captions
