"""A small GLaMM, converted, computes what GLaMM's own code computes on the same weights.

`golden/glamm.safetensors` holds what that code answered; `golden/README.md` says how it was asked.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor
from torch.testing import assert_close

from skycue.backbones.clip import Clip, ClipConfig
from skycue.backbones.clip_folder import save_clip
from skycue.backbones.convert import convert
from skycue.backbones.convert.glamm import PROMPT, QUESTION, SMALL_BOX
from skycue.backbones.sam import SAM_MEAN
from skycue.backbones.segmenter import MaskFeatures
from skycue.backbones.text import TextConfig
from skycue.backbones.vit import ImageConfig
from skycue.backbones.vocabulary import load_tokenizer
from skycue.config import load_config, shipped_configs
from skycue.errors import CheckpointError, SkycueError
from skycue.region_network import load_network
from skycue.region_recipe import RegionTrainingConfig
from skycue.regions.clvnet import ClvNet, ClvNetConfig, ImageTokens, Queries
from skycue.regions.mask_decoder import MaskDecoderConfig
from skycue.regions.reasoner import Read
from tests.backbones.convert.glamm_layout import (
    CLIP_WIDTH,
    GLAMM_TOKENS,
    WIDTH,
    glamm_state,
    save_glamm,
    values,
)
from tests.conftest import clip_tokenizer

GOLDEN = load_file(Path(__file__).parent / "golden" / "glamm.safetensors")
SEG = 304
"""Number of [SEG] in the golden example of states."""
ANSWERS = ((7, 303, 9, 305, SEG, 8, 2), (303, 9, 305, SEG, 303, 305, SEG))
"""What follows the image in it: a phrase, and two."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small GLaMM."""
    folder = tmp_path_factory.mktemp("glamm") / "GLaMM-small"
    save_glamm(folder)
    return folder


