"""Ablation of BiMoRS: what does each part of it bring, above all the caption?

Each variant changes one thing of the reference and is run base to new (`base_to_new.py`). Two of
them keep the network and take the caption's meaning away: every image gets the caption of another
image, or all get the same. If they score what the reference scores, the caption says nothing that
the method uses. A CoCoOp with as many learned numbers tells the design from the size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from skycue.backbones.clip import Clip
from skycue.errors import ConfigError
from skycue.protocols import base_to_new
from skycue.protocols.base_to_new import base_new_measures, half_cells, rows_with_reference
from skycue.protocols.cells import ORACLE, Cell, Comparison, Row, Targets, Texts
from skycue.protocols.paired import Scores
from skycue.protocols.results import Results
from skycue.protocols.scene_data import SceneData
from skycue.protocols.tables import Field, Table, shots_text
from skycue.scene_config import SceneConfig
from skycue.scenes.bimors import BiMoRSConfig
from skycue.scenes.cocoop import CoCoOpConfig
from skycue.scenes.registry import build_method

REFERENCE = "bimors"
EQUAL_SIZE = "cocoop of equal size"
SHOTS = (1, 4, 16)
"""Numbers of shots that the reference is run with, beside the one that was asked for."""

Option: TypeAlias = str | int | bool


class Variant(NamedTuple):
    """One change to the reference."""

    name: str
    options: Mapping[str, Option]
    """Options of BiMoRS that take another value."""
    texts: Texts = "own"


VARIANTS = (
    Variant("no caption", {"use_caption": False}),
    Variant("no visual token", {"use_visual": False}),
    Variant("captions shuffled among images", {}, "shuffled"),
    Variant("captions all equal", {}, "equal"),
    Variant("caption projection frozen", {"caption_projection": "frozen"}),
    Variant("start as released", {"init": "released"}),
    Variant("1 head", {"heads": 1}),
    Variant("16 context tokens", {"n_ctx": 16}),
)
"""The reference has 4 heads, the 4 tokens of "a photo of a", a trained projection, a zero start."""


def ablation_rows(reference: SceneConfig, clip: Clip, caption_width: int) -> list[Row]:
    """Return the reference, its variants, the CoCoOp of equal size and the oracle.

    Args:
        reference: Settings of BiMoRS.
        clip: The backbone, whose widths the number of parameters follows.
        caption_width: Length of a caption's vector, S.

    Raises:
        ConfigError: If the reference is no BiMoRS.
    """
    method = reference.method
    if not isinstance(method, BiMoRSConfig):
        raise ConfigError(f"an ablation is one of bimors; {method.name!r} was given.")
    rows = [Row(REFERENCE, reference)]
    for variant in VARIANTS:
        changed = BiMoRSConfig.model_validate(method.model_dump() | dict(variant.options))
        config = reference.model_copy(update={"method": changed})
        rows.append(Row(variant.name, config, variant.texts))
    hidden = hidden_of_equal_size(clip, method, caption_width)
    cocoop = CoCoOpConfig(init_words=method.init_words, n_ctx=method.n_ctx, hidden=hidden)
    rows.append(Row(EQUAL_SIZE, reference.model_copy(update={"method": cocoop})))
    rows.append(Row(ORACLE, reference))
    return rows


def hidden_of_equal_size(clip: Clip, config: BiMoRSConfig, caption_width: int) -> int:
    """Return the hidden width of CoCoOp's meta-net that gives it as many learned numbers.

    A meta-net of hidden width h has h (D + W + 1) + W numbers, beside the context that both have.

    Args:
        clip: The backbone, with shared width D and text width W.
        config: Options of BiMoRS.
        caption_width: Length of a caption's vector, S.
    """
    bimors = build_method(clip, config.model_copy(update={"caption_width": caption_width}))
    sizes = {name: p.numel() for name, p in bimors.learned_parameters().items()}
    width = clip.config.text.width
    wanted = sum(sizes.values()) - sizes["context"] - width
    return max(round(wanted / (clip.config.embed_dim + width + 1)), 1)


def plan(comparison: Comparison) -> list[Cell]:
    """List the cells: each row with the shots asked for, the reference with `SHOTS` too."""
    asked = Comparison(comparison.data, comparison.rows, comparison.shots[:1], comparison.seeds)
    more = tuple(shots for shots in SHOTS if shots != comparison.shots[0])
    cells = []
    for data in comparison.data:
        for row in rows_with_reference(asked, data):
            cells += half_cells(asked, data, row)
            if row.name == REFERENCE and more:
                other = Comparison(comparison.data, (row,), more, comparison.seeds)
                cells += half_cells(other, data, row)
    return cells


def tables(comparison: Comparison, results: Results) -> list[Table]:
    """Build one table for each dataset; the last column is the difference to the reference."""
    return [_table(comparison, data, results) for data in comparison.data]


def scores(
    comparison: Comparison, results: Results, shots: int, targets: Targets = "all"
) -> Scores:
    """Return H of each row on each dataset, with the shots that were asked for."""
    return base_to_new.scores(comparison, results, shots, targets)


def _table(comparison: Comparison, data: SceneData, results: Results) -> Table:
    """Build the table of one dataset."""
    asked = comparison.shots[0]
    setting = f"base to new on {data.name}, {shots_text(asked)}"
    rows = [(row.name, row.name, asked) for row in rows_with_reference(comparison, data)]
    rows += [(f"{REFERENCE}, {shots_text(k)}", REFERENCE, k) for k in SHOTS if k != asked]
    return Table(
        name=f"ablation_{data.name}",
        title=f"Ablation of BiMoRS, {setting}: {data.measure}, %",
        columns=("variant", "learned numbers", "base", "new", "H", "H minus bimors"),
        rows=tuple(
            (title, *_fields(results, row, data.name, shots, asked)) for title, row, shots in rows
        ),
        notes=_notes(data),
    )


def _notes(data: SceneData) -> tuple[str, ...]:
    """Say how to read the last column, and what the oracle is where there is one."""
    notes = ("Differences are taken seed by seed, against bimors with the same draw of images.",)
    if data.human_captions is None:
        return notes
    oracle = (
        f"{ORACLE}: people described the very images and mostly name the class; a bound, not a "
        "result."
    )
    return (*notes, oracle)


def _fields(results: Results, row: str, data: str, shots: int, asked: int) -> tuple[Field, ...]:
    """Return what stands behind the name of a row."""
    cells = results.of(row, data, shots)
    base, new, mean = base_new_measures(results, row, data, shots)
    _, _, reference = base_new_measures(results, REFERENCE, data, asked)
    difference: Field = ""
    if mean is not None and reference is not None and len(mean.values) == len(reference.values):
        difference = mean.minus(reference) if row != REFERENCE or shots != asked else ""
    return f"{cells[0].n_learned:,}" if cells else "", base, new, mean, difference
