"""How cameras see the same ground: colour, contrast, haze, sharpness, noise and codec."""

import io
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from skycue.data.renderer.surfaces import TILE_SIDE, noise_tile
from skycue.errors import DatasetError

Matrix = tuple[float, float, float, float, float, float, float, float, float, float, float, float]
"""Three rows of four numbers: red, green and blue out, from red, green, blue in and a level."""

RANDOM_GAIN = 0.03
"""Standard deviation of the gain of a channel from image to image."""
RANDOM_GAMMA = 0.1
"""Standard deviation of the logarithm of the exponent of levels from image to image."""


MIDDLE = 118.0
"""The level that contrast leaves where it is."""
AIR = (176, 188, 200)
"""Colour of haze."""
MIN_BLUR = 0.3
"""Pixels; a smaller spread is that of the averaging itself."""

RANDOM_SATURATION = (0.55, 1.1)
"""Least and most colour that is left from image to image."""
BRIGHTNESS = (0.3, 0.59, 0.11)
"""Shares of red, green and blue in the brightness of a pixel (ITU-R BT.601)."""


class Sensor(NamedTuple):
    """A camera or satellite.

    Attributes:
        name: Names it on the command line.
        gsd_m: Smallest and largest ground sampling distance, in metres a pixel.
        matrix: How its channels mix red, green and blue.
        contrast: Spread of levels around their middle, 1 leaves it.
        haze: Share of the light that comes from the air, 0 to 1.
        blur: Standard deviation of its point spread, in pixels.
        coarse: Pixels that one detector covers; above 1 the image is resampled.
        noise: Standard deviation of a level, of 255.
        quality: Of the JPEG file it went through; 0 for none.
        gamma: Exponent of levels; below 1 is brighter.
    """

    name: str
    gsd_m: tuple[float, float]
    matrix: Matrix
    contrast: float = 1.0
    haze: float = 0.0
    blur: float = 0.5
    coarse: float = 1.0
    noise: float = 2.0
    quality: int = 0
    gamma: float = 1.0


NATURAL: Matrix = (1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)
INFRARED: Matrix = (0.2, 2.75, -1.95, -8, 0.9, 0.1, 0, 6, 0, 0.75, 0.3, 14)
"""Near infrared, guessed from the green of plants, shown as red; red as green, green as blue."""

_SENSORS = (
    Sensor("web-map", (0.3, 1.1), NATURAL, contrast=1.05, blur=0.6, noise=2, quality=72),
    Sensor("web-map-dark", (0.3, 1.1), (0.86, 0.06, 0, -6, 0.02, 0.9, 0, -6, 0, 0.04, 0.86, -6),
           contrast=1.1, blur=0.6, noise=2.5, quality=78, gamma=1.06),
    Sensor("web-map-green", (0.3, 1.1), (0.84, 0.06, 0.02, 0, 0.02, 1.0, 0.03, 4, 0, 0.1, 0.84, 2),
           haze=0.07, blur=0.7, noise=2, quality=66),
    Sensor("aerial", (0.08, 0.5), NATURAL, contrast=1.12, blur=0.35, noise=3),
    Sensor("aerial-infrared", (0.08, 0.2), INFRARED, contrast=1.15, blur=0.4, noise=3, gamma=0.9),
    Sensor("aerial-warm", (0.1, 0.5), (1.06, 0.03, 0, 6, 0.02, 0.98, 0, 2, 0, 0.02, 0.86, -2),
           contrast=0.96, haze=0.04, blur=0.5, noise=2, quality=88),
    Sensor("satellite-hazy", (0.5, 1.2), (0.9, 0.05, 0.05, 0, 0.04, 0.9, 0.06, 2, 0, 0.05, 0.98, 8),
           contrast=0.9, haze=0.18, blur=0.8, noise=1.5, quality=80),
    Sensor("satellite-sharp", (0.3, 0.8), (1.0, 0.02, 0, -4, 0, 1.0, 0, -4, 0, 0.03, 0.95, -4),
           contrast=1.2, blur=0.3, noise=3.5, quality=85, gamma=1.1),
    Sensor("pan-sharpened", (0.3, 0.9),
           (0.78, 0.2, 0.12, -8, 0.1, 0.76, 0.2, 6, 0.16, 0.24, 0.72, 20),
           contrast=1.1, blur=0.25, noise=4),
    Sensor("grey-low-contrast", (0.3, 1.0),
           (0.5, 0.4, 0.1, 0, 0.26, 0.62, 0.12, 0, 0.24, 0.4, 0.36, 2),
           contrast=0.6, haze=0.12, blur=0.9, noise=2.5, quality=70),
    Sensor("coarse", (0.4, 1.1), (0.95, 0.05, 0, 0, 0.03, 0.94, 0.03, 0, 0, 0.06, 0.92, 4),
           blur=0.6, coarse=1.9, noise=3, quality=82),
    Sensor("aerial-cold", (0.08, 0.4),
           (0.84, 0.08, 0.06, 0, 0.02, 0.95, 0.04, 2, 0, 0.08, 1.02, 10),
           contrast=0.88, haze=0.06, blur=0.7, noise=5),
)  # fmt: skip
SENSORS = {sensor.name: sensor for sensor in _SENSORS}
"""Every sensor by its name."""
TEST_SENSORS = ("pan-sharpened", "grey-low-contrast", "coarse", "aerial-cold")
"""Sensors that no training sees: the second benchmark."""
TRAIN_SENSORS = tuple(name for name in SENSORS if name not in TEST_SENSORS)
"""Sensors of images to learn from."""


