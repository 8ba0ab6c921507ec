"""Linear probe: logistic regression on image embeddings, blind to the class names' words.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021,
section 3.2, https://arxiv.org/abs/2103.00020. The strength of the penalty is chosen by
cross-validation inside the training images, so no validation image is needed. It is chosen by
accuracy, and of equally accurate penalties the strongest is taken: predictions can be far less sure
than they are right. Where probabilities matter, give `inverse_penalty`, or choose it by
log-loss on images of your own.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from skycue.backbones.clip import Clip
from skycue.config import Config
from skycue.errors import CheckpointError
from skycue.scenes.base import ClassScorer, ImageInputs, PromptMethod
from skycue.scenes.learned_classes import places_of

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

INVERSE_PENALTIES = (1.0, 10.0, 100.0, 1000.0)
"""Inverse penalties that are tried; embeddings have unit length, so weights must be large."""
SINGLE_SHOT_PENALTY = 100.0
"""Inverse penalty where a class has a single image and nothing can be held out."""
MAX_FOLDS = 4
"""Folds of the cross-validation, where every class has as many images."""
MAX_ITERATIONS = 1000
"""Steps of L-BFGS at most."""


class LinearProbeConfig(Config):
    """Options of the linear probe, under `method:` in a configuration."""

    name: Literal["linear-probe"] = "linear-probe"
    inverse_penalty: float | None = Field(default=None, gt=0)
    """Inverse of the L2 penalty; not given, cross-validation chooses it."""


class LinearProbe(PromptMethod):
    """One weight vector and bias for each class it was fitted on."""

    scores_new_classes: ClassVar[bool] = False
    trains: ClassVar[Literal["nothing", "gradient", "solver"]] = "solver"
    weight: Tensor
    bias: Tensor

    def __init__(self, clip: Clip, config: LinearProbeConfig) -> None:
        super().__init__(clip)
        self.config = config
        self.learned_classes: tuple[str, ...] = ()
        self.register_buffer("weight", torch.zeros(0, clip.config.embed_dim))  # [C, D]
        self.register_buffer("bias", torch.zeros(0))  # [C]

    def solve(self, inputs: ImageInputs, labels: Tensor, class_names: Sequence[str]) -> None:
        """Fit on embeddings [B, D] and labels [B] that index into `class_names`.

        Where images show several classes, labels [B, C], each class gets a regression of its own.
        """
        features = inputs.require("embedding").cpu().double().numpy()
        targets = labels.cpu().numpy()
        self.learned_classes = tuple(class_names)
        if targets.ndim == 2:
            rows = [self._against_rest(features, shown) for shown in targets.T.astype(np.int64)]
            self.weight = torch.tensor(np.vstack([row[:-1] for row in rows])).to(self.weight)
            self.bias = torch.tensor([row[-1] for row in rows]).to(self.bias)
            return
        model = fit_logistic_regression(features, targets, self.config.inverse_penalty)
        weight, bias = model.coef_, model.intercept_
        if len(class_names) == 2:  # scikit-learn gives one row for two classes
            weight, bias = np.vstack([-weight, weight]) / 2, np.hstack([-bias, bias]) / 2
        self.weight = torch.from_numpy(weight).to(self.weight)
        self.bias = torch.from_numpy(bias).to(self.bias)

    def _against_rest(self, features: np.ndarray, shown: np.ndarray) -> np.ndarray:
        """Return weight and bias of one class against all images without it, [D + 1]."""
        n_shown, n_images = int(shown.sum()), len(shown)
        if n_shown in (0, n_images):  # nothing to tell apart: the odds with one more of each
            odds = (n_shown + 1) / (n_images - n_shown + 1)
            return np.append(np.zeros(features.shape[1]), np.log(odds))
        model = fit_logistic_regression(features, shown, self.config.inverse_penalty)
        return np.append(model.coef_[0], model.intercept_[0])

    def load_learned_state(self, state: Mapping[str, Tensor], class_names: Sequence[str]) -> None:
        """Take over weights and the classes they belong to."""
        shapes = {name: list(tensor.shape) for name, tensor in state.items()}
        wanted = {"weight": [len(class_names), self.weight.shape[1]], "bias": [len(class_names)]}
        if shapes != wanted:
            raise CheckpointError(f"a linear probe holds {wanted}; this file holds {shapes}.")
        self.learned_classes = tuple(class_names)
        self.weight, self.bias = state["weight"].to(self.weight), state["bias"].to(self.bias)

    def class_scorer(self, class_names: Sequence[str]) -> ClassScorer:
        """Pick the weights of the classes; see `PromptMethod.class_scorer`.

        Raises:
            NewClassesError: If a class was not fitted on.
        """
        rows = places_of(class_names, self.learned_classes, "a linear probe")
        weight, bias = self.weight[rows], self.bias[rows]
        return lambda embeddings: F.linear(embeddings, weight, bias)

    def forward(self, inputs: ImageInputs, class_names: Sequence[str]) -> Tensor:
        """Return logits, [B, C].

        Raises:
            NewClassesError: If a class was not fitted on.
        """
        return self.class_scorer(class_names)(self.image_embeddings(inputs))


def fit_logistic_regression(
    features: np.ndarray, targets: np.ndarray, inverse_penalty: float | None = None
) -> "LogisticRegression":
    """Fit on features [B, D] and labels [B]; cross-validation chooses a penalty not given."""
    from sklearn.linear_model import LogisticRegression

    penalty = inverse_penalty or _cross_validated_penalty(features, targets)
    return LogisticRegression(C=penalty, max_iter=MAX_ITERATIONS).fit(features, targets)


def _cross_validated_penalty(features: np.ndarray, targets: np.ndarray) -> float:
    """Return the inverse penalty of the highest accuracy on held-out folds; ties take the least."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    folds = min(MAX_FOLDS, int(np.bincount(targets).min()))
    if folds < 2:
        return SINGLE_SHOT_PENALTY
    splitter = StratifiedKFold(folds, shuffle=True, random_state=0)
    scores = [
        cross_val_score(
            LogisticRegression(C=c, max_iter=MAX_ITERATIONS), features, targets, cv=splitter
        ).mean()
        for c in INVERSE_PENALTIES
    ]
    return INVERSE_PENALTIES[int(np.argmax(scores))]
