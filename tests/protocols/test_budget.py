"""A common budget, settings of one protocol, and epochs that follow the shots."""

from __future__ import annotations

from pathlib import Path

import pytest

from skycue.config import configs_folder, load_config
from skycue.errors import ConfigError
from skycue.protocols import base_to_new, few_shot
from skycue.protocols.benchmark import BenchmarkConfig, Request, run_benchmark
from skycue.protocols.budget import CommonBudget
from skycue.protocols.cells import Comparison
from skycue.reports import build_card
from skycue.scene_config import SceneConfig, config_of
from skycue.scenes.registry import METHODS
from skycue.training import batches_of
from tests.protocols.made_up import N_VAL, made_up_data
from tests.protocols.quick import quick_config

DATA = made_up_data("ucm", ("forest", "river", "beach"))
ROWS = {
    "coop": {"train": {"epochs": 200, "batch_size": 32, "lr": 0.002}},
    "bimors": {"train": {"epochs": 10, "batch_size": 4, "augment": "released"}},
}


def configuration(**settings: object) -> BenchmarkConfig:
    return BenchmarkConfig.model_validate({"methods": ROWS, **settings})


def trained_by(config: BenchmarkConfig, shots: tuple[int, ...] = (2,)) -> dict[str, SceneConfig]:
    """Settings that each row's cells train by, with few-shot draws of `DATA`."""
    rows = config.rows("few-shot", ("coop", "bimors"))
    cells = few_shot.plan(Comparison((DATA,), tuple(rows), shots, (1,)))
    return {f"{cell.row.name} {cell.shots}": cell.row.config for cell in cells}


def test_all_trained_rows_see_the_same_images() -> None:
    found = trained_by(configuration(common_budget={"images": 100}), (1, 2, 4))
    for shots in (1, 2, 4):
        n_items = 3 * shots
        seen = []
        for name in ("coop", "bimors"):
            train = found[f"{name} {shots}"].train
            assert (train.keep, train.augment) == ("last", "none")
            epochs = range(1, train.epochs + 1)
            dealt = [batches_of(n_items, train, seed=1, epoch=epoch) for epoch in epochs]
            seen.append(sum(len(batch) for batches in dealt for batch in batches))
        assert seen[0] == seen[1]
        assert abs(seen[0] - 100) <= n_items / 2
    assert found["coop 2"].train.lr == 0.002
    assert found["coop 2"].train.batch_size == 32
    assert found["linear-probe 2"] == config_of("linear-probe")


def test_schedules_are_stretched_to_the_budget() -> None:
    published = SceneConfig.model_validate(
        {
            "method": {"name": "coop"},
            "train": {"epochs": 20, "warmup_epochs": 2, "epoch_average": {"mean": 15, "std": 1}},
        }
    )
    longer = CommonBudget(images=600).apply(published, n_items=10).train  # 60 epochs, three times
    assert (longer.epochs, longer.warmup_epochs) == (60, 6)
    assert longer.epoch_average is not None
    assert (longer.epoch_average.mean, longer.epoch_average.std) == (45, 3)
    shorter = CommonBudget(images=4).apply(published, n_items=10).train
    assert (shorter.epochs, shorter.warmup_epochs) == (1, 0)  # 0.1 epochs of warm-up are none
    best = CommonBudget(images=600, keep="best_validation").apply(published, n_items=10).train
    assert (best.keep, best.epoch_average) == ("best_validation", None)
    for train in (longer, shorter, best):
        assert type(train).model_validate(train.model_dump()) == train


def test_the_best_epoch_is_chosen_on_validation_images_for_all() -> None:
    budget = {"images": 100, "keep": "best_validation"}
    config = configuration(common_budget=budget)
    rows = config.rows("base-to-new", ("coop", "bimors"))
    assert all(row.config.train.keep == "last" for row in rows)
    config = configuration(
        common_budget=budget, methods={name: {"validation_shots": N_VAL} for name in ROWS}
    )
    rows = config.rows("base-to-new", ("coop", "bimors"))
    cells = base_to_new.plan(Comparison((DATA,), tuple(rows), (2,), (1,)))
    validated = {cell.row.name for cell in cells if cell.validation}
    assert validated == {"coop", "bimors"}


def test_epochs_follow_the_shots_where_the_authors_say_so() -> None:
    config = configuration(epochs_of_shots={"coop": {1: 50, 2: 100}})
    found = trained_by(config, (1, 2, 4))
    assert [found[f"coop {shots}"].train.epochs for shots in (1, 2, 4)] == [50, 100, 200]
    assert found["bimors 1"].train.epochs == 10
    assert found["coop 1"].train.lr == 0.002


