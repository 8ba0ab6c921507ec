"""A request of a benchmark on a few tiles with a tiny CLIP."""

from __future__ import annotations

from pathlib import Path

import pytest

from skycue.backbones.clip import Clip
from skycue.backbones.clip_folder import save_clip
from skycue.protocols.benchmark import Request


@pytest.fixture
def request_for(tiny_clip: Clip, scene_folder: Path, tmp_path: Path) -> Request:
    """CoOp on three classes, two numbers of shots and two seeds."""
    save_clip(tiny_clip, tmp_path / "tiny")
    return Request(
        protocol="few-shot",
        data=(f"tiles={scene_folder}",),
        methods=("coop",),
        shots=(1, 2),
        seeds=(1, 2),
        backbone=str(tmp_path / "tiny"),
        folder=tmp_path / "run",
        device="cpu",
    )
