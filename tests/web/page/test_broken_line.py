"""Connections drop: nothing is lost, the page says what happens, and goes on by itself."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Request, Route, expect

from skycue.service.settings import ServiceSettings
from tests.web.page.broken_line import Line, line_to
from tests.web.page.conftest import TANKS
from tests.web.page.driver import Analyst
from tests.web.serving import geotiff

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Visit = Callable[..., Analyst]
SIZE = (360, 360)
TANK = (149, 244, 236, 311)
CHUNK = ServiceSettings().chunk_bytes


@pytest.fixture
def line(address: str) -> Iterator[Line]:
    """A line to the server."""
    with line_to(address) as laid:
        yield laid


@pytest.fixture
def analyst(visit: Visit, line: Line) -> Analyst:
    """A person at the end of the line; requests that fail are forgiven, and nothing else."""
    return visit(line.address, forgives="Failed to load resource")


def test_an_answer_is_found_after_the_stream_broke(analyst: Analyst, line: Line) -> None:
    analyst.upload("tanks.tif", TANKS.read_bytes())
    analyst.wait_for_map()
    with analyst.page.expect_request("**/describe/stream") as asked:
        analyst.draw(TANK, SIZE)
    analyst.page.locator(".card.is-pending").wait_for()
    asked.value.response()  # the server has begun
    line.cut()
    expect(analyst.page.locator(".trouble")).to_contain_text("The connection was lost")
    expect(analyst.page.locator(".offline")).to_contain_text("does not answer")
    line.mend()
    expect(analyst.rows).to_have_count(1)
    expect(analyst.page.locator(".card .caption")).to_contain_text("tank")
    expect(analyst.page.locator(".offline")).to_have_count(0)


def test_an_upload_goes_on_where_it_stopped(analyst: Analyst, line: Line) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (3, 3000, 3000)).astype(np.uint8)
    content = geotiff(pixels)  # four chunks
    chunks: list[int] = []

    def note(request: Request) -> None:
        if request.method == "PUT":
            if len(chunks) == 1:
                line.cut()
            chunks.append(int(request.url.split("offset=")[1]))

    analyst.page.on("request", note)
    analyst.upload("large.tif", content)
    expect(analyst.page.locator(".upload")).to_contain_text("The connection was lost")
    line.mend()
    analyst.wait_for_map()
    assert sorted(set(chunks)) == list(range(0, len(content), CHUNK))
    assert chunks.count(0) == 1, "what had arrived was not sent again"


def test_an_upload_whose_last_answer_was_lost_is_one_raster(analyst: Analyst, line: Line) -> None:
    finishes: list[Request] = []

    def lose_the_first_answer(route: Route) -> None:
        finishes.append(route.request)
        if len(finishes) > 1:
            return route.continue_()
        assert route.fetch().ok  # the server has finished, and the page does not hear of it
        line.cut()
        return route.abort("connectionreset")

    analyst.page.route("**/finish", lose_the_first_answer)
    analyst.upload("finished.tif", TANKS.read_bytes())
    expect(analyst.page.locator(".upload")).to_contain_text("The connection was lost")
    line.mend()
    analyst.wait_for_map()
    analyst.page.get_by_role("button", name="All rasters", exact=True).click()
    expect(analyst.page.locator(".raster-row", has_text="finished.tif")).to_have_count(1)


def test_an_upload_goes_on_after_the_page_was_closed(analyst: Analyst, tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 255, (3, 3000, 3000)).astype(np.uint8)
    large = tmp_path / "closed.tif"  # a file of the disk keeps its time
    large.write_bytes(geotiff(pixels))
    chunks: list[int] = []

    def hold_the_second(route: Route) -> None:
        chunks.append(int(route.request.url.split("offset=")[1]))
        if len(chunks) != 2:
            route.continue_()

    analyst.page.route("**/uploads/*?offset=*", hold_the_second)
    analyst.page.set_input_files("input[type=file]", large)
    expect(analyst.page.locator(".upload")).to_contain_text("%")
    analyst.page.wait_for_function("() => document.querySelector('.upload progress').value > 0")
    while len(chunks) < 2:
        analyst.page.wait_for_timeout(50)
    analyst.page.reload()
    told = analyst.page.locator(".upload", has_text="closed.tif")
    expect(told).to_contain_text("choose the file again to go on")
    analyst.page.set_input_files("input[type=file]", large)
    analyst.wait_for_map()
    assert chunks.count(0) == 1, "what had arrived was not sent again"


def test_the_page_goes_on_by_itself_when_the_server_is_back(analyst: Analyst, line: Line) -> None:
    pixels = np.random.default_rng(3).integers(0, 255, (3, 1600, 1600)).astype(np.uint8)
    analyst.upload("zoomed.tif", geotiff(pixels))
    analyst.wait_for_map()
    line.cut()
    for _ in range(2):
        analyst.page.get_by_role("button", name="Zoom in").click()
    banner = analyst.page.locator(".offline")
    expect(banner).to_contain_text("goes on when it is back")
    with analyst.page.expect_request("**/tiles/pixels/**"):  # those that failed
        line.mend()
    expect(banner).to_have_count(0)


def test_a_change_that_failed_leaves_what_the_server_has(analyst: Analyst, line: Line) -> None:
    analyst.upload("tanks.tif", TANKS.read_bytes())
    analyst.wait_for_map()
    analyst.describe(TANK, SIZE)
    line.cut()
    analyst.page.get_by_role("button", name="Delete Box 1").click()
    expect(analyst.page.locator(".offline")).to_contain_text("may have to be made again")
    line.mend()
    expect(analyst.page.locator(".offline")).to_have_count(0)
    expect(analyst.rows).to_have_count(1)


def test_a_box_that_never_arrived_can_be_tried_again(analyst: Analyst, line: Line) -> None:
    analyst.upload("tanks.tif", TANKS.read_bytes())
    analyst.wait_for_map()
    line.cut()
    analyst.draw(TANK, SIZE)
    expect(analyst.page.locator(".trouble")).to_contain_text("The connection was lost")
    line.mend()
    again = analyst.page.get_by_role("button", name="Try again")
    again.wait_for()  # nothing was found
    again.click()
    expect(analyst.rows).to_have_count(1)
