"""The region branch: its pieces by hand, its limits, and what it keeps of every method."""

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor
from torch.testing import assert_close

from skycue.backbones.clip import Clip
from skycue.errors import ConfigError
from skycue.metrics.multi_label import mean_average_precision
from skycue.scene_config import SceneConfig, require_known_descriptions
from skycue.scenes.asymmetric import asymmetric_loss
from skycue.scenes.base import ImageInputs
from skycue.scenes.coop import CoOp, CoOpConfig
from skycue.scenes.frozen_text import FrozenText
from skycue.scenes.regional import GatedCrossAttention, Regional, RegionalConfig, aggregate
from skycue.scenes.registry import build_method, needs_of
from skycue.scenes.zero_shot import ZeroShot, ZeroShotConfig

CLASSES = ["harbor", "storage tank", "forest"]
TEMPLATE = "a photo of a {}."


def images_of(clip: Clip, n_images: int = 6) -> ImageInputs:
    generator = torch.Generator().manual_seed(1)
    centres = torch.randn(len(CLASSES), clip.config.embed_dim, generator=generator)
    noise = torch.randn(n_images, clip.config.embed_dim, generator=generator)
    embedding = centres[torch.arange(n_images) % len(CLASSES)] + 0.3 * noise
    tokens = torch.randn(n_images, 5, clip.config.image.width, generator=generator)
    return ImageInputs(F.normalize(embedding, dim=-1), tokens)


def seeded(clip: Clip, **options: object) -> Regional:
    torch.manual_seed(2)
    return Regional(clip, RegionalConfig.model_validate({"template": TEMPLATE, **options}))