@pytest.fixture(scope="module")
def converted(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, converted."""
    out = tmp_path_factory.mktemp("converted") / "glamm"
    convert(source, out)
    return out


def save_small_clip(folder: Path) -> None:
    """Save a CLIP as wide as the small GLaMM expects, of two layers."""
    torch.manual_seed(1)
    tokenizer = clip_tokenizer()
    size = tokenizer.vocab_size
    text = TextConfig(context_length=8, vocab_size=size, width=16, layers=1, heads=2)
    image = ImageConfig(image_size=28, patch_size=14, width=CLIP_WIDTH, layers=2, heads=2)
    folder.mkdir()
    save_clip(Clip(ClipConfig(embed_dim=8, image=image, text=text), tokenizer), folder)


@pytest.fixture(scope="module")
def network(converted: Path, tmp_path_factory: pytest.TempPathFactory) -> ClvNet:
    """The converted network, with a small CLIP in place of the published one."""
    clip = tmp_path_factory.mktemp("clip") / "small"
    save_small_clip(clip)
    folder = shutil.copytree(converted, clip.parent / "glamm")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["model"] |= {"clip": str(clip), "image_layer": 0, "region_layers": [0, 0, 1, 1]}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return load_network(folder).network


@torch.no_grad()
def test_region_tokens_are_glamms(network: ClvNet) -> None:
    sequences = [values(f"level {i}", (2, 576, CLIP_WIDTH)) for i in range(4)]
    levels = [level.transpose(1, 2).reshape(2, CLIP_WIDTH, 24, 24) for level in sequences]
    boxes = torch.tensor([[0.1, 0.2, 0.45, 0.9], [0.0, 0.0, 1.0, 1.0], [0.62, 0.05, 0.7, 0.15]])
    tokens = network.region_encoder(levels, boxes, torch.tensor([0, 0, 1]), boxes)
    assert_close(tokens, GOLDEN["region"], rtol=0, atol=2e-5)
    assert (tokens[0] - tokens[1]).abs().max() > 0.1


@torch.no_grad()
def test_projected_image_tokens_are_glamms(network: ClvNet) -> None:
    tokens = values("level 3", (2, 576, CLIP_WIDTH))[:1, :5]
    assert_close(network.reasoner.projector(tokens), GOLDEN["projected"], rtol=0, atol=1e-5)


@torch.no_grad()
def test_queries_come_from_the_states_that_glamm_picks(network: ClvNet) -> None:
    # GLaMM's sequence: <s>, then 576 image tokens (the second image one place earlier: none before)
    states = values("states", (2, 584, WIDTH))
    start = 1 + 576
    read = Read(states[:, start:], states[:, start - 1 : -1], torch.zeros(()), 14)
    places = [[i for i, token in enumerate(ids) if token == SEG] for ids in ANSWERS]
    asked = network.queries(read, places)
    picked = [[row, start - 1 + i] for row, seg in enumerate(places) for i in seg]
    assert picked == GOLDEN["seg_positions"].tolist()
    assert asked.phrase_mask.tolist() == [[True, False], [True, True]]
    assert_close(asked.queries[asked.phrase_mask], GOLDEN["seg_queries"], rtol=0, atol=1e-5)


def padded_image() -> Tensor:
    """Return the golden example's image of 40 x 64 in the upper left of 64 x 64, [1, 3, 64, 64]."""
    image = ((values("image", (3, 40, 64)) + 1) * 127.5).round() / 255
    padding = torch.tensor(SAM_MEAN)[:, None, None].expand(3, 24, 64)
    return torch.cat([image, padding], dim=1)[None]


@torch.no_grad()
def test_masks_are_glamms_from_pixels_to_pixels(network: ClvNet) -> None:
    features = network.segmenter.encode(padded_image())
    assert_close(features.coarse, GOLDEN["sam_map"], rtol=0, atol=2e-5)
    masks = network.segmenter.decode(features, values("queries", (1, 3, WIDTH)))
    assert_close(masks.logits[0], GOLDEN["sam_low"], rtol=0, atol=2e-5)
    assert_close(masks.iou[0], GOLDEN["sam_iou"], rtol=0, atol=1e-5)
    shown = F.interpolate(masks.logits, (64, 64), mode="bilinear")[..., :40, :]
    on_image = F.interpolate(shown, (25, 40), mode="bilinear")
    assert_close(on_image[0], GOLDEN["sam_masks"], rtol=0, atol=2e-5)


@torch.no_grad()
@pytest.mark.parametrize("context", ["no_edges", "no_prompt_node", "full"])
def test_masks_are_glamms_with_the_relation_layer_at_its_start(
    network: ClvNet, context: Any
) -> None:
    config = network.config.model_copy(update={"mask_decoder": MaskDecoderConfig(context=context)})
    start = ClvNet(config, network.clip, network.reasoner.language)
    missing = start.load_state_dict(network.state_dict(), strict=False).missing_keys
    assert missing
    assert all(name.startswith("mask_decoder.relations.") for name in missing)
    box = torch.tensor([[0.1, 0.1, 0.5, 0.4]])
    images = ImageTokens(torch.zeros(1, 1, CLIP_WIDTH))
    cues = start.look_at_whole(images, start.segmenter.encode(padded_image()), box, box)
    asked = Queries(values("queries", (1, 3, WIDTH)), torch.ones(1, 3, dtype=torch.bool))
    decoded = start.decode(cues, torch.randn(1, WIDTH), asked)
    assert_close(decoded.masks[0].logits[0], GOLDEN["sam_low"], rtol=0, atol=2e-5)


@torch.no_grad()
def test_the_language_model_reads_what_glamm_lets_it_read(network: ClvNet) -> None:
    # There: <s>, <im_start>, 576 image tokens 1000 .. 1575, <im_end>, 12, box, 13, box, 14
    golden = GOLDEN["sequence"]
    assert golden[2:578].tolist() == [1000.0 + i for i in range(576)]
    assert golden[578:].tolist() == [298, 12, 5000, 13, 5001, 14]
    reasoner = network.reasoner
    tokens = torch.randn(1, 576, CLIP_WIDTH)
    region = torch.randn(1, WIDTH)
    prompt = reasoner.embed_prompts(tokens, region, torch.tensor([[0.1, 0.1, 0.5, 0.4]]))[0]
    projected = reasoner.projector(tokens)[0]
    first = int((prompt == projected[0]).all(dim=-1).nonzero())
    assert torch.equal(prompt[first : first + 576], projected)
    language = reasoner.language
    table = language.embeddings.weight
    assert torch.equal(prompt[0], table[language.tokenizer.bos_token_id or 0])
    assert torch.equal(prompt[first - 1], table[language.id_of("<im_start>")])
    assert torch.equal(prompt[first + 576], table[language.id_of("<im_end>")])
    assert int((prompt == region).all(dim=-1).sum()) == 1


def test_tables_get_a_row_for_the_image_and_keep_the_others(network: ClvNet, source: Path) -> None:
    language = network.reasoner.language
    n_tokens = len(language.tokenizer)
    theirs = glamm_state(n_tokens - 1)
    assert language.id_of("<image>") == n_tokens - 1
    old = theirs["model.embed_tokens.weight"]
    assert_close(language.embeddings.weight[:-1], old)
    assert_close(language.embeddings.weight[-1], old.mean(dim=0))
    model: Any = language.model
    assert_close(model.lm_head.weight[:-1], theirs["lm_head.weight"])
    down = model.model.layers[0].mlp.down_proj.weight
    assert_close(down, theirs["model.layers.0.mlp.down_proj.weight"])
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    assert language.id_of("<bbox>") == config["bbox_token_idx"]


def test_the_configuration_is_that_of_glamm(converted: Path) -> None:
    config = json.loads((converted / "config.json").read_text(encoding="utf-8"))
    model = ClvNetConfig.model_validate(config["model"])
    assert model.clip == "openai/clip-vit-large-patch14-336"
    # hidden_states[-2] of 25, of which the first is the input: the output of block 22
    assert model.image_layer == 22
    assert model.region_layers == (13, 16, 19, 22)
    assert model.region_encoder.cells == (192, 96, 48, 24)
    assert model.region_encoder.fuse_rounds == 5
    assert model.region_encoder.roi_size == 14
    assert model.region_encoder.geometry == "glamm_224"
    assert model.mask_decoder.context == "off"
    assert model.reasoner.seg_state == "before"


def test_the_summary_counts_weights_and_names_files(source: Path, tmp_path: Path) -> None:
    done = convert(source, tmp_path / "out")
    assert done.architecture == "glamm"
    n_old = sum(weight.numel() for weight in glamm_state(0).values())
    n_tokens = json.loads((source / "config.json").read_text(encoding="utf-8"))["vocab_size"] + 1
    assert done.parameters == n_old + 2 * n_tokens * WIDTH
    assert set(done.sha256) == {f"pytorch_model-0000{i}-of-00002.bin" for i in (1, 2)}


def change_parts(folder: Path, change: Any) -> None:
    """Apply a change to each pickled part of a folder."""
    for path in folder.glob("*.bin"):
        state = torch.load(path, weights_only=True)
        change(state)
        torch.save(state, path)


def test_the_published_clip_inside_is_left_out(tmp_path: Path) -> None:
    save_glamm(tmp_path / "in")
    extra = {"model.vision_tower.vision_tower.x": torch.ones(2)}
    extra |= {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(2)}
    change_parts(tmp_path / "in", lambda state: state.update(extra))
    convert(tmp_path / "in", tmp_path / "out")
    names = set(load_file(tmp_path / "out" / "model.safetensors"))
    assert not {name for name in names if "vision_tower" in name or "inv_freq" in name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.update({"base_model.x": torch.ones(1)}), r"holds base_model\.x"),
        (
            lambda state: [state.pop(n) for n in list(state) if ".region_encoder." in n],
            r"lacks model\.region_encoder\.\*: it is no whole GLaMM",
        ),
    ],
)
def test_weights_of_no_whole_glamm_are_refused(change: Any, message: str, tmp_path: Path) -> None:
    save_glamm(tmp_path / "in")
    change_parts(tmp_path / "in", change)
    with pytest.raises(CheckpointError, match=message):
        convert(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("mm_vision_tower", "other/clip", "sees through 'other/clip', which is not read"),
        ("bbox_token_idx", 5, "has <bbox> at 5 in its configuration"),
        ("hidden_size", None, r"config\.json is not supported: hidden_size"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    field: str, value: object, message: str, tmp_path: Path
) -> None:
    save_glamm(tmp_path / "in")
    path = tmp_path / "in" / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {field: value}
    path.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(SkycueError, match=message):
        convert(tmp_path / "in", tmp_path / "out")


def test_a_tokenizer_without_glamms_tokens_is_refused(tmp_path: Path) -> None:
    save_glamm(tmp_path / "in")
    path = tmp_path / "in" / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8").replace("[SEG]", "[CUT]"), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"lacks \[SEG\]"):
        convert(tmp_path / "in", tmp_path / "out")
    assert "[SEG]" in GLAMM_TOKENS


def save_sentencepiece(folder: Path) -> None:
    """Put a small vocabulary of Llama's kind in place of the byte-level one."""
    from sentencepiece import sentencepiece_model_pb2

    proto: Any = sentencepiece_model_pb2
    model = proto.ModelProto()
    kinds = {"<unk>": 2, "<s>": 3, "</s>": 3} | {f"<0x{byte:02X}>": 6 for byte in range(256)}
    words = ["\u2581", "s", "h", "i", "p", "A", "sh", "ip", "ship", "\u2581ship", "\u2581A"]
    for piece, kind in (kinds | dict.fromkeys(words, 1)).items():
        model.pieces.add(piece=piece, type=kind, score=0.0)
    model.trainer_spec.model_type = 2  # byte-pair encoding
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_bytes(model.SerializeToString())
    start = len(model.pieces)
    added = {token: start + number for number, token in enumerate(GLAMM_TOKENS)}
    (folder / "added_tokens.json").write_text(json.dumps(added), encoding="utf-8")
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    settings = {"tokenizer_class": "LlamaTokenizer", "legacy": True, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["bbox_token_idx"] = added["<bbox>"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def test_a_vocabulary_of_llamas_kind_is_read_and_cuts_as_glamms_does(tmp_path: Path) -> None:
    save_glamm(tmp_path / "in")
    save_sentencepiece(tmp_path / "in")
    convert(tmp_path / "in", tmp_path / "out")
    tokenizer: Any = load_tokenizer(tmp_path / "out")
    # GLaMM's tokenizer cut blanks around special tokens and began each piece with one of its own
    written = tokenizer.tokenize("A<im_start><image><im_end> ship<bbox> ship")
    glamms = ["\u2581A", "<im_start>", "<image>", "<im_end>", "\u2581ship", "<bbox>", "\u2581ship"]
    assert written == glamms
    assert " <" not in PROMPT
    assert " <" not in QUESTION
    assert tokenizer.eos_token == "</s>"
    assert tokenizer.pad_token == "<unk>"


@pytest.mark.parametrize("name", ["glamm_7b", "geopixeld_7b"])
def test_recipes_on_glamm_say_what_the_converted_folder_says(network: ClvNet, name: str) -> None:
    ours = load_config(RegionTrainingConfig, shipped_configs()[name]).model
    config = network.config
    assert (config.small_box, config.small_box_window) == (SMALL_BOX, 1 / SMALL_BOX)
    assert (ours.small_box, ours.small_box_window) == (config.small_box, config.small_box_window)
    assert (ours.windows, ours.view_grid) == (config.windows, config.view_grid)
    assert ours.reasoner == config.reasoner


def test_an_architecture_is_not_to_be_named(source: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="--arch is for a file of weights"):
        convert(source, tmp_path / "out", "ViT-B-32")


def test_features_of_many_images_keep_their_rows(network: ClvNet) -> None:
    pixels = torch.cat([padded_image(), padded_image().flip(-1)])
    with torch.no_grad():
        features = network.segmenter.encode(pixels)
        both = network.segmenter.decode(features, values("queries", (2, 3, WIDTH)))
        second = MaskFeatures(features.coarse[1:])
        alone = network.segmenter.decode(second, values("queries", (2, 3, WIDTH))[1:])
    assert_close(both.logits[1], alone.logits[0], rtol=0, atol=2e-5)
