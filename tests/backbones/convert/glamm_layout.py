"""A small checkpoint in GLaMM's layout: its names and shapes, weights from a formula.

The weights need no generator, so the networks of GLaMM's own repository could be filled with the
same ones (`golden/README.md`).
"""

import json
import zlib
from pathlib import Path

import torch
from torch import Tensor

from skycue.backbones.vocabulary import train_bpe_tokenizer

GLAMM_TOKENS = ("<im_start>", "<im_end>", "<bbox>", "<point>", "[SEG]", "<p>", "</p>")
"""What GLaMM adds to a vocabulary, in its order; an image is no token there."""
WIDTH = 16
"""Width of the language model, and of SAM."""
CLIP_WIDTH = 64
"""Width of the image tokens and of the region encoder, whose norms have 64 groups."""
REGION_WIDTH, POSITION_WIDTH, ROI_SIZE, N_LEVELS, N_ROUNDS = 32, 24, 14, 4, 5
HIDDEN, N_LAYERS, KV_WIDTH = 24, 1, 8
PATCH, GRID, WINDOW, DECODER_HIDDEN = 8, 8, 3, 32
_PRIME = 65521

Shapes = dict[str, tuple[int, ...]]


def values(name: str, shape: tuple[int, ...]) -> Tensor:
    """Return numbers in [-1, 1) that a name decides, the same on every machine."""
    index = torch.arange(torch.Size(shape).numel())
    mixed = (index * index * 7919 + index * 104729 + zlib.crc32(name.encode())) % _PRIME
    return (mixed.double() / _PRIME * 2 - 1).float().reshape(shape)


def weight(name: str, shape: tuple[int, ...]) -> Tensor:
    """Return a weight of a size that keeps activations near one."""
    if len(shape) > 1:
        fan_in = torch.Size(shape[1:]).numel()
        scaled: Tensor = values(name, shape) * (3 / fan_in) ** 0.5
        return scaled
    return values(name, shape) * 0.3 + (1 if name.endswith(".weight") else 0)


def linear(name: str, out: int, given: int) -> Shapes:
    """Return the shapes of a linear layer with bias."""
    return {f"{name}.weight": (out, given), f"{name}.bias": (out,)}


def conv(name: str, out: int, given: int, side: int, *, bias: bool = True) -> Shapes:
    """Return the shapes of a convolution."""
    shapes: Shapes = {f"{name}.weight": (out, given, side, side)}
    return shapes | ({f"{name}.bias": (out,)} if bias else {})


def norm(name: str, width: int) -> Shapes:
    """Return the shapes of a norm with weight and bias."""
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def language_shapes(n_tokens: int) -> Shapes:
    """Return the shapes of a Llama."""
    shapes: Shapes = {"model.embed_tokens.weight": (n_tokens, WIDTH)}
    for layer in range(N_LAYERS):
        name = f"model.layers.{layer}"
        for part, rows in (("q", WIDTH), ("k", KV_WIDTH), ("v", KV_WIDTH), ("o", WIDTH)):
            shapes[f"{name}.self_attn.{part}_proj.weight"] = (rows, WIDTH)
        shapes[f"{name}.mlp.gate_proj.weight"] = (HIDDEN, WIDTH)
        shapes[f"{name}.mlp.up_proj.weight"] = (HIDDEN, WIDTH)
        shapes[f"{name}.mlp.down_proj.weight"] = (WIDTH, HIDDEN)
        shapes[f"{name}.input_layernorm.weight"] = (WIDTH,)
        shapes[f"{name}.post_attention_layernorm.weight"] = (WIDTH,)
    return shapes | {"model.norm.weight": (WIDTH,), "lm_head.weight": (n_tokens, WIDTH)}


