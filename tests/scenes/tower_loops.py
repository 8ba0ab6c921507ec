"""CLIP's towers with deep prompts as plain loops: one sequence, one head, one block at a time."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skycue.backbones.clip import Clip
from skycue.backbones.transformer import Block


def block_by_loops(block: Block, x: Tensor, *, causal: bool) -> Tensor:
    """Pass one sequence [L, W] through a block, head by head and query by query."""
    attention = block.attention
    width = x.shape[1]
    d = width // attention.heads
    q, k, v = attention.in_proj(block.ln_1(x)).split(width, dim=-1)
    rows = []
    for position in range(len(x)):
        seen = slice(0, position + 1) if causal else slice(None)
        heads = []
        for head in range(attention.heads):
            part = slice(head * d, (head + 1) * d)
            weights = (k[seen, part] @ q[position, part] / d**0.5).softmax(0)
            heads.append(weights @ v[seen, part])
        rows.append(torch.cat(heads))
    x = x + attention.out_proj(torch.stack(rows))
    mixed: Tensor = x + block.mlp(block.ln_2(x))
    return mixed


def blocks_by_loops(
    blocks: nn.ModuleList, x: Tensor, enter: Callable[[int, Tensor], Tensor], *, causal: bool
) -> Tensor:
    """Pass one sequence through all blocks; `enter` puts prompts before block `index`."""
    for index, block in enumerate(blocks):
        assert isinstance(block, Block)
        x = block_by_loops(block, enter(index, x), causal=causal)
    return x


def image_by_loops(clip: Clip, patches: Tensor, prompts: Sequence[Tensor]) -> Tensor:
    """Encode images [B, 1+N, V] with prompts [M, V] for the first blocks, [B, D].

    Prompts stand between the class token and the patch tokens, where VPT's paper puts them.
    """
    tower, n_patches = clip.image, patches.shape[1] - 1

    def enter(index: int, x: Tensor) -> Tensor:
        if index < len(prompts):
            x = torch.cat([x[:1], prompts[index], x[-n_patches:]])
        return tower.ln_pre(x) if index == 0 else x

    rows = [blocks_by_loops(tower.blocks, image, enter, causal=False)[0] for image in patches]
    return F.normalize(tower.ln_post(torch.stack(rows)) @ tower.projection, dim=-1)


def text_by_loops(
    clip: Clip, template: str, names: Sequence[str], prompts: Sequence[Tensor]
) -> Tensor:
    """Encode a template for each name, with prompts [M, W] in place of its first words, [C, D]."""
    tower, rows = clip.text, []

    def enter(index: int, x: Tensor) -> Tensor:
        if not 0 < index < len(prompts):
            return x
        return torch.cat([x[:1], prompts[index], x[1 + len(prompts[index]) :]])

    for name in names:
        ids = clip.tokenize([template.replace("{}", name)])[0]
        length = int(clip.eot_index(ids[None])) + 1
        x = clip.token_embedding(ids[:length]).clone()
        x[1 : 1 + len(prompts[0])] = prompts[0]
        x = x + tower.positional_embedding[:length]
        rows.append(blocks_by_loops(tower.blocks, x, enter, causal=True)[-1])
    return F.normalize(tower.ln_final(torch.stack(rows)) @ tower.projection, dim=-1)
