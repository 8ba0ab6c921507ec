"""The classifier: fitting, saving, loading, predicting, and what it refuses."""

import json
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from skycue.backbones.clip import Clip
from skycue.backbones.clip_folder import save_clip
from skycue.backbones.phrase_bank import PhraseBank
from skycue.backbones.sentence import SentenceEncoder, SentenceSettings
from skycue.data.splits import load_split
from skycue.encoding import SceneEncoder
from skycue.errors import (
    BackboneMismatchError,
    CheckpointError,
    ConfigError,
    DeviceError,
    NewClassesError,
    ShotsError,
)
from skycue.inference import SceneClassifier
from skycue.scene_config import TRAIN_DEFAULTS, SceneConfig, config_of, prompt_names
from skycue.scenes.bimors import BiMoRSConfig
from skycue.scenes.registry import METHODS
from tests.conftest import build_tiny_clip

QUICK = {"epochs": 3, "batch_size": 4}


class LetterCounts(SentenceEncoder):
    """Counts some letters of a sentence; stands in for a network of 90 MB."""

    def __init__(self, name: str = "letters", device: object = None) -> None:
        self.settings = SentenceSettings(name="letters", revision="1", dim=4)

    def encode(self, texts: object) -> torch.Tensor:
        assert isinstance(texts, list)
        return torch.tensor([[text.count(letter) for letter in "aeor"] for text in texts]).float()


@pytest.fixture(autouse=True)
def _small_sentence_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skycue.fitting.SentenceEncoder", LetterCounts)


@pytest.fixture
def backbone(tmp_path: Path, tiny_clip: Clip) -> str:
    save_clip(tiny_clip, tmp_path / "clip")
    return str(tmp_path / "clip")


def quick(method: str, **train: object) -> SceneConfig:
    settings: dict[str, object] = {"method": {"name": method}}
    if method in TRAIN_DEFAULTS:
        settings["train"] = QUICK | train
    if method == "promptsrc":
        settings["train"] = {"epoch_average": {"mean": 2, "std": 1}, **QUICK, **train}
    return SceneConfig.model_validate(settings)


