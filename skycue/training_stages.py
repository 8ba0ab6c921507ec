"""The finished stages of a recipe: one safetensors file each, from which the next one starts."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

STATE_FILE = "state.safetensors"
"""Of the stage that is under way."""
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
