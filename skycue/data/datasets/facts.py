"""What a facts module states about a public dataset, and how a folder is compared with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from skycue.data.class_names import clean_class_name
from skycue.data.scenes import Finding


@dataclass(frozen=True)
class SceneFacts:
    """The facts of a scene dataset, as its authors state them."""

    name: str
    """How commands call it: short, lower case."""
    title: str
    url: str
    """Where its authors offer it. Nothing is downloaded from there by Skycue."""
    license: str
    """As stated by its authors; "not stated" means research use at most."""
    citation: str
    gsd_m: tuple[float, float]
    """Finest and coarsest ground sampling distance in metres."""
    image_size: tuple[int, int]
    """(height, width) in pixels of nearly all images."""
    n_images: int
    class_names: Mapping[str, str]
    """Clean name of each class folder, in alphabetical order of the folders."""
    folder_aliases: Mapping[str, str] = field(default_factory=dict)
    """Other names that a class folder has in the wild, to the name in `class_names`."""


def named(folders: str) -> dict[str, str]:
    """Return the clean name of each folder in a text of folder names parted by blanks."""
    return {folder: clean_class_name(folder) for folder in folders.split()}


def check_layout(facts: SceneFacts, folders: Sequence[str]) -> tuple[Finding, ...]:
    """Compare class folders with what the dataset should hold.

    Args:
        facts: The dataset that the folders should be.
        folders: Names of the class folders that are there.

    Returns:
        Findings that name the missing and the unexpected folders; none if all is right.
    """
    present = {facts.folder_aliases.get(folder, folder) for folder in folders}
    missing = tuple(folder for folder in facts.class_names if folder not in present)
    unexpected = tuple(sorted(present - set(facts.class_names)))
    findings = (
        Finding(f"class folders of {facts.title} that are missing", missing),
        Finding(f"folders that {facts.title} does not have", unexpected),
    )
    return tuple(finding for finding in findings if finding.names)
