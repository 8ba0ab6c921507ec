"""A server in a process of its own, a browser, and a person who looks at the page."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    expect,
    sync_playwright,
)

from skycue.boxes import Box
from tests.system_programs import find_program

Scheme = Literal["light", "dark"]

SIZE = (1366, 800)
"""(width, height) of the window: that of a small laptop."""
START_S = 120
"""A server that has not begun by then never will; two busy cores need long."""
WAIT_MS = 60_000
"""How long the page may take for anything: a box on two busy cores takes seconds."""
MARGINS = (32, 32, 56, 32)
"""Screen pixels that the page leaves free around a raster that it shows as a whole: above, right,
below, left (`fitBox` in map_view.ts)."""


@contextmanager
def served(
    folder: Path, paths: Sequence[Path] = (), *, token: str = "", settings: Sequence[str] = ()
) -> Iterator[str]:
    """Run `skycue serve` on a free port, and give its address."""
    command = [sys.executable, "-m", "skycue", "serve", *map(str, paths)]
    command += ["--port", "0", "--state", str(folder)]
    for setting in settings:
        command += ["--set", setting]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    if token:
        environment["SKYCUE_TOKEN"] = token
    log = folder.with_suffix(".log")
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stderr=errors, env=environment)
    try:
        yield _address(process, log)
    finally:
        process.terminate()
        process.wait(30)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Return where a server listens, once it says so."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if found := re.search(r"http://[\w.]+:\d+", log.read_text(encoding="utf-8")):
            return found.group()
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise AssertionError(f"the server did not begin: {log.read_text(encoding='utf-8')}")


expect.set_options(timeout=WAIT_MS)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the browser of the system."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_program("chromium"),
            args=["--no-sandbox"],  # for tests as root, in containers
        )
        yield browser
        browser.close()


class Seen(NamedTuple):
    """What a page said and asked for while it was open."""

    errors: list[str]
    requests: list[str]

    def elsewhere(self, address: str) -> list[str]:
        """Return requests to other servers than ours."""
        ours = (address, f"blob:{address}", "data:image/")
        return [url for url in self.requests if not url.startswith(ours)]


class Analyst:
    """A person at the page: opens files, draws boxes by the mouse, reads."""

    def __init__(self, browser: Browser, address: str, *, scheme: Scheme = "light") -> None:
        """Open the page.

        Args:
            browser: Where.
            address: Of the server.
            scheme: What the system asks for.
        """
        self.address, self.seen = address, Seen([], [])
        self._context = browser.new_context(
            viewport={"width": SIZE[0], "height": SIZE[1]}, color_scheme=scheme
        )
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.seen.errors.append(str(error)))
        self.page.on("request", self._note)
        self.page.goto(address)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.seen.errors.append(message.text)

    def _note(self, request: Request) -> None:
        self.seen.requests.append(request.url)

    def leave(self) -> None:
        """Close the page."""
        self._context.close()

    def upload(self, name: str, content: bytes, kind: str = "image/tiff") -> None:
        """Choose a file on the first screen."""
        self.page.set_input_files(
            "input[type=file]", {"name": name, "mimeType": kind, "buffer": content}
        )

    def open(self, name: str) -> None:
        """Open a raster of the list and wait until its map is there."""
        self.page.locator(".raster-open", has_text=name).click()
        self.wait_for_map()

    def wait_for_map(self) -> None:
        """Wait until a raster can be looked at, and show all of it."""
        self.page.locator(".top-bar .opened .fine").wait_for()
        self.settle()

    def settle(self) -> None:
        """Wait until the map has drawn what it was told, and has all tiles for it."""
        frames = (
            "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        busy = self.page.locator(".map")
        busy.evaluate(frames)
        expect(busy).to_have_attribute("aria-busy", "false")
        busy.evaluate(frames)

    def place(self, x: float, y: float, size: tuple[int, int]) -> tuple[float, float]:
        """Return where a pixel of a raster is on the screen while all of the raster is shown.

        Args:
            x: Column.
            y: Row.
            size: (height, width) of the raster.
        """
        area = self.page.locator(".map").bounding_box()
        assert area is not None
        above, right, below, left = MARGINS
        wide, high = area["width"] - left - right, area["height"] - above - below
        scale = min(wide / size[1], high / size[0])
        return (
            area["x"] + left + wide / 2 + (x - size[1] / 2) * scale,
            area["y"] + above + high / 2 + (y - size[0] / 2) * scale,
        )

    def draw(self, box: Box, size: tuple[int, int]) -> None:
        """Drag a box, with the tool for it."""
        self.page.get_by_role("button", name="Draw boxes", exact=True).click()
        self.page.mouse.move(*self.place(box[0], box[1], size))
        self.page.mouse.down()
        self.page.mouse.move(*self.place((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, size))
        self.page.mouse.move(*self.place(box[2], box[3], size))
        self.page.mouse.up()

    def describe(self, box: Box, size: tuple[int, int]) -> None:
        """Draw a box and wait for its answer."""
        before = self.rows.count()
        self.draw(box, size)
        self.rows.nth(before).wait_for()

    @property
    def rows(self) -> Locator:
        """The list of boxes."""
        return self.page.locator(".answer-row")

    @property
    def caption(self) -> str:
        """What the card says."""
        return self.page.locator(".card .caption").first.inner_text()

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def download(self, button: str) -> tuple[str, bytes]:
        """Take a file away; return its name and content."""
        with self.page.expect_download() as waiting:
            self.page.locator(".downloads").get_by_role("button", name=button, exact=True).click()
        return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()
