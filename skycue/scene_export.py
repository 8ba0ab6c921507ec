"""A fitted classifier as one ONNX file, which runs without Skycue and without PyTorch.

The graph takes square images as `skycue.backbones.preprocess` makes them and holds the image tower
with all that the method changes in it; class embeddings are computed once and written in. The file
says what one must know to use it, under the names in `MetadataKey`.
"""

import contextlib
import importlib.util
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor, nn

from skycue.backbones.pretrained import licence_of
from skycue.encoding import TOWER_FIELDS, computed_fields
from skycue.errors import ExportError, MissingToolError
from skycue.files import replacing
from skycue.inference import SceneClassifier
from skycue.scene_config import prompt_names
from skycue.scenes.base import ClassScorer, ImageInputs, PromptMethod

if TYPE_CHECKING:
    from onnx import ModelProto

MetadataKey = Literal["class_names", "preprocessing", "licence", "fingerprint", "model"]
"""Names of what an exported file says of itself: a list and two objects in JSON, a text, a hash."""

INPUT_NAME = "images"
OUTPUT_NAMES = ("probabilities", "embedding")
TOLERANCE = 1e-4
"""Largest absolute difference from PyTorch that an exported file may have."""
MAX_BYTES = 2_000_000_000
"""Weights that fit into one ONNX file, whose format (protobuf) ends at 2 GiB."""
CHECKED_IMAGES = 3
"""Images that a file is checked on; another number than the graph was drawn with."""
CHECK_SEED = 1
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""What the extra `export` installs: the file format, the translator, what runs the files."""


class Export(NamedTuple):
    """What was written.

    Attributes:
        class_names: Names of the classes, in the order of the probabilities.
        image_size: Side of the images that the graph takes, S.
        n_bytes: Size of the file.
        largest_difference: From PyTorch, of any output on the images of the check.
    """

    class_names: tuple[str, ...]
    image_size: int
    n_bytes: int
    largest_difference: float


class ScenesFromPixels(nn.Module):
    """From pixels to probabilities of fixed classes; what is drawn as a graph.

    Args:
        method: The fitted method.
        scorer: What gives logits of its image embeddings.
        probabilities_of: What makes probabilities of the logits, [B, C] of both.
    """

    def __init__(
        self,
        method: PromptMethod,
        scorer: ClassScorer,
        probabilities_of: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__()
        self.method = method
        self.scorer = scorer
        self.probabilities_of = probabilities_of

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities [B, C] and embeddings [B, D] of RGB in [0, 1], [B, 3, S, S]."""
        tower = self.method.needs.intersection(TOWER_FIELDS)
        fields = computed_fields(self.method.clip, images, tower)
        embedding = self.method.image_embeddings(ImageInputs(**fields, pixels=images))
        return self.probabilities_of(self.scorer(embedding).float()), embedding


def export_classifier(
    classifier: SceneClassifier, path: Path, class_names: Sequence[str] | None = None
) -> Export:
    """Write a classifier as an ONNX file, after comparing onnxruntime with PyTorch.

    The graph takes `images`, float32 [B, 3, S, S], RGB in [0, 1], for any B, and gives
    `probabilities` [B, C] and `embedding` [B, D], what the classes are compared with. Where images
    show several classes, the thresholds stand under `label_scores` in the metadatum `model`.

    Args:
        classifier: On the CPU, in float32.
        path: The file to write; it is replaced if it exists.
        class_names: Classes to tell apart; those fitted on if not given.

    Raises:
        ExportError: If the method's class embeddings depend on the image, the weights do not fit
            into one file, or onnxruntime differs from PyTorch by more than `TOLERANCE`.
        MissingToolError: If the packages of the extra `export` are not installed.
        NewClassesError: If the method cannot score a class that it has not learned.
    """
    _require_packages()
    names = classifier.class_names if class_names is None else tuple(class_names)
    classifier.require_scorable(names)
    graph = _graph_of(classifier, names)
    size = classifier.encoder.clip.config.image.image_size
    model = _draw(graph, size)
    for key, text in _metadata(classifier, names).items():
        model.metadata_props.add(key=key, value=text)
    with replacing(path) as partial:
        partial.write_bytes(model.SerializeToString(deterministic=True))
        difference = largest_difference(graph, partial, size)
        if difference > TOLERANCE:
            raise ExportError(
                f"the exported file differs from PyTorch by {difference:.1e}, more than "
                f"{TOLERANCE:.0e}: nothing was written. Try other versions of torch and "
                "onnxruntime."
            )
    return Export(names, size, path.stat().st_size, difference)