def region_shapes() -> Shapes:
    """Return the shapes of MLVLROIQueryModule."""
    shapes: Shapes = {}
    for level in range(N_LEVELS):
        shapes |= conv(f"mlvl_fuse.input_conv.{level}", CLIP_WIDTH, CLIP_WIDTH + 2, 1)
        shapes |= conv(f"roi_align.pconvs.{level}", CLIP_WIDTH, CLIP_WIDTH, 3)
    for number in range(N_ROUNDS):
        name = f"mlvl_fuse.fuse_convs.{number}"
        shapes |= conv(f"{name}.conv", CLIP_WIDTH, CLIP_WIDTH, 3, bias=False)
        shapes |= norm(f"{name}.gn", CLIP_WIDTH)
    return {
        **shapes,
        **linear("roi_align.pos_embedd.0", POSITION_WIDTH, 4),
        **norm("roi_align.pos_embedd.2", POSITION_WIDTH),
        **linear("roi_align.pos_embedd.3", REGION_WIDTH, POSITION_WIDTH),
        **norm("roi_align.pos_embedd.5", REGION_WIDTH),
        **linear("roi_align.updims", WIDTH, REGION_WIDTH),
        **linear("roi_align.flatten_linear", REGION_WIDTH, CLIP_WIDTH * ROI_SIZE**2),
    }


def sam_shapes() -> Shapes:
    """Return the shapes of a SAM under segment-anything's names."""
    head = WIDTH // 2
    shapes: Shapes = {"image_encoder.pos_embed": (1, GRID, GRID, WIDTH)}
    shapes |= conv("image_encoder.patch_embed.proj", WIDTH, 3, PATCH)
    for block, side in enumerate((WINDOW, GRID)):
        name = f"image_encoder.blocks.{block}"
        shapes |= norm(f"{name}.norm1", WIDTH) | norm(f"{name}.norm2", WIDTH)
        shapes |= linear(f"{name}.attn.qkv", 3 * WIDTH, WIDTH)
        shapes |= linear(f"{name}.attn.proj", WIDTH, WIDTH)
        shapes |= {f"{name}.attn.rel_pos_{axis}": (2 * side - 1, head) for axis in "hw"}
        shapes |= linear(f"{name}.mlp.lin1", 4 * WIDTH, WIDTH)
        shapes |= linear(f"{name}.mlp.lin2", WIDTH, 4 * WIDTH)
    for place, side in ((0, 1), (2, 3)):
        shapes |= conv(f"image_encoder.neck.{place}", WIDTH, WIDTH, side, bias=False)
        shapes |= norm(f"image_encoder.neck.{place + 1}", WIDTH)
    return shapes | _prompt_shapes() | _decoder_shapes()


