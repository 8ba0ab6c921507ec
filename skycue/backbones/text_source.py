"""What every source of captions offers, and the settings that are kept with its texts.

BiMoRS reads one caption an image (`bimors.md` 1.2 d); where it comes from is a choice that changes
results, so each source says exactly what wrote its texts, and captions are kept together with that.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from pydantic import Field

from skycue.config import Config
from skycue.data.captions import Setting

TextKind = Literal["hf", "bank", "other", "oracle"]


class TextSettings(Config):
    """What wrote the captions: a part of every result that was reached with them."""

    kind: TextKind
    """An image-to-text model, the phrase bank, other software, or people ("oracle")."""
    maker: dict[str, Setting] = Field(default_factory=dict)
    """Everything that changes a caption, as each line of a captions file records it."""
    captions_sha256: str | None = None
    """Hash of the captions files that the texts were read from; None if they were made anew."""

    @property
    def oracle(self) -> bool:
        """Whether people who saw the image wrote the texts: reports name such a row "oracle"."""
        return self.kind == "oracle"

    def same_maker(self, other: "TextSettings") -> bool:
        """Say whether both give the same caption for an image, read from a file or made anew."""
        return (self.kind, self.maker) == (other.kind, other.maker)


class TextSource(Protocol):
    """Writes or looks up one caption for each image."""

    @property
    def settings(self) -> TextSettings:
        """What is recorded with the captions and with every result."""
        ...

    def caption(self, paths: Sequence[Path]) -> list[str]:
        """Return one caption for each image file, in order; none is empty.

        Raises:
            CaptionError: If an image has no caption.
            ImageReadError: If an image has to be read and cannot be.
        """
        ...
