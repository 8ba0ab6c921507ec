"""Encoders of a benchmark: each image is encoded once, and captions can change hands."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from skycue.encoding import TOWER_FIELDS, RandomCrops, SceneEncoder
from skycue.protocols.cells import Row, Texts
from skycue.protocols.scene_data import SceneData
from skycue.scene_config import SceneConfig
from skycue.scenes.base import ImageInputs, Need

Rows: TypeAlias = dict[Path, Tensor]
"""One row of a field for each image."""


class RememberingEncoder(SceneEncoder):
    """An encoder that holds what it encoded in memory, beside the store on disk.

    Args:
        inner: Says what to encode with.
        towers: Holds what does not depend on captions; encoders of one backbone share it.
        together: Fields of the image tower that are encoded with any other, so that the tower
            runs once an image.
    """

    def __init__(
        self,
        inner: SceneEncoder,
        towers: dict[Need, Rows],
        together: frozenset[Need] = frozenset(),
    ) -> None:
        super().__init__(
            inner.clip,
            store=inner.store,
            captions=inner.captions,
            sentence=inner.sentence,
            batch_size=inner.batch_size,
            dtype=inner.dtype,
        )
        self._towers = towers
        self._together = together & set(TOWER_FIELDS)
        self._captions: Rows = {}

    def encode(
        self,
        paths: Sequence[Path],
        needs: Collection[Need],
        *,
        crops: RandomCrops | None = None,
    ) -> ImageInputs:
        """Encode as `SceneEncoder.encode`; without crops only what is not held yet."""
        if crops is not None or "pixels" in needs:
            return super().encode(paths, needs, crops=crops)
        rows: dict[Need, Rows] = {
            name: self._captions if name == "caption" else self._towers.setdefault(name, {})
            for name in self._together.union(needs)
        }
        missing = list(
            dict.fromkeys(path for path in paths if any(path not in held for held in rows.values()))
        )
        if missing:
            encoded = super().encode(missing, list(rows))
            for name, held in rows.items():
                held.update(zip(missing, encoded.require(name), strict=True))
        return ImageInputs(
            **{name: torch.stack([rows[name][path] for path in paths]) for name in needs}
        )


class ReassignedCaptions(SceneEncoder):
    """An encoder that gives images the captions of other images.

    Args:
        inner: Encodes images and captions.
        caption_of: For each image the one whose caption it gets.
    """

    def __init__(self, inner: SceneEncoder, caption_of: Mapping[Path, Path]) -> None:
        super().__init__(
            inner.clip,
            captions=inner.captions,
            sentence=inner.sentence,
            batch_size=inner.batch_size,
            dtype=inner.dtype,
        )
        self.inner = inner
        self.caption_of = caption_of

    def without_store(self) -> ReassignedCaptions:
        """Return an encoder that keeps nothing and gives the same captions."""
        return ReassignedCaptions(self.inner.without_store(), self.caption_of)

    def encode(
        self,
        paths: Sequence[Path],
        needs: Collection[Need],
        *,
        crops: RandomCrops | None = None,
    ) -> ImageInputs:
        """Encode the images themselves, but take each caption from where `caption_of` says."""
        own = self.inner.encode(paths, [name for name in needs if name != "caption"], crops=crops)
        if "caption" not in needs:
            return own
        donors = [self.caption_of[path] for path in paths]
        return own._replace(caption=self.inner.encode(donors, ["caption"]).caption)


def reassign(data: SceneData, texts: Texts) -> dict[Path, Path]:
    """Return for each image of a dataset the image whose caption it gets.

    "shuffled" puts the images of each part in an order that no class name touches and hands every
    caption on by one place, so no image keeps its own; "equal" gives all the caption of the first
    training image. "own" changes nothing.
    """
    parts = [
        [item.path for item in items] for items in (data.split.train, data.split.val, data.test)
    ]
    if texts == "own":
        return {path: path for part in parts for path in part}
    if texts == "equal":
        return {path: parts[0][0] for part in parts for path in part}
    caption_of: dict[Path, Path] = {}
    for part in parts:
        order = sorted(part, key=lambda path: hashlib.sha256(path.name.encode()).hexdigest())
        caption_of |= dict(zip(order, [*order[1:], *order[:1]], strict=True))
    return caption_of


class EncoderPool:
    """The encoders of a run, each built once; all share what the image tower gave.

    Args:
        build: Builds an encoder for the settings of a row.
        data: The datasets of the run.
        needs: What any row of the run reads of an image.
    """

    def __init__(
        self,
        build: Callable[[SceneConfig], SceneEncoder],
        data: Sequence[SceneData],
        needs: frozenset[Need],
    ) -> None:
        self._build = build
        self._needs = needs
        self._data = data
        self._towers: dict[Need, Rows] = {}
        self._encoders: dict[tuple[str, ...], SceneEncoder] = {}

    def encoder_of(self, row: Row) -> SceneEncoder:
        """Return the encoder of a row; rows whose captions have one source share it."""
        config = row.config
        source = (config.captions, str(config.sentence_encoder)) if row.reads_captions else ()
        if source not in self._encoders:
            self._encoders[source] = RememberingEncoder(
                self._build(config), self._towers, self._needs
            )
        key = (*source, row.texts)
        if row.texts != "own" and key not in self._encoders:
            caption_of: dict[Path, Path] = {}
            for data in self._data:
                caption_of |= reassign(data, row.texts)
            self._encoders[key] = ReassignedCaptions(self._encoders[source], caption_of)
        return self._encoders[source if row.texts == "own" else key]
