"""Tests of SAM asked by vectors, against transformers' SAM on small random weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from torch.testing import assert_close

from skycue.backbones.sam import SAM_MEAN, SAM_SIZES, SCRATCH, SamSegmenter, SamSettings, load_sam
from skycue.errors import CheckpointError

hf: Any = transformers  # its hints do not fit the ways it is meant to be called

SMALL = SamSettings(
    source=SCRATCH,
    input_size=64,
    patch_size=8,
    hidden_size=16,
    layers=2,
    heads=2,
    global_layers=(1,),
    window=3,
    decoder_width=16,
    decoder_hidden=32,
)
GENERATOR = torch.Generator().manual_seed(5)
PIXELS = torch.rand(2, 3, 64, 64, generator=GENERATOR)
QUERIES = torch.randn(2, 3, 16, generator=GENERATOR)
BOXES = torch.tensor([[0.1, 0.2, 0.6, 0.9], [0.0, 0.0, 1.0, 0.5]])


def shuffled(sam: Any) -> Any:
    """Give a SAM seeded weights that are far from zero."""
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for weight in sam.parameters():
            noise = torch.empty_like(weight).normal_(std=0.4, generator=generator)
            weight.copy_(noise + (weight if weight.dim() == 1 else 0))  # norms start at one
    return sam.eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small SAM, as on the hub."""
    path = tmp_path_factory.mktemp("sam")
    config = hf.SamConfig(
        vision_config={
            "hidden_size": 16,
            "output_channels": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 64,
            "patch_size": 8,
            "mlp_dim": 64,
            "global_attn_indexes": [1],
            "window_size": 3,
            "num_pos_feats": 8,
        },
        prompt_encoder_config={"hidden_size": 16, "image_size": 64, "patch_size": 8},
        mask_decoder_config={"hidden_size": 16, "mlp_dim": 32, "layer_norm_eps": 1e-5},
    )
    hf.utils.logging.disable_progress_bar()
    shuffled(hf.SamModel(config)).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def sam(folder: Path) -> Any:
    """The same by transformers."""
    return hf.SamModel.from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def segmenter(folder: Path) -> SamSegmenter:
    """The same by us."""
    return load_sam(SamSettings(source=str(folder))).eval()


def test_encoding_normalises_as_sam_was_trained(sam: Any, segmenter: SamSegmenter) -> None:
    mean = torch.tensor([123.675, 116.28, 103.53])[:, None, None]  # Kirillov et al.'s, of 0 to 255
    std = torch.tensor([58.395, 57.12, 57.375])[:, None, None]
    with torch.no_grad():
        expected = sam.get_image_embeddings((PIXELS * 255 - mean) / std)
        features = segmenter.encode(PIXELS)
    assert features.fine == ()
    assert_close(features.coarse, expected, rtol=0, atol=1e-5)


def test_padding_in_the_mean_colour_becomes_zero(segmenter: SamSegmenter) -> None:
    padding = torch.tensor(SAM_MEAN)[:, None, None].expand(3, 4, 4)
    assert torch.equal((padding - segmenter.mean) / segmenter.std, torch.zeros(3, 4, 4))


@torch.no_grad()
def test_masks_are_those_of_the_mask_decoder_query_by_query(
    sam: Any, segmenter: SamSegmenter
) -> None:
    features = segmenter.encode(PIXELS)
    masks = segmenter.decode(features, QUERIES, BOXES)
    assert masks.logits.shape == (2, 3, 32, 32)
    assert masks.logits.std() > 0.1
    positions = sam.get_image_wide_positional_embeddings()
    dense = sam.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(1, -1, 8, 8)
    for image in range(2):
        for query in range(3):
            alone, iou = sam.mask_decoder(
                image_embeddings=features.coarse[image : image + 1],
                image_positional_embeddings=positions,
                sparse_prompt_embeddings=QUERIES[image, query].reshape(1, 1, 1, -1),
                dense_prompt_embeddings=dense,
                multimask_output=False,
            )
            assert_close(masks.logits[image, query], alone[0, 0, 0], rtol=0, atol=1e-4)
            assert_close(masks.iou[image, query], iou[0, 0, 0], rtol=0, atol=1e-4)


