"""Outlined images without pixels, their records, and models that answer from the truth."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from skycue.answers import Answer, AnswerPhrase
from skycue.boxes import Box
from skycue.data.instances import Instance, InstanceImage
from skycue.data.region_captions import caption_region
from skycue.data.regions import RegionRecord, records_from_instances

SIZE = (100, 200)

Choose = Callable[[InstanceImage, Box], int]
"""Which object a model takes the box for."""


def block(class_name: str, x: int, y: int, side: int = 10) -> Instance:
    """A filled square."""
    return Instance(class_name, (x, y), np.ones((side, side), dtype=np.bool_))


HARBOR = InstanceImage(
    "harbor.png",
    SIZE,
    (
        block("ship", 40, 60),
        block("ship", 60, 60),
        block("ship", 80, 60),
        block("storage tank", 60, 30),
    ),
)
FIELD = InstanceImage("field.png", SIZE, (block("airplane", 20, 20, side=20),))
PORT = InstanceImage("port.png", SIZE, (block("ship", 20, 20), block("ship", 150, 80, side=14)))
IMAGES = (HARBOR, FIELD, PORT)


def records() -> tuple[RegionRecord, ...]:
    """One record of each object: 4 + 1 + 2."""
    return tuple(records_from_instances(IMAGES, "made up"))


def in_box(image: InstanceImage, box: Box) -> int:
    """The object whose centre is nearest to the box's."""
    return min(range(len(image.instances)), key=lambda i: _distance(image.instances[i].box, box))


def first(image: InstanceImage, box: Box) -> int:
    """The first object, whatever the box."""
    return 0


def _distance(one: Box, other: Box) -> float:
    return float(
        np.hypot(one[0] + one[2] - other[0] - other[2], one[1] + one[3] - other[1] - other[3])
    )


class KnowingDescriber:
    """Says the truth of the object that it takes the box for."""

    def __init__(
        self,
        choose: Choose = in_box,
        images: Sequence[InstanceImage] = IMAGES,
        model: str = "made up",
    ) -> None:
        self.model = model
        self._choose = choose
        self._images = {image.image: image for image in images}
        self.encoded: list[str] = []
        self.asked: list[Box] = []

    def encode(self, image: Path, /) -> "KnowingEncoded":
        self.encoded.append(image.name)
        return KnowingEncoded(self, self._images[image.name])

    def answer(self, image: InstanceImage, box: Box) -> Answer:
        self.asked.append(box)
        grounded = caption_region(image, self._choose(image, box))
        phrases = []
        for phrase in grounded.phrases:
            masks = [image.instances[i].mask(image.size) for i in phrase.instances]
            span = (phrase.start, phrase.end)
            mask = np.logical_or.reduce(masks)
            phrases.append(AnswerPhrase.of_mask(grounded.text, span, mask, 0.9))
        return Answer(
            image.image,
            image.size,
            box,
            grounded.text,
            tuple(phrases),
            grounded.prompted,
            (box,),
            "made up",
            (),
        )


class KnowingEncoded:
    def __init__(self, describer: KnowingDescriber, image: InstanceImage) -> None:
        self._describer = describer
        self._image = image

    def describe_all(self, boxes: Sequence[Box], /) -> list[Answer]:
        return [self._describer.answer(self._image, box) for box in boxes]
