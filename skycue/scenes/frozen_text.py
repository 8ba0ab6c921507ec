"""Class embeddings of hand-written templates, encoded once for each list of class names."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from pydantic import field_validator
from torch import Tensor

from skycue.backbones.clip import Clip
from skycue.config import Config

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


def checked_template(template: str) -> str:
    """Return a template as it is, if it is one.

    Args:
        template: A name in `TEMPLATES`, or a template of one's own with {} for the class name.

    Raises:
        ValueError: If it is neither.
    """
    if template not in TEMPLATES and template.count("{}") != 1:
        raise ValueError(
            f"{template!r} is none of {', '.join(TEMPLATES)} and holds no single {{}} for the "
            "class name"
        )
    return template


class TemplateConfig(Config):
    """Options of methods that read class names in hand-written templates."""

    template: str = "remote-sensing"
    """A name in `TEMPLATES`, or a template of one's own with {} for the class name."""

    _is_a_template = field_validator("template")(checked_template)


class FrozenText:
    """The frozen text encoder on templates, remembering the last class names that it was asked for.

    Args:
        clip: The backbone.
        template: A name in `TEMPLATES`, or a template of one's own with {} for the class name.
        descriptions: Sentences for some classes, by name, in place of the templates.
        unit_length: Bring each embedding to unit length before the mean over templates, as CLIP
            does; otherwise templates that give longer vectors weigh more.
    """

    def __init__(
        self,
        clip: Clip,
        template: str,
        descriptions: Mapping[str, Sequence[str]] | None = None,
        *,
        unit_length: bool = True,
    ) -> None:
        self.clip = clip
        self.unit_length = unit_length
        self.templates = TEMPLATES.get(template, (template,))
        self.descriptions = descriptions or {}
        self._asked: tuple[str, ...] = ()
        self._embeddings: Tensor | None = None

    @torch.no_grad()
    def class_embeddings(self, class_names: Sequence[str]) -> Tensor:
        """Return the normalised mean of the embeddings over a class's texts, [C, D].

        Raises:
            PromptTooLongError: If a prompt does not fit the text encoder.
        """
        asked = tuple(class_names)
        if self._embeddings is None or asked != self._asked:
            texts = [self._texts_of(name) for name in asked]
            ids = self.clip.tokenize([text for of_class in texts for text in of_class])
            words, eot_index = self.clip.token_embedding(ids), self.clip.eot_index(ids)
            embeddings = self.clip.text(words, eot_index).float()
            if self.unit_length:
                embeddings = F.normalize(embeddings, dim=-1)
            parts = embeddings.split([len(of_class) for of_class in texts])
            means = torch.stack([part.mean(dim=0) for part in parts])  # [C, D]
            self._asked, self._embeddings = asked, F.normalize(means, dim=-1)
        return self._embeddings.to(self.clip.device)

    def _texts_of(self, class_name: str) -> list[str]:
        """Return the descriptions of a class, or its templates filled with the name."""
        described = self.descriptions.get(class_name)
        return list(described or (t.replace("{}", class_name) for t in self.templates))
