"""The first panel, from an image to files: boxes, captions, masks, edits, downloads."""

import io
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageChops
from playwright.sync_api import expect
from shapely.geometry import shape

from tests.web.page.conftest import TANKS
from tests.web.page.driver import Analyst
from tests.web.serving import geotiff, levels

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Visit = Callable[..., Analyst]
SIZE = (360, 360)
ROTTERDAM = (4.35, 51.9)
"""Longitude and latitude."""
NOTE_WAITING_CAPTIONS = """() => {
    window.waitingCaptions = [];
    new MutationObserver(() => {
        const caption = document.querySelector(".card.is-pending .caption");
        if (caption) window.waitingCaptions.push(caption.innerText.trim());
    }).observe(document.body, {childList: true, characterData: true, subtree: true});
}"""
"""Keeps what a box that is being described says, however quickly its answer comes."""
TANK, SECOND = (149, 244, 236, 311), (231, 0, 300, 40)
"""Boxes around storage tanks of the example."""


@pytest.fixture
def analyst(visit: Visit, address: str) -> Analyst:
    """A person who has uploaded and opened the tanks."""
    person = visit(address)
    person.upload("tanks.tif", TANKS.read_bytes())
    person.wait_for_map()
    return person


def looks_changed(analyst: Analyst, before: bytes) -> bool:
    """Say whether the map looks otherwise than in a picture taken before."""
    pictures = [Image.open(io.BytesIO(data)).convert("RGB") for data in (before, shot(analyst))]
    return ImageChops.difference(*pictures).getbbox() is not None


def shot(analyst: Analyst) -> bytes:
    return analyst.page.locator(".map").screenshot()


def test_a_box_becomes_a_caption_with_coloured_phrases_and_scores(analyst: Analyst) -> None:
    analyst.describe(TANK, SIZE)
    phrases = analyst.page.locator(".caption .phrase")
    assert phrases.count() >= 1
    assert all(text in analyst.caption for text in phrases.all_inner_texts())
    assert "tank" in analyst.caption
    rows = analyst.page.locator(".phrase-row")
    assert rows.count() == phrases.count()
    assert all(text.strip().endswith("%") for text in rows.locator(".score").all_inner_texts())
    for index in range(phrases.count()):
        colour = "element => getComputedStyle(element).getPropertyValue('--phrase')"
        assert phrases.nth(index).evaluate(colour) == rows.nth(index).evaluate(colour)


def test_words_arrive_before_the_answer_does(analyst: Analyst) -> None:
    analyst.page.evaluate(NOTE_WAITING_CAPTIONS)
    analyst.draw(TANK, SIZE)
    expect(analyst.rows).to_have_count(1)
    expect(analyst.page.locator(".card.is-pending")).to_have_count(0)
    seen = analyst.page.evaluate("window.waitingCaptions")
    unfinished = [text for text in seen if text and analyst.caption.startswith(text)]
    assert any(len(text) < len(analyst.caption) for text in unfinished), seen


def test_a_phrase_and_its_mask_light_each_other_up(analyst: Analyst) -> None:
    analyst.describe(TANK, SIZE)
    analyst.page.mouse.move(5, 5)
    phrase = analyst.page.locator(".caption .phrase").first
    expect(phrase).not_to_have_class("phrase is-lit")
    before = shot(analyst)
    phrase.hover()
    expect(phrase).to_have_class("phrase is-lit")
    expect(analyst.page.locator(".phrase-row").first).to_have_class("phrase-row is-lit")
    assert looks_changed(analyst, before)
    analyst.page.mouse.move(5, 5)
    expect(phrase).not_to_have_class("phrase is-lit")
    middle = ((TANK[0] + TANK[2]) / 2, TANK[1] + 0.85 * (TANK[3] - TANK[1]))
    analyst.page.mouse.move(*analyst.place(*middle, SIZE))
    expect(analyst.page.locator(".caption .phrase.is-lit")).to_have_count(1)


def test_boxes_are_renamed_merged_deleted_and_brought_back(analyst: Analyst) -> None:
    analyst.describe(TANK, SIZE)
    analyst.describe(SECOND, SIZE)
    analyst.rows.first.click()
    analyst.page.get_by_role("button", name="Rename Box 1", exact=True).click()
    analyst.page.get_by_label("New name of Box 1").fill("<b>tank</b> 7")
    analyst.press("Enter")
    expect(analyst.rows.first.locator("strong")).to_have_text("<b>tank</b> 7")
    captions = analyst.page.locator(".excerpt").all_inner_texts()

    analyst.rows.nth(1).click(modifiers=["Control"])
    analyst.page.get_by_role("button", name="Merge 2", exact=True).click()
    expect(analyst.rows).to_have_count(1)
    assert all(caption in analyst.caption for caption in captions)

    undo = analyst.page.get_by_role("button", name="Undo", exact=True)
    undo.click()
    expect(analyst.rows).to_have_count(2)
    analyst.rows.nth(1).click()
    analyst.press("Delete")
    expect(analyst.rows).to_have_count(1)
    analyst.press("Control+z")
    expect(analyst.rows).to_have_count(2)
    undo.click()
    expect(analyst.rows.first.locator("strong")).to_have_text("Box 1")
    expect(undo).to_be_disabled()


