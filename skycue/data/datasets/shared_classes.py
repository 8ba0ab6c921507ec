"""Which classes of different datasets mean the same, with each set's own folder names.

Two lists. `V2_CLASSES` are the sixteen classes of the "v2" sets that APPLeNet's domain
generalisation uses (Singha et al., "APPLeNet: Visual Attention Parameterized Prompt Learning for
Few-Shot Remote Sensing Image Generalization Using CLIP", CVPRW 2023,
https://arxiv.org/abs/2304.05995); the v2 copies renamed their files, so that where a folder came
from is read from the counts. `DOMAIN_SHIFT_CLASSES` are our own, for every pair of the sets that
results of this project are measured on. Merges that one may doubt say why. A benchmark takes the
first list that knows all its datasets, ours before v2.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import ConfigDict

from skycue.errors import DatasetError


@dataclass(frozen=True)
class SharedClass:
    """One meaning and the folders that carry it; an entry of `shared_classes` in a config."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    """The name that prompts use."""
    folders: Mapping[str, tuple[str, ...]]
    """Folder names by dataset; several are merged. A set without the class is absent."""
    doubts: Mapping[str, str] = field(default_factory=dict)
    """Why a dataset's folders may mean something else, by dataset."""


V2_SETS = ("patternnet", "rsicd", "resisc45", "mlrsnet")

_NOT_IN_PATTERNNET = (
    "PatternNet has no such class: the 800 images of PatternNetv2 are relabelled ones, or come "
    "from elsewhere"
)


def _v2(name: str, folders: str, doubts: Mapping[str, str] | None = None) -> SharedClass:
    """Build a v2 class from one folder of each set in their order; "-" means that there is none."""
    of_set = zip(V2_SETS, folders.split(), strict=True)
    return SharedClass(
        name, {key: (folder,) for key, folder in of_set if folder != "-"}, doubts or {}
    )


V2_CLASSES = (
    _v2("baseball field", "baseball_field baseballfield baseball_diamond baseball_diamond"),
    _v2(
        "sparse residential",
        "sparse_residential sparseresidential sparse_residential sparse_residential_area",
    ),
    _v2("harbor", "harbor port harbor harbor&port"),
    _v2(
        "intersection",
        "intersection square intersection intersection",
        {"rsicd": "a town square is no road intersection; matched by its 330 images"},
    ),
    _v2("forest", "forest forest forest forest"),
    _v2("bridge", "bridge bridge bridge bridge"),
    _v2("overpass", "overpass viaduct overpass overpass"),
    _v2(
        "railway",
        "railway railwaystation railway railway",
        {"rsicd": "a station is more than its tracks; matched by its 260 images"},
    ),
    _v2("parking", "parking_lot parking parking_lot parking_lot"),
    _v2("meadow", "- meadow meadow meadow", {"patternnet": _NOT_IN_PATTERNNET}),
    _v2("river", "river river river river"),
    _v2("desert", "- desert desert desert", {"patternnet": _NOT_IN_PATTERNNET}),
    _v2("stadium", "- stadium stadium stadium", {"patternnet": _NOT_IN_PATTERNNET}),
    _v2("storage tank", "storage_tank storagetanks storage_tank storage_tank"),
    _v2(
        "dense residential",
        "dense_residential denseresidential dense_residential dense_residential_area",
    ),
    _v2("beach", "beach beach beach beach"),
)
"""In the order of their labels, 0 to 15."""

DOMAIN_SHIFT_SETS = ("rsicd", "ucm", "resisc12", "rsscn7")

_DENSITIES = ("denseresidential", "mediumresidential", "sparseresidential")

