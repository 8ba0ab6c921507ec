"""The job that learns the classes of labelled boxes: few-shot, on the frozen backbone."""

import math
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from pydantic import BaseModel

from skycue.boxes import Box
from skycue.data.scenes import SceneItem
from skycue.errors import ShotsError
from skycue.fitting import open_encoder
from skycue.geo.raster import Raster
from skycue.geo.tiles import PixelWindow
from skycue.inference import SceneClassifier
from skycue.scene_config import SceneConfig, config_of, prompt_names
from skycue.service.job_runner import JobContext
from skycue.service.labels import Labels
from skycue.service.model_loading import ModelLoading
from skycue.service.rasters import Rasters
from skycue.service.scene_models import SceneModels
from skycue.training import StepRecord

MOST_PIXELS = 1024
"""Along the longer side of a labelled box, as it is read."""
READ_SHARE, FIT_SHARE = 0.2, 0.95
"""Of the whole job, when all boxes are read, and when training ends."""


class FitJobRequest(BaseModel):
    """What is to be learned."""

    rasters: list[str]
    name: str
    method: str
    seed: int


class _LabelledBox(NamedTuple):
    raster: str
    box: Box
    class_name: str


class FitJob:
    """Fits classifiers."""

    def __init__(
        self,
        rasters: Rasters,
        labels: Labels,
        models: SceneModels,
        loading: ModelLoading,
        spool: Path,
    ) -> None:
        """Hold what the job needs."""
        self._rasters, self._labels, self._models = rasters, labels, models
        self._loading, self._spool = loading, spool

    def check(self, owner: str, request: FitJobRequest) -> None:
        """Refuse what cannot be learned, before a job waits.

        Raises:
            NotFoundError: If the owner sees no such raster.
            ShotsError: If there are no labels, or of one class only.
            ConfigError: If prompts would read two classes alike.
        """
        found = self._boxes(owner, request)
        names = _class_names(found)
        if len(names) < 2:
            held = f"only {names[0]!r}" if names else "none"
            raise ShotsError(
                f"two classes at least are needed, and the labels hold {held}: label boxes of "
                "another class."
            )
        prompt_names(names, config_of(request.method))

    def __call__(self, context: JobContext) -> str | None:
        """Fit what a job says, and return the id of the model."""
        request = FitJobRequest.model_validate(context.job.request)
        owner = context.job.owner
        self.check(owner, request)
        found = self._boxes(owner, request)
        names = _class_names(found)
        config = config_of(request.method)
        self._spool.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._spool) as folder:
            items = self._cut(context, found, names, Path(folder))
            context.progress(READ_SHARE, "encoding the labelled boxes")
            encoder = open_encoder(
                self._loading.clip(),
                config,
                backbone=self._loading.backbone,
                store=self._loading.store,
                dtype=self._loading.dtype,
            )
            classifier = SceneClassifier.fit_items(
                items,
                names,
                config,
                encoder=encoder,
                seed=request.seed,
                backbone=self._loading.backbone,
                after_step=_steps_told(context, config, len(items)),
            )
            context.progress(FIT_SHARE, "saving what was learned")
            return self._models.add(owner, request.name, classifier, self._spool)

    def _boxes(self, owner: str, request: FitJobRequest) -> list[_LabelledBox]:
        """Return the labels of all rasters, in order."""
        found = []
        for raster in dict.fromkeys(request.rasters):
            self._rasters.facts(owner, raster)
            for label in self._labels.of_raster(owner, raster):
                found.append(_LabelledBox(raster, label.box, label.class_name))
        return found

    def _cut(
        self, context: JobContext, found: list[_LabelledBox], names: list[str], folder: Path
    ) -> list[SceneItem]:
        """Write what lies in each box as an image, which the encoder reads."""
        items: list[SceneItem] = []
        counts: Counter[str] = Counter()
        for raster in dict.fromkeys(each.raster for each in found):
            with self._rasters.open(context.job.owner, raster) as opened:
                for each in found:
                    if each.raster != raster:
                        continue
                    share = READ_SHARE * len(items) / len(found)
                    context.progress(share, f"reading box {len(items) + 1} of {len(found)}")
                    label = names.index(each.class_name)
                    path = folder / f"{label}_{counts[each.class_name]}.png"
                    counts[each.class_name] += 1
                    _write_box(path, opened, each.box)
                    items.append(SceneItem(path, label))
        return items


def _class_names(found: list[_LabelledBox]) -> list[str]:
    return sorted({each.class_name for each in found})


def _write_box(path: Path, raster: Raster, box: Box) -> None:
    """Write what lies in a box, widened to whole pixels."""
    x, y = math.floor(box[0]), math.floor(box[1])
    window = PixelWindow(x, y, max(1, math.ceil(box[2]) - x), max(1, math.ceil(box[3]) - y))
    shrink = max(1.0, max(window.height, window.width) / MOST_PIXELS)
    size = (max(1, round(window.height / shrink)), max(1, round(window.width / shrink)))
    pixels = raster.read(window, size).pixels
    Image.fromarray(pixels.transpose(1, 2, 0)).save(path)


def _steps_told(
    context: JobContext, config: SceneConfig, n_items: int
) -> Callable[[StepRecord], None]:
    """Return what tells the job about each step of training, and ends it where it is cancelled."""
    epochs = config.train.epochs
    steps = max(1, epochs * math.ceil(n_items / config.train.batch_size))

    def tell(record: StepRecord) -> None:
        share = READ_SHARE + (FIT_SHARE - READ_SHARE) * min(1.0, record.step / steps)
        context.progress(share, f"learning: epoch {record.epoch} of {epochs}")

    return tell
