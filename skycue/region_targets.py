"""What each record asks for: the object in its box, what stands around it, and other boxes to ask.

Two of the boxes that a model is asked about are not the record's own. The *shuffled* box is that
of another object of the same image: a model that ignores its box gives the same mask. The
*jittered* box is the record's own with each side moved as a hand would.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from skycue.boxes import Box, check_box, jitter_box
from skycue.data.instances import InstanceImage
from skycue.data.regions import RegionRecord, instances_of_records
from skycue.data.rle import Rle, encode_mask
from skycue.errors import RecordError
from skycue.metrics.grounding import named_class
from skycue.metrics.masks import iou_matrix, union_of
from skycue.seeds import generator_at

SAME_OBJECT_IOU = 0.5
"""A record's object is the outlined one that it overlaps most, and at least so much."""


@dataclass(frozen=True)
class Target:
    """The object in a record's box and its surroundings."""

    image: InstanceImage
    """All outlined objects of the image."""
    index: int
    """Which of them is in the box."""
    mask: Rle
    """Its mask."""

    @property
    def class_name(self) -> str:
        """What it is: where records have words only, the class that these name."""
        name = self.image.instances[self.index].class_name
        return named_class(name) or name


class Prompts(NamedTuple):
    """The boxes to ask about for one record.

    Attributes:
        tight: The record's own.
        shuffled: Another object's; None where the image shows no other.
        jittered: The record's own, moved.
    """

    tight: Box
    shuffled: Box | None = None
    jittered: Box | None = None


def targets_of(
    records: Sequence[RegionRecord], images: Sequence[InstanceImage] | None = None
) -> list[Target | None]:
    """Find the object of each record; None where the record has no prompted phrase.

    Args:
        records: With masks of their phrases.
        images: All outlined objects; by default those that the records' own boxes name.

    Raises:
        RecordError: If an image or object of a record is not among `images`.
    """
    around = {each.image: each for each in images or instances_of_records(records)}
    masks: dict[str, list[Rle]] = {}
    targets: list[Target | None] = []
    for number, record in enumerate(records, start=1):
        if record.prompted is None:
            targets.append(None)
            continue
        if record.image not in around:
            raise RecordError(f"record {number}: {record.image} is not among the outlined images.")
        image = around[record.image]
        if image.image not in masks:
            masks[image.image] = [encode_mask(each.mask(image.size)) for each in image.instances]
        wanted = union_of(record.phrases[record.prompted].masks)
        overlaps = iou_matrix(masks[image.image], [wanted])  # [N, 1]
        if overlaps.max(initial=0.0) < SAME_OBJECT_IOU:
            raise RecordError(
                f"record {number}: no outlined object of {record.image} is the one in its box; "
                "give the file of instances that the records were made from."
            )
        targets.append(Target(image, int(np.argmax(overlaps)), wanted))
    return targets


def plan_prompts(
    records: Sequence[RegionRecord],
    targets: Sequence[Target | None],
    *,
    seed: int,
    shuffle: bool,
    jitter: float | None,
) -> list[Prompts]:
    """Choose the boxes to ask about for each record.

    Args:
        records: With their boxes.
        targets: What is in them; without one there is nothing to compare with.
        seed: What is chosen for a record depends on it and on the record's number.
        shuffle: Whether to choose shuffled boxes.
        jitter: Share of a box's extent by which its sides move; None for no jittered boxes.
    """
    # An object that has a record is asked about by that record's box, which is asked anyway.
    box_of = {
        (record.image, target.index): record.box
        for record, target in zip(records, targets, strict=True)
        if target is not None
    }
    plan = []
    for number, (record, target) in enumerate(zip(records, targets, strict=True)):
        shuffled = jittered = None
        if target is not None and shuffle and len(target.image.instances) > 1:
            other = _another(target, generator_at(seed, "shuffle", number))
            shuffled = box_of.get((record.image, other), target.image.instances[other].box)
        if target is not None and jitter is not None:
            moved = jitter_box(record.box, jitter, generator_at(seed, "jitter", number))
            jittered = check_box(moved, record.size)
        plan.append(Prompts(record.box, shuffled, jittered))
    return plan


def _another(target: Target, generator: torch.Generator) -> int:
    """Draw another object of the image."""
    draw = int(torch.randint(len(target.image.instances) - 1, (), generator=generator))
    return draw + (draw >= target.index)
