"""`skycue train regions`: train a region model by a recipe, or only try the recipe."""

import json
from pathlib import Path
from typing import Annotated

import typer

from skycue.cli.options import DeviceOption, DtypeOption, ForceOption, OutputOption, SetOption


def regions(
    config: Annotated[Path, typer.Argument(help="A recipe such as configs/mini_region.yaml.")],
    output: OutputOption,
    data_root: Annotated[
        Path | None,
        typer.Option("--data-root", metavar="DIR", help="Of the datasets; none with fake weights."),
    ] = None,
    settings: SetOption = None,
    seed: Annotated[int, typer.Option(help="Of the start, the batches and all chance.")] = 1,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only compute one batch a stage, and print losses and memory."
        ),
    ] = False,
    fake_weights: Annotated[
        bool,
        typer.Option(
            "--fake-weights", help="In a dry run: random weights of reduced depth, drawn images."
        ),
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write curves for TensorBoard.")
    ] = False,
    force: ForceOption = False,
) -> None:
    """Train a region model by the recipe CONFIG; run it again to go on where it was killed.

    Writes a model folder with logs, pictures of sample predictions and the finished stages. Under
    `accelerate launch` or `torchrun` several processes train one model.
    """
    from skycue.config import load_config
    from skycue.device import explain_out_of_memory, resolve_device, resolve_dtype
    from skycue.errors import ConfigError
    from skycue.region_dry_run import dry_run as try_recipe
    from skycue.region_recipe import RegionTrainingConfig
    from skycue.region_training import Watch, train_regions
    from skycue.shared_network import start_accelerator, was_launched

    recipe = load_config(RegionTrainingConfig, config, settings or ())
    if fake_weights and not dry_run:
        raise ConfigError("--fake-weights trains nothing of use: give --dry-run as well.")
    if data_root is None and not fake_weights:
        raise typer.BadParameter("give --data-root, the folder that holds the datasets.")
    root = data_root or Path()  # which fake weights do not look at
    if not dry_run:
        make_room(output, force=force)
    with explain_out_of_memory("stages.train.batch_size and raise stages.train.accumulate"):
        accelerator = start_accelerator(cpu=device == "cpu") if was_launched() else None
        where = accelerator.device if accelerator else resolve_device(device)
        precision = resolve_dtype(dtype, where)
        if dry_run:
            for stage in try_recipe(
                recipe,
                root,
                seed=seed,
                device=where,
                dtype=precision,
                beside=config.parent,
                fake_weights=fake_weights,
            ):
                typer.echo(json.dumps(stage._asdict()))
            return
        train_regions(
            recipe,
            root,
            output,
            seed=seed,
            device=where,
            dtype=precision,
            beside=config.parent,
            accelerator=accelerator,
            watch=Watch(tensorboard=tensorboard),
        )


def make_room(output: Path, *, force: bool) -> None:
    """Refuse to replace a model, but let a run that was killed go on; `--force` starts anew.

    Raises:
        OutputExistsError: If a model stands at the output, and no unfinished run or `--force`.
    """
    from skycue.files import refuse_overwrite
    from skycue.training_stages import forget_unfinished, unfinished_states

    if force:
        forget_unfinished(output)
    if not unfinished_states(output):
        refuse_overwrite(output / "config.json", force=force)
