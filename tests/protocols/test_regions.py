"""Ablations of region models: what is trained, what is kept, and what the tables say."""

from collections.abc import Callable
from pathlib import Path

import pytest

from skycue.config import load_config
from skycue.data.regions import write_records
from skycue.errors import ConfigError, RunError
from skycue.protocols.environment import Environment
from skycue.protocols.region_report import build_card, build_tables, write_region_report
from skycue.protocols.region_runs import run_regions
from skycue.protocols.regions import (
    RegionBenchmarkConfig,
    RegionRun,
    load_sets,
    plan_rows,
    recipe_folder,
    starts_of,
)
from skycue.protocols.tables import Measure
from skycue.region_measures import Metric
from skycue.region_recipe import RegionTrainingConfig
from tests.made_up_regions import Choose, KnowingDescriber, first, in_box, records

METRICS: tuple[Metric, ...] = ("miou", "p_iou", "shuffle", "look_alikes")
RECIPE = """
data: {rendered: {count: 1}}
stages: [{name: all, train: {epochs: 1}}]
"""
ENVIRONMENT = Environment(
    python="3",
    platform="nowhere",
    packages={"skycue": "0"},
    device="cpu",
    dtype="float32",
    threads=1,
    cores=1,
    matmul_gflops=1.0,
)


class Workshop:
    """Trains and loads models that are a word in a file: how they choose the object."""

    def __init__(self) -> None:
        self.trained: list[str] = []
        self.loaded: list[str] = []

    def train(self, recipe: RegionTrainingConfig, folder: Path, seed: int) -> None:
        """A model with a box knows the object; without, it takes the first; seed 2 is unlucky."""
        sees_box = recipe.model.reasoner.box_input != "none" and seed != 2
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("in_box" if sees_box else "first")
        self.trained.append(folder.name)

    def load(self, model: str) -> KnowingDescriber:
        self.loaded.append(Path(model).name)
        choices: dict[str, Choose] = {"in_box": in_box, "first": first}
        weights = (Path(model) / "config.json").read_text()
        return KnowingDescriber(choices[weights], model=f"{model}@{weights}")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    write_records(tmp_path / "boxes.jsonl", records())
    return path


@pytest.fixture
def run_of(base: Path) -> Callable[..., RegionRun]:
    """Build the run of a configuration over seeds."""

    def build(*settings: str, seeds: tuple[int, ...] = (1, 2), force: bool = False) -> RegionRun:
        given = (f"base={base}", "variants.with box=[]", *settings)
        config = load_config(RegionBenchmarkConfig, None, given)
        return RegionRun(
            folder=base.parent / "run",
            rows=plan_rows(config),
            data=load_sets([f"port={base.parent / 'boxes.jsonl'}"], config),
            seeds=seeds,
            metrics=METRICS,
            force=force,
            references=config.references,
        )

    return build


WITHOUT_BOX = "variants.without box=['model.reasoner.box_input=none']"


def test_each_variant_is_trained_once_a_seed_and_measured(
    run_of: Callable[..., RegionRun],
) -> None:
    shop = Workshop()
    cells = run_regions(run_of(WITHOUT_BOX), train=shop.train, load=shop.load)
    keys = [f"{row}_seed-{seed}" for row in ("with-box", "without-box") for seed in (1, 2)]
    assert shop.trained == shop.loaded == keys
    found = {(cell.row, cell.seed): cell.scores.columns["p_iou"] for cell in cells}
    assert found == pytest.approx(
        {("with box", 1): 1, ("with box", 2): 3 / 7}
        | {("without box", 1): 3 / 7, ("without box", 2): 3 / 7}
    )


def test_tables_have_mean_and_deviation_and_differences_by_seed(
    run_of: Callable[..., RegionRun],
) -> None:
    shop = Workshop()
    cells = run_regions(run_of(WITHOUT_BOX), train=shop.train, load=shop.load)
    columns, differences, times = build_tables(cells)
    assert columns.columns[:4] == ("variant", "glamm_miou", "miou", "p_iou")
    at = columns.columns.index("p_iou")
    with_box, without_box = (row[at] for row in columns.rows)
    assert isinstance(with_box, Measure)
    assert isinstance(without_box, Measure)
    assert with_box.values == pytest.approx((1, 3 / 7))
    assert with_box.text() == "71.4 ± 40.4"  # deviation (1 - 3/7) / sqrt(2)
    assert columns.notes == (
        "7 boxes on 3 images; 3 prompts with a look-alike; 1 records alone in their image, not "
        "shuffled; 0 records without a prompted object.",
    )
    ((name, *fields),) = differences.rows
    assert name == "without box"
    difference = fields[at - 1]
    assert isinstance(difference, Measure)
    assert difference.values == pytest.approx((3 / 7 - 1, 0))
    assert [row[0] for row in times.rows] == ["with box", "without box"]


def test_rows_are_compared_with_each_reference(run_of: Callable[..., RegionRun]) -> None:
    shop = Workshop()
    references = "references=['with box', 'without box']"
    run = run_of(WITHOUT_BOX, references)
    cells = run_regions(run, train=shop.train, load=shop.load)
    _, to_with, to_without, _ = build_tables(cells, run.references)
    assert [to_with.title, to_without.title] == [
        "port: difference to with box, times 100",
        "port: difference to without box, times 100",
    ]
    assert to_with.name != to_without.name
    ((name, *fields),), ((other, *inverse),) = to_with.rows, to_without.rows
    assert (name, other) == ("without box", "with box")
    at = to_with.columns.index("p_iou") - 1
    there, back = fields[at], inverse[at]
    assert isinstance(there, Measure)
    assert isinstance(back, Measure)
    assert there.values == pytest.approx(tuple(-value for value in back.values))
    assert there.values == pytest.approx((3 / 7 - 1, 0))


