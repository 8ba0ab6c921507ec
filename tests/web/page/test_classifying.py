"""The second panel: own classes, labels, Fit, the map with its legend, corrections, downloads."""

import io
import json
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.web.page.driver import WAIT_MS, Analyst
from tests.web.serving import geotiff

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Visit = Callable[..., Analyst]
SIDE = 256
SIZE = (SIDE, SIDE)
LEFT = [(10, 10, 60, 60), (20, 100, 70, 150), (40, 190, 90, 240)]
RIGHT = [(150, 10, 200, 60), (160, 100, 210, 150), (180, 190, 230, 240)]


def two_halves() -> bytes:
    """Return a raster whose left half is dark water, its right half bright roofs in rows."""
    noise = np.random.default_rng(3).integers(0, 25, (3, SIDE, SIDE))
    pixels = noise + np.array([20, 45, 80])[:, None, None]
    rows = np.where(np.arange(SIDE) % 16 < 11, 190, 90)[None, :, None]
    pixels[:, :, SIDE // 2 :] = rows + noise[:, :, SIDE // 2 :]
    return geotiff(pixels.astype(np.uint8))


@pytest.fixture
def analyst(visit: Visit, address: str) -> Analyst:
    """A person who has opened two halves in the panel of classes."""
    person = visit(address)
    person.upload("halves.tif", two_halves())
    person.wait_for_map()
    person.page.get_by_role("tab", name="Classify").click()
    return person


def label(analyst: Analyst, name: str, boxes: list[tuple[int, int, int, int]]) -> None:
    """Make or choose a class, and draw boxes of it."""
    analyst.page.get_by_label("Name of a new class").fill(name)
    analyst.press("Enter")
    count = analyst.page.locator(".class-row", has_text=name).locator(".count")
    before = int(count.inner_text())
    for number, box in enumerate(boxes, start=before + 1):
        analyst.draw(box, SIZE)
        expect(count).to_have_text(str(number))


def fit(analyst: Analyst) -> None:
    """Press Fit, see progress, and wait for the map."""
    analyst.page.get_by_role("button", name="Fit").click()
    expect(analyst.page.locator(".progress")).to_be_visible()
    expect(analyst.page.locator(".progress")).to_have_count(0)
    expect(analyst.page.get_by_label("Legend")).to_be_visible()


def map_tiles(analyst: Analyst) -> list[str]:
    return [url for url in analyst.seen.requests if "/maps/" in url and "/tiles/" in url]


def test_labels_become_a_map_that_is_corrected_and_fitted_again(analyst: Analyst) -> None:
    page = analyst.page
    expect(page.get_by_role("button", name="Fit")).to_be_disabled()
    label(analyst, "water", LEFT)
    expect(page.get_by_role("button", name="Fit")).to_be_disabled()
    label(analyst, "roofs", RIGHT)
    fit(analyst)
    legend = page.get_by_label("Legend")
    expect(legend.get_by_role("switch")).to_have_count(2)
    analyst.settle()
    assert map_tiles(analyst)

    features = json.loads(analyst.download("GeoJSON")[1])["features"]
    classes = {json.dumps(feature["properties"]) for feature in features}
    assert any("water" in one for one in classes)
    assert any("roofs" in one for one in classes)
    assert analyst.download("GeoTIFF")[1][:4] in (b"II*\0", b"II+\0")
    picture = Image.open(io.BytesIO(analyst.download("PNG")[1]))
    assert picture.format == "PNG"
    assert min(picture.size) >= SIDE
    assert analyst.download("GeoPackage")[1][:15] == b"SQLite format 3"

    legend.get_by_role("button", name="This is water").click()
    analyst.draw((100, 30, 120, 50), SIZE)
    expect(page.locator(".class-row", has_text="water").locator(".count")).to_have_text("4")
    first = {url.split("/maps/")[1].split("/")[0] for url in map_tiles(analyst)}
    page.get_by_role("button", name="Fit again").click()
    expect(page.locator(".progress")).to_be_visible()
    expect(page.locator(".progress")).to_have_count(0)
    analyst.settle()
    assert {url.split("/maps/")[1].split("/")[0] for url in map_tiles(analyst)} > first

    page.reload()
    analyst.wait_for_map()
    page.get_by_role("tab", name="Classify").click()
    expect(page.get_by_label("Legend").get_by_role("switch")).to_have_count(2)
    expect(page.locator(".class-row", has_text="water").locator(".count")).to_have_text("4")


def test_the_legend_hides_classes_and_changes_the_opacity(analyst: Analyst) -> None:
    label(analyst, "water", LEFT)
    label(analyst, "roofs", RIGHT)
    fit(analyst)
    analyst.settle()
    switch = analyst.page.get_by_role("switch", name="water")
    expect(switch).to_have_attribute("aria-checked", "true")
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "false")
    analyst.settle()
    index = analyst.page.get_by_role("switch").all_inner_texts().index("roofs")
    assert map_tiles(analyst)[-1].endswith(f"?classes={index}")
    slider = analyst.page.get_by_role("slider")
    slider.fill("0")
    expect(analyst.page.locator(".slider output")).to_have_text("0 %")


def test_labels_are_changed_deleted_and_brought_back(analyst: Analyst) -> None:
    page = analyst.page
    label(analyst, "water", LEFT[:2])
    label(analyst, "roofs", RIGHT[:1])
    counts = page.locator(".class-row .count")
    expect(counts).to_have_text(["2", "1"])
    analyst.press("v")
    x0, y0, x1, y1 = LEFT[0]
    page.mouse.click(*analyst.place((x0 + x1) / 2, (y0 + y1) / 2, SIZE))
    page.locator(".chosen-label select").select_option("roofs")
    expect(counts).to_have_text(["1", "2"])
    page.get_by_role("button", name="Undo", exact=True).click()
    expect(counts).to_have_text(["2", "1"])
    page.get_by_role("button", name="Delete roofs and its labels").click()
    expect(counts).to_have_text(["2"])
    analyst.press("Control+z")
    expect(counts).to_have_text(["2", "1"])


def test_work_can_be_stopped(analyst: Analyst) -> None:
    label(analyst, "water", LEFT)
    label(analyst, "roofs", RIGHT)
    analyst.page.locator("summary").click()
    analyst.page.get_by_label("Method").select_option("bimors")
    analyst.page.get_by_role("button", name="Fit").click()
    analyst.page.get_by_role("button", name="Stop").click()
    expect(analyst.page.get_by_text("Stopped. The labels are kept.")).to_be_visible(timeout=WAIT_MS)
    expect(analyst.page.get_by_role("button", name="Fit")).to_be_enabled()
