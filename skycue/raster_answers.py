"""Answers to boxes that know their image: on a raster of any size, or on one that is held whole.

An answer is in pixels of what the model saw, with its masks as crops; here it learns where that
lies, and its phrases become features. The answers on a raster, of which there may be thousands,
hold no pixels.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from skycue.answers import UNNAMED, Answer, AnswerJson, AnswerPhrase
from skycue.box_windows import ShownWindow
from skycue.boxes import Box, PlacedBox
from skycue.errors import GeoError
from skycue.geo.areas import area_m2, gsd_m
from skycue.geo.feature_files import Feature
from skycue.geo.georeference import GeoReference
from skycue.geo.outlines import outline_mask
from skycue.geo.tiles import PixelWindow

if TYPE_CHECKING:
    from shapely import MultiPolygon


ONLY_BOX = "1"
"""What a box is called that was asked about without a name."""


class RasterAnswerJson(AnswerJson, frozen=True, extra="forbid"):
    """An answer in JSON; box, size, windows and masks are in pixels of the window as shown."""

    box_id: str
    """What the box is called."""
    raster_box: Box
    """The box in pixels of the raster."""
    raster_size: tuple[int, int]
    """(height, width) of the raster."""
    window: tuple[int, int, int, int]
    """x, y, width, height of the shown window, in pixels of the raster."""
    scale: float
    """Pixels of the raster along a shown pixel."""
    gsd_m: float | None
    """Metres on the ground of a shown pixel; None where nobody knows where that is."""


@dataclass(frozen=True)
class RasterAnswer:
    """What a model says of a box on a raster."""

    answer: Answer
    """In pixels of the window as it was shown."""
    placed: PlacedBox
    """The box on the raster."""
    shown: ShownWindow
    """The window, and the size that it was shown at."""
    raster_size: tuple[int, int]
    """(height, width) of the raster."""
    georeference: GeoReference | None
    """Where the shown pixels lie; None where the raster has no place."""

    @property
    def gsd_m(self) -> float | None:
        """Metres on the ground of a shown pixel; None where nobody knows where that is."""
        if self.georeference is None:
            return None
        try:
            return gsd_m(self.georeference, self.shown.size)
        except GeoError:  # a CRS that is not tied to the Earth, or ends before there
            return None

    def to_json(self) -> str:
        """Return the whole answer as one line of JSON; `RasterAnswerJson` reads it back."""
        window = self.shown.window
        return RasterAnswerJson(
            **dict(self.answer.to_record()),
            box_id=self.placed.id,
            raster_box=self.placed.box,
            raster_size=self.raster_size,
            window=(window.x, window.y, window.width, window.height),
            scale=self.shown.scale,
            gsd_m=self.gsd_m,
        ).model_dump_json()

    def to_features(self) -> list[Feature]:
        """Return the phrases as features of the raster, outlines in its pixels.

        A phrase without pixels has a feature without an outline.
        """
        return [
            Feature(self._outline(phrase), self._properties(number, phrase))
            for number, phrase in enumerate(self.answer.phrases)
        ]

    def _outline(self, phrase: AnswerPhrase) -> "MultiPolygon | None":
        from shapely.affinity import affine_transform

        if phrase.mask is None or phrase.box is None:
            return None
        (height, width), window = self.shown.size, self.shown.window
        across, down = window.width / width, window.height / height
        outline = outline_mask(phrase.mask.pixels, phrase.mask.corner)
        moved: MultiPolygon = affine_transform(outline, (across, 0, 0, down, window.x, window.y))
        return moved

    def _properties(self, number: int, phrase: AnswerPhrase) -> dict[str, JsonValue]:
        answer = self.answer
        return phrase_properties(
            phrase,
            box_id=self.placed.id,
            is_prompted=number == answer.prompted,
            area_m2=self._area_m2(phrase),
            caption=answer.caption,
            flags=answer.flags,
            image=answer.image,
            model=answer.model,
            window=self.shown.window,
            scale=self.shown.scale,
        )

    def _area_m2(self, phrase: AnswerPhrase) -> float | None:
        if self.georeference is None or phrase.mask is None or phrase.box is None:
            return None
        outline = outline_mask(phrase.mask.pixels, phrase.mask.corner)
        try:
            return area_m2(outline, self.georeference)
        except GeoError:  # as for `gsd_m`
            return None


@dataclass(frozen=True)
class ImageAnswer(Answer):
    """What a model says of a box on an image, with that image, which it does not copy."""

    rows: NDArray[np.uint8] = field(repr=False, compare=False)
    """The image, RGB [H, W, 3]."""
    georeference: GeoReference | None
    """Where its pixels lie; None where the file tells no place, or pixels were given."""

    def draw(self, pixels: NDArray[np.uint8] | None = None) -> bytes:
        """Return a PNG, as `Answer.draw` does.

        Args:
            pixels: RGB [3, H, W] to draw on in place of the image.
        """
        if pixels is None:
            pixels = np.ascontiguousarray(self.rows.transpose(2, 0, 1))  # [3, H, W]
        return super().draw(pixels)

    def to_features(self) -> list[Feature]:
        """Return the phrases as features, outlines in pixels of the image.

        `skycue.geo.feature_files.write_features` writes them with this answer's `georeference`.

        Raises:
            GeoError: If nobody knows where the image lies.
        """
        if self.georeference is None:
            what = f"{self.image} has no CRS" if self.image else "pixels have no CRS"
            raise GeoError(
                f"{what}, so its phrases have no place on the ground: encode the path of a raster "
                "with one, or use to_coco() for outlines in pixels."
            )
        shown = ShownWindow(PixelWindow.whole(self.size), self.size)
        placed = PlacedBox(ONLY_BOX, self.box)
        return RasterAnswer(self, placed, shown, self.size, self.georeference).to_features()


def phrase_properties(
    phrase: AnswerPhrase,
    *,
    box_id: str,
    is_prompted: bool,
    area_m2: float | None,
    caption: str,
    flags: Sequence[str],
    image: str,
    model: str,
    window: tuple[int, int, int, int] | None,
    scale: float | None,
) -> dict[str, JsonValue]:
    """Return what the feature of a phrase says, wherever it is written.

    Args:
        phrase: The phrase.
        box_id: What the box is called.
        is_prompted: It is the object in the box.
        area_m2: Of its mask on the ground, where that is known.
        caption: What it is a part of.
        flags: What is doubtful in the answer.
        image: What the answer is about.
        model: What gave it.
        window: x, y, width, height of what it was shown, in pixels of the raster; None where the
            phrases of an answer are of several.
        scale: Pixels of the raster along a shown pixel; None like `window`.
    """
    x, y, width, height = window or (None, None, None, None)
    return {
        "box_id": box_id,
        "phrase": phrase.text,
        "span_start": phrase.span[0],
        "span_end": phrase.span[1],
        "class_name": phrase.class_name,
        "class_score": phrase.class_score,
        "score": phrase.score,
        "prompted": is_prompted,
        "area_m2": area_m2,
        "caption": caption,
        "flags": "; ".join(flags),
        "image": image,
        "model": model,
        "window_x": x,
        "window_y": y,
        "window_width": width,
        "window_height": height,
        "scale": None if scale is None else float(scale),
    }


def coco_of(answers: Iterable[RasterAnswer], model: str) -> dict[str, JsonValue]:
    """Return the masks of many answers as one COCO file, an image for each shown window.

    COCO's masks are of whole images; a window is one, so that a reader who decodes a mask has no
    more of it in memory than the model saw. Its place on the raster stands in `window` and `scale`.

    Args:
        answers: Of any rasters.
        model: Name of the model that gave them.
    """
    images: dict[tuple[str, ShownWindow], dict[str, JsonValue]] = {}
    numbers: dict[tuple[str, ShownWindow], int] = {}
    annotations: list[JsonValue] = []
    categories: dict[str, int] = {}
    for each in answers:
        answer, (height, width) = each.answer, each.shown.size
        key = (answer.image, each.shown)
        image_id = numbers.setdefault(key, len(numbers) + 1)
        images.setdefault(
            key,
            {
                "id": image_id,
                "file_name": answer.image,
                "width": width,
                "height": height,
                "window": list(each.shown.window),
                "scale": each.shown.scale,
            },
        )
        for number, phrase in enumerate(answer.phrases):
            if phrase.box is None:
                continue
            name = phrase.class_name or UNNAMED
            category = categories.setdefault(name, len(categories) + 1)
            annotation = phrase.annotation(len(annotations) + 1, image=image_id, category=category)
            if annotation is not None:
                own: dict[str, JsonValue] = {
                    "caption": answer.caption,
                    "box_id": each.placed.id,
                    "prompted": number == answer.prompted,
                }
                annotations.append(annotation | own)
    return {
        "info": {"description": "phrases of described boxes", "contributor": model},
        "images": list(images.values()),
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in categories.items()],
    }