def tiles(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.png"))


@pytest.mark.parametrize("method", METHODS)
def test_a_loaded_classifier_predicts_what_the_fitted_one_does(
    method: str, scene_folder: Path, backbone: str, tmp_path: Path
) -> None:
    fitted = SceneClassifier.fit(scene_folder, config=quick(method), shots=2, backbone=backbone)
    fitted.save(tmp_path / "model")
    loaded = SceneClassifier.load(tmp_path / "model")
    expected = fitted.probabilities_of(tiles(scene_folder))
    assert torch.equal(loaded.probabilities_of(tiles(scene_folder)), expected)
    assert loaded.facts == fitted.facts
    assert loaded.config == fitted.config


@pytest.mark.parametrize("method", METHODS)
def test_images_are_classified_alike_in_a_batch_and_alone(
    method: str, scene_folder: Path, backbone: str
) -> None:
    fitted = SceneClassifier.fit(scene_folder, config=quick(method), shots=2, backbone=backbone)
    together = fitted.probabilities_of(tiles(scene_folder))
    alone = [fitted.probabilities_of([path]) for path in tiles(scene_folder)]
    assert_close(torch.cat(alone), together, rtol=1e-4, atol=1e-5)


def test_kept_encodings_give_the_same_classifier_as_fresh_ones(
    scene_folder: Path, backbone: str, tmp_path: Path
) -> None:
    config = quick("bimors")
    fits = [
        SceneClassifier.fit(scene_folder, config=config, shots=4, backbone=backbone, cache=cache)
        for cache in (None, tmp_path / "cache", tmp_path / "cache")
    ]
    assert fits[2].encoder.counts.computed == 0
    assert fits[2].encoder.counts.reused > 12
    states = [fit.method.learned_state() for fit in fits]
    for name, tensor in states[0].items():
        assert torch.equal(states[1][name], states[2][name]), name
        assert torch.equal(states[1][name], tensor), name


def test_the_seed_decides_the_result(scene_folder: Path, backbone: str) -> None:
    contexts = [
        SceneClassifier.fit(
            scene_folder, config=quick("coop", lr=0.1), shots=2, seed=seed, backbone=backbone
        ).method.learned_state()["context"]
        for seed in (1, 1, 2)
    ]
    assert torch.equal(contexts[0], contexts[1])
    assert not torch.equal(contexts[0], contexts[2])


def test_training_on_random_crops_differs_from_training_on_whole_images(
    scene_folder: Path, backbone: str
) -> None:
    whole, cropped, again = (
        SceneClassifier.fit(
            scene_folder,
            config=quick("bimors", augment=augment),
            shots=2,
            backbone=backbone,
        ).method.learned_state()["context"]
        for augment in ("none", "released", "released")
    )
    assert torch.equal(cropped, again)
    assert not torch.equal(cropped, whole)


def test_a_fit_learns_to_tell_the_colours(scene_folder: Path, backbone: str) -> None:
    classifier = SceneClassifier.fit(
        scene_folder, method="linear-probe", shots=3, backbone=backbone
    )
    assert classifier.facts.validation_accuracy == 1.0
    assert classifier.facts.n_validation == 6
    assert classifier.facts.split_sha256 == load_split(scene_folder).sha256
    first, *_ = classifier.predict([scene_folder / "forest" / "forest_0.png"])
    assert next(iter(first)) == "forest"
    assert sum(first.values()) == pytest.approx(1)
    assert list(first.values()) == sorted(first.values(), reverse=True)


def test_other_classes_are_scored_by_name_and_read_clean(scene_folder: Path, backbone: str) -> None:
    classifier = SceneClassifier.fit(scene_folder, method="zero-shot", backbone=backbone)
    clean, raw = (
        classifier.probabilities_of(tiles(scene_folder)[:2], names)
        for names in (["dense residential", "golf course"], ["denseresidential", "golf_course"])
    )
    assert_close(clean, raw)
    (answer,) = classifier.predict(tiles(scene_folder)[:1], ["denseresidential", "golf_course"])
    assert set(answer) == {"denseresidential", "golf_course"}


def test_raw_names_stay_as_the_folders_say(scene_folder: Path, backbone: str) -> None:
    config = SceneConfig.model_validate({"method": {"name": "zero-shot"}, "raw_names": True})
    raw = SceneClassifier.fit(scene_folder, config=config, backbone=backbone)
    clean = SceneClassifier.fit(scene_folder, method="zero-shot", backbone=backbone)
    assert prompt_names(raw.class_names, raw.config) == ("bare_soil", "forest", "lake")
    assert prompt_names(clean.class_names, clean.config) == ("bare soil", "forest", "lake")
    path = tiles(scene_folder)[:1]
    assert not torch.allclose(raw.probabilities_of(path), clean.probabilities_of(path))


def test_a_linear_probe_refuses_new_classes_before_any_work(
    scene_folder: Path, backbone: str
) -> None:
    probe = SceneClassifier.fit(scene_folder, method="linear-probe", shots=2, backbone=backbone)
    with pytest.raises(
        NewClassesError, match="scores only the 3 classes that it was fitted on; harbor are none"
    ):
        probe.predict([scene_folder / "absent.png"], ["forest", "harbor"])


def test_another_backbone_is_refused_and_both_are_named(
    scene_folder: Path, backbone: str, tmp_path: Path
) -> None:
    SceneClassifier.fit(scene_folder, method="zero-shot", backbone=backbone).save(tmp_path / "m")
    other = build_tiny_clip(seed=1)
    save_clip(other, tmp_path / "other")
    with pytest.raises(BackboneMismatchError) as error:
        SceneClassifier.load(tmp_path / "m", backbone=str(tmp_path / "other"))
    assert other.fingerprint[:12] in str(error.value)
    assert json.loads((tmp_path / "m" / "config.json").read_text())["backbone_fingerprint"][
        :12
    ] in str(error.value)


def test_a_model_folder_holds_the_whole_story_and_no_backbone(
    scene_folder: Path, backbone: str, tmp_path: Path
) -> None:
    SceneClassifier.fit(
        scene_folder, config=quick("bimors"), shots=2, seed=5, backbone=backbone
    ).save(tmp_path / "m")
    record = json.loads((tmp_path / "m" / "config.json").read_text())
    assert record["class_names"] == ["bare_soil", "forest", "lake"]
    assert record["prompt_names"] == ["bare soil", "forest", "lake"]
    assert record["config"]["method"]["caption_width"] == 4
    assert record["captions"]["maker"]["source"] == "bank"
    assert record["sentence_encoder"]["name"] == "letters"
    assert record["fit"]["shots"] == 2
    assert record["fit"]["seed"] == 5
    assert len(record["fit"]["epochs"]) == 3
    assert record["versions"].keys() == {"skycue", "torch", "python"}
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == [
        "config.json",
        "learned.safetensors",
    ]
    assert (tmp_path / "m" / "learned.safetensors").stat().st_size < 100_000


def test_a_learned_file_of_another_fit_is_refused(
    scene_folder: Path, backbone: str, tmp_path: Path
) -> None:
    for seed in (1, 2):
        SceneClassifier.fit(
            scene_folder, config=quick("coop"), shots=2, seed=seed, backbone=backbone
        ).save(tmp_path / str(seed))
    learned = (tmp_path / "2" / "learned.safetensors").read_bytes()
    (tmp_path / "1" / "learned.safetensors").write_bytes(learned)
    with pytest.raises(CheckpointError, match="does not belong to"):
        SceneClassifier.load(tmp_path / "1")


def test_an_unfinished_model_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "learned.safetensors").touch()
    with pytest.raises(CheckpointError, match=r"no config\.json in"):
        SceneClassifier.load(tmp_path)


