"""CLIP-Adapter: its formulas as loops, as released, its switches, and PAINT on top of it."""

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from skycue.backbones.clip import Clip
from skycue.backbones.clip_folder import save_clip
from skycue.config import load_config
from skycue.data.splits import load_split
from skycue.errors import ConfigError
from skycue.inference import SceneClassifier
from skycue.scene_config import SceneConfig
from skycue.scenes.base import ImageInputs
from skycue.scenes.clip_adapter import ClipAdapter, ClipAdapterConfig
from skycue.scenes.zero_shot import ZeroShot, ZeroShotConfig
from tests.scenes.published_widths import clip_of_published_widths
from tests.scenes.test_methods import CLASSES, LABELS, encoded_images

AERIAL = "an aerial photo of a {}."
RELEASED = ClipAdapterConfig(template=AERIAL, last_relu=True, init="released")


@pytest.mark.parametrize("last_relu", [False, True])
def test_logits_equal_the_formulas_written_as_loops(last_relu: bool, tiny_clip: Clip) -> None:
    torch.manual_seed(6)
    config = ClipAdapterConfig(image_ratio=0.3, text_ratio=0.6, last_relu=last_relu)
    adapter = ClipAdapter(tiny_clip, config)
    inputs = encoded_images(tiny_clip, n_images=3)
    zero_shot = ZeroShot(tiny_clip, ZeroShotConfig())
    rows = []
    for f in inputs.require("embedding"):
        row = []
        for w in zero_shot.class_embeddings(CLASSES):
            mixed = []
            for vector, share, layers in (
                (f, 0.3, adapter.image_adapter),
                (w, 0.6, adapter.text_adapter),
            ):
                first, last = layers[0].weight, layers[2].weight
                adapted = last @ (first @ vector).clamp(min=0)
                adapted = adapted.clamp(min=0) if last_relu else adapted
                blend = share * adapted + (1 - share) * vector
                mixed.append(blend / blend.norm())
            row.append(tiny_clip.logit_scale.exp() * mixed[0] @ mixed[1])
        rows.append(torch.stack(row))
    assert_close(adapter(inputs, CLASSES), torch.stack(rows), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("image_ratio", "text_ratio"), [(0.7, 0), (0, 0.7), (0.7, 0.7)])
def test_from_zeros_it_is_zero_shot_at_any_share(
    image_ratio: float, text_ratio: float, tiny_clip: Clip
) -> None:
    config = ClipAdapterConfig(image_ratio=image_ratio, text_ratio=text_ratio, init="zero")
    adapter, zero_shot = ClipAdapter(tiny_clip, config), ZeroShot(tiny_clip, ZeroShotConfig())
    inputs = encoded_images(tiny_clip)
    assert_close(adapter(inputs, CLASSES), zero_shot(inputs, CLASSES), rtol=1e-4, atol=1e-4)
    parts = {name.split(".")[0] for name in adapter.learned_parameters()}
    used = {"image_adapter": image_ratio, "text_adapter": text_ratio}
    assert parts == {name for name, ratio in used.items() if ratio}


