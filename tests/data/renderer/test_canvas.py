"""The canvas: metres become the right pixels."""

import math

import numpy as np
import pytest

from skycue.data.renderer.canvas import HAZE, Canvas, moved, rectangle
from skycue.data.renderer.textures import mottled, ploughed, smooth_noise


def build_canvas(size: int = 20, extent_m: float = 10.0) -> Canvas:
    return Canvas(size, extent_m, np.random.default_rng(0))


def test_a_polygon_covers_the_pixels_under_it() -> None:
    canvas = build_canvas()
    canvas.polygon([(5, 0), (10, 0), (10, 10), (5, 10)], (200, 100, 50))
    image = canvas.finish()  # [3, 20, 20], the right half is filled
    np.testing.assert_allclose(
        image[:, :, 11:].mean(axis=(1, 2)), (200, 100, 50), rtol=HAZE, atol=3
    )
    assert image[:, :, :9].mean() < 3


def test_a_disc_has_the_area_of_its_radius() -> None:
    canvas = build_canvas(size=100)
    canvas.disc((5, 5), 3, (200, 200, 200))
    covered = (canvas.finish()[0] > 100).mean()
    assert covered == pytest.approx(math.pi * 9 / 100, abs=0.005)


def test_what_is_tall_throws_a_shadow_of_its_height() -> None:
    canvas = build_canvas(size=100)
    canvas.cover(np.full((canvas.resolution, canvas.resolution, 3), 200.0))
    canvas.disc((5, 5), 1, (200, 200, 200), height_m=3)
    dark = np.argwhere(canvas.finish()[0] < 150).mean(axis=0) / 10  # y, x in metres
    assert math.dist(dark, (5, 5)) == pytest.approx(0.7 * 3, abs=0.4)


def test_a_texture_inside_a_polygon_leaves_the_rest() -> None:
    canvas = build_canvas()
    texture = np.full((canvas.resolution, canvas.resolution, 3), 180.0)
    canvas.cover_inside([(0, 0), (10, 0), (10, 5), (0, 5)], texture)
    image = canvas.finish()
    assert image[:, :9].mean() == pytest.approx(180, abs=6)
    assert image[:, 11:].mean() < 3


def test_a_rectangle_has_its_corners_around_the_centre() -> None:
    corners = rectangle((3, 4), length_m=4, width_m=2, angle=math.pi / 2)
    np.testing.assert_allclose(corners, [(4, 2), (4, 6), (2, 6), (2, 2)], atol=1e-12)


def test_moving_along_and_across() -> None:
    np.testing.assert_allclose(moved((1, 1), 0.0, 2, 3), (3, 4), atol=1e-12)
    np.testing.assert_allclose(moved((1, 1), math.pi / 2, 2, 3), (-2, 3), atol=1e-12)


def test_noise_is_smooth_and_bounded() -> None:
    noise = smooth_noise(np.random.default_rng(1), size=64, cells=4)
    assert np.abs(noise).max() <= 1
    assert np.abs(np.diff(noise, axis=0)).max() < 0.3
    assert noise.std() > 0.2


def test_mottled_ground_keeps_its_mean_colour() -> None:
    texture = mottled(np.random.default_rng(2), 96, (100, 120, 60), contrast=10)
    np.testing.assert_allclose(texture.mean(axis=(0, 1)), (100, 120, 60), atol=6)


def test_a_ploughed_field_has_as_many_rows_as_told() -> None:
    field = ploughed(np.random.default_rng(3), 120, (120, 120, 80), rows=10, angle=0.0, contrast=40)
    profile = field.mean(axis=(0, 2))  # across the rows, [120]
    spectrum = np.abs(np.fft.rfft(profile - profile.mean()))
    assert spectrum.argmax() == 10
