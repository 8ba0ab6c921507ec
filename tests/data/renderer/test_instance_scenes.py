"""Rendered images: the same from the same seed, with masks that lie on what was drawn."""

from collections.abc import Sequence

import numpy as np
import pytest

from skycue.data.instances import Mask
from skycue.data.renderer import instance_scenes
from skycue.data.renderer.canvas import Colour, Point
from skycue.data.renderer.instance_canvas import MIN_PIXELS, InstanceCanvas
from skycue.data.renderer.instance_scenes import CLASS_NAMES, LAYOUTS, render
from skycue.data.renderer.sensors import NATURAL, SENSORS, TEST_SENSORS, TRAIN_SENSORS, Sensor, see
from skycue.errors import DatasetError

SMALL = 192
MARK = (255, 0, 255)


@pytest.mark.parametrize("size", [SMALL, 700])
def test_the_same_arguments_give_the_same_image(size: int) -> None:
    first, second = render(3, size=size), render(3, size=size)
    assert first.pixels.shape == (3, size, size)
    assert first.pixels.dtype == np.uint8
    assert (first.pixels == second.pixels).all()
    assert len(first.instances) == len(second.instances)
    for one, other in zip(first.instances, second.instances, strict=True):
        assert one[:2] == other[:2]
        assert (one.crop == other.crop).all()


def test_another_seed_gives_another_image() -> None:
    assert (render(1, size=SMALL).pixels != render(2, size=SMALL).pixels).any()


def test_all_classes_and_places_occur_within_sixty_seeds() -> None:
    images = [render(seed, size=224) for seed in range(60)]
    assert {x.class_name for image in images for x in image.instances} == set(CLASS_NAMES)
    assert {image.layout for image in images} == set(LAYOUTS)
    assert {image.sensor.name for image in images} == set(TRAIN_SENSORS)
    assert np.mean([len(image.instances) > 0 for image in images]) > 0.95


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_two_masks_share_a_pixel_and_none_is_tiny(layout: str) -> None:
    for seed in range(3):
        canvas = InstanceCanvas(256, sum(LAYOUTS[layout].gsd_m) / 2, np.random.default_rng(seed))
        LAYOUTS[layout].draw(canvas)
        instances = canvas.instances()
        total = np.zeros((256, 256), dtype=int)
        for instance in instances:
            assert instance.area >= MIN_PIXELS
            assert instance.crop[0].any()
            assert instance.crop[:, -1].any()
            total += instance.mask((256, 256))
        assert total.max(initial=0) <= 1
        assert len(instances) == len(canvas._stamps), "an object is drawn that is not listed"


class _Marked(InstanceCanvas):
    """Draws the outlines of objects in one colour that nothing else has, and no details."""

    def __init__(self, size: int, gsd_m: float, rng: np.random.Generator) -> None:
        super().__init__(size, gsd_m, rng)
        self._shadow_alpha = 0  # trees shade what is beside them

    def stamp(self, outline: Sequence[Point], class_name: str, colour: Colour) -> int:
        return super().stamp(outline, class_name, MARK)

    def claim(self, outline: Sequence[Point], class_name: str) -> int:
        """Mark the whole object: a marina's harbors are boats, deck and water, of no colour."""
        number = super().claim(outline, class_name)
        if number:
            self._draw.polygon(self._to_pixels(outline), fill=MARK)
        return number

    def paint(self, points: Sequence[Point], colour: Colour, *, alpha: int = 255) -> None:
        """Draw no flat paint: shadows and details would hide the mark."""

    def lay(self, points: Sequence[Point], colour: Colour, *, alpha: int = 255) -> None:
        """Draw nothing on the ground."""

    def paint_line(self, *_: object, **__: object) -> None:
        """Draw no lines."""

    def paint_disc(self, *_: object, **__: object) -> None:
        """Draw no discs."""


@pytest.mark.parametrize("layout", LAYOUTS)
def test_masks_are_exactly_where_objects_are_drawn(layout: str) -> None:
    canvas = _Marked(256, sum(LAYOUTS[layout].gsd_m) / 2, np.random.default_rng(5))
    LAYOUTS[layout].draw(canvas)
    union: Mask = np.zeros((256, 256), dtype=np.bool_)
    for instance in canvas.instances():
        union |= instance.mask((256, 256))
    drawn = np.asarray(canvas._image)  # [2H, 2W, 3]
    marked = (drawn == MARK).all(axis=2)
    share = marked.reshape(256, 2, 256, 2).mean(axis=(1, 3))
    assert union.any()
    assert (share[union] >= 0.5).all()
    assert (share[~union] <= 0.5).all()


def test_sensors_of_the_test_are_never_drawn_for_training() -> None:
    assert not set(TEST_SENSORS) & set(TRAIN_SENSORS)
    assert set(TEST_SENSORS) | set(TRAIN_SENSORS) == set(SENSORS)
    assert len(TEST_SENSORS) >= 3


def test_each_sensor_sees_the_same_ground_in_its_own_way() -> None:
    canvas = InstanceCanvas(128, 0.5, np.random.default_rng(0))
    LAYOUTS["park"].draw(canvas)
    ground = canvas.image()
    seen = [
        see(ground, sensor, np.random.default_rng(1)).astype(float) for sensor in SENSORS.values()
    ]
    for index, first in enumerate(seen):
        for second in seen[:index]:
            assert np.abs(first - second).mean() > 2


def test_a_sensor_without_effects_changes_nothing_but_the_chance_of_light(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("skycue.data.renderer.sensors.RANDOM_GAIN", 0.0)
    monkeypatch.setattr("skycue.data.renderer.sensors.RANDOM_GAMMA", 0.0)
    monkeypatch.setattr("skycue.data.renderer.sensors.RANDOM_SATURATION", (1.0, 1.0))
    canvas = InstanceCanvas(64, 0.5, np.random.default_rng(0))
    LAYOUTS["park"].draw(canvas)
    ground = canvas.image()
    plain = Sensor("plain", (0.5, 0.5), NATURAL, blur=0.0, noise=0.0)
    seen = see(ground, plain, np.random.default_rng(0))
    assert (seen == np.asarray(ground).transpose(2, 0, 1)).all()


def test_a_coarse_sensor_has_less_detail() -> None:
    sharp, coarse = (
        render(4, size=SMALL, sensor=name).pixels.astype(float)
        for name in ("satellite-sharp", "coarse")
    )
    detail = [np.abs(np.diff(x, axis=2)).mean() for x in (sharp, coarse)]
    assert detail[1] < detail[0]


def test_the_ground_sampling_distance_suits_place_and_sensor() -> None:
    for seed in range(20):
        image = render(seed, size=64)
        for low, high in (LAYOUTS[image.layout].gsd_m, image.sensor.gsd_m):
            assert low <= image.gsd_m <= high


def test_an_unknown_sensor_is_named_with_the_known_ones() -> None:
    with pytest.raises(DatasetError, match="no sensor 'radar'; use one of: web-map"):
        render(0, sensor="radar")


def test_every_sensor_has_a_place_to_look_at() -> None:
    for sensor in SENSORS.values():
        spans = [instance_scenes._common_gsd(layout, sensor) for layout in LAYOUTS.values()]
        assert any(low < high for low, high in spans), sensor.name
