"""Facts are complete, agree with the counts of the papers, and folders are compared with them."""

from pathlib import Path

import pytest

from skycue.data.datasets import FACTS, SceneFacts, check_layout, facts_of, identify
from skycue.data.scenes import scan_folder
from skycue.errors import DatasetError

SHARED = Path(__file__).parents[3].parent / "shared" / "data"

CLASSES = {
    "patternnet": 38,
    "rsicd": 30,
    "resisc45": 45,
    "resisc12": 12,
    "mlrsnet": 46,
    "ucm": 21,
    "aid": 30,
    "eurosat": 10,
    "rsscn7": 7,
    "whurs19": 19,
}


def test_each_dataset_has_the_number_of_classes_of_its_paper() -> None:
    assert {name: len(facts.class_names) for name, facts in FACTS.items()} == CLASSES


@pytest.mark.parametrize("facts", FACTS.values(), ids=FACTS)
def test_facts_are_complete_and_make_sense(facts: SceneFacts) -> None:
    assert facts.url.startswith("http")
    assert facts.license
    assert facts.citation[-1].isdigit()
    finest, coarsest = facts.gsd_m
    assert 0 < finest <= coarsest <= 30
    assert facts.n_images % 5 == 0 or facts.name == "mlrsnet"
    clean = list(facts.class_names.values())
    assert len(set(clean)) == len(clean)
    assert set(facts.folder_aliases.values()) <= set(facts.class_names)


def test_missing_and_unexpected_folders_are_named() -> None:
    folders = [name for name in FACTS["ucm"].class_names if name != "harbor"]
    missing, unexpected = check_layout(FACTS["ucm"], [*folders, "marina"])
    assert str(missing) == "class folders of UC Merced Land Use that are missing: harbor"
    assert str(unexpected) == "folders that UC Merced Land Use does not have: marina"


def test_the_authors_folders_of_rsscn7_are_known_too() -> None:
    folders = ["aGrass", "bField", "cIndustry", "dRiverLake", "eForest", "fResident", "gParking"]
    assert check_layout(FACTS["rsscn7"], folders) == ()


@pytest.mark.parametrize("name", FACTS)
def test_a_dataset_is_recognised_by_its_folders(name: str) -> None:
    facts = identify(list(FACTS[name].class_names))
    assert facts is FACTS[name]


def test_other_folders_are_no_known_dataset() -> None:
    assert identify(["cats", "dogs"]) is None


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(DatasetError, match="no facts of 'imagenet'; known are patternnet, rsicd"):
        facts_of("imagenet")


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data with real imagery")
@pytest.mark.parametrize("name", ["ucm", "resisc12", "rsscn7"])
def test_real_folders_have_the_layout_of_the_facts(name: str) -> None:
    assert check_layout(FACTS[name], scan_folder(SHARED / name)[0]) == ()