def test_more_shots_than_a_class_holds_are_refused(scene_folder: Path, backbone: str) -> None:
    with pytest.raises(ShotsError, match="16 shots asked for"):
        SceneClassifier.fit(scene_folder, method="coop", shots=16, backbone=backbone)


def test_training_in_float16_is_refused(scene_folder: Path, backbone: str) -> None:
    with pytest.raises(DeviceError, match="float16 is too coarse"):
        SceneClassifier.fit(
            scene_folder, config=quick("coop"), shots=2, backbone=backbone, dtype=torch.float16
        )


def test_classes_that_are_read_alike_are_refused() -> None:
    with pytest.raises(ConfigError, match="golf_course, golfcourse are all read as 'golf course'"):
        prompt_names(["golf_course", "golfcourse"], config_of("coop"))
    assert prompt_names(["a_b", "a b"], SceneConfig(raw_names=True)) == ("a_b", "a b")


def test_an_epoch_is_chosen_by_validation_images(scene_folder: Path, backbone: str) -> None:
    config = quick("coop", keep="best_validation")
    fitted = SceneClassifier.fit(scene_folder, config=config, shots=2, backbone=backbone)
    scores = [epoch.validation for epoch in fitted.facts.epochs]
    assert fitted.facts.validation_accuracy == max(score for score in scores if score is not None)


def test_learned_weights_can_end_between_start_and_end(scene_folder: Path, backbone: str) -> None:
    def fit(*shares: float) -> SceneClassifier:
        train = {"epochs": 2, "lr": 0.1, "warmup_epochs": 0, "interpolate": shares}
        config = SceneConfig.model_validate({"method": {"name": "coop"}, "train": train})
        return SceneClassifier.fit(scene_folder, shots=2, config=config, backbone=backbone)

    context = {s: fit(*s).method.learned_state()["context"] for s in ((), (0.0,), (1.0,), (0.25,))}
    start, end = context[0.0,], context[()]
    assert not torch.equal(start, end)
    assert torch.equal(context[1.0,], end)
    assert_close(context[0.25,], 0.75 * start + 0.25 * end)
    chosen = fit(0.0, 0.25, 1.0)
    assert chosen.facts.interpolation in (0.0, 0.25, 1.0)
    assert torch.equal(
        chosen.method.learned_state()["context"], context[chosen.facts.interpolation,]
    )


def test_the_width_of_captions_follows_the_sentence_encoder(
    scene_folder: Path, tiny_clip: Clip
) -> None:
    items = load_split(scene_folder).train
    encoder = SceneEncoder(
        tiny_clip,
        captions=PhraseBank(tiny_clip),
        sentence=LetterCounts(),
    )
    fitted = SceneClassifier.fit_items(
        items, ["bare_soil", "forest", "lake"], quick("bimors"), encoder=encoder, seed=1
    )
    assert isinstance(fitted.config.method, BiMoRSConfig)
    assert fitted.config.method.caption_width == 4
    assert fitted.n_learned == sum(t.numel() for t in fitted.method.learned_state().values())
