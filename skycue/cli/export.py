"""`skycue export`: a fitted classifier as an ONNX file."""

import json
from pathlib import Path
from typing import Annotated

import typer

from skycue.cli.options import ForceOption, OutputOption


def export(
    model: Annotated[Path, typer.Argument(help="A folder made by `skycue fit`.")],
    output: OutputOption,
    classes: Annotated[
        str | None,
        typer.Option(help="Classes to tell apart, by commas; those fitted on if not given."),
    ] = None,
    backbone: Annotated[
        str | None, typer.Option("--backbone", "-b", metavar="NAME", help="If it was moved.")
    ] = None,
    force: ForceOption = False,
) -> None:
    """Write MODEL as one ONNX file, from pixels to probabilities, for use without Skycue.

    The file is compared with PyTorch before it gets its name. It says its class names, its
    preprocessing and its licence itself. Methods that look at each image before they encode the
    classes, such as cocoop and bimors, are refused.
    """
    from skycue.files import refuse_overwrite  # heavy: imported when used
    from skycue.inference import SceneClassifier
    from skycue.scene_export import export_classifier

    refuse_overwrite(output, force=force)
    names = None if classes is None else [name.strip() for name in classes.split(",")]
    classifier = SceneClassifier.load(model, backbone=backbone)
    done = export_classifier(classifier, output, names)
    typer.echo(
        json.dumps(
            {
                "model": str(model),
                "onnx": str(output),
                "method": classifier.config.method.name,
                "classes": len(done.class_names),
                "image_size": done.image_size,
                "megabytes": round(done.n_bytes / 1e6, 1),
                "largest_difference": done.largest_difference,
            }
        )
    )
