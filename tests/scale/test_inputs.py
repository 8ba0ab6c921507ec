"""Files, folders, patterns, STAC files and lists name rasters; what names none is refused."""

from datetime import UTC, datetime
from pathlib import Path

import pystac
import pytest

from skycue.errors import ArchiveError
from skycue.scale.inputs import find_rasters


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Four rasters, a hidden one, and two other files."""
    for name in ("a.tif", "deep/b.TIF", "deep/er/c.jp2", "d.png", ".hidden/e.tif"):
        path = tmp_path / "archive" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "archive" / "readme.md").touch()
    (tmp_path / "archive" / "deep" / "boxes.geojson").touch()
    return tmp_path / "archive"


def names(rasters: list[Path]) -> list[str]:
    return [raster.name for raster in rasters]


def test_a_folder_means_the_rasters_below_it(archive: Path) -> None:
    assert names(find_rasters([str(archive)])) == ["a.tif", "d.png", "b.TIF", "c.jp2"]


def test_a_pattern_means_what_it_matches(archive: Path) -> None:
    assert names(find_rasters([f"{archive}/*.tif"])) == ["a.tif"]
    assert names(find_rasters([f"{archive}/**/*.[tj]*"])) == ["a.tif", "c.jp2"]


def test_a_file_is_a_raster_whatever_its_name_and_named_twice_is_once(archive: Path) -> None:
    odd = archive / "scene.dat"
    odd.touch()
    assert find_rasters([str(odd), str(archive / "a.tif"), str(odd)]) == [archive / "a.tif", odd]


def test_a_list_means_its_lines(archive: Path) -> None:
    listed = archive / "list.txt"
    listed.write_text(f"# two of them\na.tif  # the first\n\n{archive}/deep/b.TIF\n")
    assert names(find_rasters([str(listed)])) == ["a.tif", "b.TIF"]
    listed.write_text("a.tif\ngone.tif\n")
    with pytest.raises(ArchiveError, match=r"line 2 of .*list.txt names gone.tif"):
        find_rasters([str(listed)])


def item(name: str, assets: dict[str, tuple[str, list[str]]]) -> pystac.Item:
    """Return an Item whose assets have a path and roles each."""
    made = pystac.Item(name, None, None, datetime(2026, 1, 1, tzinfo=UTC), {})
    for key, (href, roles) in assets.items():
        made.add_asset(key, pystac.Asset(href, roles=roles))
    return made


def collection(archive: Path, items: list[pystac.Item]) -> str:
    extent = pystac.Extent(
        pystac.SpatialExtent([[-180.0, -90.0, 180.0, 90.0]]),
        pystac.TemporalExtent([[datetime(2026, 1, 1, tzinfo=UTC), None]]),
    )
    made = pystac.Collection("archive", "Rasters.", extent)
    made.add_items(items)
    made.normalize_hrefs(str(archive / "stac"))
    made.make_all_asset_hrefs_relative()
    made.save(pystac.CatalogType.SELF_CONTAINED)
    return str(archive / "stac" / "collection.json")


def test_a_stac_collection_means_the_data_of_its_items(archive: Path) -> None:
    entry = collection(
        archive,
        [
            item("one", {"image": (f"{archive}/a.tif", ["data"]), "look": ("d.png", ["overview"])}),
            item("two", {"image": (f"{archive}/deep/b.TIF", ["data", "visual"])}),
        ],
    )
    assert names(find_rasters([entry])) == ["a.tif", "b.TIF"]
    single = archive / "stac" / "two" / "two.json"
    assert names(find_rasters([str(single)])) == ["b.TIF"]


def test_an_asset_may_be_named_and_one_that_is_not_there_is_told(archive: Path) -> None:
    assets = {"red": (f"{archive}/a.tif", []), "look": (f"{archive}/d.png", ["overview"])}
    entry = collection(archive, [item("one", assets)])
    assert names(find_rasters([entry], asset="red")) == ["a.tif"]
    with pytest.raises(ArchiveError, match="no asset with the role 'data'; its assets are red, lo"):
        find_rasters([entry])
    with pytest.raises(ArchiveError, match="no asset named 'blue'"):
        find_rasters([entry], asset="blue")


@pytest.mark.parametrize("href", ["https://example.org/a.tif", "s3://bucket/a.tif", "gone.tif"])
def test_an_asset_elsewhere_is_refused_and_not_fetched(archive: Path, href: str) -> None:
    entry = collection(archive, [item("one", {"image": (href, ["data"])})])
    with pytest.raises(ArchiveError, match="which is no file of this machine"):
        find_rasters([entry])


def test_links_to_other_machines_are_not_followed(archive: Path) -> None:
    entry = Path(collection(archive, [item("one", {"image": (f"{archive}/a.tif", ["data"])})]))
    entry.write_text(entry.read_text().replace("./one/one.json", "http://127.0.0.1:9/one.json"))
    with pytest.raises(ArchiveError, match=r"it leads to http://127.0.0.1:9/one.json, which is no"):
        find_rasters([str(entry)])


@pytest.mark.parametrize("content", ["{}", "not JSON", '{"type": "FeatureCollection"}', "[1]"])
def test_what_is_no_stac_is_refused(archive: Path, content: str) -> None:
    (archive / "stac.json").write_text(content)
    with pytest.raises(ArchiveError, match=r"cannot read .*stac.json as a STAC"):
        find_rasters([str(archive / "stac.json")])


def test_what_is_not_there_or_holds_nothing_is_told(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="no file or folder gone: give rasters"):
        find_rasters([str(archive), "gone"])
    with pytest.raises(ArchiveError, match="no raster in"):
        find_rasters([f"{archive}/*.vrt"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArchiveError, match=r"no raster in .*empty: folders are searched for"):
        find_rasters([str(tmp_path / "empty")])
