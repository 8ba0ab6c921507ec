"""The README's commands work, and what it points to exists."""

import re
import sys
from pathlib import Path

import pytest

from docs.readme_commands import Block, run, runnable_blocks

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_only_blocks_marked_bash_or_python_are_run() -> None:
    text = "```console\nrm -r /\n```\n```bash\nls\n```\ntext\n```python\n1\n2\n```\n"
    assert runnable_blocks(text) == [Block("bash", "ls\n"), Block("python", "1\n2\n")]


def test_a_block_runs_with_the_given_programs_and_stops_at_the_first_failure(
    tmp_path: Path,
) -> None:
    result = run(Block("bash", "echo here > file\nfalse\necho late"), tmp_path, tmp_path)
    assert result.returncode == 1
    assert result.stdout == ""
    assert (tmp_path / "file").read_text(encoding="utf-8") == "here\n"


@pytest.mark.slow
def test_the_commands_of_the_readme_run_in_order(tmp_path: Path) -> None:
    blocks = runnable_blocks(TEXT)
    assert {block.language for block in blocks} == {"bash", "python"}
    for block in blocks:
        result = run(block, Path(sys.executable).parent, tmp_path)
        assert result.returncode == 0, f"{block.text}\n{result.stdout}\n{result.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", sorted(ROOT.glob("docs/tutorial_*.md")), ids=lambda page: page.stem
)
def test_the_commands_of_a_tutorial_run_in_order(tmp_path: Path, page: Path) -> None:
    for block in runnable_blocks(page.read_text(encoding="utf-8")):
        result = run(block, Path(sys.executable).parent, tmp_path)
        assert result.returncode == 0, f"{block.text}\n{result.stdout}\n{result.stderr}"


@pytest.mark.slow
def test_the_commands_of_the_page_of_regions_run_in_order(tmp_path: Path) -> None:
    blocks = runnable_blocks((ROOT / "docs/regions.md").read_text(encoding="utf-8"))
    assert len(blocks) == 2
    for block in blocks:
        result = run(block, Path(sys.executable).parent, tmp_path)
        assert result.returncode == 0, f"{block.text}\n{result.stdout}\n{result.stderr}"
    files = {"answer.json", "masks.json", "overlay.png", "features.geojson"}
    assert {path.name for path in (tmp_path / "region").iterdir()} == files
    assert {path.name for path in (tmp_path / "named").iterdir()} == files


def test_what_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", TEXT)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/*.md")), ids=lambda page: page.name)
def test_what_a_page_links_to_exists(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