def _prompt_shapes() -> Shapes:
    name = "prompt_encoder"
    shapes: Shapes = {
        f"{name}.pe_layer.positional_encoding_gaussian_matrix": (2, WIDTH // 2),
        f"{name}.not_a_point_embed.weight": (1, WIDTH),
        f"{name}.no_mask_embed.weight": (1, WIDTH),
    }
    shapes |= {f"{name}.point_embeddings.{i}.weight": (1, WIDTH) for i in range(4)}
    name += ".mask_downscaling"
    shapes |= conv(f"{name}.0", 4, 1, 2) | norm(f"{name}.1", 4)
    return (
        shapes
        | conv(f"{name}.3", 16, 4, 2)
        | norm(f"{name}.4", 16)
        | conv(f"{name}.6", WIDTH, 16, 1)
    )


def _decoder_shapes() -> Shapes:
    name = "mask_decoder"
    shapes: Shapes = {
        f"{name}.iou_token.weight": (1, WIDTH),
        f"{name}.mask_tokens.weight": (4, WIDTH),
    }
    for layer in range(2):
        place = f"{name}.transformer.layers.{layer}"
        shapes |= _attention_shapes(f"{place}.self_attn", WIDTH)
        shapes |= _attention_shapes(f"{place}.cross_attn_token_to_image", WIDTH // 2)
        shapes |= _attention_shapes(f"{place}.cross_attn_image_to_token", WIDTH // 2)
        shapes |= linear(f"{place}.mlp.lin1", DECODER_HIDDEN, WIDTH)
        shapes |= linear(f"{place}.mlp.lin2", WIDTH, DECODER_HIDDEN)
        for number in range(1, 5):
            shapes |= norm(f"{place}.norm{number}", WIDTH)
    shapes |= _attention_shapes(f"{name}.transformer.final_attn_token_to_image", WIDTH // 2)
    shapes |= norm(f"{name}.transformer.norm_final_attn", WIDTH)
    quarter, eighth = WIDTH // 4, WIDTH // 8
    # transposed convolutions name the channels they get first
    shapes |= {f"{name}.output_upscaling.0.weight": (WIDTH, quarter, 2, 2)}
    shapes |= {f"{name}.output_upscaling.0.bias": (quarter,)}
    shapes |= norm(f"{name}.output_upscaling.1", quarter)
    shapes |= {f"{name}.output_upscaling.3.weight": (quarter, eighth, 2, 2)}
    shapes |= {f"{name}.output_upscaling.3.bias": (eighth,)}
    for token in range(4):
        place = f"{name}.output_hypernetworks_mlps.{token}.layers"
        for number, rows in enumerate((WIDTH, WIDTH, eighth)):
            shapes |= linear(f"{place}.{number}", rows, WIDTH)
    for number, rows in enumerate((256, 256, 4)):
        shapes |= linear(
            f"{name}.iou_prediction_head.layers.{number}", rows, 256 if number else WIDTH
        )
    return shapes


def _attention_shapes(name: str, inner: int) -> Shapes:
    shapes: Shapes = {}
    for part in ("q_proj", "k_proj", "v_proj"):
        shapes |= linear(f"{name}.{part}", inner, WIDTH)
    return shapes | linear(f"{name}.out_proj", WIDTH, inner)


def glamm_shapes(n_tokens: int) -> Shapes:
    """Return the names and shapes of a whole GLaMM."""
    return {
        **language_shapes(n_tokens),
        **linear("model.mm_projector.0", WIDTH, CLIP_WIDTH),
        **linear("model.mm_projector.2", WIDTH, WIDTH),
        **{f"model.region_encoder.{name}": shape for name, shape in region_shapes().items()},
        **linear("model.text_hidden_fcs.0.0", WIDTH, WIDTH),
        **linear("model.text_hidden_fcs.0.2", WIDTH, WIDTH),
        **{f"model.grounding_encoder.{name}": shape for name, shape in sam_shapes().items()},
    }


def glamm_state(n_tokens: int) -> dict[str, Tensor]:
    """Return the weights of a whole GLaMM, by name."""
    return {name: weight(name, shape) for name, shape in glamm_shapes(n_tokens).items()}


def save_glamm(folder: Path) -> dict[str, Tensor]:
    """Save a GLaMM as it lies on the hub: two pickled parts with an index, and its tokenizer.

    Returns:
        Its weights.
    """
    from tokenizers import AddedToken

    folder.mkdir(parents=True)
    tokenizer = train_bpe_tokenizer(["The <image> shows a ship."], 300)
    tokenizer.add_tokens([AddedToken(t, special=True) for t in GLAMM_TOKENS], special_tokens=True)
    tokenizer.save_pretrained(folder)
    state = glamm_state(len(tokenizer))
    config = {
        "architectures": ["GLaMMForCausalLM"],
        "model_type": "llava",
        "hidden_size": WIDTH,
        "intermediate_size": HIDDEN,
        "num_hidden_layers": N_LAYERS,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "hidden_act": "silu",
        "max_position_embeddings": 1024,
        "rms_norm_eps": 1e-5,
        "vocab_size": len(tokenizer),
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "mm_vision_tower": "openai/clip-vit-large-patch14-336",
        "mm_vision_select_layer": -2,
        "mm_hidden_size": CLIP_WIDTH,
        "num_reg_features": N_LEVELS,
        "with_region": True,
        "bbox_token_idx": tokenizer.convert_tokens_to_ids("<bbox>"),
        "out_dim": WIDTH,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    names = sorted(state)
    parts = {
        "pytorch_model-00001-of-00002.bin": names[: len(names) // 2],
        "pytorch_model-00002-of-00002.bin": names[len(names) // 2 :],
    }
    for file, chosen in parts.items():
        torch.save({name: state[name] for name in chosen}, folder / file)
    index = {"weight_map": {name: file for file, chosen in parts.items() for name in chosen}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index), encoding="utf-8")
    return state
