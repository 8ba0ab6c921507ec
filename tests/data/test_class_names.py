"""Folder names become words that a text encoder knows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skycue.data.class_names import clean_class_name, clean_class_names
from skycue.data.datasets import FACTS

CASES = {
    "denseresidential": "dense residential",
    "baseballdiamond": "baseball diamond",
    "river_lake": "river lake",
    "harbor&port": "harbor and port",
    "swimmimg_pool": "swimming pool",
    "habor": "harbor",
    "AnnualCrop": "annual crop land",
    "SeaLake": "sea or lake",
    "StorageTanks": "storage tanks",
    "footballField": "football field",
    "aGrass": "grass",
    "dRiverLake": "river lake",
    "resident": "residential area",
    "ground_track_field": "ground track field",
    "mobilehomepark": "mobile home park",
    "RGBImage": "rgb image",
    "  sea-ice ": "sea ice",
    "forest": "forest",
}


@pytest.mark.parametrize(("raw", "clean"), CASES.items())
def test_a_folder_is_read_as_words(raw: str, clean: str) -> None:
    assert clean_class_name(raw) == clean


def test_names_keep_their_order() -> None:
    assert clean_class_names(("parkinglot", "beach")) == ("parking lot", "beach")


@given(st.sampled_from([name for facts in FACTS.values() for name in facts.class_names]))
def test_a_clean_name_stays_as_it_is(raw: str) -> None:
    clean = clean_class_name(raw)
    assert clean_class_name(clean) == clean
    assert clean == clean.lower()
    assert not set(clean) & set("_&-")
