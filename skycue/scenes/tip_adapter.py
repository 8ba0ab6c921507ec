"""Tip-Adapter: the training images remembered, and asked which of them look alike.

An independent implementation of Zhang et al., "Tip-Adapter: Training-free Adaption of CLIP for
Few-shot Classification", ECCV 2022, https://arxiv.org/abs/2207.09519, sections 3.1 (Tip-Adapter)
and 3.2 (Tip-Adapter-F, whose keys are fine-tuned).

Differs from the release: a key is the embedding of the centre crop (released: a mean over ten
random crops); alpha and beta are constants or chosen inside the training images (released: on
validation images, after fine-tuning where there is any); Tip-Adapter-F ends with its last epoch
(released: the best one on the test images).
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from skycue.backbones.clip import Clip
from skycue.errors import CheckpointError
from skycue.scenes.asymmetric import level_of
from skycue.scenes.base import ClassScorer, ImageInputs, PromptMethod
from skycue.scenes.frozen_text import FrozenText, TemplateConfig
from skycue.scenes.learned_classes import places_of

ALPHA = 1.0
"""Weight of the remembered images (section 4.1)."""
BETA = 5.5
"""Sharpness of their affinities (section 4.1)."""
ALPHAS = (ALPHA, 0.1, 0.3, 3.0, 10.0)
"""Weights that are tried, of equals the first; the release's search ends at 10."""
BETAS = (BETA, 1.0, 2.0, 4.0, 8.0, 12.0)
"""Sharpnesses that are tried, of equals the first; the release's search ends at 12."""
MAX_FOLDS = 4
"""Folds of the cross-validation, where every class has as many images."""


class CacheConfig(TemplateConfig):
    """Options that both forms of Tip-Adapter share."""

    alpha: float | None = Field(default=ALPHA, ge=0)
    """Weight of the remembered images beside the templates. `null`: cross-validation inside the
    training images chooses it, before any fine-tuning."""
    beta: float | None = Field(default=BETA, gt=0)
    """Sharpness: how fast the affinity falls with the distance. `null`: chosen like `alpha`."""


class TipAdapterConfig(CacheConfig):
    """Options of Tip-Adapter, under `method:` in a configuration."""

    name: Literal["tip-adapter"] = "tip-adapter"


class TipAdapterFConfig(CacheConfig):
    """Options of Tip-Adapter-F, under `method:` in a configuration."""

    name: Literal["tip-adapter-f"] = "tip-adapter-f"


