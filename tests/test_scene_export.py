"""An exported classifier says what PyTorch says, tells how it is to be used, or is refused."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnxruntime import InferenceSession
from PIL import Image
from torch import nn

from skycue.backbones.clip import Clip
from skycue.backbones.clip_folder import save_clip
from skycue.errors import ExportError, MissingToolError, NewClassesError
from skycue.inference import SceneClassifier
from skycue.scene_config import TRAIN_DEFAULTS, SceneConfig
from skycue.scene_export import MAX_BYTES, Export, export_classifier, largest_difference
from tests.conftest import write_multi_label_tiles


@pytest.fixture
def backbone(tmp_path: Path, tiny_clip: Clip) -> str:
    save_clip(tiny_clip, tmp_path / "clip")
    return str(tmp_path / "clip")


def fitted(method: str, data: Path, backbone: str) -> SceneClassifier:
    settings: dict[str, object] = {"method": {"name": method}}
    if method in TRAIN_DEFAULTS:
        settings["train"] = {"epochs": 2, "batch_size": 4}
    config = SceneConfig.model_validate(settings)
    return SceneClassifier.fit(data, config=config, shots=2, backbone=backbone)


def pixels_of(path: Path, size: int) -> NDArray[np.float32]:
    """Read an image by Pillow alone, as the file's metadata and the tutorial say, [1, 3, S, S]."""
    image = Image.open(path).convert("RGB")
    shorter = min(image.size)
    width, height = (side * size // shorter for side in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - size) / 2), round((height - size) / 2)
    image = image.crop((left, top, left + size, top + size))
    pixels: NDArray[np.float32] = np.asarray(image, np.float32).transpose(2, 0, 1)[None]
    return pixels / np.float32(255)


@pytest.mark.parametrize("method", ["coop", "linear-probe", "tip-adapter", "clip-adapter", "maple"])
def test_any_number_of_images_is_scored_as_by_pytorch(
    method: str, scene_folder: Path, backbone: str, tmp_path: Path
) -> None:
    classifier = fitted(method, scene_folder, backbone)
    done = export_classifier(classifier, tmp_path / "scenes.onnx")
    size = (tmp_path / "scenes.onnx").stat().st_size
    assert done == Export(classifier.class_names, 32, size, done.largest_difference)
    assert done.largest_difference < 1e-5
    session = InferenceSession(tmp_path / "scenes.onnx")
    paths = sorted(scene_folder.glob("*/*.png"))[::5]
    pixels = np.concatenate([pixels_of(path, 32) for path in paths])
    (together, embedding) = session.run(None, {"images": pixels})
    expected = classifier.probabilities_of(paths).numpy()
    assert np.abs(together - expected).max() < 0.02  # Pillow's resize and ours differ by 2/255
    inputs = classifier.encoder.encode(paths, classifier.method.needs)
    with torch.no_grad():
        expected_embedding = classifier.method.image_embeddings(inputs.to("cpu")).numpy()
    assert np.abs(embedding - expected_embedding).max() < 0.01
    for row, image in zip(together, pixels, strict=True):
        (alone,) = session.run(["probabilities"], {"images": image[None]})
        assert np.abs(alone[0] - row).max() < 1e-6


def test_labels_of_several_classes_are_scored_as_by_pytorch(backbone: str, tmp_path: Path) -> None:
    data = write_multi_label_tiles(tmp_path / "several")
    config = SceneConfig.model_validate(
        {"method": {"name": "linear-probe"}, "multi_label": {"standardise": "image-class"}}
    )
    classifier = SceneClassifier.fit(data, config=config, shots=2, backbone=backbone)
    done = export_classifier(classifier, tmp_path / "scenes.onnx")
    assert done.largest_difference < 1e-4
    session = InferenceSession(tmp_path / "scenes.onnx")
    path = data / "images" / "tile_05.png"
    (found,) = session.run(["probabilities"], {"images": pixels_of(path, 32)})
    assert np.abs(found - classifier.probabilities_of([path]).numpy()).max() < 0.05
    assert found.sum() != pytest.approx(1, abs=1e-3)


def test_the_file_says_how_it_is_to_be_used_and_nothing_of_this_machine(
    scene_folder: Path, backbone: str, tmp_path: Path
) -> None:
    Path(backbone, "LICENCE").write_text("for tests only\n", encoding="utf-8")
    classifier = fitted("zero-shot", scene_folder, backbone)
    export_classifier(classifier, tmp_path / "a.onnx", ["golf_course", "lake"])
    export_classifier(classifier, tmp_path / "b.onnx", ["golf_course", "lake"])
    content = (tmp_path / "a.onnx").read_bytes()
    assert content == (tmp_path / "b.onnx").read_bytes()
    assert b"site-packages" not in content
    assert b"scene_export.py" not in content
    about = InferenceSession(tmp_path / "a.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(about["class_names"]) == ["golf_course", "lake"]
    assert json.loads(about["preprocessing"])["size"] == 32
    assert about["licence"] == "for tests only\n"
    assert about["fingerprint"] == classifier.fingerprint
    record = json.loads(about["model"])
    assert record["config"]["method"] == {"name": "zero-shot", "template": "remote-sensing"}
    assert record["backbone_fingerprint"] == classifier.encoder.clip.fingerprint
    assert record == json.loads(classifier.record().model_dump_json())
    clip, stored = classifier.encoder.clip, onnx.load_from_string(content).graph.initializer
    n_stored = sum(int(np.prod(tensor.dims)) for tensor in stored)
    n_image = sum(p.numel() for p in clip.image.parameters())
    assert n_image < n_stored < n_image + 2 * clip.config.embed_dim + 100  # no text tower


def test_a_method_that_looks_at_the_image_first_is_refused(
    scene_folder: Path, backbone: str, tmp_path: Path
) -> None:
    classifier = fitted("cocoop", scene_folder, backbone)
    with pytest.raises(ExportError, match="cocoop makes class embeddings anew for each image"):
        export_classifier(classifier, tmp_path / "scenes.onnx")
    assert not (tmp_path / "scenes.onnx").exists()


def test_a_class_that_a_method_cannot_score_is_refused(
    scene_folder: Path, backbone: str, tmp_path: Path
) -> None:
    with pytest.raises(NewClassesError, match="harbor are none of them"):
        export_classifier(
            fitted("linear-probe", scene_folder, backbone), tmp_path / "x", ["harbor"]
        )


def test_a_file_that_differs_from_pytorch_gets_no_name(
    scene_folder: Path, backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skycue.scene_export._draw", lambda *_: onnx.ModelProto())
    monkeypatch.setattr("skycue.scene_export.largest_difference", lambda *_: 2e-4)
    (tmp_path / "out").mkdir()
    with pytest.raises(ExportError, match=r"differs from PyTorch by 2\.0e-04, more than 1e-04"):
        export_classifier(fitted("zero-shot", scene_folder, backbone), tmp_path / "out" / "x")
    assert list((tmp_path / "out").iterdir()) == []


class Doubled(nn.Module):
    """Passes images on, doubled, as both outputs."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.factor * images, images + 0


def test_the_difference_is_the_largest_of_all_outputs(tmp_path: Path) -> None:
    helper, tensor = onnx.helper, onnx.TensorProto.FLOAT
    shape: list[str | int | None] = ["batch", 3, 8, 8]
    values = [
        helper.make_tensor_value_info(n, tensor, shape) for n in ("probabilities", "embedding")
    ]
    nodes = [
        helper.make_node("Add", ["images", "images"], ["probabilities"]),
        helper.make_node("Identity", ["images"], ["embedding"]),
    ]
    images = helper.make_tensor_value_info("images", tensor, shape)
    graph = helper.make_graph(nodes, "doubled", [images], values)
    opset = helper.make_opsetid("", 20)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=10), tmp_path / "x.onnx")
    assert largest_difference(Doubled(2.0), tmp_path / "x.onnx", 8) == 0
    assert 0.04 < largest_difference(Doubled(1.9), tmp_path / "x.onnx", 8) <= 0.1


def test_what_is_not_installed_is_named(
    scene_folder: Path, backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = fitted("zero-shot", scene_folder, backbone)
    monkeypatch.setattr("skycue.scene_export.PACKAGES", ("onnx", "absent_package"))
    with pytest.raises(MissingToolError, match=r"needs absent_package: pip install 'skycue\[exp"):
        export_classifier(classifier, tmp_path / "scenes.onnx")


def test_a_tower_that_fits_in_no_file_is_refused(
    scene_folder: Path, backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = fitted("zero-shot", scene_folder, backbone)
    assert MAX_BYTES < 2**31
    monkeypatch.setattr("skycue.scene_export.MAX_BYTES", 1000)
    with pytest.raises(ExportError, match=r"the image tower holds 0\.0 GB"):
        export_classifier(classifier, tmp_path / "scenes.onnx")
