"""The measures of region models, each a function of records and the answers to them.

What is computed with something that can be chosen has its name behind an @: `cider@ptb`,
`recall@minilm`. `skycue.region_scores.COLUMNS` says what each column means.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from skycue.backbones.sentence import MINILM, SentenceEncoder
from skycue.data.region_captions import class_and_box_caption
from skycue.data.regions import RegionRecord
from skycue.data.rle import Rle, encode_mask
from skycue.errors import ConfigError
from skycue.metrics.captions import cider, meteor
from skycue.metrics.grounding import (
    Floats,
    GroundedTexts,
    Share,
    TextSimilarity,
    glamm_recall,
    is_confused,
    look_alikes_of,
    mask_recall,
    named_class,
    relation_truths,
)
from skycue.metrics.masks import (
    ImageMasks,
    average_precision,
    glamm_average_precision,
    glamm_mean_iou,
    mask_iou,
    mean_iou,
    union_of,
)
from skycue.region_predictions import Prediction
from skycue.region_targets import Target

Metric: TypeAlias = Literal[
    "meteor",
    "cider",
    "ap50",
    "miou",
    "recall",
    "p_iou",
    "class",
    "shuffle",
    "look_alikes",
    "relations",
    "jitter",
]
METRICS: tuple[Metric, ...] = get_args(Metric)
_MINILM_LABEL = "minilm"


class Case(NamedTuple):
    """A record with what the model made of it.

    Attributes:
        record: The truth.
        target: The object in the box; None where the record names none.
        answer: To the record's box.
        shuffled: To another object's box; None where there is none, or it was not asked.
        jittered: To the moved box; None where it was not asked.
    """

    record: RegionRecord
    target: Target | None
    answer: Prediction
    shuffled: Prediction | None
    jittered: Prediction | None


class Found(NamedTuple):
    """What a measure gives.

    Attributes:
        columns: Numbers by column name.
        counts: What was looked at or left out.
    """

    columns: Mapping[str, float]
    counts: Mapping[str, int]


def sentence_similarity(encoder: SentenceEncoder, texts: Sequence[str]) -> TextSimilarity:
    """Return the cosine of sentence vectors as a measure of likeness; blank texts resemble none.

    Args:
        encoder: Turns texts into vectors.
        texts: All that will be compared, encoded at once.
    """
    distinct = sorted({text for text in texts if text.strip()})
    rows: Floats = encoder.encode(distinct).double().numpy()  # [N, S]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    vector_of = dict(zip(distinct, rows, strict=True))
    blank = np.zeros(encoder.dim)

    def similarity(first: Sequence[str], second: Sequence[str]) -> Floats:
        sides = [
            np.stack([vector_of.get(text, blank) for text in side]) for side in (first, second)
        ]
        product: Floats = sides[0] @ sides[1].T
        return product

    return similarity


def select_metrics(names: str) -> tuple[Metric, ...]:
    """Read names of metrics separated by commas; "all" is all of them.

    Raises:
        ConfigError: If a name is unknown or there is none.
    """
    asked = [name.strip() for name in names.split(",") if name.strip()]
    for name in asked:
        if name not in (*METRICS, "all"):
            raise ConfigError(f"no metric {name!r}; there are {', '.join(METRICS)}, and all.")
    if not asked:
        raise ConfigError(f"no metric is given; there are {', '.join(METRICS)}, and all.")
    return METRICS if "all" in asked else tuple(name for name in METRICS if name in asked)


def open_sentence_encoder(name: str) -> SentenceEncoder:
    """Load what compares phrases: "minilm", a folder, or a name on the hub.

    Raises:
        CheckpointError: If there is no such encoder.
    """
    return SentenceEncoder(MINILM if name == _MINILM_LABEL else name)


def encoder_label(encoder: SentenceEncoder) -> str:
    """Return the short name that a sentence encoder has in the name of a metric."""
    return _MINILM_LABEL if encoder.name == MINILM else Path(encoder.name).name


def _measure_meteor(cases: Sequence[Case], sentence: SentenceEncoder | None) -> Found:
    score = meteor(
        [case.answer.caption for case in cases], [[case.record.caption] for case in cases]
    )
    return Found({score.name: score.value}, {})


def _measure_cider(cases: Sequence[Case], sentence: SentenceEncoder | None) -> Found:
    """CIDEr of the model, and of the rules that know class and box alone, on the same records."""
    score = cider(
        [case.answer.caption for case in cases], [[case.record.caption] for case in cases]
    )
    named = [(case.record, case.target.class_name) for case in cases if case.target is not None]
    rules = cider(
        [class_and_box_caption(name, record.box, record.size) for record, name in named],
        [[record.caption] for record, _ in named],
    )
    rules_name = rules.name.replace("cider", "cider_of_class_and_box")
    return Found(
        {score.name: score.value, rules_name: rules.value},
        {"records without a class for the rule captioner": len(cases) - len(named)},
    )


def _measure_ap50(cases: Sequence[Case], sentence: SentenceEncoder | None) -> Found:
    masks = [_masks(case) for case in cases]
    return Found(
        {"glamm_ap50": glamm_average_precision(masks), "ap50": average_precision(masks)}, {}
    )


def _measure_miou(cases: Sequence[Case], sentence: SentenceEncoder | None) -> Found:
    masks = [_masks(case) for case in cases]
    corrected = mean_iou(masks)
    return Found(
        {"glamm_miou": glamm_mean_iou(masks).value, "miou": corrected.value},
        {
            "empty masks left out of corrected measures": corrected.n_empty,
            "answers without any mask on either side": corrected.n_images_left_out,
        },
    )


def _measure_recall(cases: Sequence[Case], sentence: SentenceEncoder | None) -> Found:
    assert sentence is not None, "checked before the model is asked"
    answers = [
        GroundedTexts(
            _masks(case),
            tuple(phrase.text for phrase in case.answer.phrases),
            tuple(case.record.words(phrase) for phrase in case.record.phrases),
        )
        for case in cases
    ]
    texts = [text for answer in answers for text in (*answer.predicted, *answer.true)]
    similarity = sentence_similarity(sentence, texts)
    label = encoder_label(sentence)
    corrected = mask_recall(answers, similarity)
    return Found(
        {
            f"glamm_recall@{label}": glamm_recall(answers, similarity).value,
            f"recall@{label}": corrected.value,
        },
        {"true phrases looked for": corrected.n_all},
    )


def _measure_p_iou(cases: Sequence[Case], sentence: SentenceEncoder | None) -> Found:
    prompted = [(case.answer, case.target) for case in cases if case.target is not None]
    return Found(
        {"p_iou": _mean_p_iou(prompted)},
        {
            "records without a prompted object": len(cases) - len(prompted),
            "answers without a mask of the prompted object": sum(
                prompted_mask(answer) is None for answer, _ in prompted
            ),
        },
    )


def _measure_class(cases: Sequence[Case], sentence: SentenceEncoder | None) -> Found:
    """Share of prompted phrases that name the class of the target; no phrase names none."""
    asked = [(case.answer, case.target) for case in cases if case.target is not None]
    phrases = [(answer.prompted_phrase, target.class_name.lower()) for answer, target in asked]
    hits = sum(phrase is not None and named_class(phrase.text) == name for phrase, name in phrases)
    return Found({"class_accuracy": Share(hits, len(asked)).value}, {})


def _measure_shuffle(cases: Sequence[Case], sentence: SentenceEncoder | None) -> Found:
    """P-IoU of the answer to another object's box with the mask of the record's own."""
    asked = [case for case in cases if case.target is not None]
    shuffled = [(case.shuffled, case.target) for case in asked]
    pairs = [(answer, target) for answer, target in shuffled if answer and target]
    return Found(
        {"shuffled_p_iou": _mean_p_iou(pairs)},
        {"records alone in their image, not shuffled": len(asked) - len(pairs)},
    )


def _measure_look_alikes(cases: Sequence[Case], sentence: SentenceEncoder | None) -> Found:
    """Share of masks that overlap a look-alike more than the target; an answer of none does not."""
    confused = []
    for case in cases:
        if case.target is None:
            continue
        size, objects = case.record.size, case.target.image.instances
        boxes, names = [each.box for each in objects], [each.class_name for each in objects]
        others = look_alikes_of(boxes, names, case.target.index)
        if others:
            mask = prompted_mask(case.answer)
            masks = [encode_mask(objects[other].mask(size)) for other in others]
            confused.append(mask is not None and is_confused(mask, case.target.mask, masks))
    share = Share(sum(confused), len(confused))
    return Found({"look_alike_confusion": share.value}, {"prompts with a look-alike": share.n_all})


def _measure_relations(cases: Sequence[Case], sentence: SentenceEncoder | None) -> Found:
    truths = [
        truth
        for case in cases
        if case.target is not None
        for truth in relation_truths(case.answer.caption, case.target.image, case.target.index)
    ]
    share = Share(sum(truths), len(truths))
    return Found({"relation_accuracy": share.value}, {"relations and counts claimed": share.n_all})


def _measure_jitter(cases: Sequence[Case], sentence: SentenceEncoder | None) -> Found:
    jittered = [(case.jittered, case.target) for case in cases]
    pairs = [(answer, target) for answer, target in jittered if answer and target]
    return Found({"jittered_p_iou": _mean_p_iou(pairs)}, {})


MEASURES: dict[Metric, Callable[[Sequence[Case], SentenceEncoder | None], Found]] = {
    "meteor": _measure_meteor,
    "cider": _measure_cider,
    "ap50": _measure_ap50,
    "miou": _measure_miou,
    "recall": _measure_recall,
    "p_iou": _measure_p_iou,
    "class": _measure_class,
    "shuffle": _measure_shuffle,
    "look_alikes": _measure_look_alikes,
    "relations": _measure_relations,
    "jitter": _measure_jitter,
}


def prompted_mask(answer: Prediction) -> Rle | None:
    """Return the mask of the phrase that an answer marks as the object in the box."""
    phrase = answer.prompted_phrase
    return None if phrase is None else phrase.mask


def _mean_p_iou(pairs: Sequence[tuple[Prediction, Target]]) -> float:
    """Average the overlap of prompted masks with their targets; no mask overlaps by 0."""
    masks = [(prompted_mask(answer), target.mask) for answer, target in pairs]
    overlaps = [0.0 if mask is None else mask_iou(mask, true) for mask, true in masks]
    return float(np.mean(overlaps)) if overlaps else float("nan")


def _masks(case: Case) -> ImageMasks:
    """Return one mask a phrase on either side; a phrase without a mask has an empty one."""
    empty = encode_mask(np.zeros(case.record.size, dtype=np.bool_))
    return ImageMasks(
        tuple(empty if each.mask is None else each.mask for each in case.answer.phrases),
        tuple(each.score for each in case.answer.phrases),
        tuple(union_of(phrase.masks) for phrase in case.record.phrases),
    )
