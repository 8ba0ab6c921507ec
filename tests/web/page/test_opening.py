"""Rasters are opened, looked at and refused on the page."""

import io
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from playwright.sync_api import Dialog, expect
from pyproj import Transformer
from rasterio.windows import Window

from tests.web.page.driver import WAIT_MS, Analyst, served
from tests.web.serving import PLACE, geotiff, levels

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Visit = Callable[..., Analyst]
HOSTILE = "<img src=x onerror=alert(1)>\"'&lt;script&gt;.tif"
SIDE = 40_000
"""Of the large raster: 4.8 GB if it were not sparse."""
PATCH = (30_000, 10_000, 512)
"""Column, row and side of the square in it that is orange."""
ORANGE = (240, 120, 20)
COLOUR_TOLERANCE = 12


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with a sparse raster of 1.6 billion pixels, with overviews."""
    folder = tmp_path_factory.mktemp("large")
    path = folder / "rasters" / "large.tif"
    path.parent.mkdir()
    column, row, side = PATCH
    options = {
        "crs": "EPSG:32631",
        "transform": PLACE,
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "sparse_ok": True,
    }
    with rasterio.open(
        path, "w", driver="GTiff", height=SIDE, width=SIDE, count=3, dtype="uint8", **options
    ) as raster:
        pixels = np.broadcast_to(np.array(ORANGE, np.uint8)[:, None, None], (3, side, side))
        raster.write(pixels, window=Window(column, row, side, side))
    with rasterio.open(path, "r+") as raster:
        raster.build_overviews(
            [2**level for level in range(1, 8)], rasterio.enums.Resampling.nearest
        )
    with served(folder / "state", [path]) as url:
        yield url


def test_an_uploaded_geotiff_is_prepared_and_shown(visit: Visit, address: str) -> None:
    pixels = np.zeros((3, 300, 500), np.uint8)
    pixels[0, :, 250:] = 200  # its right half is red
    analyst = visit(address)
    analyst.upload("halves.tif", geotiff(pixels))
    analyst.wait_for_map()
    expect(analyst.page.locator(".top-bar .fine")).to_contain_text(
        "500 \N{MULTIPLICATION SIGN} 300 · 3 bands uint8"
    )
    expect(analyst.page.locator(".top-bar .fine")).to_contain_text("EPSG:32631 · 0.5 m a pixel")
    wait_for_colour(analyst, (200, 0, 0), analyst.place(400, 150, (300, 500)))
    wait_for_colour(analyst, (0, 0, 0), analyst.place(100, 150, (300, 500)))


def test_other_bands_of_a_raster_are_chosen(visit: Visit, address: str) -> None:
    bands = np.zeros((5, 300, 500), np.uint8)
    bands[3:] = 200
    analyst = visit(address)
    analyst.upload("five.tif", geotiff(bands, photometric="MINISBLACK"))
    analyst.wait_for_map()
    middle = analyst.place(250, 150, (300, 500))
    wait_for_colour(analyst, (0, 0, 0), middle)
    chooser = analyst.page.get_by_label("Band shown as green")
    chooser.select_option("4")
    wait_for_colour(analyst, (0, 200, 0), middle)
    analyst.page.get_by_label("Band shown as blue").select_option("5")
    wait_for_colour(analyst, (0, 200, 200), middle)
    analyst.page.reload()
    analyst.wait_for_map()
    expect(chooser).to_have_value("4")
    wait_for_colour(analyst, (0, 200, 200), middle)
    analyst.page.locator(".brand").click()
    analyst.page.locator(".raster-open", has_text="five.tif").wait_for()
    analyst.upload("plain.tif", geotiff(levels(300, 500)))
    analyst.wait_for_map()
    expect(chooser).to_have_count(0)  # red, green and blue are all it has


def test_the_mouse_shows_where_it_is_on_the_ground(visit: Visit, address: str) -> None:
    analyst = visit(address)
    analyst.upload("field.tif", geotiff(levels(300, 500)))
    analyst.wait_for_map()
    analyst.page.mouse.move(*analyst.place(400, 150, (300, 500)))
    east, north = PLACE * (400, 150)
    longitude, latitude = Transformer.from_crs(32631, 4326, always_xy=True).transform(east, north)
    shown = analyst.page.locator(".status-right")
    expect(shown).to_contain_text("\N{DEGREE SIGN} N")
    found = re.search(r"([\d.]+)\N{DEGREE SIGN} N ([\d.]+)\N{DEGREE SIGN} E", shown.inner_text())
    assert found is not None
    assert [float(part) for part in found.groups()] == pytest.approx(
        [latitude, longitude], abs=2e-5
    )


def test_a_file_is_opened_where_it_is_dropped(visit: Visit, address: str) -> None:
    analyst = visit(address)
    picture = io.BytesIO()
    Image.new("RGB", (200, 120), (0, 90, 200)).save(picture, "JPEG")
    files = analyst.page.evaluate_handle(
        """content => {
            const dropped = new DataTransfer();
            dropped.items.add(new File([new Uint8Array(content)], "sea.jpg", {type: "image/jpeg"}));
            return dropped;
        }""",
        list(picture.getvalue()),
    )
    analyst.page.dispatch_event("main", "dragover", {"dataTransfer": files})
    expect(analyst.page.locator(".page")).to_have_class("page is-over")
    analyst.page.dispatch_event("main", "drop", {"dataTransfer": files})
    analyst.wait_for_map()
    expect(analyst.page.locator(".top-bar strong")).to_have_text("sea.jpg")
    wait_for_colour(analyst, (0, 90, 200), analyst.place(100, 60, (120, 200)))


def test_reloading_keeps_the_raster(visit: Visit, address: str) -> None:
    analyst = visit(address)
    analyst.open("rotterdam_tanks.tif")
    analyst.page.reload()
    analyst.wait_for_map()
    expect(analyst.page.locator(".top-bar strong")).to_have_text("rotterdam_tanks.tif")


def test_a_hostile_name_is_only_text(visit: Visit, address: str) -> None:
    analyst = visit(address)
    dialogs: list[str] = []

    def agree(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.accept()

    analyst.page.on("dialog", agree)
    analyst.upload(HOSTILE, geotiff(levels(64, 64)))
    analyst.wait_for_map()
    expect(analyst.page.locator(".top-bar strong")).to_have_text(HOSTILE)
    analyst.page.get_by_role("button", name="All rasters", exact=True).click()
    row = analyst.page.locator(".raster-row", has_text=HOSTILE)
    expect(row).to_be_visible()
    assert analyst.page.locator("img[src=x]").count() == 0
    assert dialogs == []
    row.get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    assert dialogs == [f"Delete {HOSTILE} with its boxes, labels and maps? This cannot be undone."]


def test_what_is_no_raster_is_refused_in_words(visit: Visit, address: str) -> None:
    analyst = visit(address, forgives="400")
    analyst.upload("letter.tif", b"Dear Sir or Madam, " * 100)
    told = analyst.page.get_by_role("alert")
    expect(told).to_contain_text("letter.tif: this file is no GeoTIFF")
    expect(told.locator("code")).to_have_text("gdal_translate -of GTiff")


def test_a_large_raster_is_seen_as_a_whole_and_pixel_by_pixel(visit: Visit, large: str) -> None:
    analyst = visit(large)
    analyst.open("large.tif")
    expect(analyst.page.locator(".top-bar .fine")).to_contain_text(
        "40,000 \N{MULTIPLICATION SIGN} 40,000"
    )
    column, row, side = PATCH
    middle = (column + side / 2, row + side / 2)
    whole = len(tiles(analyst))
    assert 1 <= whole <= 16, "the whole raster comes from its overviews"
    there = analyst.place(*middle, (SIDE, SIDE))
    wait_for_colour(analyst, ORANGE, there)
    analyst.page.mouse.move(*there)
    while deepest(analyst) < 8:  # 40,000 / 256 = 157 < 2^8
        analyst.page.mouse.wheel(0, -400)
        analyst.settle()
    wait_for_colour(analyst, ORANGE, there)
    assert len(tiles(analyst)) < 600, "only what is seen is fetched"


def test_a_server_with_a_token_asks_for_it(visit: Visit, tmp_path: Path) -> None:
    token = "a-token-of-the-test-0123"
    with served(tmp_path / "state", token=token) as url:
        analyst = visit(url, forgives="401")
        dialog = analyst.page.get_by_role("dialog", name="Token")
        dialog.get_by_label("Token").fill("not-that-token-0123456")
        analyst.press("Enter")
        expect(analyst.page.get_by_role("alert")).to_contain_text("a token is needed")
        dialog.get_by_label("Token").fill(token)
        analyst.press("Enter")
        expect(dialog).to_be_hidden()
        analyst.upload("mine.tif", geotiff(levels(64, 64)))
        analyst.wait_for_map()
        analyst.page.wait_for_load_state("networkidle")  # nothing is asked once the server ends


def test_light_and_dark_follow_the_system_until_one_is_chosen(visit: Visit, address: str) -> None:
    analyst = visit(address, scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = analyst.page.locator("body").evaluate(f"() => {ground}")
    analyst.page.get_by_role("button", name="Light", exact=True).click()
    light = analyst.page.locator("body").evaluate(f"() => {ground}")
    assert brightness(dark) < 60 < 200 < brightness(light)
    analyst.page.reload()
    analyst.page.locator(".raster-row").first.wait_for()
    assert analyst.page.locator("body").evaluate(f"() => {ground}") == light


def brightness(colour: str) -> float:
    """Return the mean of the channels of `rgb(r, g, b)`."""
    channels = [int(part) for part in colour[4:-1].split(",")]
    return sum(channels) / len(channels)


def tiles(analyst: Analyst) -> list[str]:
    """Return the tiles of rasters that the page has asked for, each once."""
    return sorted({url for url in analyst.seen.requests if "/tiles/pixels/" in url})


def deepest(analyst: Analyst) -> int:
    """Return the level of the finest tile that the page has asked for."""
    return max(int(url.split("/")[-3]) for url in tiles(analyst))


def wait_for_colour(
    analyst: Analyst, colour: tuple[int, int, int], place: tuple[float, float]
) -> None:
    """Look at a place of the screen until it has a colour; tiles come in by and by."""
    deadline = time.monotonic() + WAIT_MS / 1000
    while True:
        picture = Image.open(io.BytesIO(analyst.page.screenshot())).convert("RGB")
        found = picture.getpixel((round(place[0]), round(place[1])))
        if found == pytest.approx(colour, abs=COLOUR_TOLERANCE):
            return
        assert time.monotonic() < deadline, f"{found} at {place} where {colour} is expected"