def test_a_protocol_has_settings_of_its_own() -> None:
    config = configuration(protocols={"cross-dataset": {"coop": {"train": {"epochs": 50}}}})
    epochs = {
        protocol: {row.name: row.config.train.epochs for row in config.rows(protocol, ("coop",))}
        for protocol in ("cross-dataset", "few-shot")
    }
    assert epochs["cross-dataset"]["coop"] == 50
    assert epochs["few-shot"]["coop"] == 200


def test_budget_and_protocols_are_set_from_the_command_line() -> None:
    config = load_config(
        BenchmarkConfig,
        None,
        ["common_budget.images=100", "protocols.few-shot.coop.train.epochs=7"],
    )
    assert config.common_budget == CommonBudget(images=100)
    assert config.protocols["few-shot"]["coop"].train.epochs == 7


def test_a_row_that_is_unknown_is_refused_in_any_place() -> None:
    with pytest.raises(ConfigError, match="no method 'cop'; there are zero-shot"):
        configuration(epochs_of_shots={"cop": {1: 50}}).rows("few-shot", ("coop",))
    with pytest.raises(ConfigError, match=r"protocols\.many-shot.*'base-to-new'"):
        load_config(BenchmarkConfig, None, ["protocols.many-shot.coop.train.epochs=7"])


def test_all_methods_stand_in_the_order_of_the_registry() -> None:
    names = [row.name for row in configuration().rows("few-shot", ("all", "coop"))]
    assert names == list(METHODS)


def test_what_was_published_for_a_protocol_stands_in_its_rows() -> None:
    config = load_config(BenchmarkConfig, configs_folder() / "benchmark_published.yaml")
    rows = {
        protocol: {row.name: row for row in config.rows(protocol, ("all",))}
        for protocol in ("base-to-new", "cross-dataset", "few-shot")
    }
    for protocol, epochs, lr in (("base-to-new", 5, 0.0035), ("cross-dataset", 2, 0.0026)):
        train = rows[protocol]["maple"].config.train
        assert (train.epochs, train.lr, train.batch_size) == (epochs, lr, 4)
    for protocol, epochs, mean in (("base-to-new", 20, 15), ("cross-dataset", 20, 6)):
        train = rows[protocol]["promptsrc"].config.train
        assert train.epoch_average is not None
        assert (train.epochs, train.epoch_average.mean) == (epochs, mean)
    few_shot_coop = rows["few-shot"]["coop"]
    for shots, epochs in ((1, 50), (4, 100), (16, 200)):
        assert few_shot_coop.at(shots, 10 * shots).config.train.epochs == epochs
    prograd = rows["base-to-new"]["prograd"].config.method
    assert prograd.model_dump()["n_ctx"] == 16
    trained = [row for row in rows["base-to-new"].values() if row.name in config.methods]
    assert all(row.config.train.augment == "released" for row in trained)


@pytest.mark.parametrize("name", ["benchmark_family", "benchmark_published_whole"])
def test_variants_of_methods_are_rows_beside_them(name: str) -> None:
    config = load_config(BenchmarkConfig, configs_folder() / f"{name}.yaml")
    wanted = (
        "all",
        "tip-adapter searched",
        "tip-adapter-f searched",
        "coop patched",
        "stylip patched",
    )
    rows = {row.name: row.at(16, 192).config for row in config.rows("base-to-new", wanted)}
    for method in ("tip-adapter", "tip-adapter-f"):
        searched = rows[f"{method} searched"]
        changed = searched.method.model_dump() | {"alpha": 1.0, "beta": 5.5}
        assert (searched.method.model_dump()["alpha"], changed) == (
            None,
            rows[method].method.model_dump(),
        )
        assert searched.train == rows[method].train
    for method in ("coop", "stylip"):
        patched = rows[f"{method} patched"]
        assert patched.method == rows[method].method
        assert patched.train.interpolate == (0.5,)
        assert patched.train.model_copy(update={"interpolate": ()}) == rows[method].train


def test_the_card_and_the_cells_say_the_budget(request_for: Request, tmp_path: Path) -> None:
    config = quick_config(common_budget={"images": 6})
    outcome = run_benchmark(request_for._replace(seeds=(1,)), config)
    card = build_card("few-shot", outcome, command="", backbone="tiny")
    assert card.common_budget == CommonBudget(images=6)
    assert "sees 6 images" in card.common_budget.sentence()
    epochs = {c.shots: c.config.train.epochs for c in outcome.results.cells if c.row == "coop"}
    assert epochs == {1: 2, 2: 1}  # three classes: 3 and 6 images an epoch
    without = build_card("few-shot", outcome, command="", backbone="tiny").model_copy(
        update={"common_budget": None}
    )
    assert without.config_sha256 != card.config_sha256
