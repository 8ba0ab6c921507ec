"""`skycue fit`: a folder of labelled images becomes a classifier."""

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skycue.cli.options import (
    BackboneOption,
    CacheOption,
    CaptionsOption,
    ConfigOption,
    DeviceOption,
    DtypeOption,
    ForceOption,
    OutputOption,
    SetOption,
)

if TYPE_CHECKING:
    from skycue.model_folder import FitFacts


def fit(
    data: Annotated[Path, typer.Argument(help="A folder of images for each class, or labels.csv.")],
    output: OutputOption,
    method: Annotated[
        str | None,
        typer.Option("--method", "-m", help="A name in docs/methods.md, such as maple."),
    ] = None,
    shots: Annotated[int, typer.Option(min=1, help="Images of each class to learn from.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw and of training.")] = 1,
    backbone: BackboneOption = "mini",
    config: ConfigOption = None,
    settings: SetOption = None,
    raw_names: Annotated[
        bool, typer.Option("--raw-names", help="Read class names as the folders say.")
    ] = False,
    captions: CaptionsOption = None,
    cache: CacheOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    force: ForceOption = False,
) -> None:
    """Learn the classes of DATA from a few images of each, and write the classifier to a folder.

    A labels.csv or labels.json in DATA says which classes each image shows (docs/multilabel.md).
    The images are checked first. A run that was killed goes on when the same command is given
    again, and ends with the same result. Without --method and --config the method is bimors.
    """
    started = time.perf_counter()
    from skycue.config import load_config  # heavy: imported when used
    from skycue.device import resolve_device, resolve_dtype
    from skycue.files import refuse_overwrite
    from skycue.inference import SceneClassifier
    from skycue.model_folder import CONFIG_FILE, STATE_FOLDER
    from skycue.scene_config import SceneConfig
    from skycue.store import default_cache_folder

    state = output / STATE_FOLDER
    if force and state.exists():
        shutil.rmtree(state)
    if not state.exists():  # a run that was killed may go on, up to its very end
        refuse_overwrite(output / CONFIG_FILE, force=force)
    named = [] if method is None else [f"method.name={method}"]
    scene = load_config(SceneConfig, config, [*named, *(settings or ())])
    given: dict[str, str | bool] = {"raw_names": True} if raw_names else {}
    if captions is not None:
        given["captions"] = captions
    place = resolve_device(device)
    classifier = SceneClassifier.fit(
        data,
        config=scene.model_copy(update=given),
        shots=shots,
        seed=seed,
        backbone=backbone,
        device=place,
        dtype=resolve_dtype(dtype, place),
        cache=cache or default_cache_folder(),
        state=state / "training.safetensors",
    )
    classifier.save(output)
    shutil.rmtree(state, ignore_errors=True)
    source = classifier.encoder.captions
    facts, counts = classifier.facts, classifier.encoder.counts
    summary = {
        "model": str(output),
        "method": classifier.config.method.name,
        "backbone": backbone,
        "classes": len(classifier.class_names),
        "class_names": "raw" if classifier.config.raw_names else "clean",
        "captions": source.settings.kind if source else None,
        "shots": facts.shots,
        "seed": facts.seed,
        "images": facts.n_train,
        **_validated(facts),
        "validation_images": facts.n_validation,
        "split_sha256": facts.split_sha256,
        "encodings": counts._asdict(),
        "seconds": round(time.perf_counter() - started, 1),
    }
    typer.echo(json.dumps(summary))


def _validated(facts: "FitFacts") -> dict[str, float | None]:
    """Return the measure of the validation images: mAP where images show several classes."""
    if facts.validation_map is not None:
        return {"validation_mAP": facts.validation_map}
    return {"validation_accuracy": facts.validation_accuracy}
