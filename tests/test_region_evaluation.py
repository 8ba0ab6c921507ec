"""Region evaluation with models that know the truth: what each column says of them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from skycue.answers import Answer, AnswerPhrase
from skycue.backbones.sentence import MINILM, SentenceEncoder
from skycue.boxes import Box
from skycue.data.instances import InstanceImage
from skycue.data.regions import RegionRecord
from skycue.errors import ConfigError, RecordError, RunError
from skycue.region_evaluation import RegionEvaluationOptions, evaluate_regions
from skycue.region_measures import METRICS, Metric, select_metrics
from skycue.region_predictions import (
    drop_other_answers,
    predict_regions,
    read_predictions,
)
from skycue.region_scores import COLUMNS, RegionScores
from skycue.region_targets import plan_prompts, targets_of
from tests.made_up_regions import (
    FIELD,
    HARBOR,
    IMAGES,
    PORT,
    KnowingDescriber,
    first,
    records,
)

WITHOUT_JAVA: tuple[Metric, ...] = tuple(
    name for name in METRICS if name not in ("meteor", "cider", "recall")
)
ROOT = Path("nowhere")


class LetterEncoder(SentenceEncoder):
    """Counts letters: no model, and equal texts have equal vectors."""

    def __init__(self) -> None:
        pass

    @property
    def name(self) -> str:
        return MINILM

    @property
    def dim(self) -> int:
        return 26

    def encode(self, texts: list[str]) -> Tensor:  # type: ignore[override]
        alphabet = "abcdefghijklmnopqrstuvwxyz"
        return torch.tensor([[float(text.lower().count(a)) for a in alphabet] for text in texts])


def options(folder: Path, metrics: tuple[Metric, ...] = WITHOUT_JAVA) -> RegionEvaluationOptions:
    return RegionEvaluationOptions(predictions=folder / "predictions.jsonl", metrics=metrics)


def scores_of(
    describer: KnowingDescriber, folder: Path, metrics: tuple[Metric, ...] = WITHOUT_JAVA
) -> RegionScores:
    return evaluate_regions(describer, records(), ROOT, options(folder, metrics))


def test_a_model_that_knows_the_truth_has_every_number_right(tmp_path: Path) -> None:
    scores = scores_of(KnowingDescriber(), tmp_path)
    right = dict.fromkeys(
        ("glamm_ap50", "ap50", "glamm_miou", "miou", "p_iou", "class_accuracy"), 1.0
    ) | {"relation_accuracy": 1.0, "jittered_p_iou": 1.0}
    wrong = {"shuffled_p_iou": 0.0, "look_alike_confusion": 0.0}
    assert scores.columns == pytest.approx(right | wrong)
    assert (scores.n_records, scores.n_images) == (7, 3)
    assert scores.counts["records alone in their image, not shuffled"] == 1  # the airplane
    assert scores.counts["prompts with a look-alike"] == 3  # ships of the port are too far apart
    assert scores.counts["relations and counts claimed"] > 3


def test_a_model_that_ignores_the_box_is_found_out(tmp_path: Path) -> None:
    columns = scores_of(KnowingDescriber(first), tmp_path).columns
    assert columns["p_iou"] == pytest.approx(3 / 7)  # the first object of each of three images
    assert columns["shuffled_p_iou"] == pytest.approx(2 / 6)  # of the six that have others
    # Of three ships in a row the middle one is confused with the first; the last is too far away.
    assert columns["look_alike_confusion"] == pytest.approx(1 / 3)
    assert columns["class_accuracy"] == pytest.approx(6 / 7)  # the tank is called a ship
    assert columns["jittered_p_iou"] == columns["p_iou"]


def test_an_answer_without_phrases_or_masks_counts_as_nothing_found(tmp_path: Path) -> None:
    class Mute(KnowingDescriber):
        def answer(self, image: InstanceImage, box: Box) -> Answer:
            found = super().answer(image, box)
            if image is FIELD:
                return replace(
                    found, caption="Hm.", phrases=(), prompted=None, flags=("no phrase",)
                )
            bare = tuple(replace(phrase, mask=None) for phrase in found.phrases)
            return replace(found, phrases=bare)

    scores = scores_of(Mute(), tmp_path)
    for name in ("ap50", "miou", "glamm_miou", "p_iou", "look_alike_confusion"):
        assert scores.columns[name] == 0
    assert scores.columns["class_accuracy"] == pytest.approx(6 / 7)
    assert scores.columns["relation_accuracy"] is not None
    assert scores.columns["relation_accuracy"] < 1  # "Hm." is a sentence that is not read
    assert scores.counts["answers without a mask of the prompted object"] == 7
    assert scores.counts["answers flagged: no phrase"] == 1


def test_scores_rank_masks_only_in_the_corrected_precision(tmp_path: Path) -> None:
    class Doubled(KnowingDescriber):
        def answer(self, image: InstanceImage, box: Box) -> Answer:
            found = super().answer(image, box)
            words = found.phrases[0]
            stray = image.instances[0].mask(image.size)[::-1, ::-1]
            false = AnswerPhrase.of_mask(found.caption, words.span, stray, 0.1)
            return replace(found, phrases=(false, *found.phrases), prompted=1)

    columns = scores_of(Doubled(), tmp_path, ("ap50", "p_iou")).columns
    assert columns["ap50"] == pytest.approx(1.0)
    assert columns["glamm_ap50"] is not None
    assert columns["glamm_ap50"] < 0.8
    assert columns["p_iou"] == 1.0


def test_recall_carries_the_name_of_its_encoder(tmp_path: Path) -> None:
    chosen = replace(options(tmp_path, ("recall",)), sentence=LetterEncoder())
    scores = evaluate_regions(KnowingDescriber(), records(), ROOT, chosen)
    assert scores.columns == {"glamm_recall@minilm": 1.0, "recall@minilm": 1.0}
    assert scores.counts["true phrases looked for"] == sum(len(r.phrases) for r in records())


def test_recall_without_an_encoder_is_refused_before_the_model_works(tmp_path: Path) -> None:
    describer = KnowingDescriber()
    with pytest.raises(ConfigError, match="encoder of sentences"):
        scores_of(describer, tmp_path, ("recall",))
    assert describer.encoded == []


def test_cider_stands_beside_that_of_rules_that_know_class_and_box(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skycue.metrics.captions.has_java", lambda: False)
    columns = scores_of(KnowingDescriber(), tmp_path, ("cider",)).columns
    assert columns["cider@plain"] == pytest.approx(10)
    rules = columns["cider_of_class_and_box@plain"]
    assert rules is not None
    assert 0.5 < rules < 9


@pytest.mark.java
@pytest.mark.slow  # METEOR reads tables of paraphrases
def test_with_java_all_columns_are_there(tmp_path: Path) -> None:
    chosen = replace(options(tmp_path, METRICS), sentence=LetterEncoder())
    columns = evaluate_regions(KnowingDescriber(), records(), ROOT, chosen).columns
    assert {name.split("@")[0] for name in columns} == COLUMNS.keys()
    assert columns["meteor@ptb"] == pytest.approx(1.0, abs=1e-6)
    assert columns["cider@ptb"] == pytest.approx(10)


def test_all_boxes_of_an_image_are_asked_at_once_and_each_once(tmp_path: Path) -> None:
    describer = KnowingDescriber()
    scores_of(describer, tmp_path)
    assert sorted(describer.encoded) == sorted(image.image for image in IMAGES)
    # A tight and a jittered box of each record; a shuffled box is another record's tight one.
    assert len(describer.asked) == len(set(describer.asked)) == 14


def test_numbers_are_computed_again_without_asking(tmp_path: Path) -> None:
    once = scores_of(KnowingDescriber(first), tmp_path)
    silent = KnowingDescriber(first)
    assert scores_of(silent, tmp_path) == once
    assert silent.encoded == []


def test_a_killed_run_goes_on_at_the_image_whose_line_was_cut(tmp_path: Path) -> None:
    whole = scores_of(KnowingDescriber(), tmp_path)
    path = tmp_path / "predictions.jsonl"
    content = path.read_bytes()
    path.write_bytes(content[:-40])
    again = KnowingDescriber()
    assert scores_of(again, tmp_path) == whole
    assert again.encoded == [PORT.image]
    assert path.read_bytes() == content


def test_another_metric_asks_only_for_the_boxes_that_it_lacks(tmp_path: Path) -> None:
    scores_of(KnowingDescriber(), tmp_path, ("p_iou",))
    again = KnowingDescriber()
    scores_of(again, tmp_path, ("p_iou", "jitter"))
    assert len(again.asked) == 7
    assert len(read_predictions(tmp_path / "predictions.jsonl", "made up")) == 14


def test_answers_of_another_model_are_refused_and_dropped_when_forced(tmp_path: Path) -> None:
    scores_of(KnowingDescriber(), tmp_path)
    path = tmp_path / "predictions.jsonl"
    with pytest.raises(RunError, match="answers of made up, not of other"):
        predict_regions(KnowingDescriber(model="other"), {}, ROOT, path)
    drop_other_answers(path, "made up")
    assert path.is_file()
    drop_other_answers(path, "other")
    assert not path.exists()


def test_a_shuffled_box_is_another_object_s_and_chance_depends_on_the_seed_alone() -> None:
    given = records()
    targets = targets_of(given)
    plan = plan_prompts(given, targets, seed=3, shuffle=True, jitter=0.1)
    for record, prompts in zip(given, plan, strict=True):
        assert prompts.tight == record.box
        if record.image == FIELD.image:
            assert prompts.shuffled is None
        else:
            same_image = {other.box for other in given if other.image == record.image}
            assert prompts.shuffled in same_image - {record.box}
        assert prompts.jittered is not None
        extent = record.box[2] - record.box[0]
        moves = [abs(a - b) for a, b in zip(prompts.jittered, record.box, strict=True)]
        assert 0 < max(moves) <= 0.1 * extent
    again = plan_prompts(given, targets, seed=3, shuffle=True, jitter=0.1)
    other = plan_prompts(given, targets, seed=4, shuffle=True, jitter=0.1)
    assert again == plan
    assert other != plan


def test_every_other_object_is_drawn_sooner_or_later() -> None:
    given = [record for record in records() if record.image == HARBOR.image]
    targets = targets_of(given)
    drawn = {
        plan_prompts(given, targets, seed=seed, shuffle=True, jitter=None)[1].shuffled
        for seed in range(40)
    }
    assert drawn == {given[0].box, given[2].box, given[3].box}


def test_objects_without_a_record_are_seen_where_the_instances_are_given(tmp_path: Path) -> None:
    given = [records()[1]]  # the middle ship alone
    alone = evaluate_regions(KnowingDescriber(), given, ROOT, options(tmp_path / "a"))
    assert alone.columns["shuffled_p_iou"] is None
    assert alone.columns["look_alike_confusion"] is None
    known = replace(options(tmp_path / "b"), instances=IMAGES)
    among = evaluate_regions(KnowingDescriber(), given, ROOT, known)
    assert among.columns["shuffled_p_iou"] == 0
    assert among.columns["look_alike_confusion"] == 0
    assert among.columns["relation_accuracy"] == 1


def test_a_record_of_no_outlined_object_is_refused() -> None:
    with pytest.raises(RecordError, match=r"record 1: .* file of instances"):
        targets_of([records()[5]], [PORT._replace(instances=PORT.instances[1:])])
    with pytest.raises(RecordError, match="not among the outlined images"):
        targets_of([records()[5]], [HARBOR])


def test_a_record_without_a_prompted_phrase_counts_for_captions_and_masks_only(
    tmp_path: Path,
) -> None:
    given: list[RegionRecord] = [records()[4].model_copy(update={"prompted": None}), records()[5]]
    scores = evaluate_regions(KnowingDescriber(), given, ROOT, options(tmp_path))
    assert scores.columns["miou"] == 1
    assert scores.columns["p_iou"] == 1
    assert scores.counts["records without a prompted object"] == 1


def test_metrics_are_chosen_by_name() -> None:
    assert select_metrics("all") == METRICS
    assert select_metrics("p_iou, cider") == ("cider", "p_iou")
    with pytest.raises(ConfigError, match="no metric 'bleu'; there are meteor, cider"):
        select_metrics("bleu")
    with pytest.raises(ConfigError, match="no metric is given"):
        select_metrics(",")


def test_the_page_shows_each_number_with_its_meaning(tmp_path: Path) -> None:
    page = scores_of(KnowingDescriber(first), tmp_path).markdown()
    assert "| p_iou | 42.9 | IoU of the prompted object's mask" in page
    assert "| prompts with a look-alike | 3 |" in page
