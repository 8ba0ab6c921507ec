"""Draw the pictures of the README: classified tiles, and a box with its caption and masks.

Run as `python -m docs.picture`, which takes the commands of the README: learn from eight drawn
tiles of each class, classify real tiles and drawn ones that were held out, describe a box.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PICTURE = Path(__file__).parent / "images" / "tiles.png"
REGION_PICTURE = PICTURE.with_name("region.png")
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
    """Run the commands in a temporary folder and keep what they draw."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        skycue("data", "examples", "tiles", folder=folder)
        skycue("split", "tiles/drawn", folder=folder)
        skycue("fit", "tiles/drawn", "-o", "scenes", "--shots", "8", folder=folder)
        images = ["tiles/real", *held_out(folder)]
        PICTURE.parent.mkdir(exist_ok=True)
        options = ["--picture", str(PICTURE), "--force"]
        skycue("classify", "scenes", *images, *options, folder=folder)
        box = ["tiles/regions/rotterdam_tanks.tif", "--box", "166,271,262,346"]
        skycue("describe", *box, "-o", "region", folder=folder)
        shutil.copyfile(folder / "region" / "overlay.png", REGION_PICTURE)


if __name__ == "__main__":
    main()