DOMAIN_SHIFT_CLASSES = (
    SharedClass("forest", {key: ("forest",) for key in DOMAIN_SHIFT_SETS}),
    SharedClass(
        "river",
        {"rsicd": ("river",), "ucm": ("river",), "resisc12": ("river",), "rsscn7": ("river_lake",)},
        {"rsscn7": "river_lake mixes lakes with rivers"},
    ),
    SharedClass(
        "farmland",
        {
            "rsicd": ("farmland",),
            "ucm": ("agricultural",),
            "resisc12": ("farmland",),
            "rsscn7": ("field",),
        },
        {"ucm": "agricultural shows single fields from near, the others many from afar"},
    ),
    SharedClass(
        "residential area",
        {
            "rsicd": _DENSITIES,
            "ucm": _DENSITIES,
            "resisc12": ("residential",),
            "rsscn7": ("resident",),
        },
        {"rsicd": "three densities are merged", "ucm": "three densities are merged"},
    ),
    SharedClass("beach", {"rsicd": ("beach",), "ucm": ("beach",), "resisc12": ("beach",)}),
    SharedClass(
        "commercial area",
        {"rsicd": ("commercial",), "ucm": ("buildings",), "resisc12": ("commercial_area",)},
        {"ucm": "buildings are large ones of any use, from near"},
    ),
    SharedClass(
        "industrial area",
        {"rsicd": ("industrial",), "resisc12": ("industrial_area",), "rsscn7": ("industry",)},
    ),
    SharedClass(
        "parking lot",
        {"rsicd": ("parking",), "ucm": ("parkinglot",), "rsscn7": ("parking",)},
        {"rsscn7": "at its coarse scales parking shows whole commercial blocks"},
    ),
    SharedClass("desert", {"rsicd": ("desert",), "resisc12": ("desert",)}),
    SharedClass("mountain", {"rsicd": ("mountain",), "resisc12": ("mountain",)}),
    SharedClass(
        "lake",
        {"rsicd": ("pond",), "resisc12": ("lake",)},
        {"rsicd": "a pond is a small lake, often an artificial one"},
    ),
    SharedClass(
        "meadow",
        {"rsicd": ("meadow",), "rsscn7": ("grass",)},
        {"rsscn7": "grass also shows lawns and sports grounds"},
    ),
    SharedClass("baseball field", {"rsicd": ("baseballfield",), "ucm": ("baseballdiamond",)}),
    SharedClass(
        "harbor",
        {"rsicd": ("port",), "ucm": ("harbor",)},
        {"ucm": "harbor shows marinas from near, port whole ports"},
    ),
    SharedClass("overpass", {"rsicd": ("viaduct",), "ucm": ("overpass",)}),
    SharedClass("storage tanks", {"rsicd": ("storagetanks",), "ucm": ("storagetanks",)}),
)
"""The first four are common to all four sets."""


def mapping_of(datasets: Sequence[str]) -> tuple[SharedClass, ...]:
    """Return the list of shared classes that knows every one of some datasets.

    Raises:
        DatasetError: If neither list does.
    """
    for sets, classes in ((DOMAIN_SHIFT_SETS, DOMAIN_SHIFT_CLASSES), (V2_SETS, V2_CLASSES)):
        if set(datasets) <= set(sets):
            return classes
    raise DatasetError(
        f"which classes of {', '.join(datasets)} mean the same is not written down: take some of "
        f"{', '.join(DOMAIN_SHIFT_SETS)}, or some of {', '.join(V2_SETS)}, or say it yourself "
        "(`shared_classes` of the configuration)."
    )


def shared_by(classes: Iterable[SharedClass], datasets: Sequence[str]) -> tuple[SharedClass, ...]:
    """Return the classes that all of some datasets have, doubtful ones included, in their order."""
    return tuple(shared for shared in classes if all(shared.folders.get(name) for name in datasets))


def labels_of(classes: Sequence[SharedClass], dataset: str) -> dict[str, int]:
    """Return the label of each of a dataset's folders, for `skycue.data.scenes.relabel`.

    Args:
        classes: Shared classes; their positions are the labels.
        dataset: Whose folder names are wanted.

    Raises:
        DatasetError: If a folder stands in two of the classes.
    """
    labels: dict[str, int] = {}
    for label, shared in enumerate(classes):
        for folder in shared.folders.get(dataset, ()):
            if folder in labels:
                raise DatasetError(
                    f"{folder} of {dataset} stands in two shared classes, "
                    f"{classes[labels[folder]].name} and {shared.name}: leave it in one."
                )
            labels[folder] = label
    return labels
