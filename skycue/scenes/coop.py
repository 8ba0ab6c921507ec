"""CoOp: learn the words around a class name, shared by all classes.

Zhou et al., "Learning to Prompt for Vision-Language Models", IJCV 2022,
https://arxiv.org/abs/2109.01134. Equation numbers are the paper's. We learn the unified context;
class-specific contexts are left out.
"""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from skycue.backbones.clip import Clip
from skycue.scenes.base import SharedClassMethod
from skycue.scenes.context import ContextConfig, encode_with_context, initial_context


class CoOpConfig(ContextConfig):
    """Options of CoOp, under `method:` in a configuration."""

    name: Literal["coop"] = "coop"


class CoOp(SharedClassMethod):
    """Context tokens [V]_1 ... [V]_M, learned from a few images of each class.

    Its logits are cosine similarity over temperature (eq. 3 before its softmax).
    """

    def __init__(self, clip: Clip, config: ContextConfig) -> None:
        super().__init__(clip)
        self.config = config
        self.context = nn.Parameter(initial_context(clip, config))  # [M, W]

    def class_embeddings(self, class_names: Sequence[str]) -> Tensor:
        """Encode the prompt [V]_1 ... [V]_M [CLASS] of each class (eq. 2).

        Returns:
            Class embeddings of unit length, [C, D].

        Raises:
            PromptTooLongError: If a prompt does not fit the text encoder.
        """
        return encode_with_context(self.clip, self.context[None], class_names, self.config)[0]
