"""The examples in the package: drawn tiles to learn from, and a few real ones.

The drawn tiles come from `skycue.data.renderer`. The real ones are cut from SpaceNet and NEON
imagery and lie in `skycue/examples/`, each folder with its licence; so does a georeferenced image
with objects to put boxes around.
"""

import shutil
from pathlib import Path

from PIL import Image

from skycue.data.renderer import SCENES, draw_scene
from skycue.errors import OutputExistsError

PER_CLASS = 20
SIZE = 128  # pixels along a side of a drawn tile

_SHIPPED = Path(__file__).parents[1] / "examples"


def write_examples(folder: Path, *, per_class: int = PER_CLASS, force: bool = False) -> list[Path]:
    """Write `drawn/CLASS/*.png`, `real/CLASS/*.jpg` and `regions/*.tif` under `folder`.

    Args:
        folder: Where to write; made if absent.
        per_class: Drawn tiles of each class.
        force: Write although `folder` holds something; files of the same name are replaced.

    Returns:
        The images, sorted.

    Raises:
        OutputExistsError: If `folder` holds something and `force` is not given.
    """
    if folder.exists() and any(folder.iterdir()) and not force:
        raise OutputExistsError(f"{folder} is not empty; choose another folder or give --force")
    written = []
    for name in SCENES:
        class_folder = folder / "drawn" / name.replace(" ", "_")
        class_folder.mkdir(parents=True, exist_ok=True)
        for seed in range(per_class):
            path = class_folder / f"{seed:02d}.png"
            pixels = draw_scene(name, seed, SIZE).transpose(1, 2, 0)  # [H, W, 3]
            Image.fromarray(pixels).save(path)
            written.append(path)
    tiles = [(folder / "real" / tile.parent.name, tile) for tile in _SHIPPED.glob("*/*/*.jpg")]
    rasters = [(folder / "regions", raster) for raster in _SHIPPED.glob("*/regions/*.tif")]
    for target_folder, source in tiles + rasters:
        path = target_folder / source.name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, path)
        written.append(path)
    for licence in _SHIPPED.glob("*/LICENSE.md"):
        target = folder / "licences" / f"{licence.parent.name}.md"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(licence, target)
    return sorted(written)
