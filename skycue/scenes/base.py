"""What every prompt method is: a way to score images against class names with a frozen CLIP."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skycue.backbones.clip import Clip
from skycue.config import Config
from skycue.errors import CheckpointError
from skycue.scenes.asymmetric import MultiLabelConfig, asymmetric_loss, level_of

Need = Literal["pixels", "patches", "embedding", "tokens", "moments", "caption"]
"""A field of `ImageInputs`."""

ClassScorer = Callable[[Tensor], Tensor]
"""Gives logits [B, C] of image embeddings [B, D], for C classes that were encoded before."""


class ImageInputs(NamedTuple):
    """What is known of B images; a method says which fields it needs.

    Attributes:
        embedding: Image embeddings of unit length, [B, D].
        tokens: Class token and patch tokens after the image tower's last block, [B, 1+N, V].
        caption: Vectors of the images' captions by a sentence encoder, [B, S].
        pixels: RGB in [0, 1], [B, 3, H, W].
        patches: What enters the image tower's first block, [B, 1+N, V], for methods that put
            tokens of their own into its blocks.
        moments: Mean and standard deviation (divided by 1+N) over the tokens after each of the
            image tower's blocks, [B, layers, 2, V].
    """

    embedding: Tensor | None = None
    tokens: Tensor | None = None
    caption: Tensor | None = None
    pixels: Tensor | None = None
    patches: Tensor | None = None
    moments: Tensor | None = None

    @property
    def n_images(self) -> int:
        """B, the number of images."""
        return next((len(field) for field in self if field is not None), 0)

    def _map(self, change: Callable[[Tensor], Tensor]) -> Self:
        return type(self)(*(None if field is None else change(field) for field in self))

    def select(self, index: Tensor | slice) -> Self:
        """Return the images at `index`."""
        return self._map(lambda field: field[index])

    def to(self, device: torch.device | str) -> Self:
        """Return the same on another device, kept half-precision fields as float32."""
        return self._map(lambda field: field.to(device).float())

    def require(self, name: Need) -> Tensor:
        """Return a field that must be there; the caller encodes what a method needs."""
        field: Tensor | None = getattr(self, name)
        assert field is not None, f"ImageInputs lack {name!r}"
        return field


class PromptMethod(nn.Module, ABC):
    """A way to score images against class names with a frozen CLIP.

    Class names are an argument of `forward`, not of `__init__`: a method trained on base classes
    scores new ones with no change to its state.
    """

    needs: frozenset[Need] = frozenset({"embedding"})
    """Fields of `ImageInputs` that `forward` and `loss` read."""
    loss_needs: ClassVar[frozenset[Need]] = frozenset()
    """Fields that `loss` reads beside them; a fitted method does without."""
    scores_new_classes: ClassVar[bool] = True
    """Whether class names that were not trained on can be scored."""
    trains: ClassVar[Literal["nothing", "gradient", "solver"]] = "gradient"
    """How it learns: not at all, by the training loop, or in closed form by `solve`."""
    starts_from_images: ClassVar[bool] = False
    """Whether training images set the start of training, by `start_from`."""

    def __init__(self, clip: Clip) -> None:
        super().__init__()
        self.clip = clip.requires_grad_(False)
        self.multi_label = MultiLabelConfig()
        """Options of the loss where images show several classes."""
        self.level = 0.0
        """Taken off the logits there; see `asymmetric.level_of`."""
        self.chance: torch.Generator | None = None
        """CPU generator for what `loss` leaves to chance; the fit gives that of each batch."""

    @classmethod
    def needs_with(cls, config: Config) -> frozenset[Need]:
        """Return the fields of `ImageInputs` that are read under a configuration of the method."""
        return cls.needs

    @abstractmethod
    def forward(self, inputs: ImageInputs, class_names: Sequence[str]) -> Tensor:
        """Return one logit for each image and class name, [B, C]."""

    def image_embeddings(self, inputs: ImageInputs) -> Tensor:
        """Return the vectors that classes are compared with, [B, D]."""
        return inputs.require("embedding")

    def class_scorer(self, class_names: Sequence[str]) -> ClassScorer | None:
        """Encode class names once, for any number of images.

        Returns:
            What gives the logits of `image_embeddings`; None where class embeddings depend on the
            image, so that they cannot be known before it.
        """
        return None

    def loss(self, inputs: ImageInputs, labels: Tensor, class_names: Sequence[str]) -> Tensor:
        """Return the training loss, a scalar.

        `labels` [B] index into `class_names`; or [B, C], 1 where an image shows a class, else 0.
        """
        return self.classification_loss(self(inputs, class_names), labels)

    def classification_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of logits [B, C], a scalar.

        The cross-entropy under labels [B]; where images show several classes, labels [B, C], the
        asymmetric loss of the logits less `level`.
        """
        if labels.dim() == 1:
            return F.cross_entropy(logits, labels)
        return asymmetric_loss(logits - self.level, labels, self.multi_label)

    @torch.no_grad()
    def set_level(self, inputs: ImageInputs, labels: Tensor, class_names: Sequence[str]) -> None:
        """Set the level of the logits by the training images, before training.

        Args:
            inputs: All training images, B of them.
            labels: 1 where an image shows a class, else 0, [B, C].
            class_names: C names as prompts read them.
        """
        self.level = level_of(self(inputs, class_names), labels)

    def solve(self, inputs: ImageInputs, labels: Tensor, class_names: Sequence[str]) -> None:
        """Learn in closed form; only methods whose `trains` is "solver" do."""
        raise NotImplementedError(f"{type(self).__name__} does not learn in closed form")

    def start_from(self, inputs: ImageInputs, labels: Tensor, class_names: Sequence[str]) -> None:
        """Set the start of training by the training images, if `starts_from_images`.

        Args:
            inputs: All training images, B of them, without random crops.
            labels: Their classes, [B], indices into `class_names`; or [B, C] as `loss` takes them.
            class_names: C names as prompts read them.
        """

    def learned_parameters(self) -> dict[str, nn.Parameter]:
        """Return what the training loop changes."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def learned_state(self) -> dict[str, Tensor]:
        """Return what training changed and every frozen random tensor: all but the backbone."""
        state = self.state_dict()
        return {name: t.detach() for name, t in state.items() if not name.startswith("clip.")}

    def load_learned_state(self, state: Mapping[str, Tensor], class_names: Sequence[str]) -> None:
        """Take over what `learned_state` returned.

        Args:
            state: Tensors by name.
            class_names: The classes it was learned on; only methods bound to them keep them.

        Raises:
            CheckpointError: If a tensor is missing, unexpected or of another shape.
        """
        own = self.learned_state()
        for name in sorted(own.keys() ^ state.keys()):
            kind = "lacks" if name in own else "has an unexpected"
            raise CheckpointError(f"the learned file {kind} tensor {name!r}. Fit the model again.")
        for name, tensor in own.items():
            if tensor.shape != state[name].shape:
                raise CheckpointError(
                    f"learned tensor {name!r} has shape {list(state[name].shape)}; its "
                    f"configuration asks for {list(tensor.shape)}. Fit the model again."
                )
            tensor.copy_(state[name])

    def cosine_logits(self, image_embeddings: Tensor, class_embeddings: Tensor) -> Tensor:
        """Return cosine similarity over temperature, [B, C].

        Args:
            image_embeddings: Unit length, [B, D].
            class_embeddings: Unit length, [C, D] for all images or [B, C, D].
        """
        scale = self.clip.logit_scale.exp()
        if class_embeddings.dim() == 2:
            return scale * image_embeddings @ class_embeddings.T
        return scale * torch.einsum("bd,bcd->bc", image_embeddings, class_embeddings)


class SharedClassMethod(PromptMethod):
    """A method whose class embeddings are the same for all images."""

    @abstractmethod
    def class_embeddings(self, class_names: Sequence[str]) -> Tensor:
        """Return class embeddings of unit length, [C, D].

        Raises:
            PromptTooLongError: If a prompt does not fit the text encoder.
        """

    def class_scorer(self, class_names: Sequence[str]) -> ClassScorer:
        """Encode class names once; see `PromptMethod.class_scorer`."""
        classes = self.class_embeddings(class_names)
        return lambda embeddings: self.cosine_logits(embeddings, classes)

    def forward(self, inputs: ImageInputs, class_names: Sequence[str]) -> Tensor:
        """Return cosine similarity over temperature, [B, C]."""
        return self.class_scorer(class_names)(self.image_embeddings(inputs))
