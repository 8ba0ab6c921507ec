"""PromptSRC: its loss term by term, its frozen teacher, and what is left with weights of 0."""

import math

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor
from torch.testing import assert_close

from skycue.backbones.clip import Clip
from skycue.errors import ConfigError
from skycue.scene_config import config_of
from skycue.scenes.base import ImageInputs
from skycue.scenes.frozen_text import TEMPLATES, FrozenText
from skycue.scenes.maple import MaPLe, MaPLeConfig
from skycue.scenes.promptsrc import PromptSRC, PromptSRCConfig
from skycue.scenes.registry import needs_of
from tests.scenes.published_widths import clip_of_published_widths
from tests.scenes.tower_loops import image_by_loops, text_by_loops

CLASSES = ["harbor", "storage tank", "forest"]
LABELS = [2, 0, 1, 1]
PIXELS = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
ALONE = PromptSRCConfig(text_weight=0, image_weight=0, logit_weight=0)


def inputs_of(clip: Clip) -> ImageInputs:
    return ImageInputs(clip.encode_image(PIXELS), patches=clip.embed_image(PIXELS))


def seeded(clip: Clip, config: PromptSRCConfig) -> PromptSRC:
    """Return a method whose prompts are long enough that each place matters."""
    torch.manual_seed(2)
    method = PromptSRC(clip, config)
    with torch.no_grad():
        for prompt in method.learned_parameters().values():
            prompt.add_(0.5 * torch.randn(prompt.shape))
    return method


def learned_sizes(method: PromptSRC) -> int:
    return sum(p.numel() for p in method.learned_parameters().values())


def loss_by_loops(clip: Clip, method: PromptSRC, weights: PromptSRCConfig) -> float:
    """Write the loss out, number by number, from embeddings of the towers as loops."""
    text = [method.context, *method.deep_prompts]
    g = text_by_loops(clip, "a photo of a {}.", CLASSES, text).tolist()
    f = image_by_loops(clip, clip.embed_image(PIXELS), list(method.image_prompts)).tolist()
    f0 = clip.encode_image(PIXELS).tolist()
    g0 = []
    for name in CLASSES:
        prompts = [template.replace("{}", name) for template in TEMPLATES["remote-sensing"]]
        vectors = clip.encode_text(clip.tokenize(prompts)).tolist()
        mean = [sum(column) / len(vectors) for column in zip(*vectors, strict=True)]
        length = math.sqrt(sum(x * x for x in mean))
        g0.append([x / length for x in mean])

    def probabilities(image: list[float], classes: list[list[float]]) -> list[float]:
        scale = math.exp(clip.logit_scale)
        powers = [
            math.exp(scale * sum(a * b for a, b in zip(image, c, strict=True))) for c in classes
        ]
        return [power / sum(powers) for power in powers]

    def distance(ours: list[list[float]], frozen: list[list[float]]) -> float:
        pairs = [
            abs(a - b)
            for row, other in zip(ours, frozen, strict=True)
            for a, b in zip(row, other, strict=True)
        ]
        is_sum = weights.distance == "sum"
        return sum(pairs) / (len(ours) if is_sum else len(pairs))

    cross_entropy = divergence = 0.0
    for image, frozen, label in zip(f, f0, LABELS, strict=True):
        p, p0 = probabilities(image, g), probabilities(frozen, g0)
        cross_entropy -= math.log(p[label]) / len(f)
        divergence += sum(b * math.log(b / a) for a, b in zip(p, p0, strict=True))
    return (
        cross_entropy
        + weights.text_weight * distance(g, g0)
        + weights.image_weight * distance(f, f0)
        + weights.logit_weight
        * divergence
        / (len(f) * (1 if weights.distance == "sum" else len(g)))
    )


@pytest.mark.parametrize(
    "config",
    [
        PromptSRCConfig(),
        PromptSRCConfig(text_weight=3, image_weight=0, logit_weight=7),
        PromptSRCConfig(depth=1, text_weight=0, image_weight=0.5, logit_weight=0),
        PromptSRCConfig(distance="sum"),
        ALONE,
    ],
    ids=["published", "without images", "shallow", "sums", "alone"],
)
def test_the_loss_equals_the_equations_written_as_loops(
    config: PromptSRCConfig, tiny_clip: Clip
) -> None:
    method = seeded(tiny_clip, config)
    loss = method.loss(inputs_of(tiny_clip), torch.tensor(LABELS), CLASSES)
    assert_close(loss.item(), loss_by_loops(tiny_clip, method, config), rtol=1e-4, atol=1e-5)