@torch.no_grad()
def test_a_box_prompt_adds_sams_corner_tokens(folder: Path, sam: Any) -> None:
    segmenter = load_sam(SamSettings(source=str(folder), box_prompt=True)).eval()
    features = segmenter.encode(PIXELS)
    masks = segmenter.decode(features, QUERIES, BOXES)
    corners, dense = sam.prompt_encoder(None, None, BOXES[:, None] * 64, None)
    positions = sam.get_image_wide_positional_embeddings()
    alone, _ = sam.mask_decoder(
        image_embeddings=features.coarse[1:],
        image_positional_embeddings=positions,
        sparse_prompt_embeddings=torch.cat([corners[1:], QUERIES[1:, 2:, None]], dim=2),
        dense_prompt_embeddings=dense[1:],
        multimask_output=False,
    )
    assert_close(masks.logits[1, 2], alone[0, 0, 0], rtol=0, atol=1e-4)
    without = segmenter.decode(features, QUERIES)
    assert (masks.logits - without.logits).abs().max() > 0.01


@torch.no_grad()
def test_the_order_of_queries_is_the_order_of_masks(segmenter: SamSegmenter) -> None:
    features = segmenter.encode(PIXELS)
    masks = segmenter.decode(features, QUERIES).logits
    turned = segmenter.decode(features, QUERIES[:, [2, 0, 1]]).logits
    assert_close(turned, masks[:, [2, 0, 1]], rtol=0, atol=1e-4)


def test_no_queries_give_no_masks(segmenter: SamSegmenter) -> None:
    masks = segmenter.decode(segmenter.encode(PIXELS), QUERIES[:, :0])
    assert masks.logits.shape == (2, 0, 32, 32)
    assert masks.iou.shape == (2, 0)


def gradient_reaches(queries: Tensor, segmenter: SamSegmenter) -> set[str]:
    """Name the parts of a segmenter that a loss on masks changes."""
    segmenter.zero_grad()
    segmenter.decode(segmenter.encode(PIXELS), queries).logits.square().sum().backward()  # type: ignore[no-untyped-call]
    return {
        name.split(".")[0]
        for name, weight in segmenter.named_parameters()
        if weight.grad is not None and weight.grad.abs().sum() > 0
    }


def test_only_the_mask_decoder_and_the_queries_learn(segmenter: SamSegmenter) -> None:
    queries = QUERIES.clone().requires_grad_()
    assert gradient_reaches(queries, segmenter) == {"mask_decoder"}
    assert queries.grad is not None
    assert (queries.grad.abs().sum(dim=-1) > 0).all()


def test_no_two_tensors_of_a_state_share_memory(segmenter: SamSegmenter) -> None:
    state = segmenter.state_dict()
    assert len({tensor.data_ptr() for tensor in state.values()}) == len(state)
    assert {name.split(".")[0] for name in state} == {
        "vision_encoder",
        "prompt_encoder",
        "mask_decoder",
    }


def test_a_scratch_sam_holds_the_state_of_a_saved_one(folder: Path) -> None:
    saved = load_sam(SamSettings(source=str(folder))).eval()
    built = load_sam(SMALL).eval()
    built.load_state_dict(saved.state_dict())
    with torch.no_grad():
        assert_close(
            built.decode(built.encode(PIXELS), QUERIES).logits,
            saved.decode(saved.encode(PIXELS), QUERIES).logits,
        )


@pytest.mark.parametrize(("name", "millions"), [("base", 93.7), ("large", 312.3), ("huge", 641.1)])
def test_sizes_are_the_published_ones(name: str, millions: float) -> None:
    settings = SAM_SIZES[name].model_copy(update={"source": SCRATCH})
    with torch.device("meta"):
        parameters = load_sam(settings, device="meta").parameters()
    assert sum(weight.numel() for weight in parameters) / 1e6 == pytest.approx(millions, abs=0.1)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no SAM '.*absent'"):
        load_sam(SamSettings(source=str(tmp_path / "absent")))


def test_the_padding_is_zero_after_normalisation_to_half_a_level() -> None:
    sam = load_sam(SMALL)
    assert sam.padding == (124, 116, 104)
    levels = torch.tensor(sam.padding)[:, None, None]
    assert ((levels / 255 - sam.mean).abs() <= 0.5 / 255).all()