def test_longer_embeddings_give_the_same_logits_and_gradients(tiny_clip: Clip) -> None:
    adapter, inputs = ClipAdapter(tiny_clip, RELEASED), encoded_images(tiny_clip)
    long = ImageInputs(embedding=9 * inputs.require("embedding"))
    assert_close(adapter(long, CLASSES), adapter(inputs, CLASSES), rtol=1e-4, atol=1e-4)
    weights = list(adapter.learned_parameters().values())
    ours, expected = (
        torch.autograd.grad(adapter.loss(images, LABELS, CLASSES), weights)
        for images in (inputs, long)
    )
    assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_logits_loss_and_one_step_equal_those_of_the_release(tiny_clip: Clip) -> None:
    """The release's network and trainer, run outside this project on the same weights.

    gaopengcuhk/CLIP-Adapter at 08d07f8b: the text tower of `build_tiny_clip()`, seven times the
    embeddings of `encoded_images`, seed 11 before the adapter of 24 to 6 to 24 is built; SGD at
    0.5, momentum 0.9, decay 5e-4.
    """
    torch.manual_seed(11)
    adapter, inputs = ClipAdapter(tiny_clip, RELEASED), encoded_images(tiny_clip)
    logits = torch.tensor([[3.6223, 3.3165, 3.5259], [0.4289, 0.2266, 0.1730]])
    assert_close(adapter(inputs, CLASSES)[:2], logits, rtol=0, atol=1e-4)
    learned = adapter.learned_parameters()
    optimizer = torch.optim.SGD(learned.values(), lr=0.5, momentum=0.9, weight_decay=5e-4)
    loss = adapter.loss(inputs, LABELS, CLASSES)
    torch.autograd.backward(loss)
    optimizer.step()
    assert loss.item() == pytest.approx(1.074111, abs=1e-5)
    first = torch.tensor([[-0.13984, -0.00409, 0.19780], [0.13991, -0.18048, -0.03112]])
    last = torch.tensor([[-0.27970, -0.12889, 0.07942], [0.09106, 0.35423, -0.28200]])
    assert_close(learned["image_adapter.0.weight"][:2, :3], first, rtol=0, atol=2e-5)
    assert_close(learned["image_adapter.2.weight"][:2, :3], last, rtol=0, atol=2e-5)


def test_it_has_the_parameters_of_the_release_at_its_widths() -> None:
    clip = clip_of_published_widths()
    learned = ClipAdapter(clip, ClipAdapterConfig()).learned_parameters()
    assert sum(p.numel() for p in learned.values()) == 131_072  # 512 x 128 twice, no biases


@pytest.mark.parametrize("name", ["clip-adapter", "coop", "stylip"])
@pytest.mark.parametrize("shares", [(0.5,), (0.0, 0.25, 0.5, 1.0)])
def test_paint_ends_between_the_start_and_what_was_learned(
    shares: tuple[float, ...], name: str, scene_folder: Path, tmp_path: Path, tiny_clip: Clip
) -> None:
    """PAINT, end to end: fit, choose by validation, save, load, classify."""
    save_clip(tiny_clip, tmp_path / "clip")
    lr = {"clip-adapter": 0.5, "coop": 0.1, "stylip": 0.01}[name]
    ends = {}
    for end, interpolate in (("start", (0.0,)), ("learned", ()), ("patched", shares)):
        settings = {"epochs": 5, "batch_size": 4, "lr": lr, "interpolate": interpolate}
        config = SceneConfig.model_validate({"method": {"name": name}, "train": settings})
        ends[end] = SceneClassifier.fit(
            scene_folder, config=config, shots=2, backbone=str(tmp_path / "clip")
        )
    patched = ends["patched"]
    share = patched.facts.interpolation
    assert share is not None
    assert share in shares
    start, learned = (ends[end].method.learned_state() for end in ("start", "learned"))
    for tensor_name, tensor in patched.method.learned_state().items():
        first, last = start[tensor_name], learned[tensor_name]
        assert not torch.equal(first, last)
        assert_close(tensor, (1 - share) * first + share * last)
    if len(shares) > 1:
        best, *others = (
            ends[end].facts.validation_accuracy or 0.0 for end in ("patched", "start", "learned")
        )
        assert best >= max(others)
    patched.save(tmp_path / "model")
    loaded = SceneClassifier.load(tmp_path / "model")
    paths = [item.path for item in load_split(scene_folder).test]
    assert torch.equal(loaded.probabilities_of(paths), patched.probabilities_of(paths))
    assert loaded.facts.interpolation == share


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["method.image_ratio=0"], "cannot both be 0; use zero-shot instead"),
        (["method.last_relu=true", "method.init=zero"], "passes no gradient to a last layer of"),
    ],
)
def test_an_adapter_that_cannot_learn_is_refused(settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(SceneConfig, None, ["method.name=clip-adapter", *settings])


def test_a_hidden_width_below_one_is_refused(tiny_clip: Clip) -> None:
    with pytest.raises(ConfigError, match="reduction 25 exceeds the shared width 24"):
        ClipAdapter(tiny_clip, ClipAdapterConfig(reduction=25))
