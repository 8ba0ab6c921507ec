"""A region model and records to measures: captions, masks, phrases, and what the box prompt does.

The model is asked about each record's box, and for some measures about a shuffled and a jittered
one (`region_targets`); its answers are kept in a file (`region_predictions`), and all numbers are
computed from that (`region_measures`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from skycue.backbones.sentence import SentenceEncoder
from skycue.boxes import Box
from skycue.data.instances import InstanceImage
from skycue.data.regions import RegionRecord
from skycue.errors import ConfigError
from skycue.metrics.captions import require_caption_tools
from skycue.region_measures import MEASURES, METRICS, Case, Metric
from skycue.region_predictions import Describer, Predictions, predict_regions
from skycue.region_scores import RegionScores, known
from skycue.region_targets import Prompts, Target, plan_prompts, targets_of

JITTER = 0.1
"""Share of its extent by which each side of a jittered box moves at most."""


@dataclass(frozen=True)
class RegionEvaluationOptions:
    """What to measure and what it is measured with."""

    predictions: Path
    """File in which the model's answers are kept."""
    name: str = "records"
    """What the records are called in the result."""
    metrics: tuple[Metric, ...] = METRICS
    """What to compute."""
    sentence: SentenceEncoder | None = None
    """Compares texts of phrases; needed by "recall"."""
    instances: Sequence[InstanceImage] | None = None
    """All outlined objects of the images; by default those in the records' boxes."""
    seed: int = 1
    """Of shuffled and jittered boxes."""


def evaluate_regions(
    describer: Describer,
    records: Sequence[RegionRecord],
    root: Path,
    options: RegionEvaluationOptions,
) -> RegionScores:
    """Ask a model about the boxes of records and measure its answers.

    A run that was killed goes on at the next image when it is started again.

    Args:
        describer: The model.
        records: Boxes with captions and masks.
        root: Folder of the images.
        options: What to measure.

    Raises:
        MissingToolError: If a metric needs what is not installed.
        ConfigError: If recall is asked for without an encoder of sentences.
        RecordError: If records and `options.instances` do not fit.
        RunError: If the file of predictions holds answers of another model.
        ImageReadError: If an image cannot be read.
    """
    _check(options)
    targets = targets_of(records, options.instances)
    plan = plan_prompts(
        records,
        targets,
        seed=options.seed,
        shuffle="shuffle" in options.metrics,
        jitter=JITTER if "jitter" in options.metrics else None,
    )
    wanted: dict[str, list[Box]] = {}
    for record, prompts in zip(records, plan, strict=True):
        wanted.setdefault(record.image, []).extend(box for box in prompts if box is not None)
    answers = predict_regions(describer, wanted, root, options.predictions)
    cases = [
        _case(record, target, prompts, answers)
        for record, target, prompts in zip(records, targets, plan, strict=True)
    ]
    return score_cases(cases, options, model=describer.model)


def score_cases(
    cases: Sequence[Case], options: RegionEvaluationOptions, *, model: str
) -> RegionScores:
    """Compute the measures asked for from the answers of a model that are there."""
    columns: dict[str, float | None] = {}
    counts: dict[str, int] = {}
    for metric in METRICS:
        if metric in options.metrics:
            found = MEASURES[metric](cases, options.sentence)
            columns |= {name: known(value) for name, value in found.columns.items()}
            counts |= found.counts
    for case in cases:
        for flag in case.answer.flags:
            counts[f"answers flagged: {flag}"] = counts.get(f"answers flagged: {flag}", 0) + 1
    return RegionScores(
        model=model,
        records=options.name,
        n_records=len(cases),
        n_images=len({case.record.image for case in cases}),
        seed=options.seed,
        columns=columns,
        counts=counts,
    )


def _check(options: RegionEvaluationOptions) -> None:
    """Refuse before the model works what would fail after it."""
    if {"meteor", "cider"} & set(options.metrics):
        require_caption_tools(meteor="meteor" in options.metrics)
    if "recall" in options.metrics and options.sentence is None:
        raise ConfigError("recall compares texts: give an encoder of sentences, such as minilm.")


def _case(
    record: RegionRecord, target: Target | None, prompts: Prompts, answers: Predictions
) -> Case:
    """Put the answers to the boxes of a record beside it."""
    tight, shuffled, jittered = (
        None if box is None else answers[record.image, box] for box in prompts
    )
    assert tight is not None, "every record has a box"
    return Case(record, target, tight, shuffled, jittered)