def perturbed(method: Regional) -> Regional:
    """Move every learned number, so that nothing is left at its start."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in method.learned_parameters().values():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return method


def test_aggregation_lies_between_the_mean_and_the_maximum() -> None:
    scores = torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(5))
    assert_close(aggregate(scores, 1e6), scores.mean(dim=1), rtol=0, atol=1e-4)
    assert_close(aggregate(scores, 1e-3), scores.max(dim=1).values, rtol=0, atol=1e-4)
    assert (aggregate(scores, 1.0) > scores.mean(dim=1)).all()
    assert (aggregate(scores, 1.0) < scores.max(dim=1).values).all()


def test_aggregation_of_two_regions_by_hand() -> None:
    scores = torch.tensor([[[0.0], [2.0]]])
    weight = 1 / (1 + torch.tensor(-1.0).exp())  # softmax of 0 and 2 at tau = 2
    assert_close(aggregate(scores, 2.0), 2 * weight.view(1, 1))


def test_gated_attention_is_its_formula_written_as_loops() -> None:
    torch.manual_seed(4)
    attention = GatedCrossAttention(6, 4)
    torch.nn.init.normal_(attention.output.weight)
    z, y = torch.randn(2, 3, 6), torch.randn(2, 5, 6)
    updated = attention(z, y)
    for image in range(2):
        for p in range(3):
            query = attention.query(z[image, p])
            weights = torch.stack([query @ attention.key(row) / 2 for row in y[image]]).softmax(0)
            mixed = sum(w * attention.value(row) for w, row in zip(weights, y[image], strict=True))
            found = attention.output(mixed)
            gate = attention.gate(torch.cat([z[image, p], found])).sigmoid()
            assert_close(updated[image, p], z[image, p] + gate * found)


def test_a_closed_gate_is_the_identity_and_so_is_the_start() -> None:
    torch.manual_seed(4)
    attention = GatedCrossAttention(6, 4)
    z, y = torch.randn(2, 3, 6), torch.randn(2, 5, 6)
    assert torch.equal(attention(z, y), z)
    torch.nn.init.normal_(attention.output.weight)
    assert not torch.allclose(attention(z, y), z)
    torch.nn.init.constant_(attention.gate.bias, -1e4)
    assert torch.equal(attention(z, y), z)


def test_training_starts_from_zero_shot_of_images_and_patches(tiny_clip: Clip) -> None:
    inputs = images_of(tiny_clip)
    zero_shot = ZeroShot(tiny_clip, ZeroShotConfig(template=TEMPLATE))
    of_image, of_regions = seeded(tiny_clip).branch_logits(inputs, CLASSES)
    assert_close(of_image, zero_shot(inputs, CLASSES), rtol=1e-4, atol=1e-4)
    tower, classes = tiny_clip.image, zero_shot.class_embeddings(CLASSES)
    tokens = inputs.require("tokens")
    assert of_regions is not None
    for image in range(len(tokens)):
        scores = []
        for token in tokens[image, 1:]:
            projected = F.normalize(tower.ln_post(token) @ tower.projection, dim=0)
            scores.append(tiny_clip.logit_scale.exp() * classes @ projected)
        stacked = torch.stack(scores)
        expected = (stacked.softmax(dim=0) * stacked).sum(dim=0)
        assert_close(of_regions[image], expected, rtol=1e-4, atol=1e-4)


def test_a_class_that_one_patch_shows_is_found_by_the_region_branch_alone(
    tiny_clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = seeded(tiny_clip)
    apart = torch.eye(tiny_clip.config.embed_dim)[: len(CLASSES)]
    # The texts of a random network are nearly alike; these outweigh them.
    monkeypatch.setattr(method._descriptions, "class_embeddings", lambda names: 50 * apart)
    generator = torch.Generator().manual_seed(6)
    pool = torch.randn(4000, tiny_clip.config.image.width, generator=generator)
    likeness = method.region_embeddings(torch.cat([pool[:1], pool])[None])[0] @ apart.T
    objects = [pool[row] for row in likeness.argmax(dim=0)]  # the patch most like each class
    background = pool[likeness.abs().max(dim=1).values.argsort()[:36]]
    shown = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1], [0, 0, 0]]) > 0
    tokens = background.repeat(len(shown), 1, 1)
    for image, labels in enumerate(shown.tolist()):
        for c, is_there in enumerate(labels):
            if is_there:
                tokens[image, 5 + 7 * c] = objects[c]  # token 0 is the class token
    embedding = images_of(tiny_clip, 1).require("embedding").repeat(len(shown), 1)
    of_image, of_regions = method.branch_logits(ImageInputs(embedding, tokens), CLASSES)
    assert of_regions is not None
    assert mean_average_precision(of_regions.detach().numpy(), shown.numpy()) == 1
    assert_close(of_image, of_image[:1].expand_as(of_image))  # the whole image tells nothing


def test_the_mean_of_the_patches_as_one_region_hides_where_they_are(tiny_clip: Clip) -> None:
    one, all_of_them = seeded(tiny_clip, regions="mean"), seeded(tiny_clip)
    inputs = images_of(tiny_clip)
    tokens = inputs.require("tokens")
    mean = torch.cat([tokens[:, :1], tokens[:, 1:].mean(dim=1, keepdim=True)], dim=1)
    assert_close(one(inputs, CLASSES), all_of_them(inputs._replace(tokens=mean), CLASSES))
    assert one.learned_state().keys() == all_of_them.learned_state().keys()


def test_the_global_branch_alone_is_coop_and_reads_no_tokens(tiny_clip: Clip) -> None:
    method = seeded(tiny_clip, branches="global")
    inputs = images_of(tiny_clip)._replace(tokens=None)
    coop = CoOp(tiny_clip, CoOpConfig())
    assert method.learned_state().keys() == coop.learned_state().keys()
    coop.load_learned_state(perturbed(method).learned_state(), CLASSES)
    assert_close(method(inputs, CLASSES), coop(inputs, CLASSES))
    assert needs_of(method.config) == {"embedding"}
    assert needs_of(RegionalConfig()) == {"embedding", "tokens"}


def test_the_loss_is_the_weighted_sum_of_both_branches(tiny_clip: Clip) -> None:
    method, inputs = perturbed(seeded(tiny_clip, region_weight=0.5)), images_of(tiny_clip)
    several = torch.tensor([[1.0, 1, 0], [0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1], [1, 1, 1]])
    method.set_level(inputs, several, CLASSES)
    of_image, of_regions = method.branch_logits(inputs, CLASSES)
    assert of_regions is not None
    for logits, level in ((of_image, method.level), (of_regions, method.region_level)):
        assert_close((logits - level).sigmoid().sum(), several.sum(), rtol=1e-3, atol=0)
    expected = asymmetric_loss(of_image - method.level, several, method.multi_label)
    expected += 0.5 * asymmetric_loss(of_regions - method.region_level, several, method.multi_label)
    assert_close(method.loss(inputs, several, CLASSES), expected)
    one = torch.tensor([0, 1, 2, 0, 1, 2])
    expected = F.cross_entropy(of_image, one) + 0.5 * F.cross_entropy(of_regions, one)
    assert_close(method.loss(inputs, one, CLASSES), expected)
    assert_close(method(inputs, CLASSES), (of_image + of_regions) / 2)


@pytest.mark.parametrize("branches", ["global", "both"])
def test_loss_falls_and_all_that_is_learned_changes(branches: str, tiny_clip: Clip) -> None:
    method, inputs = seeded(tiny_clip, branches=branches), images_of(tiny_clip)
    frozen = {name: tensor.clone() for name, tensor in tiny_clip.state_dict().items()}
    start = {name: tensor.clone() for name, tensor in method.learned_state().items()}
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    optimizer = torch.optim.SGD(method.learned_parameters().values(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(40):
        loss = method.loss(inputs, labels, CLASSES)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert all(torch.equal(tensor, frozen[k]) for k, tensor in tiny_clip.state_dict().items())
    for name, tensor in method.learned_state().items():
        if "key.bias" not in name:  # a shift of all keys moves no softmax
            assert not torch.equal(tensor, start[name]), name


def test_a_loaded_state_scores_the_same_and_new_classes_too(tiny_clip: Clip) -> None:
    method, inputs = perturbed(seeded(tiny_clip)), images_of(tiny_clip)
    torch.manual_seed(99)
    again = build_method(tiny_clip, method.config)
    again.load_learned_state(method.learned_state(), CLASSES)
    for names in (CLASSES, ["beach", "sparse residential area"]):
        assert torch.equal(again(inputs, names), method(inputs, names))
    alone = torch.cat([method(inputs.select(slice(i, i + 1)), CLASSES) for i in range(6)])
    assert_close(method(inputs, CLASSES), alone, rtol=1e-4, atol=1e-4)


def test_options_without_an_effect_and_misspelt_classes_are_refused() -> None:
    described = {"harbor": ["piers with boats."]}
    with pytest.raises(ValidationError, match="branches: global reads no regions and no descripti"):
        RegionalConfig.model_validate({"branches": "global", "descriptions": described})
    settings = {"method": {"name": "regional", "descriptions": described}}
    config = SceneConfig.model_validate(settings)
    require_known_descriptions(config, [["Harbor", "golf_course"]])
    require_known_descriptions(config, [["golf_course"], ["Harbor"], ["HARBOR"]])
    with pytest.raises(ConfigError, match=r"harbor is no class of the data; .* port, golf course"):
        require_known_descriptions(config, [["port"], ["golf_course"]])


def test_descriptions_take_the_place_of_templates(tiny_clip: Clip) -> None:
    sentences = ("piers with boats.", "many boats in the water.")
    text = FrozenText(tiny_clip, TEMPLATE, {"harbor": sentences})

    def encoded(texts: Sequence[str]) -> Tensor:
        return tiny_clip.encode_text(tiny_clip.tokenize(texts))

    described, *named = text.class_embeddings(CLASSES)
    assert_close(described, F.normalize(encoded(sentences).mean(dim=0), dim=0))
    assert_close(torch.stack(named), encoded([TEMPLATE.format(name) for name in CLASSES[1:]]))
    inputs = images_of(tiny_clip)
    with_text = seeded(tiny_clip, descriptions={"harbor": sentences})
    changed = with_text(inputs, CLASSES) - seeded(tiny_clip)(inputs, CLASSES)
    assert changed[:, 0].abs().min() > 1e-4
    assert_close(changed[:, 1:], torch.zeros(6, 2), rtol=0, atol=1e-4)