def test_prompts_that_change_nothing_pay_only_for_their_mistakes(tiny_clip: Clip) -> None:
    method = PromptSRC(tiny_clip, PromptSRCConfig(template="a photo of a {}.", depth=1))
    method.image_prompts = torch.nn.ParameterList()
    inputs, labels = inputs_of(tiny_clip), torch.tensor(LABELS)
    mistakes = F.cross_entropy(method(inputs, CLASSES), labels)
    assert_close(method.loss(inputs, labels, CLASSES), mistakes, rtol=1e-4, atol=1e-4)


def test_with_weights_of_0_it_is_independent_prompting_and_asks_for_patches_alone(
    tiny_clip: Clip,
) -> None:
    assert needs_of(ALONE) == {"patches"}
    assert needs_of(PromptSRCConfig(text_weight=0, image_weight=0)) == {"patches", "embedding"}
    method = seeded(tiny_clip, ALONE)
    inputs, labels = inputs_of(tiny_clip)._replace(embedding=None), torch.tensor(LABELS)
    expected = F.cross_entropy(method(inputs, CLASSES), labels)
    assert_close(method.loss(inputs, labels, CLASSES), expected)


def test_independent_prompts_set_to_maples_score_as_maple(tiny_clip: Clip) -> None:
    torch.manual_seed(3)
    maple = MaPLe(tiny_clip, MaPLeConfig())
    method = PromptSRC(tiny_clip, PromptSRCConfig(n_ctx=2, n_image_ctx=2))
    state = {k: v for k, v in maple.learned_state().items() if not k.startswith("couplings")}
    images = enumerate(maple.prompts_for_images())
    state |= {f"image_prompts.{block}": tokens.detach() for block, tokens in images}
    method.load_learned_state(state, CLASSES)
    inputs = inputs_of(tiny_clip)
    assert torch.equal(method(inputs, CLASSES), maple(inputs, CLASSES))


def test_templates_of_longer_embeddings_weigh_more_only_as_released(tiny_clip: Clip) -> None:
    def raw(template: str) -> Tensor:
        ids = tiny_clip.tokenize([template.format(name) for name in CLASSES])
        states: Tensor = tiny_clip.text(tiny_clip.token_embedding(ids), tiny_clip.eot_index(ids))
        return states

    vectors = torch.stack([raw(template) for template in TEMPLATES["remote-sensing"]])  # [T, C, D]
    released = FrozenText(tiny_clip, "remote-sensing", unit_length=False).class_embeddings(CLASSES)
    assert_close(released, F.normalize(vectors.mean(0), dim=-1), rtol=1e-4, atol=1e-5)
    unit = FrozenText(tiny_clip, "remote-sensing").class_embeddings(CLASSES)
    assert (unit - released).abs().max() > 1e-4
    methods = [
        PromptSRC(tiny_clip, PromptSRCConfig.model_validate({"template_mean": mean}))
        for mean in ("unit", "released")
    ]
    for method, expected in zip(methods, (unit, released), strict=True):
        assert torch.equal(method._frozen_text.class_embeddings(CLASSES), expected)


def test_the_published_numbers_of_parameters() -> None:
    clip = clip_of_published_widths()
    assert learned_sizes(PromptSRC(clip, PromptSRCConfig())) == 46_080  # nine blocks
    assert learned_sizes(PromptSRC(clip, PromptSRCConfig(depth=3))) == 15_360


def test_the_published_training_averages_epochs_around_the_fifteenth() -> None:
    weights = config_of("promptsrc").train.epoch_weights()
    powers = [math.exp(-((epoch - 15) ** 2) / 2) for epoch in range(1, 21)]
    assert weights == pytest.approx([power / sum(powers) for power in powers])


def test_what_cannot_be_is_refused(tiny_clip: Clip) -> None:
    with pytest.raises(ValidationError, match="Input should be 'end'"):
        PromptSRCConfig.model_validate({"class_position": "front"})
    with pytest.raises(
        ConfigError, match=r"method\.depth 3 is more than the 2 blocks of the image"
    ):
        PromptSRC(tiny_clip, PromptSRCConfig(depth=3))
    with pytest.raises(ConfigError, match="a context needs tokens"):
        PromptSRC(tiny_clip, PromptSRCConfig(n_ctx=None, init_words=""))
