"""What every method keeps: the zero-shot start, a frozen backbone, learning, saving, refusals."""

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from skycue.backbones.clip import Clip
from skycue.errors import CheckpointError, ConfigError, PromptTooLongError
from skycue.scenes.applenet import APPLeNetConfig
from skycue.scenes.base import ImageInputs, PromptMethod
from skycue.scenes.bimors import BiMoRS, BiMoRSConfig
from skycue.scenes.clip_adapter import ClipAdapterConfig
from skycue.scenes.cocoop import CoCoOp, CoCoOpConfig
from skycue.scenes.coop import CoOp, CoOpConfig
from skycue.scenes.csaw import CSAWConfig
from skycue.scenes.kgcoop import KgCoOpConfig
from skycue.scenes.maple import MaPLeConfig
from skycue.scenes.prograd import ProGradConfig
from skycue.scenes.promptsrc import PromptSRCConfig
from skycue.scenes.registry import METHODS, MethodConfig, build_method, needs_of
from skycue.scenes.stylip import StyLIPConfig
from skycue.scenes.vpt import VPTConfig
from skycue.scenes.zero_shot import ZeroShot, ZeroShotConfig
from tests.conftest import build_tiny_clip

CLASSES = ["harbor", "storage tank", "forest"]
NEW_CLASSES = ["sparse residential area", "beach"]
LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
CAPTION_WIDTH = 6
START_AS_ZERO_SHOT: list[MethodConfig] = [
    CoOpConfig(),
    KgCoOpConfig(template="photo"),
    ProGradConfig(template="photo", strength=0.5),
    ClipAdapterConfig(template="photo", image_ratio=0.8, init="zero"),
    CoCoOpConfig(),
    BiMoRSConfig(caption_width=CAPTION_WIDTH),
    APPLeNetConfig(hidden=8),
    StyLIPConfig(),
    CSAWConfig(hidden=8),
]
CONFIGS: list[MethodConfig] = [
    *START_AS_ZERO_SHOT,
    VPTConfig(),
    MaPLeConfig(),
    PromptSRCConfig(),
]
NAMES = [config.name for config in CONFIGS]


def encoded_images(clip: Clip, *, n_images: int = 8) -> ImageInputs:
    generator = torch.Generator().manual_seed(1)
    centres = torch.randn(len(CLASSES), clip.config.embed_dim, generator=generator)
    noise = torch.randn(n_images, clip.config.embed_dim, generator=generator)
    embedding = F.normalize(centres[LABELS[:n_images]] + 0.3 * noise, dim=-1)
    tokens = torch.randn(n_images, 5, clip.config.image.width, generator=generator)
    caption = torch.randn(n_images, CAPTION_WIDTH, generator=generator)
    centres = torch.randn(len(CLASSES), *tokens.shape[1:], generator=generator)
    patches = centres[LABELS[:n_images]] + 0.3 * tokens
    size = (n_images, clip.config.image.layers, 2, clip.config.image.width)
    moments = torch.randn(size, generator=generator)
    moments[:, :, 1].abs_()
    side = clip.config.image.image_size
    pixels = torch.rand(n_images, 3, side, side, generator=generator)
    return ImageInputs(embedding, tokens, caption, pixels, patches, moments)


def learn(
    method: PromptMethod,
    inputs: ImageInputs,
    *,
    steps: int,
    labels: Tensor = LABELS,
    lr: float = 0.05,
) -> Iterator[float]:
    optimizer = torch.optim.SGD(method.learned_parameters().values(), lr=lr, momentum=0.9)
    for _ in range(steps):
        loss = method.loss(inputs, labels, CLASSES)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        yield loss.item()


def test_the_registry_names_each_method_as_its_configuration_does() -> None:
    for name, (_, config) in METHODS.items():
        assert config().model_dump()["name"] == name