def sensor_of(name: str) -> Sensor:
    """Return a sensor by its name.

    Raises:
        DatasetError: If there is none of that name.
    """
    if name not in SENSORS:
        raise DatasetError(f"no sensor '{name}'; use one of: {', '.join(SENSORS)}")
    return SENSORS[name]


def see(image: Image.Image, sensor: Sensor, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Turn the colours of the ground into what a sensor's product shows, [3, H, W]."""
    size = image.size
    image = image.convert("RGB", _own_matrix(sensor, rng)).point(_curve(sensor, rng))
    if sensor.coarse > 1:
        small = (max(1, round(size[0] / sensor.coarse)), max(1, round(size[1] / sensor.coarse)))
        image = image.resize(small, Image.Resampling.BOX)
    if sensor.blur > MIN_BLUR:
        image = image.filter(_point_spread(sensor.blur))
    image = _with_noise(image, sensor.noise, rng)
    if sensor.coarse > 1:
        image = image.resize(size, Image.Resampling.BICUBIC)
    if sensor.quality:
        image = _through_jpeg(image, sensor.quality)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))  # [3, H, W]


def _point_spread(deviation: float) -> ImageFilter.Kernel:
    """Return a normal point spread on 3 x 3 pixels."""
    side = np.exp(-0.5 / deviation**2)
    row = np.array([side, 1.0, side])
    return ImageFilter.Kernel((3, 3), np.outer(row, row).ravel().tolist())


def _own_matrix(sensor: Sensor, rng: np.random.Generator) -> Matrix:
    """Change the gain of each channel and the saturation a little, as light and processing do."""
    saturation = rng.uniform(*RANDOM_SATURATION)
    mix = saturation * np.eye(3) + (1 - saturation) * np.array(BRIGHTNESS)  # [3, 3]
    rows = mix @ np.reshape(sensor.matrix, (3, 4)) * rng.normal(1.0, RANDOM_GAIN, (3, 1))
    return cast(Matrix, tuple(rows.ravel().tolist()))


def _curve(sensor: Sensor, rng: np.random.Generator) -> list[int]:
    """Return the level that each level becomes, for three channels, 768 numbers."""
    gamma = sensor.gamma * np.exp(rng.normal(0, RANDOM_GAMMA))
    levels = (np.arange(256) / 255) ** gamma * 255
    levels = MIDDLE + (levels - MIDDLE) * sensor.contrast
    levels = levels * (1 - sensor.haze) + sensor.haze * np.array(AIR)[:, None]
    return [int(value) for value in np.clip(np.rint(levels), 0, 255).ravel()]


def _with_noise(image: Image.Image, deviation: float, rng: np.random.Generator) -> Image.Image:
    """Add noise that is mostly common to the channels, and a slow change of brightness."""
    width, height = image.size
    levels = np.asarray(image).astype(np.float32)  # [H, W, 3]
    rows, columns, shift = (int(value) for value in rng.integers(TILE_SIDE // 2, size=3))
    noise = noise_tile()
    if max(width, height) > TILE_SIDE:
        repeats = -(-max(width, height) // TILE_SIDE)
        noise = np.tile(noise, (repeats, repeats))
    for channel in range(3):
        start = columns + channel * shift % (TILE_SIDE // 2)
        levels[..., channel] += deviation * noise[rows : rows + height, start : start + width]
    return Image.fromarray(np.clip(levels, 0, 255, out=levels).astype(np.uint8))


def _through_jpeg(image: Image.Image, quality: int) -> Image.Image:
    """Write and read a JPEG file in memory."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    with Image.open(file) as read:
        return read.convert("RGB")
