"""What a region model learns with: its data, its network, and the losses of a stage's batches."""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from skycue.backbones.small_segmenter import SmallSegmenter
from skycue.backbones.stem import EfficientNetLite0, load_imagenet_weights
from skycue.backbones.vocabulary import train_bpe_tokenizer
from skycue.boxes import Frame
from skycue.data.region_captions import caption_image, caption_region
from skycue.device import autocast
from skycue.errors import ConfigError
from skycue.region_calibration import calibrate
from skycue.region_describer import RegionDescriber
from skycue.region_images import RegionImages, class_names_of, load_images
from skycue.region_losses import (
    Alignments,
    count_tokens,
    counts_of,
    cues_of,
    mean_overlap,
    pairs_of,
    region_loss,
    targets_of,
    text_loss,
)
from skycue.region_network import Calibration, build_network
from skycue.region_parameters import choose_parameters
from skycue.region_pretraining import MaskPretraining, prompted_row
from skycue.region_recipe import RegionStageConfig, RegionTrainingConfig
from skycue.region_samples import (
    N_ORIENTATIONS,
    Item,
    RegionSample,
    SampleConfig,
    box_of,
    cut_sample,
    draw_sample,
    turn,
    turn_outlines,
)
from skycue.region_start import network_from
from skycue.regions.clvnet import ClvNet, ImageTokens
from skycue.training import Batch
from skycue.windows import cut_window

log = logging.getLogger(__name__)

VALIDATED_BOXES = 160
"""Held-out boxes that validate an epoch."""
IMAGES_AT_ONCE = 16


