"""VPT: learn tokens inside the image tower; the text side is a hand-written template.

An independent implementation of Jia et al., "Visual Prompt Tuning", ECCV 2022,
https://arxiv.org/abs/2203.12119, in the form in which MaPLe compares with it on CLIP ("deep vision
prompting"; Khattak et al., CVPR 2023, https://arxiv.org/abs/2210.03117): class embeddings stand
where the paper trains a linear head, and tokens start from noise of deviation 0.02. The paper puts
its tokens before the patch tokens; without positions of their own, the place changes nothing.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor

from skycue.backbones.clip import Clip
from skycue.scenes.deep import DeepMethod, image_depth, noise_prompts
from skycue.scenes.frozen_text import FrozenText, TemplateConfig


class VPTConfig(TemplateConfig):
    """Options of VPT, under `method:` in a configuration."""

    name: Literal["vpt"] = "vpt"
    n_ctx: int = Field(default=8, ge=1)
    """Tokens in each block, p in the paper; 8 in MaPLe's comparison."""
    depth: int | None = Field(default=None, ge=1)
    """Blocks, from the first one, that have tokens of their own: 1 is VPT-shallow (section 3.2).
    Not given: all blocks, VPT-deep."""
    template: str = "photo"
    """A name in `TEMPLATES`, or a template of one's own with {} for the class name."""


class VPT(DeepMethod):
    """Image tokens P_0 ... P_{depth-1}, learned against fixed class embeddings."""

    def __init__(self, clip: Clip, config: VPTConfig) -> None:
        super().__init__(clip)
        depth = image_depth(clip, config.depth, published=clip.config.image.layers)
        self.image_prompts = noise_prompts(depth, config.n_ctx, clip.config.image.width)
        self._text = FrozenText(clip, config.template)

    def class_embeddings(self, class_names: Sequence[str]) -> Tensor:
        """Return the embeddings of the template, [C, D].

        Raises:
            PromptTooLongError: If a prompt does not fit the text encoder.
        """
        return self._text.class_embeddings(class_names)

    def prompts_for_images(self) -> list[Tensor]:
        """Return P_0, P_1, ..., [M, V] each."""
        return list(self.image_prompts)
