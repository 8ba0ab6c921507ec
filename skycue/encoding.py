"""Images to what prompt methods read: each image is encoded once, and the encoding is kept."""

import hashlib
import itertools
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from skycue.augmentation import random_resized_crop
from skycue.backbones.clip import Clip
from skycue.backbones.phrase_bank import PhraseBank
from skycue.backbones.preprocess import preprocess
from skycue.backbones.sentence import SentenceEncoder
from skycue.backbones.text_source import TextSource
from skycue.data.images import read_image
from skycue.device import autocast, explain_out_of_memory
from skycue.errors import EncodingError, ImageReadError
from skycue.files import sha256_of
from skycue.progress import progress_bar
from skycue.scenes.base import ImageInputs, Need
from skycue.seeds import generator_at
from skycue.store import EncodingStore

logger = logging.getLogger(__name__)

ENCODING_VERSION = 1
"""Raised when decoding or preprocessing changes, so that older kept encodings are not used."""
SHARD_IMAGES = 256
"""Images encoded between two writes to the store: what a killed run loses at most."""
READ_THREADS = 4
"""Threads that hash and decode files."""
TOWER_FIELDS: tuple[Need, ...] = ("patches", "embedding", "tokens", "moments")
"""What the image tower gives."""


class RandomCrops(NamedTuple):
    """Which random crops to take: those of an image differ from epoch to epoch."""

    seed: int
    epoch: int


class EncodingCounts(NamedTuple):
    """How many images had their encoding kept, and how many were encoded."""

    reused: int
    computed: int


class KeptEncodings(NamedTuple):
    """What a store has of some images.

    Attributes:
        keys: One for each of N images; equal keys mean equal images.
        part: Folder inside each space that the keys were looked for in; "" is the space itself.
        rows: Fields of the image tower that are wanted, and their rows by key.
        missing: Positions of the images that have to be encoded, each key once.
    """

    keys: tuple[str, ...]
    part: str
    rows: dict[Need, dict[str, Tensor]]
    missing: tuple[int, ...]

    def without(self, keys: Collection[str]) -> "KeptEncodings":
        """Return the same without some of the images."""
        left = [n for n, key in enumerate(self.keys) if key not in keys]
        place_of = {n: place for place, n in enumerate(left)}
        missing = tuple(place_of[n] for n in self.missing if n in place_of)
        return self._replace(keys=tuple(self.keys[n] for n in left), missing=missing)


