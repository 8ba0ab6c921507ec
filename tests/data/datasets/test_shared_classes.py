"""The classes that sets share name folders that exist, and each pair shares enough."""

from itertools import permutations

import pytest

from skycue.data.datasets import FACTS
from skycue.data.datasets.shared_classes import (
    DOMAIN_SHIFT_CLASSES,
    DOMAIN_SHIFT_SETS,
    V2_CLASSES,
    V2_SETS,
    SharedClass,
    labels_of,
    mapping_of,
    shared_by,
)
from skycue.errors import DatasetError

PAIRS = list(permutations(DOMAIN_SHIFT_SETS, 2))


@pytest.mark.parametrize("shared", V2_CLASSES + DOMAIN_SHIFT_CLASSES, ids=lambda s: s.name)
def test_every_folder_exists_in_its_dataset(shared: SharedClass) -> None:
    for dataset, folders in shared.folders.items():
        assert set(folders) <= set(FACTS[dataset].class_names)
    assert set(shared.doubts) <= {*shared.folders, *V2_SETS}


def test_the_sixteen_v2_classes_stand_in_the_order_of_their_labels() -> None:
    assert ", ".join(shared.name for shared in V2_CLASSES) == (
        "baseball field, sparse residential, harbor, intersection, forest, bridge, overpass, "
        "railway, parking, meadow, river, desert, stadium, storage tank, dense residential, beach"
    )


@pytest.mark.parametrize("dataset", ["rsicd", "resisc45", "mlrsnet"])
def test_v2_sets_other_than_patternnet_have_all_sixteen(dataset: str) -> None:
    assert sorted(labels_of(V2_CLASSES, dataset).values()) == list(range(16))


def test_patternnet_lacks_three_v2_classes_and_the_doubt_says_so() -> None:
    lacking = [shared for shared in V2_CLASSES if "patternnet" not in shared.folders]
    assert [shared.name for shared in lacking] == ["meadow", "desert", "stadium"]
    assert all("no such class" in shared.doubts["patternnet"] for shared in lacking)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_every_ordered_pair_shares_at_least_five_classes(source: str, target: str) -> None:
    classes = shared_by(mapping_of((source, target)), (source, target))
    assert len(classes) >= 5
    assert classes == shared_by(mapping_of((target, source)), (target, source))
    for dataset in (source, target):
        labels = labels_of(classes, dataset)
        assert set(labels.values()) == set(range(len(classes)))


@pytest.mark.parametrize("dataset", DOMAIN_SHIFT_SETS)
def test_no_folder_stands_in_two_classes(dataset: str) -> None:
    folders = [f for shared in DOMAIN_SHIFT_CLASSES for f in shared.folders.get(dataset, ())]
    assert len(set(folders)) == len(folders)


def test_four_classes_are_common_to_all_sets() -> None:
    names = [shared.name for shared in shared_by(DOMAIN_SHIFT_CLASSES, DOMAIN_SHIFT_SETS)]
    assert names == ["forest", "river", "farmland", "residential area"]


def test_merged_densities_share_a_label() -> None:
    labels = labels_of(shared_by(DOMAIN_SHIFT_CLASSES, DOMAIN_SHIFT_SETS), "ucm")
    assert labels == {
        "forest": 0,
        "river": 1,
        "agricultural": 2,
        "denseresidential": 3,
        "mediumresidential": 3,
        "sparseresidential": 3,
    }


def test_the_list_is_that_which_knows_all_datasets() -> None:
    assert mapping_of(("rsicd", "ucm")) is DOMAIN_SHIFT_CLASSES
    assert mapping_of(("patternnet", "rsicd", "resisc45", "mlrsnet")) is V2_CLASSES


@pytest.mark.parametrize("other", ["imagenet", "patternnet"])
def test_datasets_of_no_one_list_are_refused(other: str) -> None:
    with pytest.raises(DatasetError, match=f"which classes of ucm, {other} mean the same"):
        mapping_of(("ucm", other))


def test_a_folder_of_two_classes_is_refused() -> None:
    twice = (SharedClass("wood", {"a": ("trees",)}), SharedClass("forest", {"a": ("trees",)}))
    with pytest.raises(DatasetError, match="trees of a stands in two shared classes, wood and"):
        labels_of(twice, "a")
