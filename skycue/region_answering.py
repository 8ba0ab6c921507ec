"""Boxes on encoded images to answers, in one pass: captions first, then the masks of all phrases.

The boxes of a pass may lie on different images, so that windows of a raster with a box or two each,
or the requests of several users, are answered as fast as boxes on one image.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skycue.answers import Answer, AnswerPhrase, find_flags, find_strays
from skycue.backbones.segmenter import MaskFeatures
from skycue.boxes import Box, Frame, box_iou
from skycue.data.mask_crops import MaskCrop
from skycue.data.nouns import names_one
from skycue.device import autocast
from skycue.region_network import Calibration
from skycue.region_samples import frames_around
from skycue.regions.alignment import RelationPairs, collect_pairs
from skycue.regions.clvnet import ClvNet, Cues, ImageTokens, Queries
from skycue.regions.grounded_text import (
    GroundedText,
    UnfinishedCaptions,
    decode_caption,
    relations_in,
)
from skycue.regions.mask_decoder import DecodedMasks
from skycue.regions.reasoner import Read
from skycue.windows import cut_window, paste_masks

LEAST_PART = 0.05
"""Parts of one object's mask stay where they are at least this large, over the largest part: specks
far off would make its tight box useless. Chosen on held-out training images; see the card."""


class SeenImage(NamedTuple):
    """An image with what the network's encoders made of it.

    Attributes:
        name: Path of the image, or empty.
        rows: RGB, [H, W, 3].
        tokens: Of the whole image, one row.
        features: Of the whole image, one row; None for a network that looks at windows.
    """

    name: str
    rows: NDArray[np.uint8]
    tokens: ImageTokens
    features: MaskFeatures | None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return (self.rows.shape[0], self.rows.shape[1])


class Asked(NamedTuple):
    """A box, inside the image that it lies on."""

    image: SeenImage
    box: Box


class Words(NamedTuple):
    """How captions are written.

    Attributes:
        ask: A question in place of the model's own, or None.
        temperature: 0 takes the likeliest words; above, words are drawn.
        chance: What draws them.
        told: Is told the number of a box in its pass and its caption so far, word by word.
    """

    ask: str | None
    temperature: float
    chance: torch.Generator
    told: Callable[[int, str], None] | None = None


class _Look(NamedTuple):
    """The frames in which the network sees each box, and what it sees there."""

    frames: list[list[Frame]]
    cues: Cues


class RegionAnswerer:
    """A network that answers boxes, with the calibration of its scores."""

    def __init__(self, network: ClvNet, calibration: Calibration, dtype: torch.dtype) -> None:
        """Hold a network in evaluation mode.

        Args:
            network: The model.
            calibration: Of its scores.
            dtype: Number format of its products.
        """
        self.network, self.calibration, self.dtype = network, calibration, dtype

    def show(self, rows: NDArray[np.uint8], frames: Sequence[Frame]) -> Tensor:
        """Return frames of an image [H, W, 3] as RGB in [0, 1], [N, 3, S, S]."""
        outside = self.network.segmenter.padding
        shown = np.stack([cut_window(rows, frame, outside) for frame in frames])
        pixels = torch.from_numpy(shown).permute(0, 3, 1, 2)
        return pixels.to(self.network.clip.device).float() / 255

    @torch.no_grad()
    def answer(self, asked: Sequence[Asked], words: Words, model: str) -> list[Answer]:
        """Answer boxes in one pass.

        Args:
            asked: At least one.
            words: How captions are written.
            model: What answers call the model.

        Raises:
            ConfigError: If the model takes no other question.
        """
        network = self.network
        with autocast(network.clip.device, self.dtype):
            look = self._look(asked)
            regions = network.region_tokens(look.cues)
            prompts = network.prompts(look.cues, regions, words.ask)
            written = network.write(
                prompts,
                temperature=words.temperature,
                generator=words.chance,
                watch=self._watch(words, len(asked)),
            )
            texts = [decode_caption(network.reasoner.language.tokenizer, i) for i in written.ids]  # type: ignore[arg-type]
            read = network.reasoner.read(prompts, written.ids)
            seg = [[place for place in text.seg if place is not None] for text in texts]
            queries: Queries = network.queries(read, seg)
            said = self._said(read, written.ids)
            decoded: DecodedMasks = network.decode(look.cues, regions, queries, said)
        answers = []
        for row, text in enumerate(texts):
            whole = text._replace(is_cut=written.is_cut[row] or text.is_cut)
            odds = written.log_probabilities[row]
            phrases = self._phrases(asked[row], look.frames[row], row, whole, odds, decoded)
            answers.append(_join(asked[row], look.frames[row], whole, phrases, model))
        return answers

    def _said(self, read: Read, ids: Sequence[Sequence[int]]) -> RelationPairs | None:
        """Return what answers say between phrases, where the mask decoder listens to it."""
        if self.network.mask_decoder.agreement is None:
            return None
        tokenizer = self.network.reasoner.language.tokenizer
        between = [relations_in(tokenizer, each) for each in ids]  # type: ignore[arg-type]
        return collect_pairs(read.states, ids, between)

    def _watch(self, words: Words, rows: int) -> Callable[[Sequence[int]], None] | None:
        """Return what turns newest tokens into captions so far; None where nobody listens."""
        if (told := words.told) is None:
            return None
        captions = UnfinishedCaptions(self.network.reasoner.language.tokenizer, rows)  # type: ignore[arg-type]

        def watch(tokens: Sequence[int]) -> None:
            for row, caption in enumerate(captions.advance(tokens)):
                if caption is not None:
                    told(row, caption)

        return watch

    def _look(self, asked: Sequence[Asked]) -> _Look:
        """Show the boxes to the network: windows of each, or its image that was encoded."""
        network = self.network
        scales, side = network.config.windows, network.segmenter.input_size
        frames = [frames_around(box, image.size, scales, side) for image, box in asked]
        corners = torch.tensor([box for _, box in asked], device=network.clip.device)  # [R, 4]
        position = torch.cat(
            [
                Frame.squashed(image.size, 1).to_unit(corners[row : row + 1])
                for row, (image, _) in enumerate(asked)
            ]
        )
        shares = torch.stack(
            [
                torch.cat([frame.to_unit(corners[row : row + 1]) for frame in shown])
                for row, shown in enumerate(frames)
            ]
        )  # [R, V, 4]
        images = [image for image, _ in asked]
        tokens = ImageTokens(
            *_joined([(each.tokens.tokens, each.tokens.levels) for each in images])
        )
        features = [image.features for image in images if image.features is not None]
        if features:
            seen = MaskFeatures(*_joined([(each.coarse, each.fine) for each in features]))
            cues = network.look_at_whole(tokens, seen, shares[:, 0], position)
        else:
            pixels = torch.stack(  # [R, V, 3, S, S]
                [self.show(image.rows, frames[row]) for row, image in enumerate(images)]
            )
            cues = network.look(tokens, pixels, shares, position)
        return _Look(frames, cues)

    def _phrases(
        self,
        asked: Asked,
        frames: Sequence[Frame],
        row: int,
        text: GroundedText,
        odds: list[float],
        decoded: DecodedMasks,
    ) -> list[AnswerPhrase]:
        """Return the phrases of one answer with their masks and scores."""
        n_asked = sum(place is not None for place in text.seg)
        logits = [out.logits[row, :n_asked].float().cpu() for out in decoded.masks]
        masks = iter(paste_masks(logits, frames, asked.image.size))
        shares = torch.stack([out.iou[row, :n_asked].float().cpu() for out in decoded.masks])
        phrases, number = [], 0
        for span, place, (first, last) in zip(text.spans, text.seg, text.tokens, strict=True):
            mask, score = None, 0.0
            if place is not None:
                mask = next(masks)
                if names_one(text.caption[slice(*span)]):
                    mask = mask.without_specks(LEAST_PART)
                view = narrowest_view(mask, frames)
                sure = float(np.exp(np.mean(odds[first:last]))) if last > first else 0.0
                score = self.calibration.chance_of(float(shares[view, number]) * sure)
                number += 1
            phrases.append(AnswerPhrase.of_mask(text.caption, span, mask, score))
        return phrases


def _join(
    asked: Asked,
    frames: Sequence[Frame],
    text: GroundedText,
    phrases: list[AnswerPhrase],
    model: str,
) -> Answer:
    """Make the answer to one box."""
    prompted = prompted_phrase(phrases, asked.box)
    doubts = find_flags(text.caption, phrases, is_cut=text.is_cut)
    return Answer(
        image=asked.image.name,
        size=asked.image.size,
        box=asked.box,
        caption=text.caption,
        phrases=tuple(phrases),
        prompted=prompted,
        windows=tuple(frame.box for frame in frames),
        model=model,
        flags=(*doubts, *find_strays(phrases, prompted, asked.box)),
    )


def _joined(
    rows: Sequence[tuple[Tensor, tuple[Tensor, ...]]],
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Put the tensors of single images, one and a pyramid each, into batches."""
    pyramid = zip(*(levels for _, levels in rows), strict=True)
    return torch.cat([first for first, _ in rows]), tuple(torch.cat(level) for level in pyramid)


def narrowest_view(mask: MaskCrop, frames: Sequence[Frame]) -> int:
    """Return the narrowest frame that holds more than half of a mask, or the widest."""
    for view, frame in enumerate(frames[:-1]):
        x_min, y_min, x_max, y_max = (round(edge) for edge in frame.box)
        if mask.area_within((x_min, y_min, x_max, y_max)) > mask.area / 2:
            return view
    return len(frames) - 1


def prompted_phrase(phrases: Sequence[AnswerPhrase], box: Box) -> int | None:
    """Return the phrase whose mask's tight box overlaps the prompt box most; None if none does."""
    found = [(n, phrase.box) for n, phrase in enumerate(phrases) if phrase.box is not None]
    if not found:
        return None
    boxes = torch.tensor([tight for _, tight in found])
    overlaps = box_iou(boxes, torch.tensor([box]))[:, 0]
    best = int(overlaps.argmax())
    return found[best][0] if overlaps[best] > 0 else None
