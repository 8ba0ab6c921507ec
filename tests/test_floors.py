"""A part imports only from lower floors, or from parts listed above it on its own floor.

Read from the source, so that imports inside functions and under `TYPE_CHECKING` count too.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import skycue

ROOT = Path(skycue.__file__).parent

FLOORS = (
    # the bottom: every mistake that a user can make
    ("errors",),
    # floor 1: functions and file formats; no model
    (
        "seeds",
        "boxes",
        "distributed",
        "config",
        "device",
        "files",
        "progress",
        "process_memory",
        "spawned",
        "geo",
        "data",
        "metrics",
        "augmentation",
        "store",
        "drawing",
        "comparison_drawing",
        "map_drawing",
        "region_drawing",
        "windows",
        "box_windows",
    ),
    # floor 2: frozen networks; none knows a method
    ("backbones",),
    # floor 3: the wings
    ("scenes", "regions"),
    # floor 4
    (
        "encoding",
        "shared_network",
        "training_config",
        "training_state",
        "training",
        "training_log",
        "training_stages",
        "scene_config",
        "label_scores",
        "model_folder",
        "fitting",
        "inference",
        "scene_export",
        "scene_windows",
        "class_map",
        "scene_map",
        "region_inputs",
        "answers",
        "region_naming",
        "raster_answers",
        "raster_results",
        "shown_windows",
        "raster_describer",
        "region_text_source",
        "evaluation",
        "clip_augmentation",
        "clip_pairs",
        "clip_recipe",
        "clip_trainer",
        "clip_training",
        "clip_evaluation",
        "region_network",
        "region_recipe",
        "region_samples",
        "region_images",
        "region_losses",
        "region_pretraining",
        "region_store",
        "region_answering",
        "region_describer",
        "region_calibration",
        "region_start",
        "region_parameters",
        "region_trainer",
        "region_training",
        "region_fake_weights",
        "region_memory",
        "region_dry_run",
        "region_targets",
        "region_predictions",
        "region_scores",
        "region_measures",
        "region_evaluation",
    ),
    # floor 5
    ("protocols", "reports", "scale", "service"),
    # floor 6
    ("web", "cli"),
    # the door
    ("__main__",),
)
"""The parts of the package, lowest first; on one floor, a part may use those before it."""

HEIGHT = {
    part: (floor, place) for floor, row in enumerate(FLOORS) for place, part in enumerate(row)
}


def module_name(path: Path) -> str:
    """`skycue.data.scenes` for skycue/data/scenes.py; a package for its `__init__.py`."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def imported_modules(source: str, *, hints: bool = True) -> Iterator[str]:
    """Yield the absolute names that a source imports, wherever the statement stands.

    Without `hints`, what stands under `if TYPE_CHECKING:` is left out.
    """
    tree = ast.parse(source)
    if not hints:
        tree.body = [node for node in tree.body if not is_for_hints(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write imports in full"
            assert node.module is not None
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in MODULES else node.module


def is_for_hints(node: ast.stmt) -> bool:
    """Tell `if TYPE_CHECKING:` at the top of a file."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def part_of(module: str) -> str:
    """The part of the package that a module belongs to: `data` for `skycue.data.scenes`."""
    return module.split(".")[1]


def imports_within(*, hints: bool) -> dict[str, set[str]]:
    """For each module of the package, the modules of the package that it imports."""
    return {
        module: {
            name
            for name in imported_modules(path.read_text(encoding="utf-8"), hints=hints)
            if name in MODULES and name not in ("skycue", module)
        }
        for module, path in MODULES.items()
    }


IMPORTS = imports_within(hints=True)


def test_every_part_has_a_floor_and_every_floor_its_parts() -> None:
    parts = {part_of(module) for module in MODULES if module != "skycue"}
    assert parts == HEIGHT.keys()


@pytest.mark.parametrize("module", [module for module in MODULES if module != "skycue"])
def test_a_module_imports_only_from_below(module: str) -> None:
    here = part_of(module)
    wrong = [
        name
        for name in IMPORTS[module]
        if part_of(name) != here and HEIGHT[part_of(name)] >= HEIGHT[here]
    ]
    assert wrong == [], f"{module} stands on floor {HEIGHT[here]} and imports from above"


def test_the_package_itself_imports_nothing() -> None:
    assert IMPORTS["skycue"] == set()


def test_the_two_wings_do_not_know_each_other() -> None:
    wings = {"scenes": "regions", "regions": "scenes"}
    known = [
        f"{module} imports {name}"
        for module, names in IMPORTS.items()
        for name in names
        if module != "skycue" and wings.get(part_of(module)) == part_of(name)
    ]
    assert known == []


def test_only_geo_reads_and_writes_rasters() -> None:
    users = {
        part_of(module)
        for module, path in MODULES.items()
        for name in imported_modules(path.read_text(encoding="utf-8"))
        if name.split(".")[0] == "rasterio"
    }
    assert users == {"geo"}


def test_imports_never_go_in_a_circle() -> None:
    imports = imports_within(hints=False)  # a hint may look back, an import may not
    finished: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in finished:
            for name in sorted(imports[module]):
                visit(name, (*path, module))
            finished.add(module)

    for module in MODULES:
        visit(module, ())


def test_names_that_hold_everything_are_not_used() -> None:
    vague = {"utils", "common", "misc", "helpers"}
    assert not {module for module in MODULES if vague & set(module.split("."))}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import skycue.config", ["skycue.config"]),
        ("from skycue import config, __version__", ["skycue.config", "skycue"]),
        ("def f():\n    from skycue.data.scenes import SceneItem", ["skycue.data.scenes"]),
        ("if TYPE_CHECKING:\n    import torch.nn as nn", ["torch.nn"]),
    ],
)
def test_imports_are_found_wherever_they_stand(source: str, names: list[str]) -> None:
    assert list(imported_modules(source)) == names
