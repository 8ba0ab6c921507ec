"""CLV-Net whole, on tiny random networks: boxes to captions and masks."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from skycue.backbones.sam import SamSegmenter
from skycue.backbones.small_segmenter import SmallSegmenter
from skycue.errors import ConfigError
from skycue.regions.clvnet import ClvNet, ClvNetConfig, Cues, Queries
from skycue.regions.reasoner import Read
from tests.tiny_clvnet import SAM, SAM_WHOLE, TINY, WHOLE, build_network, shared_network

R = 3
GENERATOR = torch.Generator().manual_seed(9)
WHOLES = torch.rand(R, 3, 32, 32, generator=GENERATOR)
WINDOWS = torch.rand(R, 2, 3, 64, 64, generator=GENERATOR)
POSITION = torch.tensor([[0.1, 0.2, 0.5, 0.9], [0.0, 0.0, 1.0, 1.0], [0.3, 0.4, 0.45, 0.7]])
OTHER = torch.tensor([[0.6, 0.1, 0.9, 0.3], [0.2, 0.2, 0.4, 0.5], [0.0, 0.7, 0.3, 1.0]])
IN_WINDOWS = torch.tensor([[0.2, 0.2, 0.8, 0.8], [0.4, 0.4, 0.6, 0.6]]).expand(R, -1, -1)
ANSWERS = [[300, 40, 301, 302], [50, 60], [41, 42, 43, 44, 45]]
SEG = [[3], [], [1, 4]]


def changed(config: ClvNetConfig, part: str, **changes: object) -> ClvNetConfig:
    """Change fields of a part of a configuration."""
    inner = getattr(config, part).model_copy(update=changes)
    return config.model_copy(update={part: inner})


def look(network: ClvNet, *, position: Tensor = POSITION, boxes: Tensor | None = None) -> Cues:
    """Show three boxes to a network, through windows or on the whole image."""
    images = network.encode_images(WHOLES)
    boxes = position if boxes is None else boxes
    if network.config.windows:
        return network.look(images, WINDOWS, IN_WINDOWS, position)
    features = network.segmenter.encode(WINDOWS[:, 0])
    return network.look_at_whole(images, features, boxes, position)


class Asked(NamedTuple):
    """What a network makes of boxes and answers."""

    cues: Cues
    regions: Tensor
    read: Read
    queries: Queries


def ask(network: ClvNet, cues: Cues | None = None) -> Asked:
    cues = cues or look(network)
    regions = network.region_tokens(cues)
    read = network.reasoner.read(network.prompts(cues, regions), ANSWERS)
    return Asked(cues, regions, read, network.queries(read, SEG))


def test_queries_are_the_projected_states_before_or_at_each_seg() -> None:
    for seg_state, shift in (("before", -1), ("at", 0)):
        network = build_network(changed(TINY, "reasoner", seg_state=seg_state))
        _, _, read, queries = ask(network)
        assert queries.phrase_mask.tolist() == [[True, False], [False, False], [True, True]]
        for row, k, place in ((0, 0, 3), (2, 0, 1), (2, 1, 4)):
            state = read.states[row, place + shift]  # the state that has read token place + shift
            expected = network.query_projection(state)
            assert_close(queries.queries[row, k], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", [TINY, WHOLE], ids=["windows", "whole"])
def test_phrases_of_other_rows_and_their_number_change_no_mask(config: ClvNetConfig) -> None:
    network = build_network(config)
    asked = ask(network)
    together = network.decode(asked.cues, asked.regions, asked.queries)
    for row in range(R):
        n = len(SEG[row])
        alone = network.decode(
            Cues(
                asked.cues.images._replace(tokens=asked.cues.images.tokens[row : row + 1]),
                tuple(
                    view._replace(
                        features=view.features.rows(torch.tensor([row])),
                        boxes=None if view.boxes is None else view.boxes[row : row + 1],
                    )
                    for view in asked.cues.views
                ),
                POSITION[row : row + 1],
            ),
            asked.regions[row : row + 1],
            Queries(
                asked.queries.queries[row : row + 1, :n],
                asked.queries.phrase_mask[row : row + 1, :n],
            ),
        )
        assert alone.masks[0].logits.shape[1] == n
        for one, other in zip(alone.masks, together.masks, strict=True):
            assert_close(one.logits[0], other.logits[row, :n], rtol=1e-3, atol=1e-4)
            assert_close(one.iou[0], other.iou[row, :n], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("n_phrases", [0, 1, 2, 4])
def test_any_number_of_phrases_has_as_many_masks(n_phrases: int) -> None:
    network = shared_network()
    cues, regions, read, _ = ask(network)
    queries = network.queries(read, [list(range(n_phrases))] * R)
    assert int(queries.phrase_mask.sum()) == R * n_phrases
    decoded = network.decode(cues, regions, queries)
    for output in decoded.masks:
        assert output.logits.shape == (R, max(1, n_phrases), 16, 16)  # none is one of padding
        assert bool(output.logits.isfinite().all())


CONTEXTS = ["off", "no_edges", "no_prompt_node", "full"]


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("config", [WHOLE, SAM_WHOLE], ids=["small", "sam"])
def test_with_the_relation_layer_at_its_start_masks_are_those_of_the_segmenter_alone(
    config: ClvNetConfig, context: str
) -> None:
    """GLaMM decodes each query by SAM on its own; CLV-Net starts from just that."""
    network = build_network(changed(config, "mask_decoder", context=context), related=False)
    kind = SmallSegmenter if config is WHOLE else SamSegmenter
    assert isinstance(network.segmenter, kind)
    cues, regions, read, queries = ask(network)
    decoded = network.decode(cues, regions, queries)
    features = network.segmenter.encode(WINDOWS[:, 0])
    for row, places in enumerate(SEG):
        for k, place in enumerate(places):
            query = network.query_projection(read.before[row, place])[None, None]
            alone = network.segmenter.decode(
                features.rows(torch.tensor([row])), query, POSITION[row : row + 1]
            )
            found = decoded.masks[0].logits[row, k]
            assert found.std() > 0.05
            assert_close(found, alone.logits[0, 0], rtol=1e-4, atol=1e-5)
            assert_close(decoded.masks[0].iou[row, k], alone.iou[0, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("config", [WHOLE, SAM_WHOLE], ids=["small", "sam"])
def test_each_switch_of_the_mask_decoder_gives_other_masks_once_trained(
    config: ClvNetConfig,
) -> None:
    start = build_network(config, related=False)  # one network in all but the relation layer
    parts = ("mask_decoder.", "clip.")
    state = {k: v for k, v in start.state_dict().items() if not k.startswith(parts)}
    found = []
    for context in CONTEXTS:
        network = build_network(changed(config, "mask_decoder", context=context))
        missing, unexpected = network.load_state_dict(state, strict=False)
        assert not unexpected
        assert all(name.startswith(parts) for name in missing)
        asked = ask(network)
        decoded = network.decode(asked.cues, asked.regions, asked.queries)
        found.append(decoded.masks[0].logits[2])  # the row with two phrases
        assert (decoded.edges is not None) == (context in ("no_prompt_node", "full"))
        assert (decoded.coarse is not None) == (context != "off")
    for one in range(len(CONTEXTS)):
        for other in range(one):
            assert (found[one] - found[other]).abs().max() > 1e-4


def test_a_region_token_tells_boxes_apart() -> None:
    for config in (WHOLE, SAM_WHOLE):
        network = build_network(config)
        one = network.region_tokens(look(network))
        other = network.region_tokens(look(network, position=OTHER))
        assert (one - other).abs().amax(dim=1).min() > 1e-2


def test_a_box_as_text_changes_the_prompt_and_no_region_token() -> None:
    network = build_network(changed(WHOLE, "reasoner", box_input="text"))
    one, other = look(network), look(network, position=OTHER)
    for cues in (one, other):
        assert not network.region_tokens(cues).any()
        assert cues.views[0].boxes is None
    zeros = network.region_tokens(one)
    differ = (network.prompts(one, zeros) - network.prompts(other, zeros)).abs()
    assert differ.amax(dim=(1, 2)).min() > 1e-2


def test_without_a_box_input_the_box_changes_nothing_on_the_whole_image() -> None:
    network = build_network(changed(WHOLE, "reasoner", box_input="none"))
    found = []
    for position in (POSITION, OTHER):
        cues, regions, read, queries = ask(network, look(network, position=position))
        decoded = network.decode(cues, regions, queries)
        found.append((network.prompts(cues, regions), read.states, decoded.masks[0].logits))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_the_language_model_sees_the_widest_window_as_tokens_or_not() -> None:
    lengths = []
    for view_grid in (0, 2, 3):
        network = build_network(TINY.model_copy(update={"view_grid": view_grid}))
        cues = look(network)
        lengths.append(network.prompts(cues, network.region_tokens(cues)).shape[1])
        assert (network.view_projection is None) == (view_grid == 0)
    # start, the 2 x 2 patches of the tiny CLIP, the region token; then the grid's tokens
    assert lengths == [1 + 4 + 1, 1 + 4 + 4 + 1, 1 + 4 + 9 + 1]
    network = shared_network()
    cues = look(network)
    regions = network.region_tokens(cues)
    narrow = cues._replace(views=(cues.views[0], cues.views[0]))
    assert not torch.equal(network.prompts(cues, regions), network.prompts(narrow, regions))


def test_a_network_reads_the_objects_of_its_widest_window() -> None:
    network = build_network(
        changed(TINY, "segmenter", finds_objects=True).model_copy(update={"objects": 3})
    )
    segmenter = network.segmenter
    assert isinstance(segmenter, SmallSegmenter)
    assert segmenter.finder is not None
    cues = look(network)
    regions = network.region_tokens(cues)
    without = network.prompts(cues, regions)
    with torch.no_grad():
        segmenter.finder.read[-1].bias[0] = 3.0  # type: ignore[operator]
    read = network.prompts(cues, regions)
    assert read.shape == without.shape
    plain = build_network(TINY)
    shorter = plain.prompts(look(plain), plain.region_tokens(look(plain)))
    assert read.shape[1] == shorter.shape[1] + 3
    assert not torch.equal(read, without)
    narrow = cues._replace(views=(cues.views[0], cues.views[0]))
    assert not torch.equal(network.prompts(narrow, regions), read)


def test_objects_need_a_segmenter_that_finds_them() -> None:
    with pytest.raises(ConfigError, match=r"model\.objects is 3, but the segmenter finds none"):
        build_network(TINY.model_copy(update={"objects": 3}))


def test_image_tokens_are_patches_of_the_chosen_layer_or_their_means() -> None:
    network = shared_network()
    seen = network.clip.encode_image_tokens(WHOLES, layers=(0,))
    assert_close(network.encode_images(WHOLES).tokens, seen.tokens[:, 1:])
    first = build_network(TINY.model_copy(update={"image_layer": 0}))
    assert_close(first.encode_images(WHOLES).tokens, seen.maps[0][:, 1:])
    pooled = build_network(TINY.model_copy(update={"image_grid": 1}))
    mean = seen.tokens[:, 1:].mean(dim=1, keepdim=True)
    assert_close(pooled.encode_images(WHOLES).tokens, mean)


def test_levels_for_the_region_encoder_lie_as_the_patches_do() -> None:
    network = build_network(SAM_WHOLE)
    levels = network.encode_images(WHOLES).levels
    seen = network.clip.encode_image_tokens(WHOLES, layers=(0, 1))
    for level, tokens in zip(levels, seen.maps, strict=True):
        for y, x in ((0, 0), (0, 1), (1, 0)):
            assert_close(level[:, :, y, x], tokens[:, 1 + 2 * y + x])


def test_only_the_image_encoder_is_frozen() -> None:
    network = shared_network()
    again = ClvNet(TINY, network.clip, network.reasoner.language)
    learning = {name.split(".")[0] for name, p in again.named_parameters() if p.requires_grad}
    assert "clip" not in learning
    assert {"segmenter", "region_encoder", "query_projection", "mask_decoder"} <= learning


def test_sam_without_layers_for_the_region_encoder_is_refused() -> None:
    config = WHOLE.model_copy(update={"segmenter": SAM})
    with pytest.raises(ConfigError, match=r"model\.region_layers is empty: with SAM"):
        build_network(config)
