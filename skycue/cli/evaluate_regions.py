"""`skycue evaluate regions`: how well a region model describes the boxes of a records file."""

from pathlib import Path
from typing import Annotated

import typer

from skycue.cli.options import DeviceOption, DtypeOption, ForceOption, OutputOption


def evaluate_regions(
    model: Annotated[
        str, typer.Argument(help="`mini`, or a folder made by `skycue train regions`.")
    ],
    records: Annotated[Path, typer.Argument(help="A JSON Lines file of boxes with captions.")],
    output: OutputOption,
    root: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the images; that of RECORDS if not given."),
    ] = None,
    instances: Annotated[
        Path | None,
        typer.Option(metavar="JSON", help="COCO file of all objects, if RECORDS holds only some."),
    ] = None,
    metrics: Annotated[
        str, typer.Option(metavar="NAMES", help="By commas, such as cider,miou,p_iou,shuffle.")
    ] = "all",
    encoder: Annotated[
        str, typer.Option(metavar="NAME", help="Compares phrases: minilm, a folder or hub name.")
    ] = "minilm",
    seed: Annotated[int, typer.Option(help="Of shuffled and jittered boxes.")] = 1,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    force: ForceOption = False,
) -> None:
    """Print captions', masks', phrases' and prompts' measures as one JSON line.

    Writes scores.json, report.md and the answers, predictions.jsonl, into the folder -o. A run
    that was killed goes on where it was. With --force, numbers are computed anew from answers that
    are there, and the answers of another model are replaced.
    """
    from skycue.data.instances import read_coco  # heavy: imported when used
    from skycue.data.regions import read_records
    from skycue.device import resolve_device, resolve_dtype
    from skycue.files import refuse_overwrite, write_atomically
    from skycue.region_describer import RegionDescriber
    from skycue.region_evaluation import RegionEvaluationOptions
    from skycue.region_evaluation import evaluate_regions as measure
    from skycue.region_measures import open_sentence_encoder, select_metrics
    from skycue.region_predictions import drop_other_answers

    refuse_overwrite(output / "scores.json", force=force)
    chosen = select_metrics(metrics)
    boxes = read_records(records)
    options = RegionEvaluationOptions(
        predictions=output / "predictions.jsonl",
        name=str(records),
        metrics=chosen,
        sentence=open_sentence_encoder(encoder) if "recall" in chosen else None,
        instances=None if instances is None else read_coco(instances),
        seed=seed,
    )
    where = resolve_device(device)
    precision = resolve_dtype(dtype, where)
    describer = RegionDescriber.load(model, device=where, dtype=precision)
    if force:
        drop_other_answers(options.predictions, describer.model)
    scores = measure(describer, boxes, root or records.parent, options)
    write_atomically(output / "report.md", scores.markdown())
    write_atomically(output / "scores.json", scores.model_dump_json(indent=1) + "\n")
    typer.echo(scores.model_dump_json())
