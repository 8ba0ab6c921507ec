"""All datasets whose facts are known, by name and by their class folders."""

from collections.abc import Sequence

from skycue.data.datasets import (
    aid,
    eurosat,
    mlrsnet,
    patternnet,
    resisc45,
    rsicd,
    rsscn7,
    ucmerced,
    whurs19,
)
from skycue.data.datasets.facts import SceneFacts, check_layout
from skycue.errors import DatasetError

FACTS: dict[str, SceneFacts] = {
    facts.name: facts
    for facts in (
        patternnet.FACTS,
        rsicd.FACTS,
        resisc45.FACTS,
        resisc45.RESISC12,
        mlrsnet.FACTS,
        ucmerced.FACTS,
        aid.FACTS,
        eurosat.FACTS,
        rsscn7.FACTS,
        whurs19.FACTS,
    )
}


def facts_of(name: str) -> SceneFacts:
    """Return the facts of a dataset.

    Raises:
        DatasetError: If no dataset of that name is known.
    """
    if name not in FACTS:
        raise DatasetError(f"no facts of '{name}'; known are {', '.join(FACTS)}.")
    return FACTS[name]


def identify(folders: Sequence[str]) -> SceneFacts | None:
    """Return the dataset that has exactly these class folders, or None."""
    return next((facts for facts in FACTS.values() if not check_layout(facts, folders)), None)
