"""The README's commands work, and what it points to exists."""

import json
import re
import sys
from pathlib import Path

import geopandas
import numpy as np
import pytest
from geopandas import GeoDataFrame, GeoSeries
from shapely import Polygon, box, points

from docs.readme_commands import Block, run, runnable_blocks
from skycue.geo.crs import WGS84
from skycue.geo.raster import Raster

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
IN_ORDER = [*sorted(ROOT.glob("docs/tutorial_*.md")), ROOT / "docs/scale.md"]
"""Pages whose commands build on each other, from the first to the last."""
TANKS = {"west": (200, 307), "east": (300, 287)}
"""The middles of two tanks of `rotterdam_tanks.tif` in pixels, as the eye finds them."""
ROOF = 15.0
"""Metres around these middles that are still roof; the mask may leave out a fitting on it."""


def run_page(text: str, folder: Path) -> None:
    """Run the blocks of a page; each must end well."""
    for block in runnable_blocks(text):
        result = run(block, Path(sys.executable).parent, folder)
        assert result.returncode == 0, f"{block.text}\n{result.stdout}\n{result.stderr}"


def test_only_blocks_marked_bash_or_python_are_run() -> None:
    text = "```console\nrm -r /\n```\n```bash\nls\n```\ntext\n```python\n1\n2\n```\n"
    assert runnable_blocks(text) == [Block("bash", "ls\n"), Block("python", "1\n2\n")]


def test_a_block_runs_with_the_given_programs_and_stops_at_the_first_failure(
    tmp_path: Path,
) -> None:
    result = run(Block("bash", "echo here > file\nfalse\necho late"), tmp_path, tmp_path)
    assert result.returncode == 1
    assert result.stdout == ""
    assert (tmp_path / "file").read_text(encoding="utf-8") == "here\n"


@pytest.mark.slow
def test_the_commands_of_the_readme_run_in_order(tmp_path: Path) -> None:
    assert {block.language for block in runnable_blocks(TEXT)} == {"bash", "python"}
    run_page(TEXT, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("page", IN_ORDER, ids=lambda page: page.stem)
def test_the_commands_of_a_page_run_in_order_and_its_boxes_hold_what_is_said_of_them(
    tmp_path: Path, page: Path
) -> None:
    text = page.read_text(encoding="utf-8")
    run_page(text, tmp_path)
    if page.stem == "tutorial_analyst":
        check_tanks(tmp_path, text)
    if page.stem == "scale":
        rows = geopandas.read_parquet(tmp_path / "described" / "rows-00000.parquet")
        boxes = geopandas.read_file(tmp_path / "boxes.geojson").set_index("id")
        check_tank(rows, boxes.geometry["tank"], "west", tmp_path)
        manifest = json.loads((tmp_path / "described" / "manifest.json").read_text("utf-8"))
        assert [place for _, place, _, _ in manifest["unusable"]] == ["elsewhere"]


def check_tanks(folder: Path, page: str) -> None:
    """See that every box of the analyst's page holds a tank, and that its mask lies on it."""
    given = re.search(r"--box ([\d.,]+) ", page)
    assert given is not None
    one = geopandas.read_file(folder / "box" / "features.geojson")
    check_tank(one, box(*map(float, given.group(1).split(","))), "west", folder)
    many = geopandas.read_file(folder / "boxes" / "features.gpkg").to_crs(WGS84)
    outlines = geopandas.read_file(folder / "boxes.geojson").set_index("id").geometry
    assert {*outlines.index} == {*TANKS}
    for name, outline in outlines.items():
        check_tank(many[many["box_id"] == name], outline, str(name), folder)
    said = many.groupby("box_id")["caption"].first()
    assert "It is directly to the left of another storage tank" in said["west"]
    assert "Another storage tank is directly to the left of it" in said["east"]


def check_tank(features: GeoDataFrame, outline: Polygon, name: str, folder: Path) -> None:
    """See that the phrase of a box in degrees is of a tank, and its mask on that tank."""
    [(phrase, mask)] = features[features["prompted"]][["phrase", "geometry"]].itertuples(
        index=False, name=None
    )
    assert "storage tank" in phrase
    place = Raster.open(folder / "tiles" / "regions" / "rotterdam_tanks.tif").georeference
    assert place is not None
    middle = GeoSeries(points(place.to_map(np.array([TANKS[name]]))), crs=place.crs)
    [roof] = middle.buffer(ROOF).to_crs(WGS84)
    assert mask.intersection(roof).area > 0.9 * roof.area
    assert mask.intersection(outline).area > 0.9 * mask.area
    assert mask.intersection(outline).area > 0.4 * outline.area


@pytest.mark.slow
def test_the_commands_of_the_page_of_regions_run_in_order(tmp_path: Path) -> None:
    text = (ROOT / "docs/regions.md").read_text(encoding="utf-8")
    blocks = runnable_blocks(text)
    assert len(blocks) == 2
    run_page(text, tmp_path)
    files = {"answer.json", "masks.json", "overlay.png", "features.geojson"}
    assert {path.name for path in (tmp_path / "region").iterdir()} == files
    assert {path.name for path in (tmp_path / "named").iterdir()} == files


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_installs_from_a_checkout_for_no_index_has_skycue(page: Path) -> None:
    installed = re.findall(r"pip install\s+('?[^\s`]+)", page.read_text(encoding="utf-8"))
    assert [what for what in installed if what.startswith(("skycue", "'skycue"))] == []


def test_what_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", TEXT)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/*.md")), ids=lambda page: page.name)
def test_what_a_page_links_to_exists(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
