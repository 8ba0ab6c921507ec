"""The describer of regions that users hold in Python: encode an image once, ask for many boxes.

Nothing is kept in the model between calls: all that belongs to an image lies in what `encode`
returns, so that threads with images of their own do not mix.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skycue.answers import Answer, AnswerPhrase, find_flags
from skycue.backbones.segmenter import MaskFeatures
from skycue.box_windows import ViewNeeds
from skycue.boxes import Box, Frame, box_iou, check_box
from skycue.data.mask_crops import MaskCrop
from skycue.device import autocast, explain_out_of_memory
from skycue.errors import ImageReadError
from skycue.region_inputs import read_region_image
from skycue.region_naming import Namer, name_masks
from skycue.region_network import Calibration, RegionModel, find_region_model, load_network
from skycue.region_samples import frames_around
from skycue.region_store import EncodedImage, KeptImages
from skycue.regions.clvnet import ClvNet, Cues, ImageTokens, Queries
from skycue.regions.grounded_text import GroundedText, decode_caption
from skycue.regions.mask_decoder import DecodedMasks
from skycue.store import EncodingStore, WindowKey
from skycue.windows import cut_window, paste_masks

BOXES_AT_ONCE = 32
"""Boxes in one pass; more are done in several."""


class _Look(NamedTuple):
    """Boxes of an image with the frames in which the network sees each."""

    boxes: list[Box]
    frames: list[list[Frame]]
    cues: Cues


class RegionDescriber:
    """A region model that answers boxes with captions and masks.

    Attributes:
        network: The model.
        calibration: Of its scores.
        name: What it was loaded as.
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

    @cached_property
    def model(self) -> str:
        """The name with letters of a hash: another one means other weights or calibration."""
        digest = hashlib.sha256(self.network.config.model_dump_json().encode())
        digest.update(self.calibration.model_dump_json().encode())
        for key, tensor in sorted(self.network.state_dict().items()):
            digest.update(key.encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy().data)
        return f"{self.name}@{digest.hexdigest()[:12]}"

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
        name = "" if isinstance(image, np.ndarray) else str(image)
        pixels = image if isinstance(image, np.ndarray) else read_region_image(Path(image)).pixels
        rows = np.ascontiguousarray(pixels.transpose(1, 2, 0))  # [H, W, 3]
        if self.kept is None:
            return EncodedRegions(self, name, rows, *self._run_encoders(rows))
        return EncodedRegions(self, name, rows, *self.kept.encode(rows, key, self._run_encoders))

    def _run_encoders(self, rows: NDArray[np.uint8]) -> EncodedImage:
        """Encode the whole of an image [H, W, 3]; a network of windows has no features of it."""
        size = (rows.shape[0], rows.shape[1])
        network = self.network
        whole = Frame.squashed(size, network.clip.config.image.image_size)
        with autocast(network.clip.device, self.dtype):
            tokens = network.encode_images(self._show(rows, [whole]))  # reaches nowhere outside
            features = None
            if not network.config.windows:
                padded = Frame.padded(size, network.segmenter.input_size)
                features = network.segmenter.encode(self._show(rows, [padded]))
        return EncodedImage(tokens, features)

    def _show(self, rows: NDArray[np.uint8], frames: Sequence[Frame]) -> Tensor:
        """Return frames of an image as RGB in [0, 1], [N, 3, S, S]."""
        outside = self.network.segmenter.padding
        shown = np.stack([cut_window(rows, frame, outside) for frame in frames])
        pixels = torch.from_numpy(shown).permute(0, 3, 1, 2)
        return pixels.to(self.network.clip.device).float() / 255