def test_a_reference_that_is_no_row_is_refused(base: Path) -> None:
    config = RegionBenchmarkConfig(base=base, variants={"a": ()}, references=("b",))
    with pytest.raises(ConfigError, match="references: no row 'b'; there are a"):
        plan_rows(config)


def test_models_that_variants_start_from_are_named_once(base: Path) -> None:
    changes = {"a": (), "b": ("start=mini",), "c": ("start=mini",)}
    rows = plan_rows(RegionBenchmarkConfig(base=base, variants=changes))
    assert starts_of(rows) == ("mini",)


def test_a_finished_run_trains_and_asks_nothing(run_of: Callable[..., RegionRun]) -> None:
    shop, idle = Workshop(), Workshop()
    once = run_regions(run_of(WITHOUT_BOX), train=shop.train, load=shop.load)
    assert run_regions(run_of(WITHOUT_BOX), train=idle.train, load=idle.load) == once
    assert (idle.trained, idle.loaded) == ([], [])


def test_a_run_goes_on_with_what_is_missing(run_of: Callable[..., RegionRun]) -> None:
    shop, later = Workshop(), Workshop()
    run_regions(run_of(seeds=(1,)), train=shop.train, load=shop.load)
    run = run_of(WITHOUT_BOX, seeds=(1,))
    cell = run.folder / "cells" / "with-box_port_seed-1.json"
    cell.unlink()  # killed before it was written
    run_regions(run, train=later.train, load=later.load)
    assert later.trained == ["without-box_seed-1"]
    assert later.loaded == ["with-box_seed-1", "without-box_seed-1"]
    assert cell.is_file()


def test_other_settings_are_refused_and_trained_anew_when_forced(
    run_of: Callable[..., RegionRun],
) -> None:
    shop = Workshop()
    run_regions(run_of(seeds=(1,)), train=shop.train, load=shop.load)
    blind = "variants.with box=['model.reasoner.box_input=none']"
    with pytest.raises(RunError, match=r"with-box_seed-1.json was made with other settings"):
        run_regions(run_of(blind, seeds=(1,)), train=shop.train, load=shop.load)
    forced = run_of(blind, seeds=(1,), force=True)
    (cell,) = run_regions(forced, train=shop.train, load=shop.load)
    assert cell.scores.columns["p_iou"] == pytest.approx(3 / 7)
    assert shop.trained == ["with-box_seed-1"] * 2


def test_a_finished_model_is_a_row_without_seeds(
    run_of: Callable[..., RegionRun], tmp_path: Path
) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "config.json").write_text("in_box")
    shop = Workshop()
    run = run_of(f"models.ours={tmp_path / 'ours'}")
    cells = run_regions(run, train=shop.train, load=shop.load)
    assert [(cell.row, cell.seed) for cell in cells] == [
        ("with box", 1),
        ("with box", 2),
        ("ours", 0),
    ]
    columns, differences, _ = build_tables(cells)
    ours = columns.rows[1][columns.columns.index("p_iou")]
    assert isinstance(ours, Measure)
    assert ours.text() == "100.0"
    assert differences.rows[0][1:] == (None,) * (len(differences.columns) - 1)


def test_the_report_holds_tables_settings_and_the_meaning_of_columns(
    run_of: Callable[..., RegionRun],
) -> None:
    shop, run = Workshop(), run_of(WITHOUT_BOX)
    cells = run_regions(run, train=shop.train, load=shop.load)
    card = build_card(
        run,
        starts=["mini@0123456789ab"],
        command="skycue benchmark regions",
        environment=ENVIRONMENT,
    )
    path = write_region_report(run.folder, card, cells)
    text = path.read_text(encoding="utf-8")
    assert "| with box | " in text
    assert "71.4 ± 40.4" in text
    assert "- variants start from mini@0123456789ab\n" in text
    assert "- `shuffled_p_iou`: P-IoU when the box is another object's" in text
    assert card.variants["without box"].model.reasoner.box_input == "none"
    assert (run.folder / "run.json").is_file()
    csv = (run.folder / "tables" / "regions_port.csv").read_text(encoding="utf-8")
    assert csv.startswith("variant,glamm_miou mean,glamm_miou std,glamm_miou seeds,")


def test_a_wrong_setting_of_the_last_variant_shows_before_anything_is_trained(base: Path) -> None:
    config = RegionBenchmarkConfig(
        base=base, variants={"good": (), "bad": ("model.reasoner.box=none",)}
    )
    with pytest.raises(ConfigError, match=r"unknown key 'model.reasoner.box'"):
        plan_rows(config)


def test_two_rows_of_one_name_and_unknown_sets_are_refused(base: Path) -> None:
    doubled = RegionBenchmarkConfig(base=base, variants={"a": ()}, models={"a": "mini"})
    with pytest.raises(ConfigError, match="two rows are named 'a'"):
        plan_rows(doubled)
    other = RegionBenchmarkConfig(base=base, roots={"vhr": base.parent})
    with pytest.raises(ConfigError, match="settings name a set 'vhr'; --data gives port"):
        load_sets([f"port={base.parent / 'boxes.jsonl'}"], other)


def test_lists_of_a_recipe_lie_beside_it(base: Path) -> None:
    assert recipe_folder(RegionBenchmarkConfig(base=base)) == base.parent
    shipped = recipe_folder(RegionBenchmarkConfig(base=Path("mini_region")))
    assert (shipped / "near_duplicates.json").is_file()
