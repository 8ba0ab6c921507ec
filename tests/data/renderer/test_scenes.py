"""Drawn scenes: exact, different from each other, and of the size that is asked for."""

import subprocess
import sys

import numpy as np
import pytest

from skycue.data.renderer import SCENES, draw_scene
from skycue.errors import DatasetError


@pytest.mark.parametrize("name", SCENES)
def test_the_same_seed_draws_the_same_image_and_another_seed_another(name: str) -> None:
    image = draw_scene(name, seed=3, size=48)
    np.testing.assert_array_equal(image, draw_scene(name, seed=3, size=48))
    assert np.abs(image.astype(int) - draw_scene(name, seed=4, size=48)).mean() > 5


def test_another_process_draws_the_same_image() -> None:
    program = (
        "from skycue.data.renderer import draw_scene\n"
        "import sys\n"
        "sys.stdout.buffer.write(draw_scene('harbor', 5, size=32).tobytes())\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert run.stdout == draw_scene("harbor", 5, size=32).tobytes()


def test_an_image_has_the_size_that_is_asked_for() -> None:
    image = draw_scene("forest", seed=0, size=50)
    assert image.shape == (3, 50, 50)
    assert image.dtype == np.uint8


def test_colours_are_those_of_the_class() -> None:
    forest, harbor, farmland = (
        draw_scene(name, seed=1, size=64).mean(axis=(1, 2))
        for name in ("forest", "harbor", "farmland")
    )
    assert forest.argmax() == 1  # green leads
    assert harbor.argmax() == 2  # water is blue
    assert farmland.argmin() == 2  # fields are green, yellow or brown
    assert forest.sum() < farmland.sum()  # crowns are dark


def test_size_changes_the_resolution_and_not_the_scene() -> None:
    small = draw_scene("storage tanks", seed=2, size=32).astype(float)
    large = draw_scene("storage tanks", seed=2, size=128).astype(float)
    averaged = large.reshape(3, 32, 4, 32, 4).mean(axis=(2, 4))
    assert np.corrcoef(small.ravel(), averaged.ravel())[0, 1] > 0.9


def test_an_unknown_class_is_refused_with_those_that_can_be_drawn() -> None:
    with pytest.raises(DatasetError, match="no scene 'harbour' can be drawn; use one of: airport"):
        draw_scene("harbour", seed=0)