@pytest.mark.parametrize("config", START_AS_ZERO_SHOT, ids=NAMES[: len(START_AS_ZERO_SHOT)])
def test_untrained_context_of_words_is_zero_shot(config: MethodConfig, tiny_clip: Clip) -> None:
    inputs = encoded_images(tiny_clip)
    zero_shot = ZeroShot(tiny_clip, ZeroShotConfig(template="a photo of a {}."))
    method = build_method(tiny_clip, config)
    assert_close(method(inputs, CLASSES), zero_shot(inputs, CLASSES), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("config", CONFIGS, ids=NAMES)
def test_loss_falls_and_the_backbone_stays(config: MethodConfig, tiny_clip: Clip) -> None:
    torch.manual_seed(3)
    before = {name: tensor.clone() for name, tensor in tiny_clip.state_dict().items()}
    method = build_method(tiny_clip, config)
    start = {name: p.detach().clone() for name, p in method.learned_parameters().items()}
    losses = list(learn(method, encoded_images(tiny_clip), steps=60))
    assert losses[-1] < 0.9 * losses[0]
    assert all(torch.equal(tensor, before[k]) for k, tensor in tiny_clip.state_dict().items())
    for name, parameter in method.learned_parameters().items():
        if name != "attention.in_proj_bias":  # a shift of all keys moves no softmax
            assert not torch.equal(parameter, start[name]), name


# C-SAW learns from pixels, which are noise here: tests/scenes/test_csaw.py has images.
@pytest.mark.parametrize(
    "config", [pytest.param(c, id=c.name) for c in CONFIGS if c.name != "c-saw"]
)
def test_the_loss_of_several_labels_starts_level_and_falls(
    config: MethodConfig, tiny_clip: Clip
) -> None:
    torch.manual_seed(3)
    method, inputs = build_method(tiny_clip, config), encoded_images(tiny_clip)
    labels = F.one_hot(LABELS, len(CLASSES)).float()
    labels[:3] = torch.tensor([[1, 1, 0], [0, 1, 1], [0, 0, 0]])
    method.set_level(inputs, labels, CLASSES)
    expected = (method(inputs, CLASSES) - method.level).sigmoid().sum()
    assert_close(expected, labels.sum(), rtol=1e-3, atol=0)
    lr = 0.002 if config.name == "stylip" else 0.05  # its linear layers overshoot
    losses = list(learn(method, inputs, steps=60, labels=labels, lr=lr))
    assert losses[-1] < 0.95 * losses[0]


@pytest.mark.parametrize("config", CONFIGS, ids=NAMES)
def test_new_classes_are_scored_with_no_change_to_the_state(
    config: MethodConfig, tiny_clip: Clip
) -> None:
    method = build_method(tiny_clip, config)
    inputs = encoded_images(tiny_clip)
    list(learn(method, inputs, steps=3))
    joint = method(inputs, CLASSES + NEW_CLASSES)
    assert_close(method(inputs, NEW_CLASSES), joint[:, len(CLASSES) :], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("config", CONFIGS, ids=NAMES)
def test_a_loaded_state_scores_the_same(config: MethodConfig, tiny_clip: Clip) -> None:
    method = build_method(tiny_clip, config)
    inputs = encoded_images(tiny_clip)
    list(learn(method, inputs, steps=3))
    torch.manual_seed(99)
    again = build_method(tiny_clip, config)
    again.load_learned_state(method.learned_state(), CLASSES)
    assert torch.equal(again(inputs, CLASSES), method(inputs, CLASSES))
    assert not any(name.startswith("clip") for name in method.learned_state())


@pytest.mark.parametrize("config", CONFIGS, ids=NAMES)
def test_images_do_not_influence_each_other(config: MethodConfig, tiny_clip: Clip) -> None:
    method = build_method(tiny_clip, config)
    inputs = encoded_images(tiny_clip)
    list(learn(method, inputs, steps=3))
    alone = torch.cat([method(inputs.select(slice(i, i + 1)), CLASSES) for i in range(8)])
    assert_close(method(inputs, CLASSES), alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("position", ["end", "middle", "front"])
def test_a_class_position_equals_the_words_written_out(position: str, tiny_clip: Clip) -> None:
    coop = CoOp(tiny_clip, CoOpConfig.model_validate({"class_position": position}))
    written = {
        "end": "a photo of a {}.",
        "middle": "a photo {} of a.",
        "front": "{} a photo of a.",
    }[position]
    names = ["harbor", "ground track field with stands", "a"]
    ids = tiny_clip.tokenize([written.format(name) for name in names])
    assert_close(coop.class_embeddings(names), tiny_clip.encode_text(ids), rtol=1e-4, atol=1e-5)


def test_logits_of_a_seeded_bimors(tiny_clip: Clip) -> None:
    torch.manual_seed(2)
    config = BiMoRSConfig(caption_width=CAPTION_WIDTH, init="released")
    logits = BiMoRS(tiny_clip, config)(encoded_images(tiny_clip, n_images=2), CLASSES)
    golden = torch.tensor([[3.127, 2.834, 3.010], [2.000, 1.138, 1.301]])  # version 0.1
    assert_close(logits, golden, rtol=0, atol=1e-3)


def bimors_by_loops(method: BiMoRS, inputs: ImageInputs) -> Tensor:
    """Write the contexts of `bimors.md` 1.2 out image by image and head by head."""
    attention, heads = method.attention, method.config.heads
    width = method.context.shape[1]
    d = width // heads
    w_q, w_k, w_v = attention.in_proj_weight.chunk(3)
    b_q, b_k, b_v = attention.in_proj_bias.chunk(3)
    rows = []
    for tokens, caption in zip(inputs.require("tokens"), inputs.require("caption"), strict=True):
        mapped = torch.stack([method.expand(method.reduce(token).relu()) for token in tokens])
        pair = torch.stack([mapped.mean(0), method.caption_projection(caption)])  # [2, W]
        key_value = method.ln_key_value(pair)
        q = method.ln_query(method.context) @ w_q.T + b_q
        k, v = key_value @ w_k.T + b_k, key_value @ w_v.T + b_v
        mixed = []
        for head in range(heads):
            part = slice(head * d, (head + 1) * d)
            weights = (q[:, part] @ k[:, part].T / d**0.5).softmax(-1)
            mixed.append(weights @ v[:, part])
        update = torch.cat(mixed, -1) @ attention.out_proj.weight.T + attention.out_proj.bias
        rows.append(method.context + update)
    return torch.stack(rows)


def test_bimors_contexts_equal_the_equations_written_as_loops(tiny_clip: Clip) -> None:
    torch.manual_seed(4)
    config = BiMoRSConfig(caption_width=CAPTION_WIDTH, init="released")
    method = BiMoRS(tiny_clip, config)
    inputs = encoded_images(tiny_clip)
    assert_close(method.contexts(inputs), bimors_by_loops(method, inputs))


def test_bimors_has_the_parameters_of_the_release_at_its_widths() -> None:
    torch.manual_seed(0)
    clip = build_tiny_clip()
    clip.config = clip.config.model_copy(
        update={
            "image": clip.config.image.model_copy(update={"width": 768}),
            "text": clip.config.text.model_copy(update={"width": 512}),
        }
    )
    clip.text.token_embedding = torch.nn.Embedding(clip.tokenizer.vocab_size, 512)
    method = BiMoRS(clip, BiMoRSConfig(caption_projection="frozen"))
    trained = sum(p.numel() for p in method.learned_parameters().values())
    assert trained == 1_116_720  # bimors: context, bottleneck, attention, two norms
    frozen = method.learned_state().keys() - method.learned_parameters().keys()
    assert frozen == {"caption_projection.weight", "caption_projection.bias"}


@pytest.mark.parametrize(("use_caption", "use_visual"), [(True, False), (False, True)])
def test_bimors_ignores_what_is_switched_off(
    use_caption: bool, use_visual: bool, tiny_clip: Clip
) -> None:
    config = BiMoRSConfig(
        caption_width=CAPTION_WIDTH, init="released", use_caption=use_caption, use_visual=use_visual
    )
    method = BiMoRS(tiny_clip, config)
    inputs = encoded_images(tiny_clip)
    assert ("caption" in method.needs, "tokens" in method.needs) == (use_caption, use_visual)
    without = inputs._replace(**({"tokens": None} if use_caption else {"caption": None}))
    assert torch.equal(method(without, CLASSES), method(inputs, CLASSES))


def test_bimors_reads_both_conditions(tiny_clip: Clip) -> None:
    config = BiMoRSConfig(caption_width=CAPTION_WIDTH, init="released")
    method = BiMoRS(tiny_clip, config)
    inputs = encoded_images(tiny_clip)
    logits = method(inputs, CLASSES)
    for field in ("caption", "tokens"):
        shuffled = inputs._replace(**{field: inputs.require(field).roll(1, dims=0)})
        assert (method(shuffled, CLASSES) - logits).abs().max() > 1e-3


def test_cocoop_shifts_all_context_tokens_alike(tiny_clip: Clip) -> None:
    cocoop = CoCoOp(tiny_clip, CoCoOpConfig(init="released"))
    contexts = cocoop.contexts(encoded_images(tiny_clip).require("embedding"))
    shifts = contexts - cocoop.context
    assert_close(shifts, shifts[:, :1].expand_as(shifts))
    assert (shifts[0] - shifts[1]).abs().max() > 1e-4


def test_more_context_tokens_than_words_start_from_noise_in_front(tiny_clip: Clip) -> None:
    coop = CoOp(tiny_clip, CoOpConfig(n_ctx=6))
    words = tiny_clip.token_embedding(tiny_clip.tokenize(["a photo of a"]))[0, 1:5]
    assert torch.equal(coop.context[2:], words)
    assert 0 < coop.context[:2].std() < 0.05


def test_fewer_context_tokens_than_words_are_refused(tiny_clip: Clip) -> None:
    with pytest.raises(ConfigError, match="has 4 tokens but n_ctx is 2"):
        CoOp(tiny_clip, CoOpConfig(n_ctx=2))


def test_too_long_a_prompt_is_refused_with_the_numbers() -> None:
    clip = build_tiny_clip(context_length=12)
    coop = CoOp(clip, CoOpConfig())
    with pytest.raises(PromptTooLongError, match="needs 13 tokens; the text encoder holds 12"):
        coop.class_embeddings(["ground track field with stands around"])


def test_a_state_of_another_shape_is_refused_by_name(tiny_clip: Clip) -> None:
    state = CoOp(tiny_clip, CoOpConfig(n_ctx=5)).learned_state()
    with pytest.raises(CheckpointError, match=r"'context' has shape \[5, 32\]"):
        CoOp(tiny_clip, CoOpConfig()).load_learned_state(state, CLASSES)
    with pytest.raises(CheckpointError, match="unexpected tensor 'more'"):
        CoOp(tiny_clip, CoOpConfig()).load_learned_state(
            {"context": torch.zeros(4, 32), "more": torch.zeros(1)}, CLASSES
        )


def test_the_logits_are_cosines_over_the_temperature(tiny_clip: Clip) -> None:
    inputs = encoded_images(tiny_clip, n_images=1)
    zero_shot = ZeroShot(tiny_clip, ZeroShotConfig(template="{}"))
    text = tiny_clip.encode_text(tiny_clip.tokenize(["forest"]))[0]
    cosine = float(inputs.require("embedding")[0] @ text)
    assert_close(zero_shot(inputs, ["forest"]).item(), cosine / 0.07, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("config", CONFIGS, ids=NAMES)
def test_a_configuration_knows_what_its_method_needs(config: MethodConfig, tiny_clip: Clip) -> None:
    assert needs_of(config) == build_method(tiny_clip, config).needs