class EncodedRegions:
    """An encoded image, ready for boxes; `RegionDescriber.encode` makes it."""

    def __init__(
        self,
        describer: RegionDescriber,
        image: str,
        rows: NDArray[np.uint8],
        tokens: ImageTokens,
        features: MaskFeatures | None,
    ) -> None:
        """Hold what belongs to one image."""
        self._describer = describer
        self._image = image
        self._rows = rows  # [H, W, 3]
        self._tokens = tokens
        self._features = features

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image in pixels."""
        return (self._rows.shape[0], self._rows.shape[1])

    def describe(
        self,
        box: Sequence[float],
        *,
        ask: str | None = None,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Answer:
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
    ) -> list[Answer]:
        """Describe many boxes in one pass.

        Args:
            boxes: x_min, y_min, x_max, y_max in pixels of the image.
            ask: A question in place of the model's own, for models that take any.
            temperature: 0 takes the likeliest words; above, words are drawn.
            seed: Of the drawn words.

        Returns:
            An answer for each box, in their order.

        Raises:
            BoxError: If a box is wrong; nothing is computed then.
            ConfigError: If the model takes no other question.
        """
        checked = [
            check_box(box, self.size, f"box {number}" if len(boxes) > 1 else "box")
            for number, box in enumerate(boxes, start=1)
        ]
        chance = torch.Generator().manual_seed(seed)
        small = [n for n, box in enumerate(checked) if self._is_small(box)]
        large = [n for n in range(len(checked)) if n not in small]
        answered: dict[int, Answer] = {}
        with explain_out_of_memory("the number of boxes or the size of the image"):
            for start in range(0, len(large), BOXES_AT_ONCE):
                chunk = large[start : start + BOXES_AT_ONCE]
                found = self._answer([checked[n] for n in chunk], ask, temperature, chance)
                answered |= dict(zip(chunk, found, strict=True))
            for n in small:
                answered[n] = self._answer_in_window(checked[n], ask, temperature, chance)
        answers = [answered[n] for n in range(len(checked))]
        describer = self._describer
        if describer.namer is not None:
            answers = name_masks(answers, self._rows.transpose(2, 0, 1), describer.namer)
        return answers

    def _is_small(self, box: Box) -> bool:
        """Tell whether a box is described on a window that is encoded for it alone."""
        config = self._describer.network.config
        share = max(box[2] - box[0], box[3] - box[1]) / max(self.size)
        return not config.windows and share < config.small_box

    def _answer_in_window(
        self, box: Box, ask: str | None, temperature: float, chance: torch.Generator
    ) -> Answer:
        """Describe a small box on the window around it, at a scale that the model sees well."""
        scale = self._describer.network.config.small_box_window
        x_min, y_min, x_max, y_max = Frame.around(box, scale, 1).box
        left, top = max(0, math.floor(x_min)), max(0, math.floor(y_min))
        right, bottom = min(self.size[1], math.ceil(x_max)), min(self.size[0], math.ceil(y_max))
        part = self._rows[top:bottom, left:right].transpose(2, 0, 1)
        x, y = float(left), float(top)
        inner = (box[0] - x, box[1] - y, box[2] - x, box[3] - y)
        encoded = self._describer.encode(np.ascontiguousarray(part))
        answer = encoded._answer([inner], ask, temperature, chance)[0]
        phrases = []
        for phrase in answer.phrases:
            mask = None
            if phrase.mask is not None:
                mask = phrase.mask.moved_to(self.size, (left, top))
            phrases.append(AnswerPhrase.of_mask(answer.caption, phrase.span, mask, phrase.score))
        window = (x, y, float(right), float(bottom))
        return replace(
            answer,
            image=self._image,
            size=self.size,
            box=box,
            phrases=tuple(phrases),
            windows=(window,),
        )

    def _answer(
        self, boxes: list[Box], ask: str | None, temperature: float, chance: torch.Generator
    ) -> list[Answer]:
        network = self._describer.network
        with autocast(network.clip.device, self._describer.dtype):
            look = self._look(boxes)
            regions = network.region_tokens(look.cues)
            prompts = network.prompts(look.cues, regions, ask)
            written = network.write(prompts, temperature=temperature, generator=chance)
            texts = [decode_caption(network.reasoner.language.tokenizer, i) for i in written.ids]  # type: ignore[arg-type]
            read = network.reasoner.read(prompts, written.ids)
            seg = [[place for place in text.seg if place is not None] for text in texts]
            asked: Queries = network.queries(read, seg)
            decoded: DecodedMasks = network.decode(look.cues, regions, asked)
        return [
            self._join(look, row, text._replace(is_cut=is_cut or text.is_cut), odds, decoded)
            for row, (text, odds, is_cut) in enumerate(
                zip(texts, written.log_probabilities, written.is_cut, strict=True)
            )
        ]

    def _look(self, boxes: list[Box]) -> _Look:
        """Show the boxes to the network: a window each, or the image that was encoded."""
        network, describer = self._describer.network, self._describer
        device = network.clip.device
        scales, side = network.config.windows, network.segmenter.input_size
        frames = [frames_around(box, self.size, scales, side) for box in boxes]
        corners = torch.tensor(boxes, device=device)  # [R, 4]
        position = Frame.squashed(self.size, 1).to_unit(corners)
        rows = torch.zeros(len(boxes), dtype=torch.int64, device=device)
        tokens = ImageTokens(
            self._tokens.tokens[rows], tuple(level[rows] for level in self._tokens.levels)
        )
        shares = torch.stack(
            [
                torch.cat([frame.to_unit(corners[row : row + 1]) for frame in shown])
                for row, shown in enumerate(frames)
            ]
        )  # [R, V, 4]
        if self._features is not None:
            features = self._features.rows(rows)
            cues = network.look_at_whole(tokens, features, shares[:, 0], position)
        else:
            flat = describer._show(self._rows, [frame for shown in frames for frame in shown])
            pixels = flat.reshape(len(boxes), -1, *flat.shape[1:])  # [R, V, 3, S, S]
            cues = network.look(tokens, pixels, shares, position)
        return _Look(boxes, frames, cues)

    def _join(
        self, look: _Look, row: int, text: GroundedText, odds: list[float], decoded: DecodedMasks
    ) -> Answer:
        """Make the answer of one box."""
        frames = look.frames[row]
        n_asked = sum(place is not None for place in text.seg)
        logits = [out.logits[row, :n_asked].float().cpu() for out in decoded.masks]
        masks = paste_masks(logits, frames, self.size)
        shares = torch.stack([out.iou[row, :n_asked].float().cpu() for out in decoded.masks])
        calibration, phrases, number = self._describer.calibration, [], 0
        for span, place, (first, last) in zip(text.spans, text.seg, text.tokens, strict=True):
            mask, score = None, 0.0
            if place is not None:
                mask = masks[number]
                view = _view_of(mask, frames)
                sure = float(np.exp(np.mean(odds[first:last]))) if last > first else 0.0
                score = calibration.chance_of(float(shares[view, number]) * sure)
                number += 1
            phrases.append(AnswerPhrase.of_mask(text.caption, span, mask, score))
        return Answer(
            image=self._image,
            size=self.size,
            box=look.boxes[row],
            caption=text.caption,
            phrases=tuple(phrases),
            prompted=_prompted(phrases, look.boxes[row]),
            windows=tuple(frame.box for frame in frames),
            model=self._describer.model,
            flags=find_flags(text.caption, phrases, is_cut=text.is_cut),
        )


def _view_of(mask: MaskCrop, frames: Sequence[Frame]) -> int:
    """Return the narrowest frame that holds more than half of a mask, or the widest."""
    for view, frame in enumerate(frames[:-1]):
        x_min, y_min, x_max, y_max = (round(edge) for edge in frame.box)
        if mask.area_within((x_min, y_min, x_max, y_max)) > mask.area / 2:
            return view
    return len(frames) - 1


def _prompted(phrases: Sequence[AnswerPhrase], box: Box) -> int | None:
    """Return the phrase whose mask's tight box overlaps the prompt box most; None if none does."""
    found = [(n, phrase.box) for n, phrase in enumerate(phrases) if phrase.box is not None]
    if not found:
        return None
    boxes = torch.tensor([tight for _, tight in found])
    overlaps = box_iou(boxes, torch.tensor([box]))[:, 0]
    best = int(overlaps.argmax())
    return found[best][0] if overlaps[best] > 0 else None
