"""The bundle of the page belongs to its sources, and fetches nothing from elsewhere.

Without Node: `build.mjs` records the SHA-256 of all it read and wrote. CI builds it anew too
(`make page-check`) and compares every byte.
"""

import hashlib
import json
import re
from pathlib import Path

import pytest

import skycue
from skycue.web.gate import CONTENT_POLICY

WEB = Path(skycue.__file__).parent / "web"
PAGE, STATIC = WEB / "page", WEB / "static"
RECORD = STATIC / "build.json"
SETTINGS = {
    "build.mjs",
    "icon.svg",
    "index.html",
    "package-lock.json",
    "package.json",
    "tsconfig.json",
}
MIN_CONTRAST = 4.5
"""Of text on its ground: WCAG 2.2, success criterion 1.4.3."""


def hashes(folder: Path, names: set[str]) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


def files_below(folder: Path, start: Path) -> set[str]:
    return {path.relative_to(start).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_bundle_was_built_from_these_sources() -> None:
    sources = files_below(PAGE / "src", PAGE) | SETTINGS
    recorded = json.loads(RECORD.read_text(encoding="utf-8"))["sources"]
    assert recorded == hashes(PAGE, sources), "run `make page`"


def test_the_bundle_is_what_the_build_wrote() -> None:
    outputs = files_below(STATIC, STATIC) - {RECORD.name}
    recorded = json.loads(RECORD.read_text(encoding="utf-8"))["outputs"]
    assert recorded == hashes(STATIC, outputs), "run `make page`"


def test_the_lockfile_pins_every_package_by_its_hash() -> None:
    packages = json.loads((PAGE / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    installed = {name: about for name, about in packages.items() if name}
    assert len(installed) > 10
    for name, about in installed.items():
        assert about["integrity"].startswith("sha512-"), name


def test_the_page_names_only_files_of_its_own() -> None:
    html = (STATIC / "index.html").read_text(encoding="utf-8")
    named = re.findall(r'(?:href|src)="([^"]+)"', html)
    assert sorted(named) == ["icon.svg", "page.css", "page.js"]
    assert "<style" not in html
    assert not re.search(r"<script(?![^>]*\bsrc=)", html), "no inline scripts"
    assert not re.search(r"\son\w+=", html), "no inline handlers"
    css = (STATIC / "page.css").read_text(encoding="utf-8")
    assert "url(" not in css
    assert "@import" not in css


def test_the_script_neither_evaluates_text_nor_writes_markup_of_its_own() -> None:
    for path in (PAGE / "src").rglob("*.ts*"):
        text = path.read_text(encoding="utf-8")
        for word in (
            "innerHTML",
            "dangerouslySetInnerHTML",
            "eval(",
            "new Function",
            "document.write",
        ):
            assert word not in text, f"{word} in {path.name}"


def test_the_policy_of_the_server_allows_no_inline_script_and_no_inline_style() -> None:
    rules = dict(rule.strip().split(" ", 1) for rule in CONTENT_POLICY.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert "unsafe" not in CONTENT_POLICY


def colours(theme: str) -> dict[str, str]:
    """Return the colours that a theme sets, with those of light below them."""
    css = (PAGE / "src" / "style" / "tokens.css").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"(:root\S*) \{(.*?)\}", css, re.DOTALL))
    names = [":root"] if theme == "light" else [":root", ':root[data-theme="dark"]']
    found: dict[str, str] = {}
    for name in names:
        found |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", blocks[name]))
    return found


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [
        ("ink", "ground"),
        ("ink", "panel"),
        ("ink", "accent-soft"),
        ("soft", "ground"),
        ("soft", "panel"),
        ("soft", "sunken"),
        ("soft", "accent-soft"),
        ("accent", "panel"),
        ("on-accent", "accent"),
        ("on-accent", "accent-hover"),
        ("warn", "warn-soft"),
        ("warn", "panel"),
        ("bad", "bad-soft"),
        ("good", "good-soft"),
    ],
)
def test_text_is_readable_in_both_themes(theme: str, text: str, ground: str) -> None:
    known = colours(theme)
    light, dark = sorted((luminance(known[text]), luminance(known[ground])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= MIN_CONTRAST


def test_contrast_of_black_on_white_is_that_of_the_standard() -> None:
    assert (luminance("#ffffff") + 0.05) / (luminance("#000000") + 0.05) == pytest.approx(21)
