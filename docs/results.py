"""Put the tables of finished benchmark runs into `docs/results.md`, below what people wrote.

Run as `python -m docs.results RUNS`, where RUNS holds a folder for each protocol, as
`docs/results.sh` makes it.
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
PROTOCOLS = ("base-to-new", "ablation", "cross-dataset", "domain-shift", "few-shot")
SHOWN_PICTURES = re.compile(r"accuracy-against-shots_.*\.png")


def section(folder: Path) -> str:
    """Return the part of the page for one run: its report, pictures moved beside the page."""
    report = (folder / "report.md").read_text(encoding="utf-8")
    report = report.replace(str(folder.parent), "RUNS")
    report = re.sub(r"^(#+) ", r"#\1 ", report, flags=re.MULTILINE)
    lines = [line for line in report.splitlines() if not line.startswith("![")]
    for picture in sorted((folder / "pictures").iterdir()):
        if SHOWN_PICTURES.fullmatch(picture.name):
            PICTURES.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture, PICTURES / picture.name)
            lines.append(f"![{picture.stem}](images/results/{picture.name})")
    return "\n".join(lines).rstrip() + "\n"


def check_one_backbone(folders: list[Path]) -> None:
    """Refuse runs of different backbones on one page."""
    cards = [RunCard.model_validate_json((f / "run.json").read_bytes()) for f in folders]
    fingerprints = {card.backbone_sha256 for card in cards}
    if len(fingerprints) > 1:
        raise SystemExit(f"the runs have {len(fingerprints)} different backbones: make them again")


def main(arguments: list[str]) -> None:
    """Rewrite the page below its mark."""
    runs = Path(arguments[0])
    folders = [runs / name for name in PROTOCOLS if (runs / name / "report.md").is_file()]
    check_one_backbone(folders)
    written = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    write_atomically(PAGE, "\n".join([written + MARK, "", *map(section, folders)]))


if __name__ == "__main__":
    main(sys.argv[1:])
