"""MaPLe: prompts in both towers, those of the image tower computed from those of the text tower.

An independent implementation of Khattak et al., "MaPLe: Multi-modal Prompt Learning", CVPR 2023,
https://arxiv.org/abs/2210.03117, section 3.2. Image tokens stand behind the patch tokens, and words
of `init_words` beyond `n_ctx` ("of a") stay fixed before the class name, both as in the authors'
released code. The paper's prompt is of learned tokens and the class name alone, which
`init_words: a photo` gives.
"""

import copy
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from skycue.backbones.clip import Clip
from skycue.scenes.deep import DeepContextConfig, DeepContextMethod, depths_of

PUBLISHED_DEPTH = 9
"""Blocks with prompts in the base-to-new comparison (section 4.1); 3 across datasets."""


class MaPLeConfig(DeepContextConfig):
    """Options of MaPLe, under `method:` in a configuration."""

    name: Literal["maple"] = "maple"
    n_ctx: int | None = Field(default=2, ge=1)
    """Learned tokens in each block, b in the paper. Further words of `init_words` stay fixed behind
    them; of more tokens than words the first start from noise."""


class MaPLe(DeepContextMethod):
    """Text prompts P_0 ... P_{J-1}, and for each a linear map F_k to the prompt of image block k.

    A tower of fewer blocks than J has a prompt in each, and the prompts beyond are not made; an
    image block has a prompt only where the text block has one.
    """

    def __init__(self, clip: Clip, config: MaPLeConfig) -> None:
        depths = depths_of(clip, config.depth, published=PUBLISHED_DEPTH)
        super().__init__(clip, config, depths.text)
        widths = clip.config.text.width, clip.config.image.width
        first, deeper = nn.Linear(*widths), nn.Linear(*widths)
        others = (copy.deepcopy(deeper) for _ in range(min(depths) - 1))  # start alike, as released
        self.couplings = nn.ModuleList([first, *others])

    def prompts_for_images(self) -> list[Tensor]:
        """Return F_k(P_k) of each image block with a prompt, [M, V] each (section 3.2.3)."""
        sources = [self.context, *self.deep_prompts][: len(self.couplings)]
        return [coupling(source) for coupling, source in zip(self.couplings, sources, strict=True)]
