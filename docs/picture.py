"""Draw the picture of the README: tiles under the classes that a fresh classifier gives them.

Run as `python -m docs.picture`. It learns from eight drawn tiles of each class, by the commands of
the README, and shows real tiles and drawn ones that were held out.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

PICTURE = Path(__file__).parent / "images" / "tiles.png"
DRAWN = ("airport", "farmland", "parking_lot", "river", "harbor")  # classes of the drawn tiles


def skycue(*arguments: str, folder: Path) -> None:
    """Run a command of Skycue in a folder."""
    subprocess.run([sys.executable, "-m", "skycue", *arguments], cwd=folder, check=True)


def held_out(folder: Path) -> list[str]:
    """Return the first test tile of each class in `DRAWN`."""
    split = json.loads((folder / "tiles/drawn/split.json").read_text(encoding="utf-8"))
    first = {name: path for path, _, name in reversed(split["test"])}
    return [f"tiles/drawn/{first[name]}" for name in DRAWN]


def main() -> None:
    """Fit a classifier in a temporary folder and draw what it says."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        skycue("data", "examples", "tiles", folder=folder)
        skycue("split", "tiles/drawn", folder=folder)
        skycue("fit", "tiles/drawn", "-o", "scenes", "--shots", "8", folder=folder)
        images = ["tiles/real", *held_out(folder)]
        PICTURE.parent.mkdir(exist_ok=True)
        options = ["--picture", str(PICTURE), "--force"]
        skycue("classify", "scenes", *images, *options, folder=folder)


if __name__ == "__main__":
    main()
