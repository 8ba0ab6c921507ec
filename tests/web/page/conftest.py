"""A browser for each module, and a server with the example rasters."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

import skycue
from tests.web.page.driver import Analyst, Scheme, chromium, served

TANKS = Path(skycue.__file__).parent / "examples" / "spacenet" / "regions" / "rotterdam_tanks.tif"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser of the system, without a window."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with the storage tanks of Rotterdam."""
    folder = tmp_path_factory.mktemp("server") / "state"
    with served(folder, [TANKS]) as url:
        yield url


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Analyst]]:
    """Open the page of a server; at the end nothing may have gone wrong or gone elsewhere.

    Errors of the browser's console that hold `forgives` are what a test provokes.
    """
    visits: list[tuple[Analyst, str]] = []

    def open_page(url: str, *, scheme: Scheme = "light", forgives: str = "") -> Analyst:
        visits.append((Analyst(browser, url, scheme=scheme), forgives))
        return visits[-1][0]

    yield open_page
    for analyst, forgives in visits:
        analyst.leave()
        assert analyst.seen.elsewhere(analyst.address) == []
        assert [e for e in analyst.seen.errors if not forgives or forgives not in e] == []
