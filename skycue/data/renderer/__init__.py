"""Draws aerial-looking images of known content from a seed: examples and tests need no download."""

from skycue.data.renderer.scenes import SCENES, draw_scene

__all__ = ["SCENES", "draw_scene"]
