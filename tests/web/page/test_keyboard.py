"""The whole of the first panel without a mouse."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.web.page.driver import Analyst

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_box_is_drawn_read_renamed_and_deleted_by_keys(
    visit: Callable[..., Analyst], address: str
) -> None:
    analyst = visit(address)
    page = analyst.page
    page.locator(".raster-open").first.wait_for()
    tab_to(analyst, "rotterdam_tanks.tif")
    analyst.press("Enter")
    analyst.wait_for_map()
    before = analyst.rows.count()

    analyst.press("b")
    expect(page.locator(".status")).to_contain_text("arrow keys")
    analyst.press("ArrowDown", "ArrowRight", "Enter")
    expect(page.locator(".status")).to_contain_text("First corner set")
    analyst.press(*["Shift+ArrowRight"] * 2, *["Shift+ArrowDown"] * 2, "Enter")
    analyst.rows.nth(before).wait_for()

    analyst.press("v", "[", "]")
    expect(analyst.rows.nth(before)).to_have_attribute("aria-selected", "true")
    tab_to(analyst, "score")
    expect(page.locator(".caption .phrase.is-lit")).to_have_count(1)
    lit = page.locator(".phrase.is-lit").get_attribute("data-phrase")
    count = page.locator(".caption .phrase").count()
    analyst.press("ArrowRight")
    expect(page.locator(".phrase.is-lit")).to_have_attribute(
        "data-phrase", str((int(lit or 0) + 1) % count)
    )

    page.get_by_role("listbox", name="Boxes").focus()
    analyst.press("F2")
    page.keyboard.type("by keys")
    analyst.press("Enter")
    expect(analyst.rows.nth(before).locator("strong")).to_have_text("by keys")
    analyst.press("Delete")
    expect(analyst.rows).to_have_count(before)


def test_escape_gives_a_box_up_that_was_begun(visit: Callable[..., Analyst], address: str) -> None:
    analyst = visit(address)
    analyst.open("rotterdam_tanks.tif")
    before = analyst.rows.count()
    analyst.press("b", "Enter", "Shift+ArrowRight", "Escape", "Enter")
    expect(analyst.page.locator(".status")).to_contain_text("First corner set")
    analyst.press("Escape", "v")
    assert analyst.rows.count() == before


def test_the_list_of_keys_opens_and_closes(visit: Callable[..., Analyst], address: str) -> None:
    analyst = visit(address)
    analyst.page.locator(".raster-open").first.wait_for()
    analyst.press("?")
    dialog = analyst.page.get_by_role("dialog", name="Keys")
    expect(dialog).to_contain_text("Undo")
    analyst.press("Escape")
    expect(dialog).to_be_hidden()


def tab_to(analyst: Analyst, words: str) -> None:
    """Press Tab until what has the focus says some words."""
    said = "() => { const on = document.activeElement; return on.ariaLabel ?? on.innerText; }"
    for _ in range(40):
        analyst.press("Tab")
        if words in (analyst.page.locator("body").evaluate(said) or ""):
            return
    raise AssertionError(f"Tab never comes to {words!r}")
