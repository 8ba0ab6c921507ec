"""Encoders of a benchmark: each image is encoded once, and captions can change hands."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from skycue.backbones.clip import Clip
from skycue.backbones.pretrained import load_clip
from skycue.device import resolve_device, resolve_dtype
from skycue.encoding import TOWER_FIELDS, RandomCrops, SceneEncoder
from skycue.fitting import IMAGES_AT_ONCE, open_encoder
from skycue.protocols.cells import Row, Texts
from skycue.protocols.scene_data import SceneData
from skycue.scene_config import SceneConfig
from skycue.scenes.base import ImageInputs, Need
from skycue.store import EncodingStore

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
        self._together = together.intersection(TOWER_FIELDS)
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


def encode_ahead(encoder: SceneEncoder, paths: Sequence[Path], needs: Collection[Need]) -> None:
    """Encode images so that their encodings are kept; pixels are not."""
    kept = [name for name in needs if name != "pixels"]
    for start in range(0, len(paths) if kept else 0, IMAGES_AT_ONCE):
        encoder.encode(paths[start : start + IMAGES_AT_ONCE], kept)


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
        source = _source(row)
        if source not in self._encoders:
            self._encoders[source] = RememberingEncoder(
                self._build(row.config), self._towers, self._needs
            )
        key = (*source, row.texts)
        if row.texts != "own" and key not in self._encoders:
            caption_of = self._caption_of(row.texts)
            self._encoders[key] = ReassignedCaptions(self._encoders[source], caption_of)
        return self._encoders[source if row.texts == "own" else key]

    def keep_encodings(self, wanted: Iterable[tuple[Row, Sequence[Path]]]) -> None:
        """Put what rows read of images into the store and hold nothing: before workers start.

        Args:
            wanted: Rows and the images that they read.
        """
        rows: dict[tuple[str, ...], Row] = {}
        paths_of: dict[tuple[str, ...], dict[Path, None]] = {}
        for row, paths in wanted:
            key = (*_source(row), row.texts, *sorted(row.needs))
            rows[key] = row
            paths_of.setdefault(key, {}).update(dict.fromkeys(paths))
        for key, row in rows.items():
            images = paths_of[key]
            if row.texts != "own":
                caption_of = self._caption_of(row.texts)
                images |= dict.fromkeys([caption_of[path] for path in images])
            needs = row.needs | self._needs.intersection(TOWER_FIELDS)
            encode_ahead(self._build(row.config), list(images), needs)

    def _caption_of(self, texts: Texts) -> dict[Path, Path]:
        """Return for each image of the run the image whose caption it gets."""
        return {path: donor for data in self._data for path, donor in reassign(data, texts).items()}


def _source(row: Row) -> tuple[str, ...]:
    """Return what tells encoders apart: where captions come from, if any are read."""
    config = row.config
    return (config.captions, str(config.sentence_encoder)) if row.reads_captions else ()


class PoolPlan(NamedTuple):
    """What encoders are built of, in any process of a run."""

    backbone: str
    """As it was asked for."""
    device: str
    dtype: str
    cache: Path
    """Folder of kept encodings."""
    batch_size: int
    """Images encoded at once."""
    data: tuple[SceneData, ...]
    needs: frozenset[Need]
    """What any row of the run reads of an image."""

    def open(self, clip: Clip | None = None) -> EncoderPool:
        """Build the pool.

        Args:
            clip: The backbone, where it is loaded already.
        """
        device = resolve_device(self.device)
        dtype = resolve_dtype(self.dtype, device)
        backbone = clip or load_clip(self.backbone, device)
        store = EncodingStore(self.cache)

        def build(scene: SceneConfig) -> SceneEncoder:
            return open_encoder(
                backbone,
                scene,
                backbone=self.backbone,
                store=store,
                batch_size=self.batch_size,
                dtype=dtype,
            )

        return EncoderPool(build, self.data, self.needs)
