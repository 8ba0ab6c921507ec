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
TOWER_FIELDS: tuple[Need, ...] = ("embedding", "tokens")
"""What the image tower gives."""


class RandomCrops(NamedTuple):
    """Which random crops to take: those of an image differ from epoch to epoch."""

    seed: int
    epoch: int


class EncodingCounts(NamedTuple):
    """How many images had their encoding kept, and how many were encoded."""

    reused: int
    computed: int


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

        Token maps are rounded to float16, kept or not, so that both give the same result.
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
        bank_reads = "caption" in needs and isinstance(self.captions, PhraseBank) and not crops
        names = [n for n in TOWER_FIELDS if n in needs or (n == "embedding" and bank_reads)]
        with ThreadPoolExecutor(READ_THREADS) as pool:
            keys = list(pool.map(_key_of, paths))
        fields = self._encode_images(paths, keys, names, crops) if names else {}
        if "caption" in needs:
            embeddings = fields["embedding"] if bank_reads else None
            fields["caption"] = self._encode_captions(paths, embeddings)
        if "pixels" in needs:
            fields["pixels"] = torch.stack(list(self._read(paths, keys, crops)))
        return ImageInputs(**{name: rows for name, rows in fields.items() if name in needs})

    def _encode_images(
        self,
        paths: Sequence[Path],
        keys: Sequence[str],
        names: Sequence[Need],
        crops: RandomCrops | None,
    ) -> dict[Need, Tensor]:
        """Return the image tower's fields, [N, ...] each, from the store where it has them."""
        kept = {name: self._load(name, keys) for name in names}
        path_of = dict(zip(keys, paths, strict=True))
        missing = [key for key in path_of if any(key not in kept[name] for name in names)]
        self.counts = EncodingCounts(
            self.counts.reused + len(path_of) - len(missing), self.counts.computed + len(missing)
        )
        with progress_bar("encoding images", len(missing)) as advance:
            for shard in _pieces(missing, SHARD_IMAGES):
                pixels = self._read([path_of[key] for key in shard], shard, crops)
                encoded = self._run_tower(pixels, advance)
                for name in names:
                    rows = dict(zip(shard, encoded[name], strict=True))
                    new = {key: rows[key] for key in shard if key not in kept[name]}
                    if new and self.store is not None:
                        self.store.save(self._space(name), list(new), torch.stack([*new.values()]))
                    kept[name] |= new
        if self.store is not None and missing:
            logger.info(
                "kept the encodings of %d images; %s now holds %.1f MB",
                *(len(missing), self.store.folder, self.store.n_bytes() / 1e6),
            )
        return {name: torch.stack([kept[name][key] for key in keys]) for name in names}

    @torch.no_grad()
    def _run_tower(
        self, pixels: Iterator[Tensor], advance: Callable[[int], None]
    ) -> dict[Need, Tensor]:
        """Encode images [3, S, S] in batches; embeddings as float32, token maps as float16."""
        embeddings, tokens = [], []
        while batch := list(itertools.islice(pixels, self.batch_size)):
            with (
                explain_out_of_memory(f"encoding_batch or --batch-size (now {self.batch_size})"),
                autocast(self.clip.device, self.dtype),
            ):
                encoded = self.clip.encode_image_tokens(torch.stack(batch).to(self.clip.device))
            embeddings.append(encoded.embedding.float().cpu())
            tokens.append(encoded.tokens.half().cpu())
            advance(len(batch))
        return {"embedding": torch.cat(embeddings), "tokens": torch.cat(tokens)}

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

    def _load(self, name: Need, keys: Sequence[str]) -> dict[str, Tensor]:
        return {} if self.store is None else self.store.load(self._space(name), keys)

    def _space(self, name: Need) -> str:
        """Name the encodings of this backbone, number format and preprocessing."""
        dtype = str(self.dtype).removeprefix("torch.")
        return f"{name}-{self.clip.fingerprint}-{dtype}-{ENCODING_VERSION}"


def _pieces(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def _key_of(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise ImageReadError(f"cannot read {path}: {error.strerror}.") from error


def _hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
