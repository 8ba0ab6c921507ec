"""Images that show several classes, from a folder to labels: fitting, keeping, measuring."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close
from typer.testing import CliRunner

from skycue.backbones.clip import Clip
from skycue.backbones.clip_folder import save_clip
from skycue.cli.app import app
from skycue.data.few_shot import draw
from skycue.data.scenes import SceneItem, is_multi_label
from skycue.data.splits import load_split, make_split
from skycue.encoding import SceneEncoder
from skycue.errors import ConfigError, DatasetError
from skycue.evaluation import MultiLabelEvaluation, evaluate, evaluate_labels
from skycue.fitting import labels_of
from skycue.inference import SceneClassifier
from skycue.scene_config import TRAIN_DEFAULTS, SceneConfig
from tests.conftest import MULTI_LABEL_CLASSES, write_multi_label_tiles

METHODS = (
    *("zero-shot", "linear-probe", "tip-adapter", "tip-adapter-f"),
    *("coop", "prograd", "cocoop", "promptsrc", "regional"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_multi_label_tiles(tmp_path / "several")


@pytest.fixture
def backbone(tmp_path: Path, tiny_clip: Clip) -> str:
    save_clip(tiny_clip, tmp_path / "clip")
    return str(tmp_path / "clip")


def quick(method: str, multi: Mapping[str, object] | None = None, **train: object) -> SceneConfig:
    settings: dict[str, object] = {"method": {"name": method}}
    if method in TRAIN_DEFAULTS:
        settings["train"] = {"epochs": 3, "batch_size": 8, "epoch_average": None, **train}
    if multi:
        settings["multi_label"] = multi
    return SceneConfig.model_validate(settings)


def tiles(folder: Path) -> list[Path]:
    return sorted(folder.glob("images/*.png"))


@pytest.mark.parametrize("method", METHODS)
def test_a_loaded_classifier_gives_the_labels_of_the_fitted_one(
    method: str, folder: Path, backbone: str, tmp_path: Path
) -> None:
    config = quick(method, {"standardise": "image-class"})
    fitted = SceneClassifier.fit(folder, config=config, shots=4, backbone=backbone)
    fitted.save(tmp_path / "model")
    loaded = SceneClassifier.load(tmp_path / "model")
    expected = fitted.probabilities_of(tiles(folder))
    assert torch.equal(loaded.probabilities_of(tiles(folder)), expected)
    assert loaded.label_scores == fitted.label_scores
    assert loaded.label_scores is not None
    assert loaded.label_scores.chosen_on == "validation"
    alone = [loaded.probabilities_of([path]) for path in tiles(folder)[:6]]
    assert_close(torch.cat(alone), expected[:6], rtol=1e-2, atol=1e-3)


def test_a_linear_probe_learns_which_colours_a_tile_shows(folder: Path, backbone: str) -> None:
    fitted = SceneClassifier.fit(folder, method="linear-probe", shots=8, backbone=backbone)
    split = load_split(folder)
    found = evaluate(fitted, split.test, split.class_names)
    assert isinstance(found, MultiLabelEvaluation)
    assert found.mean_average_precision > 0.9
    assert found.at_thresholds.of1 > 0.8
    assert fitted.facts.validation_map == evaluate(fitted, split.val).headline
    assert fitted.facts.validation_accuracy is None
    (probabilities,) = fitted.predict([folder / "images" / "tile_14.png"])  # lake and soil
    assert set(fitted.shown_classes(probabilities)) == {"lake", "soil"}
    assert set(probabilities) == set(MULTI_LABEL_CLASSES)


def test_the_options_of_the_loss_decide_what_is_learned(folder: Path, tiny_clip: Clip) -> None:
    items, encoder = draw(load_split(folder).train, 4, 1), SceneEncoder(tiny_clip)
    contexts = [
        SceneClassifier.fit_items(
            items, MULTI_LABEL_CLASSES, quick("coop", options), encoder=encoder, seed=1
        ).method.learned_state()["context"]
        for options in ({}, {"gamma_negative": 0}, {"gamma_negative": 4, "margin": 0.05})
    ]
    assert torch.equal(contexts[0], contexts[1])
    assert not torch.equal(contexts[0], contexts[2])


def test_an_epoch_is_chosen_by_map(folder: Path, backbone: str) -> None:
    config = quick("coop", keep="best_validation")
    fitted = SceneClassifier.fit(folder, config=config, shots=4, backbone=backbone)
    scores = [epoch.validation for epoch in fitted.facts.epochs]
    assert fitted.facts.validation_map == pytest.approx(max(s for s in scores if s is not None))


def test_without_validation_thresholds_come_from_training_images(
    folder: Path, tiny_clip: Clip
) -> None:
    items, encoder = draw(load_split(folder).train, 4, 1), SceneEncoder(tiny_clip)
    fitted = SceneClassifier.fit_items(
        items, MULTI_LABEL_CLASSES, quick("linear-probe"), encoder=encoder, seed=1
    )
    assert fitted.label_scores is not None
    assert fitted.label_scores.chosen_on == "training"
    assert fitted.label_scores.n_images == len(items)
    assert fitted.config.multi_label is not None


def test_a_probe_of_a_class_that_all_or_none_show_knows_its_share(tiny_clip: Clip) -> None:
    from skycue.scenes.base import ImageInputs
    from skycue.scenes.linear_probe import LinearProbe, LinearProbeConfig

    probe = LinearProbe(tiny_clip, LinearProbeConfig(inverse_penalty=1))
    inputs = ImageInputs(torch.eye(24)[:6])
    labels = torch.tensor([[1.0, 0.0, float(n > 2)] for n in range(6)])
    probe.solve(inputs, labels, ["all", "none", "some"])
    logits = probe(inputs, ["none", "all", "some"])
    assert_close(logits[:, 0], torch.full((6,), 1 / 7).log())
    assert_close(logits[:, 1], torch.full((6,), 7.0).log())
    assert ((logits[:, 2] > 0) == (labels[:, 2] > 0)).all()


def test_new_classes_are_scored_by_their_names(folder: Path, backbone: str) -> None:
    config = quick("coop", {"standardise": "image-class"})
    fitted = SceneClassifier.fit(folder, config=config, shots=4, backbone=backbone)
    (answer,) = fitted.predict(tiles(folder)[:1], ["harbor", "forest", "lake"])
    assert set(answer) == {"harbor", "forest", "lake"}
    assert all(0 < p < 1 for p in answer.values())


def test_labels_become_ones_and_zeros() -> None:
    items = [SceneItem(Path("a"), (0, 2)), SceneItem(Path("b"), ())]
    assert labels_of(items, 3).tolist() == [[1, 0, 1], [0, 0, 0]]
    assert labels_of([SceneItem(Path("a"), 2)], 3).tolist() == [2]
    assert not is_multi_label([])


def test_measures_of_three_images_worked_out_by_hand() -> None:
    probabilities = torch.tensor([[0.9, 0.2, 0.1], [0.8, 0.7, 0.3], [0.4, 0.6, 0.2]])
    labels = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    thresholds = torch.tensor([0.5, 0.65, 0.5])
    found = evaluate_labels(probabilities, labels, ["x", "y", "z"], thresholds)
    assert found.average_precision[:2] == pytest.approx([(1 + 2 / 3) / 2, 1])
    assert found.average_precision[2] is None
    assert found.headline == pytest.approx((5 / 6 + 1) / 2)
    # Given: x to 1 and 2, y to 2; true are x of 1, y of 2.
    assert found.at_thresholds[:2] == pytest.approx([(1 / 2 + 1) / 2, (1 / 2 + 1 / 2) / 2])
    assert found.at_top_3.overall_recall == 1
    assert found.at_top_3.op == pytest.approx(4 / 9)


def test_data_of_the_other_kind_are_refused(
    folder: Path, scene_folder: Path, backbone: str
) -> None:
    several = SceneClassifier.fit(folder, method="zero-shot", backbone=backbone)
    one = SceneClassifier.fit(scene_folder, method="zero-shot", backbone=backbone)
    with pytest.raises(DatasetError, match="fitted on images of several labels each, and these"):
        evaluate(several, load_split(scene_folder).test)
    with pytest.raises(DatasetError, match="images of one label each, and these have several"):
        evaluate(one, load_split(folder).test)
    with pytest.raises(DatasetError, match="the 1 images show none of"):
        evaluate(several, [SceneItem(tiles(folder)[0], ())])
    with pytest.raises(ConfigError, match="multi_label is set, but each image has one label"):
        SceneClassifier.fit(
            scene_folder, config=quick("zero-shot", {"margin": 0.1}), backbone=backbone
        )


def test_zero_shot_without_labelled_images_is_refused(folder: Path, tiny_clip: Clip) -> None:
    split = make_split(folder, fractions=(1.0, 0.0, 0.0))
    items = [item._replace(label=()) for item in split.train]
    with pytest.raises(DatasetError, match="images show none of forest, lake, soil: add labelled"):
        SceneClassifier.fit_items(
            items, MULTI_LABEL_CLASSES, quick("zero-shot"), encoder=SceneEncoder(tiny_clip), seed=1
        )


def test_the_commands_take_a_folder_of_several_labels(
    folder: Path, backbone: str, tmp_path: Path
) -> None:
    def run(*arguments: object) -> list[dict[str, object]]:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.stderr
        return [json.loads(line) for line in result.stdout.splitlines()]

    model, cache = tmp_path / "model", ("--cache", tmp_path / "cache")
    (summary,) = run(
        "fit", folder, "-m", "linear-probe", "--shots", 8, "-b", backbone, "-o", model, *cache
    )
    assert summary["validation_mAP"] == pytest.approx(1, abs=0.1)
    assert "validation_accuracy" not in summary
    (line,) = run("classify", model, folder / "images" / "tile_05.png")
    assert set(line) == {"image", "labels", "probabilities"}
    assert line["labels"] == ["forest", "soil"] or line["labels"] == ["soil", "forest"]
    (measured,) = run("evaluate", model, folder, *cache)
    assert set(measured["at_top_3"]) == {"CP", "CR", "CF1", "OP", "OR", "OF1"}  # type: ignore[call-overload]
    assert measured["mAP"] == pytest.approx(1, abs=0.15)
    picture = CliRunner().invoke(
        app, ["evaluate", str(model), str(folder), "--picture", str(tmp_path / "confusion.png")]
    )
    assert picture.exit_code == 2
    assert "no confusion matrix" in picture.stderr
