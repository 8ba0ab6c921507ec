"""The finished stages of a recipe: one safetensors file each, from which the next one starts."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

STATE_SUFFIX = ".state.safetensors"
"""Ends the name of the state of a stage that is under way."""
RECIPE_FILE = "recipe.json"
STAGES_FOLDER = "stages"
KEY_LETTERS = 16
"""Of the hash in the name of a finished stage's file."""


def stage_file(output: Path, stage: str, run: Mapping[str, str], *, seed: int) -> Path:
    """Name the file of a finished stage: another recipe finds none and trains anew.

    Args:
        output: Folder of the run.
        stage: Name of the stage.
        run: All that the stage depends on, earlier stages included.
        seed: Of the run.
    """
    text = json.dumps([seed, run], sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:KEY_LETTERS]
    return output / STAGES_FOLDER / f"{stage}-{key}.safetensors"


def state_file(output: Path, stage: str) -> Path:
    """Name the file that keeps the state of a stage while it is trained."""
    return output / f"{stage}{STATE_SUFFIX}"


def unfinished_states(output: Path) -> list[Path]:
    """Return the states that runs which were killed left in a folder."""
    return sorted(output.glob(f"*{STATE_SUFFIX}"))


def forget_unfinished(output: Path) -> None:
    """Remove the states that runs which were killed left in a folder, to start anew."""
    for path in unfinished_states(output):
        path.unlink()