def _require_packages() -> None:
    """Say what is missing before any work is done."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingToolError(
            f"the export needs {', '.join(missing)}: pip install 'skycue[export]'."
        )


def _graph_of(classifier: SceneClassifier, class_names: Sequence[str]) -> ScenesFromPixels:
    """Return the module to draw, with its classes encoded."""
    with torch.no_grad():
        scorer = classifier.method.class_scorer(prompt_names(class_names, classifier.config))
    if scorer is None:
        raise ExportError(
            f"{classifier.config.method.name} makes class embeddings anew for each image, so they "
            "cannot be written into a file: fit a method that does not, such as coop or "
            "linear-probe, and export that."
        )
    n_bytes = sum(p.numel() * p.element_size() for p in classifier.method.clip.image.parameters())
    if n_bytes > MAX_BYTES:
        raise ExportError(
            f"the image tower holds {n_bytes / 1e9:.1f} GB and one ONNX file at most "
            f"{MAX_BYTES / 1e9:.0f} GB: fit on a smaller backbone."
        )
    return ScenesFromPixels(
        classifier.method,
        scorer,
        lambda logits: classifier.probabilities_of_logits(logits, class_names),
    ).eval()


def _draw(graph: nn.Module, size: int) -> "ModelProto":
    """Return the graph as ONNX, without the traces of this machine that the exporter leaves."""
    example = torch.zeros(2, 3, size, size)  # one image would count as a fixed size
    batch = {0: torch.export.Dim("batch")}
    with _quiet_exporter(), torch.no_grad():
        program = torch.onnx.export(
            graph,
            (example,),
            dynamo=True,
            input_names=[INPUT_NAME],
            output_names=OUTPUT_NAMES,
            dynamic_shapes=(batch,),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]  # stack traces, with paths
    return model


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Leave out what the exporter says of torchvision and of its own use of old names."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level_before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logger.setLevel(level_before)


def largest_difference(graph: nn.Module, path: Path, size: int) -> float:
    """Compare an exported file with the module that it was drawn from, on seeded images.

    Args:
        graph: The module.
        path: The file.
        size: Side of the images, S.

    Returns:
        The largest absolute difference of any output.
    """
    from onnxruntime import InferenceSession  # heavy, and only the extra has it

    images = _images_of_check(size)
    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(OUTPUT_NAMES, {INPUT_NAME: images.numpy()})
    with torch.no_grad():
        expected = graph(images)
    pairs = zip(found, expected, strict=True)
    return max(float((torch.from_numpy(a) - b).abs().max()) for a, b in pairs)


def _images_of_check(size: int) -> Tensor:
    """Return seeded images with coarse and fine detail, [B, 3, S, S]."""
    generator = torch.Generator().manual_seed(CHECK_SEED)
    coarse = torch.rand(CHECKED_IMAGES, 3, 4, 4, generator=generator)
    fine = torch.rand(CHECKED_IMAGES, 3, size, size, generator=generator)
    return (nn.functional.interpolate(coarse, size=(size, size)) + fine) / 2


def _metadata(classifier: SceneClassifier, class_names: Sequence[str]) -> dict[MetadataKey, str]:
    """Return what the file says of itself."""
    record = classifier.record()
    preprocessing = {
        "size": classifier.encoder.clip.config.image.image_size,
        "channels": "RGB",
        "range": [0.0, 1.0],
        "resize": "shorter side to size, longer side rounded down; bicubic, antialiased",
        "crop": "centre",
    }
    unknown = f"That of the backbone {record.backbone!r}, which says none in a file beside it."
    return {
        "class_names": json.dumps(class_names),
        "preprocessing": json.dumps(preprocessing),
        "licence": licence_of(record.backbone) or unknown,
        "fingerprint": classifier.fingerprint,
        "model": record.model_dump_json(),
    }
