"""`skycue data labels-from-instances`: which classes each image shows, from its objects."""

import json
from pathlib import Path
from typing import Annotated

import typer

from skycue.cli.options import ForceOption, OutputOption


def labels_from_instances(
    instances: Annotated[
        Path, typer.Argument(metavar="COCO.json", help="A COCO instances file.", show_default=False)
    ],
    output: OutputOption,
    test: Annotated[
        Path | None,
        typer.Option(metavar="COCO.json", help="That of the test images; split.json is written."),
    ] = None,
    val: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="That of the validation images, or a .txt of names."),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Write the classes that each image shows as labels.json of a multi-label dataset.

    The images lie beside the file -o, or beside it in images/. With --test the split.json beside it
    says which file an image comes from; validation images are cut from train if --val does not say
    which they are.
    """
    from skycue.data.importers.image_labels import import_classes
    from skycue.data.label_files import LABELS_JSON, write_labels
    from skycue.data.split_files import SPLIT_FILE, write_split
    from skycue.data.splits import split_from_names
    from skycue.files import refuse_overwrite

    if output.name != LABELS_JSON:
        raise typer.BadParameter(f"-o is to be DATA/{LABELS_JSON}, which makes DATA multi-label.")
    if val is not None and test is None:
        raise typer.BadParameter("--val is of a split: give --test too.")
    data = output.parent
    for path in (output, data / SPLIT_FILE) if test is not None else (output,):
        refuse_overwrite(path, force=force)
    found = import_classes(instances, test, val)
    write_labels(output, found.classes_of)
    summary: dict[str, str | int] = {"labels": str(output), "images": len(found.classes_of)}
    summary["classes"] = len({name for names in found.classes_of.values() for name in names})
    if test is not None:
        cut = split_from_names(data, found.part_of)
        write_split(cut, data / SPLIT_FILE)
        summary |= {"split": str(data / SPLIT_FILE), "sha256": cut.sha256}
        summary |= {"train": len(cut.train), "val": len(cut.val), "test": len(cut.test)}
    typer.echo(json.dumps(summary))