class RegionTrainer:
    """Data and network of a run, and the losses on them.

    Attributes:
        network: The region model.
        pretraining: The query and the layers that a `masks` stage adds to its segmenter.
        alignments: The layers that the alignment losses add.
    """

    def __init__(
        self,
        config: RegionTrainingConfig,
        root: Path,
        *,
        seed: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        beside: Path | None = None,
    ) -> None:
        """Read or draw the data, learn the vocabulary, build the network.

        Args:
            config: The recipe.
            root: Folder of the datasets.
            seed: Of the network's start.
            device: Where to compute.
            dtype: Number format of products; weights and losses are float32.
            beside: Folder of the recipe, where lists that it names are looked for.

        Raises:
            SkycueError: If data or model do not fit.
        """
        self.config, self.device, self.dtype = config, device, dtype
        split = load_images(config.data, root, beside)
        self.train, self.held_out = split
        self.class_names = class_names_of(self.train.images)
        torch.manual_seed(seed)
        self.network = self._build().to(device)
        if config.checkpointing:
            self.network.reasoner.language.compute_again()
        self.sampling = _sampling(config, self.network.segmenter.padding)
        self.alignments = Alignments(self.network).to(device)
        self.pretraining: MaskPretraining | None = None
        if isinstance(self.network.segmenter, SmallSegmenter):
            heads = MaskPretraining(self.network.segmenter, len(self.class_names))
            self.pretraining = heads.to(device)
        self._set_mode(training=True)
        self._whole: dict[tuple[int, int], ImageTokens] = {}
        self._drawn: dict[tuple[int, int, int], RegionSample] = {}

    def _build(self) -> ClvNet:
        config = self.config
        if config.start is not None:
            folder = Path(config.start)
            return network_from(config.model, folder, config.start_names, self.device)
        tokenizer = None
        if config.model.language.source == "scratch":
            texts = _captions(self.train)
            tokenizer = train_bpe_tokenizer(texts, config.model.language.vocab_size)
        network = build_network(config.model, tokenizer, device=self.device)
        if isinstance(network.segmenter, SmallSegmenter):
            _start_from_imagenet(network.segmenter)
        return network

    def items(self, stage: RegionStageConfig) -> list[Item]:
        """Return the boxes that a stage trains on; whole images have no mask of their own."""
        wholes = stage.kind != "masks" and self.config.data.wholes
        return self.train.items + (self.train.wholes if wholes else [])

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What may learn, by the first part of its parameters' names."""
        found: dict[str, nn.Module] = {"net": self.network, "align": self.alignments}
        if self.pretraining is not None:
            found["pretrain"] = self.pretraining
        return found

    def parameters(self, patterns: Sequence[str]) -> dict[str, nn.Parameter]:
        """Let exactly the parameters learn whose name fits a pattern; see `choose_parameters`."""
        return choose_parameters(self.modules, patterns)

    def state(self) -> dict[str, Tensor]:
        """Return all weights but the frozen image encoder's."""
        elsewhere = ("net.clip.", "pretrain.segmenter.")  # the latter is net.segmenter again
        return {
            f"{prefix}.{name}": tensor.clone()
            for prefix, module in self.modules.items()
            for name, tensor in module.state_dict().items()
            if not f"{prefix}.{name}".startswith(elsewhere)
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` returned."""
        for prefix, module in self.modules.items():
            own = module.state_dict()
            with torch.no_grad():
                for name, tensor in state.items():
                    if name.startswith(f"{prefix}."):
                        own[name.removeprefix(f"{prefix}.")].copy_(tensor)

    def counts(self, batch: Batch, stage: RegionStageConfig) -> dict[str, float]:
        """Count what the loss of a batch is divided by."""
        samples = self._samples(batch, stage)
        if stage.kind == "masks":
            return {"samples": float(len(samples))}
        if stage.kind == "words":
            return count_tokens(self.network, samples)
        return counts_of(self.network, samples)

    def loss(self, batch: Batch, stage: RegionStageConfig) -> dict[str, Tensor]:
        """Return the terms of the loss of a batch, this process's share of each."""
        samples = self._samples(batch, stage)
        self._drawn.clear()
        with autocast(self.device, self.dtype):
            if stage.kind == "masks":
                if self.pretraining is None:
                    raise ConfigError("a 'masks' stage trains the small segmenter only, not SAM.")
                share = len(samples) / batch.totals["samples"]
                return {k: share * v for k, v in self.pretraining(samples).items()}
            images = self._whole_images(self.train, samples)
            if stage.kind == "words":
                tokens = batch.totals["tokens"]
                return text_loss(self.network, images, samples, tokens, stage.neighbours)
            return region_loss(
                self.network,
                self.alignments,
                images,
                samples,
                stage.weights or self.config.weights,
                batch.totals,
                align=batch.step >= stage.align_after,
            )

    def _samples(self, batch: Batch, stage: RegionStageConfig) -> list[RegionSample]:
        """Draw the samples of a batch once; each is a function of (seed, epoch, item)."""
        items = self.items(stage)
        sampling = self.sampling._replace(
            jitter=self.sampling.jitter if stage.jitter is None else stage.jitter,
            zoom=self.sampling.zoom if stage.zoom is None else stage.zoom,
            outlines=stage.kind != "words",
            neighbours=stage.kind == "words" and stage.neighbours > 0,
        )
        for index in batch.indices.tolist():
            key = (batch.seed, batch.epoch, index)
            if key not in self._drawn:
                self._drawn[key] = draw_sample(
                    self.train.images,
                    items[index],
                    sampling,
                    self.class_names,
                    batch.item_generator(index),
                )
        return [self._drawn[batch.seed, batch.epoch, i] for i in batch.indices.tolist()]

    @torch.no_grad()
    def _whole_images(self, part: RegionImages, samples: Sequence[RegionSample]) -> ImageTokens:
        """Encode the whole images of samples, each orientation of each image once."""
        keys = [(s.image + (part is self.held_out) * 10**9, s.orientation) for s in samples]
        missing = list(dict.fromkeys(key for key in keys if key not in self._whole))
        size = self.network.clip.config.image.image_size
        for start in range(0, len(missing), IMAGES_AT_ONCE):
            chunk = missing[start : start + IMAGES_AT_ONCE]
            shown = []
            for number, orientation in chunk:
                image = turn(part.images[number % 10**9], orientation)
                shown.append(cut_window(image.pixels, Frame.squashed(image.outlines.size, size)))
            pixels = torch.from_numpy(np.stack(shown)).permute(0, 3, 1, 2).float() / 255
            tokens, levels = self.network.encode_images(pixels.to(self.device))
            for row, key in enumerate(chunk):
                kept = ImageTokens(tokens[row].half(), tuple(level[row].half() for level in levels))
                self._whole[key] = kept
        rows = [self._whole[key] for key in keys]
        levels = tuple(
            torch.stack([row.float() for row in level])  # autocast to bfloat16 stacks no float16
            for level in zip(*(r.levels for r in rows), strict=True)
        )
        return ImageTokens(torch.stack([row.tokens.float() for row in rows]), levels)

    def _held_out_samples(self, most: int) -> list[RegionSample]:
        """Cut held-out boxes as they are, spread evenly over the images."""
        items = self.held_out.items
        chosen = items[:: max(1, len(items) // most)][:most]
        return [self._plain(item) for item in chosen]

    def _plain(self, item: Item) -> RegionSample:
        image = self.held_out.images[item.image]
        return cut_sample(image, item, self.sampling, self.class_names)

    def _set_mode(self, *, training: bool) -> None:
        for module in self.modules.values():
            module.train(training)
        self.network.clip.eval()

    def pictures(self, count: int) -> list[bytes]:
        """Return PNG files of what the model says of held-out boxes, the same ones each time."""
        items = self.held_out.items
        describer = RegionDescriber(self.network, name="in training", dtype=self.dtype)
        drawn = []
        for item in items[:: max(1, len(items) // max(1, count))][:count]:
            image = self.held_out.images[item.image]
            pixels = np.ascontiguousarray(image.pixels.transpose(2, 0, 1))
            answer = describer.encode(pixels).describe(box_of(image, item))
            drawn.append(answer.draw())
        self._set_mode(training=True)
        return drawn

    def calibrate(self) -> Calibration:
        """Fit the scores to how often masks of held-out boxes are right."""
        describer = RegionDescriber(self.network, name="in training", dtype=self.dtype)
        found = calibrate(describer, self.held_out)
        self._set_mode(training=True)
        return found

    @torch.no_grad()
    def validate(self, stage: RegionStageConfig) -> float:
        """Return the mean overlap of held-out masks with the truth, the caption given.

        In a `masks` stage of the boxed objects alone, on the first window; in a `words` stage the
        probability of a true caption's token, geometric mean.
        """
        self._set_mode(training=False)
        overlap = self._validate(stage)
        self._set_mode(training=True)
        return overlap

    def _validate(self, stage: RegionStageConfig) -> float:
        samples = self._held_out_samples(VALIDATED_BOXES)
        if stage.kind == "words":
            tokens = count_tokens(self.network, samples)["tokens"]
            chunks = [
                samples[start : start + IMAGES_AT_ONCE]
                for start in range(0, len(samples), IMAGES_AT_ONCE)
            ]
            losses = [
                text_loss(self.network, self._whole_images(self.held_out, c), c, tokens)["text"]
                for c in chunks
            ]
            return math.exp(-float(torch.stack(losses).sum()))
        total = count = 0.0
        for start in range(0, len(samples), IMAGES_AT_ONCE):
            chunk = samples[start : start + IMAGES_AT_ONCE]
            targets = targets_of(self.network, chunk)
            if stage.kind == "masks":
                assert self.pretraining is not None
                outputs = self.pretraining.masks(chunk)
                boxed = targets.masks[list(range(len(chunk))), [prompted_row(s) for s in chunk]]
                here = torch.ones_like(targets.present[:, :1])
                targets = targets._replace(masks=boxed[:, None], present=here)
            else:
                cues = cues_of(self.network, self._whole_images(self.held_out, chunk), chunk)
                regions = self.network.region_tokens(cues)
                prompts = self.network.prompts(cues, regions)
                read = self.network.reasoner.read(prompts, [t.ids for t in targets.texts])
                asked = self.network.queries(read, [t.seg for t in targets.texts])
                said = pairs_of(read, targets)
                outputs = list(self.network.decode(cues, regions, asked, said).masks)
            overlap, counted = mean_overlap(outputs, targets)
            total += float((overlap * counted).sum())
            count += float(counted.sum())
        return total / max(count, 1.0)


def _sampling(config: RegionTrainingConfig, outside: tuple[int, int, int]) -> SampleConfig:
    """Return how samples are cut for the network of a recipe."""
    segmenter, data = config.model.segmenter, config.data
    return SampleConfig(
        scales=config.model.windows,
        size=segmenter.input_size,
        cells=data.mask_cells,
        jitter=data.jitter,
        zoom=data.zoom,
        colour=data.colour,
        outside=outside,
    )


def _captions(part: RegionImages) -> list[str]:
    """Return what may be said of the training boxes, in every orientation, sorted."""
    texts = {caption_image(image.outlines).text for image in part.images if not image.given}
    for item in part.items:
        image = part.images[item.image]
        if image.given:
            texts.add(image.given.caption.text)
            continue
        for orientation in range(N_ORIENTATIONS):
            outlines = turn_outlines(image.outlines, orientation)
            texts.add(caption_region(outlines, item.instance).text)
    return sorted(texts)


def _start_from_imagenet(segmenter: SmallSegmenter) -> None:
    whole = EfficientNetLite0()
    load_imagenet_weights(whole)
    state = {k: v for k, v in whole.state_dict().items() if not k.startswith("head.")}
    segmenter.backbone.load_state_dict(state)
