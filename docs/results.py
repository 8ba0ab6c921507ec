"""Put the tables of finished benchmark runs into `docs/results.md`, below what people wrote.

Run as `python -m docs.results RUNS`, where RUNS holds a folder for each protocol, as
`docs/results.sh` and `docs/region_results.sh` make them. A protocol that RUNS lacks keeps the
tables that the page has.
"""

import re
import shutil
import sys
from pathlib import Path

from skycue.files import write_atomically
from skycue.reports import RunCard

PAGE = Path(__file__).parent / "results.md"
PICTURES = Path(__file__).parent / "images" / "results"
MARK = "<!-- Below: python -m docs.results RUNS -->"
SCENES = ("base-to-new", "ablation", "cross-dataset", "domain-shift", "few-shot")
REGION_CAPTIONS = "region-captions"
REGIONS = "regions"
HEADINGS = {name: name for name in SCENES} | {
    REGION_CAPTIONS: "base-to-new with captions of the region model",
    REGIONS: "Benchmark of region models",
}
"""Folder of a run, and what the page heads it with, in its order."""
DATA_FOLDER = re.compile(r"(?<![^\s=':])[^\s=':]*/shared/data\b")
"""Folder of the datasets in a command, wherever it lay; the page gives it from the repository."""
SHOWN_PICTURES = re.compile(r"accuracy-against-shots_.*\.png")


def section(
    folder: Path, heading: str, *, shown: re.Pattern[str] = SHOWN_PICTURES, prefix: str = ""
) -> str:
    """Return the part of the page for one run: its report, pictures moved beside the page.

    Args:
        folder: Of the run.
        heading: What the page heads it with.
        shown: Names of the pictures to show.
        prefix: Put before their names, where several runs have pictures of equal names.
    """
    _, _, report = (folder / "report.md").read_text(encoding="utf-8").partition("\n")
    report = f"# {heading}\n{report}"
    for name in (str(folder.parent.resolve()), str(folder.parent)):
        report = report.replace(name, "RUNS")
    report = DATA_FOLDER.sub("../shared/data", report)
    report = re.sub(r"^(#+) ", r"#\1 ", report, flags=re.MULTILINE)
    lines = [line for line in report.splitlines() if not line.startswith("![")]
    for picture in sorted((folder / "pictures").glob("*")):
        if shown.fullmatch(picture.name):
            PICTURES.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture, PICTURES / f"{prefix}{picture.name}")
            lines.append(f"![{picture.stem}](images/results/{prefix}{picture.name})")
    return "\n".join(lines).rstrip() + "\n"


def check_one_backbone(folders: list[Path]) -> None:
    """Refuse runs of different backbones on one page."""
    cards = [RunCard.model_validate_json((f / "run.json").read_bytes()) for f in folders]
    fingerprints = {card.backbone_sha256 for card in cards}
    if len(fingerprints) > 1:
        raise SystemExit(f"the runs have {len(fingerprints)} different backbones: make them again")


def sections_of(page: str) -> dict[str, str]:
    """Return the sections that a page has, by their headings."""
    parts = re.split(r"^## (.+)\n", page, flags=re.MULTILINE)[1:]
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return {heading: f"## {heading}\n{text.rstrip()}\n" for heading, text in pairs}


def main(arguments: list[str]) -> None:
    """Rewrite the page below its mark."""
    runs = Path(arguments[0])
    made = {name: runs / name for name in HEADINGS if (runs / name / "report.md").is_file()}
    check_one_backbone([folder for name, folder in made.items() if name != REGIONS])
    written, _, below = PAGE.read_text(encoding="utf-8").partition(MARK)
    sections = sections_of(below)
    sections |= {HEADINGS[name]: section(folder, HEADINGS[name]) for name, folder in made.items()}
    shown = [sections[heading] for heading in HEADINGS.values() if heading in sections]
    write_atomically(PAGE, "\n".join([written + MARK, "", *shown]))


if __name__ == "__main__":
    main(sys.argv[1:])
