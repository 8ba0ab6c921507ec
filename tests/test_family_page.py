"""The page that compares all methods is made from the tables of the runs."""

from pathlib import Path

import pytest

from docs import family


def write_table(folder: Path, name: str, *lines: str) -> None:
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    (folder / "tables" / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    made = [tmp_path / "base-to-new", tmp_path / "few-shot"]
    ranks = 'method,"mean, % mean","mean, % std","mean, % seeds",mean rank'
    for folder in made:
        write_table(folder, "ranks_4-shots", ranks, "coop,0.1,0.01,3,9.00")
        write_table(folder, "ranks_16-shots", ranks, "coop,0.812,0.01,3,1.50")
        write_table(folder, "ranks-unseen_16-shots", ranks, "coop,0.7,0.01,3,2.25")
        write_table(
            folder,
            "costs_16-shots",
            'method,learned numbers,"fit, s",images a second,"scoring, ms","peak memory, MB"',
            'coop,"1,024",1.78,20,0.25,4',
            'linear-probe,"2,310",2.27,17,0.01,65',
        )
    return made


def test_summary_takes_the_most_shots_and_says_what_is_not_applicable(folders: list[Path]) -> None:
    lines = family.summary(folders).splitlines()
    unseen, whole = (number for number, line in enumerate(lines) if line.startswith("| coop"))
    assert lines[unseen] == "| coop | 70.0 (2.25) | 70.0 (2.25) |"
    assert lines[unseen - 4] == "### Targets that the backbone has not seen"
    assert lines[whole] == "| coop | 81.2 (1.50) | 81.2 (1.50) | 1,024 | 1.78 | 20 | 0.25 | 4 |"
    probe = "| linear-probe | not applicable | not applicable | 2,310 | 2.27 | 17 | 0.01 | 65 |"
    assert probe in lines


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no finished run"):
        family.main([str(tmp_path)])


def test_the_page_has_its_mark() -> None:
    assert family.PAGE.read_text(encoding="utf-8").count(family.MARK) == 1