class SceneEncoder:
    """Encodes image files with a frozen CLIP, and their captions with a sentence encoder.

    Args:
        clip: The backbone; inputs are encoded on its device.
        store: Where encodings are kept and looked for; None keeps nothing.
        captions: Where the captions of images come from; needed for methods that read them.
        sentence: What turns captions into vectors.
        batch_size: Images encoded at once.
        dtype: Number format of the computation; what is returned does not depend on it.
    """

    def __init__(
        self,
        clip: Clip,
        *,
        store: EncodingStore | None = None,
        captions: TextSource | None = None,
        sentence: SentenceEncoder | None = None,
        batch_size: int = 32,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.clip = clip
        self.store = store
        self.captions = captions
        self.sentence = sentence
        self.batch_size = batch_size
        self.dtype = dtype
        self.counts = EncodingCounts(0, 0)

    def without_store(self) -> "SceneEncoder":
        """Return an encoder that keeps nothing, for images that random crops change."""
        return SceneEncoder(
            self.clip,
            captions=self.captions,
            sentence=self.sentence,
            batch_size=self.batch_size,
            dtype=self.dtype,
        )

    def encode(
        self,
        paths: Sequence[Path],
        needs: Collection[Need],
        *,
        crops: RandomCrops | None = None,
    ) -> ImageInputs:
        """Return what a method needs to know of images, on the CPU.

        All that the image tower gives but the embeddings is rounded to float16, kept or not, so
        that both give the same result.
        Captions describe the whole image, also under random crops.

        Args:
            paths: N image files.
            needs: Fields to fill.
            crops: Take random crops in place of CLIP's centre crop.

        Raises:
            EncodingError: If encodings are kept and `crops` would make them wrong, or captions
                are needed and there is no source of them.
            ImageReadError: If a file cannot be read.
            CaptionError: If an image has no caption.
        """
        if crops is not None and self.store is not None:
            raise EncodingError(
                "encodings cannot be kept under random crops, which differ in each epoch: "
                "use an encoder without a store, or train.augment=none."
            )
        with ThreadPoolExecutor(READ_THREADS) as pool:
            keys = list(pool.map(_key_of, paths))
        fields: dict[Need, Tensor] = {}
        bank_reads = isinstance(self.captions, PhraseBank) and crops is None
        if names := self._tower_fields(needs, bank_reads=bank_reads):
            kept = self._find(keys, names, "")
            with progress_bar("encoding images", len(kept.missing)) as advance:
                fields = self._complete(
                    kept,
                    lambda at: self._read([paths[n] for n in at], [keys[n] for n in at], crops),
                    advance,
                )
            self._say_what_was_kept(len(kept.missing))
        if "caption" in needs:
            embeddings = fields["embedding"] if bank_reads else None
            fields["caption"] = self._encode_captions(paths, embeddings)
        if "pixels" in needs:
            fields["pixels"] = torch.stack(list(self._read(paths, keys, crops)))
        return ImageInputs(**{name: rows for name, rows in fields.items() if name in needs})

    def find_kept(
        self, keys: Sequence[str], needs: Collection[Need], *, part: str = ""
    ) -> KeptEncodings:
        """Look for the encodings of images that have no files, such as windows of a raster.

        Any thread may call it. `encode_missing` encodes what is not there.

        Args:
            keys: N names that say all that the pixels depend on, such as `WindowKey`.
            needs: Fields that will be filled; captions come from the phrase bank alone, which
                reads embeddings.
            part: Folder inside each space: only its keys are looked through.

        Raises:
            EncodingError: If captions are needed from a source that reads files.
        """
        assert "pixels" not in needs, "windows are encoded, not handed on"
        bank_reads = isinstance(self.captions, PhraseBank)
        if "caption" in needs and not bank_reads:
            kind = self.captions.settings.kind if self.captions else "none"
            raise EncodingError(
                f"parts of a raster have no captions of the source {kind!r}, which reads files: "
                "use a classifier fitted with --captions bank, or one that reads no captions."
            )
        return self._find(keys, self._tower_fields(needs, bank_reads=bank_reads), part)

    def encode_missing(
        self, kept: KeptEncodings, pixels: Sequence[Tensor], needs: Collection[Need]
    ) -> ImageInputs:
        """Encode the images that `find_kept` did not find, and return the inputs of all, [N, ...].

        Args:
            kept: What it returned for the same needs.
            pixels: RGB in [0, 1] as the backbone takes it, [3, S, S], of the images at
                `kept.missing`, in that order.
            needs: Fields to fill.
        """
        place_of = {position: place for place, position in enumerate(kept.missing)}
        fields = self._complete(kept, lambda at: (pixels[place_of[n]] for n in at))
        if "caption" in needs:
            fields["caption"] = self._encode_captions((), fields["embedding"])
        return ImageInputs(**{name: rows for name, rows in fields.items() if name in needs})

    def _tower_fields(self, needs: Collection[Need], *, bank_reads: bool) -> list[Need]:
        """Return what the image tower has to give; a phrase bank reads its embeddings."""
        bank_reads = bank_reads and "caption" in needs
        return [n for n in TOWER_FIELDS if n in needs or (n == "embedding" and bank_reads)]

    def _find(self, keys: Sequence[str], names: Sequence[Need], part: str) -> KeptEncodings:
        """Return what the store has of the image tower's fields."""
        rows = {name: self._load(name, keys, part) for name in names}
        place_of = {key: position for position, key in reversed(list(enumerate(keys)))}
        missing = (n for key, n in place_of.items() if any(key not in r for r in rows.values()))
        return KeptEncodings(tuple(keys), part, rows, tuple(sorted(missing)))

    def _complete(
        self,
        kept: KeptEncodings,
        read: Callable[[Sequence[int]], Iterator[Tensor]],
        advance: Callable[[int], None] = lambda steps: None,
    ) -> dict[Need, Tensor]:
        """Encode what is missing and return the image tower's fields, [N, ...] each.

        Args:
            kept: What is known.
            read: Yields the pixels [3, S, S] of the images at some positions.
            advance: Is told how many images were encoded.
        """
        keys, found = kept.keys, {name: dict(rows) for name, rows in kept.rows.items()}
        n_known = len(set(keys)) - len(kept.missing)
        self.counts = EncodingCounts(
            self.counts.reused + n_known, self.counts.computed + len(kept.missing)
        )
        for shard in _pieces(kept.missing, SHARD_IMAGES):
            encoded = self._run_tower(read(shard), list(found), advance)
            for name, rows in found.items():
                of_key = dict(zip((keys[n] for n in shard), encoded[name], strict=True))
                new = {key: row for key, row in of_key.items() if key not in rows}
                if new and self.store is not None:
                    space = self._space(name, kept.part)
                    self.store.save(space, list(new), torch.stack([*new.values()]))
                rows |= new
        return {name: torch.stack([rows[key] for key in keys]) for name, rows in found.items()}

    def _say_what_was_kept(self, n_images: int) -> None:
        if self.store is not None and n_images:
            megabytes = self.store.n_bytes() / 1e6
            logger.info(
                "kept the encodings of %d images; %s now holds %.1f MB",
                *(n_images, self.store.folder, megabytes),
            )

    @torch.no_grad()
    def _run_tower(
        self, pixels: Iterator[Tensor], names: Sequence[Need], advance: Callable[[int], None]
    ) -> dict[Need, Tensor]:
        """Encode images [3, S, S] in batches; embeddings as float32, all else as float16."""
        batches: list[dict[Need, Tensor]] = []
        while batch := list(itertools.islice(pixels, self.batch_size)):
            with (
                explain_out_of_memory(f"encoding_batch or --batch-size (now {self.batch_size})"),
                autocast(self.clip.device, self.dtype),
            ):
                batches.append(
                    tower_fields(self.clip, torch.stack(batch).to(self.clip.device), names)
                )
            advance(len(batch))
        return {name: torch.cat([batch[name] for batch in batches]) for name in names}

    def _read(
        self, paths: Sequence[Path], keys: Sequence[str], crops: RandomCrops | None
    ) -> Iterator[Tensor]:
        """Yield the pixels of each image, [3, S, S], decoded ahead in threads."""
        size = self.clip.config.image.image_size

        def read(path: Path, key: str) -> Tensor:
            image = read_image(path)
            if crops is None:
                return preprocess(image, size)
            return random_resized_crop(image, size, generator_at(crops.seed, crops.epoch, key))

        with ThreadPoolExecutor(READ_THREADS) as pool:
            yield from pool.map(read, paths, keys)

    def _encode_captions(self, paths: Sequence[Path], embeddings: Tensor | None) -> Tensor:
        """Return the vectors of the images' captions, [N, S]."""
        if self.captions is None or self.sentence is None:
            raise EncodingError(
                "this method reads captions: give a source of them, such as --captions bank."
            )
        if isinstance(self.captions, PhraseBank) and embeddings is not None:
            texts = self.captions.caption_embeddings(embeddings)
        else:
            texts = self.captions.caption(paths)
        space = f"sentence-{_hash_of(self.sentence.settings.model_dump_json())}"
        keys = [_hash_of(text) for text in texts]
        text_of = dict(zip(keys, texts, strict=True))
        kept = self.store.load(space, keys) if self.store is not None else {}
        missing = [key for key in text_of if key not in kept]
        if missing:
            vectors = self.sentence.encode([text_of[key] for key in missing]).float().cpu()
            if self.store is not None:
                self.store.save(space, missing, vectors)
            kept.update(zip(missing, vectors, strict=True))
        return torch.stack([kept[key] for key in keys])

    def _load(self, name: Need, keys: Sequence[str], part: str) -> dict[str, Tensor]:
        return {} if self.store is None else self.store.load(self._space(name, part), keys)

    def _space(self, name: Need, part: str) -> str:
        """Name the encodings of this backbone, number format and preprocessing."""
        dtype = str(self.dtype).removeprefix("torch.")
        space = f"{name}-{self.clip.fingerprint}-{dtype}-{ENCODING_VERSION}"
        return f"{space}/{part}" if part else space


def tower_fields(clip: Clip, pixels: Tensor, names: Collection[Need]) -> dict[Need, Tensor]:
    """Return fields of the image tower as they are kept, on the CPU.

    The arguments are those of `computed_fields`; embeddings are returned in float32, all else in
    float16.
    """
    fields = computed_fields(clip, pixels, names)
    dtypes = {name: torch.float32 if name == "embedding" else torch.float16 for name in names}
    return {name: fields[name].to("cpu", dtype) for name, dtype in dtypes.items()}


def computed_fields(clip: Clip, pixels: Tensor, names: Collection[Need]) -> dict[Need, Tensor]:
    """Return fields of the image tower as it computes them, [B, ...] each.

    Args:
        clip: The backbone.
        pixels: RGB in [0, 1] on its device, [B, 3, S, S].
        names: Of `TOWER_FIELDS`; blocks that none of them reads are not run.
    """
    fields: dict[Need, Tensor] = {"patches": clip.embed_image(pixels)}
    if set(names) != {"patches"}:
        layers = range(clip.config.image.layers) if "moments" in names else ()
        encoded = clip.encode_patches(fields["patches"], layers=layers)
        fields |= {"embedding": encoded.embedding, "tokens": encoded.tokens}
        if layers:
            fields["moments"] = encoded.moments
    return {name: fields[name] for name in names}


def _pieces(positions: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(positions), size):
        yield positions[start : start + size]


def _key_of(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise ImageReadError(f"cannot read {path}: {error.strerror}.") from error


def _hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
