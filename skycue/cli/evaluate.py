"""`skycue evaluate`: how well a fitted classifier recognises the images of a dataset."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from skycue.cli.options import (
    CacheOption,
    CaptionsOption,
    DeviceOption,
    DtypeOption,
    ForceOption,
    OptionalOutputOption,
)

if TYPE_CHECKING:
    from skycue.evaluation import AnyEvaluation


def evaluate(
    model: Annotated[Path, typer.Argument(help="A folder made by `skycue fit`.")],
    data: Annotated[Path, typer.Argument(help="A folder of scenes, as `skycue fit` takes it.")],
    split: Annotated[
        Literal["train", "val", "test"], typer.Option(help="Part of DATA to measure on.")
    ] = "test",
    output: OptionalOutputOption = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Also draw the confusion matrix.")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option("--backbone", "-b", metavar="NAME", help="If it was moved.")
    ] = None,
    captions: CaptionsOption = None,
    cache: CacheOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    force: ForceOption = False,
) -> None:
    """Print accuracy, accuracy of each class, calibration error and confusions as one JSON line.

    Where images show several classes: mAP, the average precision of each class, and precision,
    recall and F1 per class (C) and overall (O), of the labels over the thresholds and of the top
    three. The classes told apart are those of DATA, in its order.
    """
    import numpy as np  # heavy: imported when used

    from skycue.data.splits import load_split
    from skycue.device import resolve_device, resolve_dtype
    from skycue.drawing import draw_confusion
    from skycue.evaluation import Evaluation
    from skycue.evaluation import evaluate as measure
    from skycue.files import refuse_overwrite, write_atomically
    from skycue.inference import SceneClassifier
    from skycue.store import default_cache_folder

    for path in (output, picture):
        if path is not None:
            refuse_overwrite(path, force=force)
    scenes = load_split(data)
    if picture is not None and scenes.is_multi_label:
        raise typer.BadParameter("images of several labels have no confusion matrix: no --picture.")
    place = resolve_device(device)
    classifier = SceneClassifier.load(
        model,
        device=place,
        dtype=resolve_dtype(dtype, place),
        backbone=backbone,
        captions=captions,
        cache=cache or default_cache_folder(),
    )
    found = measure(classifier, scenes.part(split), scenes.class_names)
    result = {
        "model": str(model),
        "data": str(data),
        "split": split,
        "images": found.n_images,
        "class_names_read": "raw" if classifier.config.raw_names else "clean",
        **_measures(found),
        "split_sha256": scenes.sha256,
        "fitted_on_split_sha256": classifier.facts.split_sha256,
    }
    line = json.dumps(result)
    if output is None:
        typer.echo(line)
    else:
        write_atomically(output, line + "\n")
    if picture is not None and isinstance(found, Evaluation):
        write_atomically(picture, draw_confusion(np.array(found.confusion), found.class_names))


def _measures(found: "AnyEvaluation") -> dict[str, object]:
    """Return the numbers of an evaluation by the names that they are printed under."""
    from skycue.evaluation import Evaluation

    per_class = dict(zip(found.class_names, found.per_class, strict=True))
    if isinstance(found, Evaluation):
        return {
            "top1": found.top1,
            "calibration_error": found.calibration_error,
            "per_class": per_class,
            "confusion": found.confusion,
        }
    rates = {"at_thresholds": found.at_thresholds, "at_top_3": found.at_top_3}
    names = ("CP", "CR", "CF1", "OP", "OR", "OF1")
    told = {kind: dict(zip(names, each, strict=True)) for kind, each in rates.items()}
    return {"mAP": found.mean_average_precision, **told, "average_precision": per_class}
