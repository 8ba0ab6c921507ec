"""Zero-shot CLIP: class names in hand-written templates, nothing learned.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021,
sections 3.1.2 and 3.1.4 (ensembles), https://arxiv.org/abs/2103.00020.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import field_validator
from torch import Tensor

from skycue.backbones.clip import Clip
from skycue.config import Config
from skycue.scenes.base import ImageInputs, PromptMethod

TEMPLATES: dict[str, tuple[str, ...]] = {
    "photo": ("a photo of a {}.",),
    "aerial": ("an aerial photo of a {}.",),
    "remote-sensing": (
        "an aerial photo of a {}.",
        "an aerial image of {}.",
        "a satellite photo of a {}.",
        "a satellite image of {}.",
        "a remote sensing image of {}.",
        "an overhead view of a {}.",
        "there is a {}.",
        "this is a {} seen from above.",
    ),
}
"""Named lists of templates; a list of more than one is an ensemble. Written for this project."""


class ZeroShotConfig(Config):
    """Options of zero-shot classification, under `method:` in a configuration."""

    name: Literal["zero-shot"] = "zero-shot"
    template: str = "remote-sensing"
    """A name in `TEMPLATES`, or a template of one's own with {} for the class name."""

    @field_validator("template")
    @classmethod
    def _has_a_place_for_the_name(cls, template: str) -> str:
        if template not in TEMPLATES and template.count("{}") != 1:
            raise ValueError(
                f"{template!r} is none of {', '.join(TEMPLATES)} and holds no single {{}} for the "
                "class name"
            )
        return template


class ZeroShot(PromptMethod):
    """The mean of each class's embeddings over the templates."""

    trains: ClassVar[Literal["nothing", "gradient", "solver"]] = "nothing"

    def __init__(self, clip: Clip, config: ZeroShotConfig) -> None:
        super().__init__(clip)
        self.templates = TEMPLATES.get(config.template, (config.template,))

    @torch.no_grad()
    def class_embeddings(self, class_names: Sequence[str]) -> Tensor:
        """Return the normalised mean over templates of unit-length embeddings, [C, D].

        Raises:
            PromptTooLongError: If a prompt does not fit the text encoder.
        """
        prompts = [t.replace("{}", name) for t in self.templates for name in class_names]
        embeddings = self.clip.encode_text(self.clip.tokenize(prompts))  # [T * C, D]
        mean = embeddings.view(len(self.templates), len(class_names), -1).mean(dim=0)
        return F.normalize(mean, dim=-1)

    def forward(self, inputs: ImageInputs, class_names: Sequence[str]) -> Tensor:
        """Return cosine similarity over temperature, [B, C]."""
        return self.cosine_logits(inputs.require("embedding"), self.class_embeddings(class_names))
