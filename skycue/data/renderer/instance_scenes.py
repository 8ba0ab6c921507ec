"""Images of places with exact masks: `render` draws one from a seed, as a sensor would see it."""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skycue.data.instances import Instance
from skycue.data.renderer.instance_canvas import InstanceCanvas
from skycue.data.renderer.land_layouts import draw_airfield, draw_motorway, draw_tank_farm
from skycue.data.renderer.sensors import TRAIN_SENSORS, Sensor, see, sensor_of
from skycue.data.renderer.town_layouts import draw_park, draw_school, draw_street, draw_suburb
from skycue.data.renderer.waterside import draw_marina, draw_port, draw_river, draw_sea

CLASS_NAMES = (
    "airplane", "ship", "storage tank", "baseball diamond", "tennis court", "basketball court",
    "ground track field", "harbor", "bridge", "vehicle", "building",
)  # fmt: skip
"""What objects can be: the classes of NWPU VHR-10 by its names, and buildings."""


class RenderedImage(NamedTuple):
    """A drawn image and what can be seen on it.

    Attributes:
        pixels: RGB levels, uint8 [3, H, W].
        instances: Its objects with the pixels of each that are visible.
        sensor: What saw it.
        gsd_m: Metres on the ground that a pixel covers.
        layout: The kind of place, a key of `LAYOUTS`.
        seed: What it was drawn from.
    """

    pixels: NDArray[np.uint8]
    instances: tuple[Instance, ...]
    sensor: Sensor
    gsd_m: float
    layout: str
    seed: int


class Layout(NamedTuple):
    """A kind of place.

    Attributes:
        draw: Draws it on a canvas.
        gsd_m: Smallest and largest ground sampling distance at which it is shown, in metres.
        weight: How often it is drawn, relative to the others.
    """

    draw: Callable[[InstanceCanvas], None]
    gsd_m: tuple[float, float]
    weight: float


LAYOUTS = {
    "airfield": Layout(draw_airfield, (0.3, 0.8), 1.5),
    "tank farm": Layout(draw_tank_farm, (0.4, 1.2), 1.0),
    "motorway": Layout(draw_motorway, (0.25, 0.7), 0.8),
    "park": Layout(draw_park, (0.18, 0.5), 1.8),
    "school": Layout(draw_school, (0.4, 0.75), 1.5),
    "street": Layout(draw_street, (0.075, 0.17), 1.5),
    "suburb": Layout(draw_suburb, (0.25, 0.6), 0.7),
    "sea": Layout(draw_sea, (0.5, 1.2), 0.9),
    "marina": Layout(draw_marina, (0.25, 0.7), 1.1),
    "port": Layout(draw_port, (0.4, 1.2), 1.0),
    "river": Layout(draw_river, (0.35, 1.0), 1.3),
}
"""Every kind of place by its name."""


def render(seed: int, *, size: int = 512, sensor: str | None = None) -> RenderedImage:
    """Draw an image with exact masks; the same arguments give the same image.

    Args:
        seed: Which image.
        size: Pixels along each side; a larger one shows more ground.
        sensor: A name of `SENSORS`; by default one of `TRAIN_SENSORS`, drawn from the seed.

    Raises:
        DatasetError: If no sensor has that name.
    """
    digest = hashlib.sha256(f"instances/{seed}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    name = TRAIN_SENSORS[int(rng.integers(len(TRAIN_SENSORS)))] if sensor is None else sensor
    camera = sensor_of(name)
    layout = _choose_layout(camera, rng)
    low, high = _common_gsd(LAYOUTS[layout], camera)
    gsd_m = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    canvas = InstanceCanvas(size, gsd_m, rng)
    LAYOUTS[layout].draw(canvas)
    pixels = see(canvas.image(), camera, rng)
    return RenderedImage(pixels, canvas.instances(), camera, gsd_m, layout, seed)


def _choose_layout(sensor: Sensor, rng: np.random.Generator) -> str:
    """Draw a kind of place that a sensor's ground sampling distance suits."""
    weights = np.array(
        [
            x.weight * (low < high)
            for x in LAYOUTS.values()
            for low, high in [_common_gsd(x, sensor)]
        ]
    )
    return list(LAYOUTS)[int(rng.choice(len(LAYOUTS), p=weights / weights.sum()))]


def _common_gsd(layout: Layout, sensor: Sensor) -> tuple[float, float]:
    """Return the ground sampling distances of a place that a sensor offers; none if reversed."""
    return max(layout.gsd_m[0], sensor.gsd_m[0]), min(layout.gsd_m[1], sensor.gsd_m[1])
