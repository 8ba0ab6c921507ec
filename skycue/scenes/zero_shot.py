"""Zero-shot CLIP: class names in hand-written templates, nothing learned.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021,
sections 3.1.2 and 3.1.4 (ensembles), https://arxiv.org/abs/2103.00020.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

from torch import Tensor

from skycue.backbones.clip import Clip
from skycue.scenes.base import SharedClassMethod
from skycue.scenes.frozen_text import FrozenText, TemplateConfig


class ZeroShotConfig(TemplateConfig):
    """Options of zero-shot classification, under `method:` in a configuration."""

    name: Literal["zero-shot"] = "zero-shot"


class ZeroShot(SharedClassMethod):
    """The mean of each class's embeddings over the templates."""

    trains: ClassVar[Literal["nothing", "gradient", "solver"]] = "nothing"

    def __init__(self, clip: Clip, config: ZeroShotConfig) -> None:
        super().__init__(clip)
        self._text = FrozenText(clip, config.template)

    def class_embeddings(self, class_names: Sequence[str]) -> Tensor:
        """Return the normalised mean over templates of unit-length embeddings, [C, D].

        Raises:
            PromptTooLongError: If a prompt does not fit the text encoder.
        """
        return self._text.class_embeddings(class_names)
