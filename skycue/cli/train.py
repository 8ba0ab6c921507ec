"""`skycue train`: train the networks that ship with the package, and measure them."""

from pathlib import Path
from typing import Annotated

import typer

from skycue.cli import train_regions
from skycue.cli.options import DeviceOption, DtypeOption, ForceOption, OutputOption, SetOption

train = typer.Typer(
    name="train",
    help="Train a small CLIP or a region model, or measure a CLIP.",
    no_args_is_help=True,
)
train.command()(train_regions.regions)

DataRootOption = Annotated[
    Path, typer.Option("--data-root", metavar="DIR", help="Folder that holds the datasets.")
]


@train.command()
def clip(
    config: Annotated[Path, typer.Argument(help="A recipe such as configs/mini_clip.yaml.")],
    output: OutputOption,
    data_root: DataRootOption,
    settings: SetOption = None,
    seed: Annotated[int, typer.Option(help="Of the start, the batches and all views.")] = 1,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    force: ForceOption = False,
) -> None:
    """Train a CLIP by the recipe CONFIG; run it again to go on where it was killed.

    Writes a backbone folder with the log of the epochs in log.jsonl.
    """
    from skycue.clip_recipe import ClipTrainingConfig
    from skycue.clip_training import train_clip
    from skycue.config import load_config
    from skycue.device import explain_out_of_memory, resolve_device, resolve_dtype

    recipe = load_config(ClipTrainingConfig, config, settings or ())
    recipe = recipe.model_copy(update={"phrases": config.parent / recipe.phrases})
    train_regions.make_room(output, force=force)
    with explain_out_of_memory("stages.train.batch_size"):
        where = resolve_device(device)
        precision = resolve_dtype(dtype, where)
        train_clip(recipe, data_root, output, seed=seed, device=where, dtype=precision)


@train.command()
def evaluate(
    backbone: Annotated[str, typer.Argument(help="`mini`, or a backbone folder.")],
    data_root: DataRootOption,
    captioned: Annotated[str, typer.Option(help="Sets for retrieval.")] = "rsicd,ucm",
    classified: Annotated[
        str, typer.Option(help="Sets for zero-shot and probe.")
    ] = "resisc12,rsscn7",
    template: Annotated[str, typer.Option(help="Of zero-shot prompts.")] = "remote-sensing",
    shots: Annotated[int, typer.Option(help="Images a class for the probe.")] = 16,
    seeds: Annotated[str, typer.Option(help="Of the probe's draws.")] = "1,2,3",
    leave_out: Annotated[
        Path | None,
        typer.Option(help="List of near-duplicates whose evaluation images are not measured."),
    ] = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
) -> None:
    """Print what a CLIP does untuned, a JSON line a number: retrieval, zero-shot, linear probe."""
    from skycue.backbones.pretrained import load_clip
    from skycue.clip_evaluation import evaluate_clip
    from skycue.device import autocast, resolve_device, resolve_dtype
    from skycue.protocols.scene_data import read_near_duplicates

    where = resolve_device(device)
    measurements = evaluate_clip(
        load_clip(backbone, where),
        data_root,
        captioned=_list(captioned),
        classified=_list(classified),
        template=template,
        shots=shots,
        seeds=[int(seed) for seed in _list(seeds)],
        excluded=read_near_duplicates(leave_out) if leave_out else (),
    )
    with autocast(where, resolve_dtype(dtype, where)):
        for measurement in measurements:
            typer.echo(measurement.model_dump_json())


def _list(text: str) -> list[str]:
    return [part for part in text.split(",") if part]