class TipAdapter(PromptMethod):
    """Zero-shot logits plus the classes of the N training images, weighed by likeness."""

    scores_new_classes: ClassVar[bool] = False
    trains: ClassVar[Literal["nothing", "gradient", "solver"]] = "solver"
    values: Tensor
    alpha: Tensor
    beta: Tensor

    def __init__(self, clip: Clip, config: CacheConfig) -> None:
        super().__init__(clip)
        self.config = config
        self.learned_classes: tuple[str, ...] = ()
        self._text = FrozenText(clip, config.template)
        self.register_buffer("values", torch.zeros(0, 0))
        self._remember(torch.zeros(0, clip.config.embed_dim), self.values)
        self.register_buffer("alpha", torch.tensor(ALPHA))
        self.register_buffer("beta", torch.tensor(BETA))

    def solve(self, inputs: ImageInputs, labels: Tensor, class_names: Sequence[str]) -> None:
        """Remember the embeddings of training images, [N, D], and their classes.

        Args:
            inputs: N images.
            labels: Their classes, indices into `class_names`, [N]; or 1 where an image shows a
                class, else 0, [N, C].
            class_names: C names as prompts read them.
        """
        keys = inputs.require("embedding").to(self.alpha)
        values = labels if labels.dim() == 2 else F.one_hot(labels, len(class_names))
        self.learned_classes = tuple(class_names)
        self._remember(keys, values.to(keys))
        alpha, beta = self._choose(labels.to(keys.device))
        self.alpha.fill_(alpha)
        self.beta.fill_(beta)

    def _remember(self, keys: Tensor, values: Tensor) -> None:
        """Hold keys F_train [N, D] and values L_train [N, C]."""
        self.keys = nn.Parameter(keys.clone(), requires_grad=self.trains == "gradient")
        self.values = values

    @torch.no_grad()
    def _choose(self, labels: Tensor) -> tuple[float, float]:
        """Return alpha and beta: those given, the others of the least loss on held-out folds.

        A training image is scored by the images of the other folds, so the sum over them is scaled
        up to what the sum over all images would be. Where images show several classes, each pair is
        judged at the level of its own logits. With one image of a class nothing can be held out,
        and the published constants stand.
        """
        alphas = ALPHAS if self.config.alpha is None else (self.config.alpha,)
        betas = BETAS if self.config.beta is None else (self.config.beta,)
        n_folds = min(MAX_FOLDS, int(self.values.sum(dim=0).min()))
        if len(alphas) == len(betas) == 1 or n_folds < 2:
            return alphas[0], betas[0]
        fold = folds_of(self.values, n_folds)  # [N]
        others = (fold[:, None] != fold).float() * n_folds / (n_folds - 1)  # [N, N]
        classes = self._text.class_embeddings(self.learned_classes)
        zero_shot = self.cosine_logits(self.keys, classes)  # [N, C]
        cosines = self.keys @ self.keys.T  # [N, N]
        losses = {}
        for beta in betas:
            recalled = (affinity(cosines, beta) * others) @ self.values  # [N, C]
            for alpha in alphas:
                logits = zero_shot + alpha * recalled
                if labels.dim() == 2:
                    logits = logits - level_of(logits, labels)
                losses[alpha, beta] = self.classification_loss(logits, labels).item()
        return min(losses, key=losses.__getitem__)

    def load_learned_state(self, state: Mapping[str, Tensor], class_names: Sequence[str]) -> None:
        """Take over keys, values and the classes they belong to."""
        shapes = {name: list(tensor.shape) for name, tensor in state.items()}
        n_images = shapes.get("keys", [0])[0]
        wanted = {
            "keys": [n_images, self.keys.shape[1]],
            "values": [n_images, len(class_names)],
            "alpha": [],
            "beta": [],
        }
        if shapes != wanted:
            raise CheckpointError(f"a Tip-Adapter holds {wanted}; this file holds {shapes}.")
        self.learned_classes = tuple(class_names)
        self._remember(state["keys"].to(self.alpha), state["values"].to(self.alpha))
        self.alpha.copy_(state["alpha"])
        self.beta.copy_(state["beta"])

    def class_scorer(self, class_names: Sequence[str]) -> ClassScorer:
        """Encode class names once; see `PromptMethod.class_scorer`.

        Raises:
            NewClassesError: If a class was not fitted on.
        """
        values = self.values[:, places_of(class_names, self.learned_classes, "a Tip-Adapter")]
        classes = self._text.class_embeddings(class_names)

        def score(embeddings: Tensor) -> Tensor:
            recalled = affinity(embeddings @ self.keys.T, self.beta) @ values  # [B, C]
            return self.cosine_logits(embeddings, classes) + self.alpha * recalled

        return score

    def forward(self, inputs: ImageInputs, class_names: Sequence[str]) -> Tensor:
        """Return f W^T over temperature + alpha exp(-beta (1 - f F_train^T)) L_train, [B, C].

        Raises:
            NewClassesError: If a class was not fitted on.
        """
        return self.class_scorer(class_names)(self.image_embeddings(inputs))


class TipAdapterF(TipAdapter):
    """Tip-Adapter whose keys are learned, from the training images on."""

    trains: ClassVar[Literal["nothing", "gradient", "solver"]] = "gradient"
    starts_from_images: ClassVar[bool] = True

    def start_from(self, inputs: ImageInputs, labels: Tensor, class_names: Sequence[str]) -> None:
        """Remember the training images; see `TipAdapter.solve`."""
        self.solve(inputs, labels, class_names)


def affinity(cosines: Tensor, beta: float | Tensor) -> Tensor:
    """Return how much each remembered image counts, exp(-beta (1 - cosine)), of any shape."""
    return (beta * (cosines - 1)).exp()


def folds_of(values: Tensor, n_folds: int) -> Tensor:
    """Deal out the images of each class evenly to folds, [N]; the first class of several counts.

    Args:
        values: 1 where an image shows a class, else 0, [N, C].
        n_folds: Number of folds.
    """
    first = F.one_hot(values.argmax(dim=-1), values.shape[1])  # [N, C]
    rank = (first.cumsum(dim=0) * first).sum(dim=-1) - 1  # among the images of its class
    return rank % n_folds
