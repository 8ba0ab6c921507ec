"""Take the pictures of the page that the README, the tutorial and docs/server.md show.

Run as `python -m docs.page_pictures`, with Chromium: it serves the example of Rotterdam, describes
boxes and labels tiles as an analyst would, and keeps what the screen shows.
"""

import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import ViewportSize

from tests.web.page.conftest import TANKS
from tests.web.page.driver import Analyst, chromium, served

IMAGES = Path(__file__).parent / "images"
COLOURS = 256
SIZE = (360, 360)
TANK, OTHERS = (148, 258, 244, 356), ((232, 0, 282, 42), (8, 72, 106, 120))
"""Boxes on the example: a storage tank, then two that are only listed."""
PROJECTOR: ViewportSize = {"width": 1920, "height": 1080}
LETTER = b"Dear Sir or Madam, " * 100
LABELS = {
    "tank": [(236, 2, 280, 40), (286, 0, 330, 36), (166, 284, 236, 340)],
    "building": [(102, 160, 150, 200), (0, 150, 60, 210), (20, 90, 90, 116)],
    "open ground": [(258, 120, 306, 168), (204, 40, 230, 90), (80, 212, 130, 236)],
}


def take(analyst: Analyst, name: str, *, waits: bool = True) -> None:
    """Keep what the screen shows, once nothing is on its way if it `waits`."""
    if waits and analyst.page.locator(".map").count():
        analyst.settle()
    shown = Image.open(io.BytesIO(analyst.page.screenshot(animations="disabled"))).convert("RGB")
    few = shown.quantize(COLOURS, kmeans=3)  # a third of the bytes, and nobody sees it
    few.save(IMAGES / f"page_{name}.png", optimize=True)


def describe(analyst: Analyst) -> None:
    """Describe boxes; the first is chosen, and its first phrase lit up."""
    for box in (TANK, *OTHERS):
        analyst.describe(box, SIZE)
    analyst.rows.first.click()
    analyst.press("v")
    analyst.page.locator(".caption .phrase").first.hover()


def classify(analyst: Analyst) -> None:
    """Label tiles, fit, and wait for the map."""
    analyst.page.get_by_role("tab", name="Classify").click()
    for name, boxes in LABELS.items():
        analyst.page.get_by_label("Name of a new class").fill(name)
        analyst.press("Enter")
        count = analyst.page.locator(".class-row", has_text=name).locator(".count")
        for number, box in enumerate(boxes, start=1):
            analyst.draw(box, SIZE)
            count.get_by_text(str(number), exact=True).wait_for()
    analyst.page.get_by_role("button", name="Fit").click()
    analyst.page.locator(".progress-head", has_text="Classifying").wait_for()
    take(analyst, "working", waits=False)
    analyst.page.get_by_label("Legend").wait_for()
    analyst.press("v")
    take(analyst, "classify")


def refuse(analyst: Analyst) -> None:
    """Send what is no raster, then lose the line."""
    analyst.page.get_by_role("button", name="All rasters", exact=True).click()
    analyst.upload("letter.tif", LETTER)
    analyst.page.locator(".notice.is-error").wait_for()
    analyst.page.context.set_offline(True)
    analyst.page.locator(".raster-open").first.click()
    analyst.page.get_by_role("button", name="All rasters", exact=True).click()
    analyst.page.locator(".offline").wait_for()


def main() -> None:
    """Take them."""
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder) / "state", [TANKS]) as address,
        chromium() as browser,
    ):
        analyst = Analyst(browser, address)
        analyst.page.locator(".thumbnail img").first.wait_for()
        take(analyst, "library")
        analyst.open(TANKS.name)
        describe(analyst)
        take(analyst, "describe")
        classify(analyst)
        analyst.page.get_by_role("button", name="Dark", exact=True).click()
        take(analyst, "classify_dark")
        analyst.page.get_by_role("button", name="Light", exact=True).click()
        refuse(analyst)
        take(analyst, "errors")
        speaker = Analyst(browser, address)
        speaker.page.set_viewport_size(PROJECTOR)
        speaker.open(TANKS.name)
        speaker.rows.first.click()
        speaker.page.locator(".caption .phrase").first.hover()
        take(speaker, "projector")


if __name__ == "__main__":
    main()