def test_a_phrase_is_renamed_and_deleted(analyst: Analyst) -> None:
    analyst.describe(TANK, SIZE)
    rows = analyst.page.locator(".phrase-row")
    count = rows.count()
    text = rows.first.locator(".phrase-name").inner_text()
    rows.first.get_by_role("button", name=f"Rename {text}").click()
    analyst.page.get_by_label(f"New name of {text}").fill("oil tank")
    analyst.press("Enter")
    expect(rows.first.locator(".phrase-name")).to_have_text("oil tank")
    rows.first.get_by_role("button", name="Delete oil tank").click()
    expect(rows).to_have_count(count - 1)
    analyst.press("Control+z")
    expect(rows).to_have_count(count)


def test_what_was_done_is_there_after_reloading(analyst: Analyst) -> None:
    analyst.describe(TANK, SIZE)
    caption = analyst.caption
    analyst.page.reload()
    analyst.wait_for_map()
    analyst.rows.first.click()
    assert analyst.caption == caption


def test_results_are_downloaded_in_each_format(analyst: Analyst, tmp_path: Path) -> None:
    analyst.describe(TANK, SIZE)
    phrases = analyst.page.locator(".phrase-name").all_inner_texts()

    name, content = analyst.download("GeoJSON")
    assert name == "tanks_answers.geojson"
    features = json.loads(content)["features"]
    assert [feature["properties"]["phrase"] for feature in features] == phrases
    middle = shape(features[0]["geometry"]).centroid
    assert (middle.x, middle.y) == pytest.approx(ROTTERDAM, abs=0.2)

    _, content = analyst.download("COCO")
    annotations = json.loads(content)["annotations"]
    assert [one["phrase"] for one in annotations] == phrases

    _, content = analyst.download("GeoPackage")
    package = tmp_path / "answers.gpkg"
    package.write_bytes(content)
    with sqlite3.connect(package) as database:
        (table,) = database.execute("select table_name from gpkg_contents").fetchone()
        assert database.execute(f'select count(*) from "{table}"').fetchone() == (len(phrases),)

    assert analyst.download("GeoParquet")[1][:4] == b"PAR1"
    picture = Image.open(io.BytesIO(analyst.download("PNG")[1]))
    assert min(picture.size) >= 360


def test_an_image_without_a_place_offers_no_map_formats(visit: Visit, address: str) -> None:
    analyst = visit(address)
    pixels = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").save(pixels, "JPEG")
    analyst.upload("gradient.jpg", pixels.getvalue(), "image/jpeg")
    analyst.wait_for_map()
    expect(analyst.page.locator(".top-bar .fine")).to_contain_text("no CRS")
    analyst.describe((60, 60, 200, 200), (256, 256))
    downloads = analyst.page.locator(".downloads")
    for name, is_offered in [
        ("GeoJSON", False),
        ("GeoPackage", False),
        ("COCO", True),
        ("PNG", True),
    ]:
        assert downloads.get_by_role("button", name=name, exact=True).is_enabled() == is_offered


def test_masks_are_merged_and_parted_again(analyst: Analyst) -> None:
    analyst.describe(TANK, SIZE)
    rows = analyst.page.locator(".phrase-row")
    n_before = rows.count()
    assert n_before >= 2
    scores = rows.locator(".score").all_inner_texts()
    for index in range(2):
        rows.nth(index).get_by_role("checkbox").check()
    analyst.page.get_by_role("button", name="Merge 2 masks", exact=True).click()
    expect(rows).to_have_count(n_before - 1)
    analyst.page.get_by_role("button", name="Undo", exact=True).click()
    expect(rows).to_have_count(n_before)
    assert rows.locator(".score").all_inner_texts() == scores


def test_a_doubt_is_told_in_the_list_and_on_the_card(visit: Visit, address: str) -> None:
    pixels = levels(300, 400)
    pixels[:, :, 200:] = 0
    analyst = visit(address)
    analyst.upload("half.tif", geotiff(pixels, nodata=0))
    analyst.wait_for_map()
    analyst.describe((250, 100, 350, 200), (300, 400))
    flags = analyst.page.locator(".card .flags li")
    expect(flags).to_have_count(1)
    expect(flags).to_contain_text("no valid pixel")
    expect(analyst.rows.first.get_by_label("A doubt")).to_be_visible()
