"""The describer of regions that users hold in Python: encode an image once, ask for many boxes.

Nothing is kept in the model between calls: all that belongs to an image lies in what `encode`
returns, so that threads with images of their own do not mix.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray

from skycue.answers import Answer
from skycue.box_windows import ViewNeeds
from skycue.boxes import Box, Frame, check_box
from skycue.device import autocast, explain_out_of_memory
from skycue.errors import ImageReadError
from skycue.geo.georeference import GeoReference
from skycue.geo.raster import RasterImage
from skycue.raster_answers import ImageAnswer
from skycue.region_answering import Asked, RegionAnswerer, SeenImage, Words
from skycue.region_inputs import read_region_image
from skycue.region_naming import Namer, name_masks
from skycue.region_network import Calibration, RegionModel, find_region_model, load_network
from skycue.region_store import EncodedImage, KeptImages
from skycue.regions.clvnet import ClvNet
from skycue.store import EncodingStore, WindowKey

BOXES_AT_ONCE = 32
"""Boxes in one pass; more are done in several."""


class _Crop(NamedTuple):
    """A small box on the window around it.

    Attributes:
        image: The window.
        box: In pixels of the window.
        corner: (x, y) of the window's upper left pixel in the image.
    """

    image: SeenImage
    box: Box
    corner: tuple[int, int]


class RegionDescriber:
    """A region model that answers boxes with captions and masks.

    Attributes:
        network: The model.
        calibration: Of its scores.
        name: What it was loaded as.
        answerer: Network and calibration, asked about boxes of encoded images.
        namer: A fitted scene classifier that names masks, or None.
        kept: Encoded images in a store, or None.
    """

    def __init__(
        self,
        network: ClvNet,
        *,
        calibration: Calibration | None = None,
        name: str = "",
        dtype: torch.dtype = torch.float32,
        namer: Namer | None = None,
        store: EncodingStore | None = None,
    ) -> None:
        """Hold a network in evaluation mode.

        Args:
            network: The model.
            calibration: Of its scores; None leaves them raw.
            name: What answers call it.
            dtype: Number format of its products.
            namer: Names the masks of every answer.
            store: Keeps encoded images for the next process that asks about them.
        """
        self.network = network.eval()
        self.calibration = calibration or Calibration()
        self.name, self.dtype, self.namer = name, dtype, namer
        self.kept = None if store is None else KeptImages(store, network, dtype)
        self.answerer = RegionAnswerer(self.network, self.calibration, dtype)

    @classmethod
    def load(
        cls,
        name: str | Path,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        namer: Namer | None = None,
        cache: Path | None = None,
    ) -> Self:
        """Load a region model.

        Args:
            name: `mini`, a folder that `skycue train regions` or `skycue convert` wrote, or a hub
                name of such a folder.
            device: Where the weights go.
            dtype: Number format of products; weights stay float32.
            namer: A fitted scene classifier that names the masks.
            cache: Folder that keeps encoded images; None keeps none.

        Raises:
            CheckpointError: If nothing of that name can be loaded.
            BackboneMismatchError: If the image encoder is another than the one trained with.
        """
        model: RegionModel = load_network(find_region_model(str(name)), device=device)
        return cls(
            model.network,
            calibration=model.record.calibration,
            name=str(name),
            dtype=dtype,
            namer=namer,
            store=None if cache is None else EncodingStore(cache),
        )

    @property
    def model(self) -> str:
        """The name with letters of a hash: another one means other weights or calibration."""
        return f"{self.name}@{self.fingerprint[:12]}"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of configuration, calibration and weights."""
        digest = hashlib.sha256(self.network.config.model_dump_json().encode())
        digest.update(self.calibration.model_dump_json().encode())
        for key, tensor in sorted(self.network.state_dict().items()):
            digest.update(key.encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy().data)
        return digest.hexdigest()

    @property
    def needs(self) -> ViewNeeds:
        """What the model asks of the window of a large raster that stands for "the image"."""
        config = self.network.config
        if config.windows:
            return ViewNeeds.of_windows(config.windows, self.network.segmenter.input_size)
        return ViewNeeds(config.small_box_window, self.network.segmenter.input_size)

    @torch.no_grad()
    def encode(
        self, image: Path | str | NDArray[np.uint8], *, key: WindowKey | None = None
    ) -> "EncodedRegions":
        """Encode an image for any number of boxes, or take its encoding from the store.

        Args:
            image: A file, or RGB levels, uint8 [3, H, W].
            key: What the encoding is kept under, for a window of a raster; the hash of the pixels
                if not given.

        Raises:
            ImageReadError: If a file cannot be read, or an array is no RGB image.
        """
        if isinstance(image, np.ndarray) and (image.ndim != 3 or len(image) != 3):
            raise ImageReadError(
                f"pixels of shape {list(image.shape)} are no RGB image [3, H, W]: for [H, W, 3] "
                "pass pixels.transpose(2, 0, 1)."
            )
        if isinstance(image, np.ndarray):
            name, read = "", RasterImage(image, None)
        else:
            name, read = str(image), read_region_image(Path(image))
        rows = np.ascontiguousarray(read.pixels.transpose(1, 2, 0))  # [H, W, 3]
        if self.kept is None:
            encoded = self._run_encoders(rows)
        else:
            encoded = self.kept.encode(rows, key, self._run_encoders)
        return EncodedRegions(self, SeenImage(name, rows, *encoded), read.georeference)

    def _run_encoders(self, rows: NDArray[np.uint8]) -> EncodedImage:
        """Encode the whole of an image [H, W, 3]; a network of windows has no features of it."""
        size = (rows.shape[0], rows.shape[1])
        network = self.network
        whole = Frame.squashed(size, network.clip.config.image.image_size)
        with autocast(network.clip.device, self.dtype):
            shown = self.answerer.show(rows, [whole])  # reaches nowhere outside
            tokens = network.encode_images(shown)
            features = None
            if not network.config.windows:
                padded = Frame.padded(size, network.segmenter.input_size)
                features = network.segmenter.encode(self.answerer.show(rows, [padded])).contiguous()
        return EncodedImage(tokens, features)

    @torch.no_grad()
    def describe_pairs(
        self,
        pairs: Sequence[tuple["EncodedRegions", Sequence[float]]],
        *,
        ask: str | None = None,
        temperature: float = 0.0,
        seed: int = 0,
        told: Callable[[int, str], None] | None = None,
    ) -> list[Answer]:
        """Describe boxes of several images together, as `EncodedRegions.describe_all` those of one.

        Args:
            pairs: An image of this describer and a box in its pixels each.
            ask: A question in place of the model's own, for models that take any; `<bbox>` in it
                stands for the box, and goes before one that lacks it.
            temperature: 0 takes the likeliest words; above, words are drawn.
            seed: Of the drawn words.
            told: Is told the number of a pair and its caption so far, word by word; the final
                caption may lack its last sentences.

        Returns:
            An answer for each pair, in their order.

        Raises:
            BoxError: If a box is wrong; nothing is computed then.
            ConfigError: If the model takes no other question.
        """
        checked = [
            check_box(box, encoded.size, f"box {number}" if len(pairs) > 1 else "box")
            for number, (encoded, box) in enumerate(pairs, start=1)
        ]
        words = Words(ask, temperature, torch.Generator().manual_seed(seed))
        answers: list[Answer] = []
        with explain_out_of_memory("the number of boxes or the size of the image"):
            for start in range(0, len(pairs), BOXES_AT_ONCE):
                chosen = slice(start, start + BOXES_AT_ONCE)
                images = [encoded.seen for encoded, _ in pairs[chosen]]
                if told is not None:
                    words = words._replace(told=partial(_tell_from, told, start))
                answers += self._answer(images, checked[chosen], words)
        if self.namer is None:
            return answers
        named: list[Answer] = []
        for _, group in groupby(zip(pairs, answers, strict=True), key=lambda each: id(each[0][0])):
            members = list(group)
            pixels = members[0][0][0].seen.rows.transpose(2, 0, 1)  # [3, H, W]
            named += name_masks([answer for _, answer in members], pixels, self.namer)
        return named

    def _answer(
        self, images: Sequence[SeenImage], boxes: Sequence[Box], words: Words
    ) -> list[Answer]:
        """Answer boxes in one pass; small ones on windows that are encoded for them alone."""
        crops = [self._window_of(*pair) for pair in zip(images, boxes, strict=True)]
        asked = [
            Asked(image, box) if crop is None else Asked(crop.image, crop.box)
            for image, box, crop in zip(images, boxes, crops, strict=True)
        ]
        answers = self.answerer.answer(asked, words, self.model)
        return [
            answer if crop is None else _moved(answer, crop, image, box)
            for answer, crop, image, box in zip(answers, crops, images, boxes, strict=True)
        ]

    def _window_of(self, image: SeenImage, box: Box) -> _Crop | None:
        """Cut the window around a small box, encoded as if it were the image; None if it is not."""
        config = self.network.config
        longer = max(box[2] - box[0], box[3] - box[1])
        if config.windows or longer / max(image.size) >= config.small_box:
            return None
        x_min, y_min, x_max, y_max = Frame.around(box, config.small_box_window, 1).box
        left, top = max(0, math.floor(x_min)), max(0, math.floor(y_min))
        right, bottom = min(image.size[1], math.ceil(x_max)), min(image.size[0], math.ceil(y_max))
        part = image.rows[top:bottom, left:right].transpose(2, 0, 1)
        encoded = self.encode(np.ascontiguousarray(part))
        inner = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
        return _Crop(encoded.seen, inner, (left, top))


