"""Image files: what is accepted, how it becomes RGB, and why a file is refused.

Read are JPEG, PNG, TIFF, BMP and WebP with 8 bits a channel: RGB as it is; greyscale, palette and
opaque RGBA converted to RGB. Refused, by name, are 16 and 32 bits, CMYK and other colour spaces,
1-bit images, transparent pixels, several frames, tiny, very long and very large images, and
damaged files. Pixels are taken as stored: an EXIF rotation is not applied. Pillow's limits stay as
they are.
"""

import hashlib
import io
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from skycue.errors import ImageReadError

if TYPE_CHECKING:
    from torch import Tensor

IMAGE_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
"""The only Pillow readers that are ever called."""

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"})
"""File name endings, in lower case, that mark an image."""

CONVERTED_MODES = ("L", "LA", "P", "PA", "RGBA")
"""Pillow modes that become RGB without loss: greyscale, palette, and either with opaque alpha."""

MIN_SIDE = 8
"""Shortest side in pixels; less shows no scene."""

MAX_ASPECT = 4.0
"""Longer over shorter side; beyond it CLIP's centre crop drops three quarters of the image."""

MAX_PIXELS = 64_000_000
"""Pixels of a tile, 8,000 x 8,000; larger rasters are to be cut into tiles first."""

_TIFF_BITS_PER_SAMPLE = 258
_PNG_BIT_DEPTH_OFFSET = 24  # in the IHDR chunk, which is always first
_TAIL_BYTES = 4096  # where the end marker is looked for: some cameras append a few bytes
_END_MARKERS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}

# What Pillow raises on damaged files; found by fuzzing its five readers.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    EOFError,
    OverflowError,
    AttributeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


class ImageCheck(NamedTuple):
    """What is known of one image file after a look at its bytes."""

    path: Path
    sha256: str
    """Of the file's bytes, in hexadecimal; empty where the file cannot be read."""
    size: tuple[int, int]
    """(height, width) in pixels; (0, 0) where unknown."""
    mode: str
    """Pillow's mode, such as "RGB" or "L"; empty where unknown."""
    problem: str | None
    """Why the file is refused, or None."""


def read_image(path: Path) -> "Tensor":
    """Read an image file as RGB, uint8 [3, H, W].

    Raises:
        ImageReadError: If the file is missing, damaged or of a kind that is not read.
    """
    import torch  # heavy: imported when used

    pixels = torch.from_numpy(read_pixels(path))
    return pixels.permute(2, 0, 1).contiguous()  # [3, H, W]


def read_pixels(path: Path) -> NDArray[np.uint8]:
    """Read an image file as RGB, uint8 [H, W, 3].

    Raises:
        ImageReadError: If the file is missing, damaged or of a kind that is not read.
    """
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as image:
            problem = _refusal(image, data)
            if problem is None:
                return np.array(image.convert("RGB"))
    except _DAMAGE as error:
        problem = _damage(path, error)
    raise ImageReadError(f"cannot read {path}: {problem}")


def check_image(path: Path, decode: bool = False) -> ImageCheck:
    """Look at one image file without raising: its hash, size, mode and what speaks against it.

    Args:
        path: The file.
        decode: Decode all pixels. Otherwise a JPEG or PNG that ends as it should is trusted after
            its header, which is an order of magnitude faster.
    """
    digest, size, mode = "", (0, 0), ""
    try:
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        with Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as image:
            size, mode = (image.height, image.width), image.mode
            problem = _refusal(image, data)
            if problem is None and (decode or not _ends_well(image, data)):
                image.load()
    except _DAMAGE as error:
        problem = _damage(path, error)
    return ImageCheck(path, digest, size, mode, problem)


def _refusal(image: Image.Image, data: bytes) -> str | None:
    """Say why an opened image is not of an accepted kind, or None."""
    height, width = image.height, image.width
    if min(height, width) < MIN_SIDE:
        return f"{height} x {width} pixels; each side needs at least {MIN_SIDE}"
    if height * width > MAX_PIXELS:
        return f"{height} x {width} pixels; at most {MAX_PIXELS:,} are read: cut it into tiles"
    if max(height, width) > MAX_ASPECT * min(height, width):
        return f"{height} x {width} pixels; a side is over {MAX_ASPECT:g} times the other"
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        return f"{frames} frames or pages; one is allowed"
    bits = _bits_per_channel(image, data)
    if bits > 8:
        return f"{bits} bits a channel; 8 are allowed: scale it to 8 bits"
    if image.mode != "RGB" and image.mode not in CONVERTED_MODES:
        return (
            f"colour mode {image.mode}; RGB, greyscale and palette are allowed: convert it to RGB"
        )
    if image.has_transparency_data:
        lowest, _ = image.convert("RGBA").getchannel("A").getextrema()
        if lowest != 255:
            return "transparent pixels; opaque images are allowed: fill or crop them"
    return None


def _bits_per_channel(image: Image.Image, data: bytes) -> int:
    """Return the file's bits a channel: Pillow cuts 16-bit RGB to 8 bits without a word."""
    if image.mode.startswith("I;16"):
        return 16
    if image.mode in ("I", "F"):
        return 32
    if image.format == "PNG":
        return data[_PNG_BIT_DEPTH_OFFSET]
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits: tuple[int, ...] = image.tag_v2.get(_TIFF_BITS_PER_SAMPLE, (1,))
        return max(bits)
    return 8


def _ends_well(image: Image.Image, data: bytes) -> bool:
    """Say whether the end marker of the file's format stands at its end."""
    marker = _END_MARKERS.get(image.format or "")
    return marker is not None and marker in data[-_TAIL_BYTES:]


def _damage(path: Path, error: BaseException) -> str:
    """Put an exception of Pillow or the system into words."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    if path.is_file() and path.stat().st_size == 0:
        return "empty file (0 bytes)"
    if isinstance(error, UnidentifiedImageError):
        return f"not an image ({', '.join(IMAGE_FORMATS)} are read)"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more than {MAX_PIXELS:,} pixels: cut it into tiles"
    return f"damaged or cut off ({error})"
