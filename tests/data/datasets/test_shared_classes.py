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
    common_classes,
    labels_of,
    shared_classes,
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
    classes = shared_classes(source, target)
    assert len(classes) >= 5
    assert classes == shared_classes(target, source)
    for dataset in (source, target):
        labels = labels_of(classes, dataset)
        assert set(labels.values()) == set(range(len(classes)))


@pytest.mark.parametrize("dataset", DOMAIN_SHIFT_SETS)
def test_no_folder_stands_in_two_classes(dataset: str) -> None:
    folders = [f for shared in DOMAIN_SHIFT_CLASSES for f in shared.folders.get(dataset, ())]
    assert len(set(folders)) == len(folders)


def test_four_classes_are_common_to_all_sets() -> None:
    names = [shared.name for shared in common_classes()]
    assert names == ["forest", "river", "farmland", "residential area"]


def test_merged_densities_share_a_label() -> None:
    labels = labels_of(common_classes(), "ucm")
    assert labels == {
        "forest": 0,
        "river": 1,
        "agricultural": 2,
        "denseresidential": 3,
        "mediumresidential": 3,
        "sparseresidential": 3,
    }


@pytest.mark.parametrize(("source", "target"), [("ucm", "ucm"), ("ucm", "imagenet")])
def test_other_pairs_are_refused(source: str, target: str) -> None:
    with pytest.raises(DatasetError, match=f"no class mapping from {source} to {target}"):
        shared_classes(source, target)