def _tell_from(told: Callable[[int, str], None], start: int, row: int, caption: str) -> None:
    """Tell about a box of a later pass by its number among all."""
    told(start + row, caption)


class EncodedRegions:
    """An encoded image, ready for boxes; `RegionDescriber.encode` makes it."""

    def __init__(
        self, describer: RegionDescriber, seen: SeenImage, georeference: GeoReference | None = None
    ) -> None:
        """Hold what belongs to one image."""
        self._describer = describer
        self.seen = seen
        self.georeference = georeference

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image in pixels."""
        return self.seen.size

    def describe(
        self,
        box: Sequence[float],
        *,
        ask: str | None = None,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> ImageAnswer:
        """Describe one box; the arguments are those of `describe_all`."""
        return self.describe_all([box], ask=ask, temperature=temperature, seed=seed)[0]

    @torch.no_grad()
    def describe_all(
        self,
        boxes: Sequence[Sequence[float]],
        *,
        ask: str | None = None,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[ImageAnswer]:
        """Describe many boxes in one pass.

        Args:
            boxes: x_min, y_min, x_max, y_max in pixels of the image.
            ask: A question in place of the model's own, for models that take any; `<bbox>` in it
                stands for the box, and goes before one that lacks it.
            temperature: 0 takes the likeliest words; above, words are drawn.
            seed: Of the drawn words.

        Returns:
            An answer for each box, in their order; each holds the image, so that it can be drawn.

        Raises:
            BoxError: If a box is wrong; nothing is computed then.
            ConfigError: If the model takes no other question.
        """
        answers = self._describer.describe_pairs(
            [(self, box) for box in boxes], ask=ask, temperature=temperature, seed=seed
        )
        rows, place = self.seen.rows, self.georeference
        return [ImageAnswer(**vars(answer), rows=rows, georeference=place) for answer in answers]


def _moved(answer: Answer, crop: _Crop, image: SeenImage, box: Box) -> Answer:
    """Turn an answer on a window of an image into one on the image."""
    (height, width), (left, top) = crop.image.size, crop.corner
    phrases = [
        replace(phrase, mask=phrase.mask and phrase.mask.moved_to(image.size, crop.corner))
        for phrase in answer.phrases
    ]
    return replace(
        answer,
        image=image.name,
        size=image.size,
        box=box,
        phrases=tuple(phrases),
        windows=((float(left), float(top), float(left + width), float(top + height)),),
    )
