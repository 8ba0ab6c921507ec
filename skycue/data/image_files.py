"""The image files that a user means by naming files and folders."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from skycue.data.images import IMAGE_SUFFIXES
from skycue.errors import ImageReadError


def find_images(paths: Sequence[Path]) -> list[Path]:
    """Return files as they are given, and the images below folders sorted by name.

    Hidden files and folders are passed over, and so are other files in a folder; an image that is
    named twice is returned once.

    Raises:
        ImageReadError: If a path does not exist or a folder holds no image.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            images = [file for file in sorted(path.rglob("*")) if _is_image(file, path)]
            if not images:
                raise ImageReadError(
                    f"no image below {path}; read are files that end in "
                    f"{', '.join(sorted(IMAGE_SUFFIXES))}."
                )
        elif path.exists():
            images = [path]
        else:
            raise ImageReadError(f"no image or folder {path}.")
        found |= dict.fromkeys(images)
    return list(found)


def _is_image(file: Path, folder: Path) -> bool:
    """Say whether a file below a folder is a visible image."""
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return not hidden and file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()


def leaves_folder(path: str) -> bool:
    """Say whether a relative path that a file names could point outside its folder."""
    pure = PurePosixPath(path)
    return pure.is_absolute() or PureWindowsPath(path).is_absolute() or ".." in pure.parts
