"""`skycue data`: look at datasets before anything is computed from them."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skycue.cli.options import DeviceOption, DtypeOption, ForceOption, OptionalOutputOption
from skycue.errors import DatasetError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

data = typer.Typer(
    name="data",
    help="Look at datasets: check, facts, near-duplicates, examples.",
    no_args_is_help=True,
)

PartOption = Annotated[
    str | None,
    typer.Option(metavar="PARTS", help="Of its split, such as train,val; all if not given."),
]


@data.command()
def check(
    folder: Annotated[Path, typer.Argument(metavar="DATA", help="A dataset's folder.")],
    decode: Annotated[
        bool, typer.Option("--decode", help="Decode every image in full: slower, finds all.")
    ] = False,
    dataset: Annotated[
        str | None,
        typer.Option("--set", metavar="NAME", help="Compare with the facts of a known dataset."),
    ] = None,
) -> None:
    """Print a JSON line for each thing that is wrong in DATA or worth knowing; exit 1 if wrong."""
    from skycue.data.datasets import check_layout, facts_of
    from skycue.data.scenes import check_folder

    report = check_folder(folder, decode)
    problems = [*report.problems]
    if dataset is not None:
        problems += check_layout(facts_of(dataset), report.class_names)
    for kind, findings in (("problem", problems), ("remark", report.remarks)):
        for finding in findings:
            line = {"kind": kind, "what": finding.what, "count": len(finding.names)}
            typer.echo(json.dumps({**line, "names": finding.names}, ensure_ascii=False))
    typer.echo(json.dumps({"classes": len(report.class_names), "images": len(report.items)}))
    if problems:
        raise DatasetError(f"{report.root} cannot be used: {len(problems)} problems, listed above.")


@data.command()
def facts(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A dataset; all if not given.")
    ] = None,
) -> None:
    """Print what is known of public datasets, one JSON line each: source, licence, classes."""
    from dataclasses import asdict

    from skycue.data.datasets import FACTS, facts_of

    for known in [facts_of(name)] if name else FACTS.values():
        typer.echo(json.dumps(asdict(known), ensure_ascii=False))


@data.command("near-duplicates")
def near_duplicates(
    first: Annotated[Path, typer.Argument(metavar="A", help="A dataset's folder.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one, or the same.")],
    part_a: PartOption = None,
    part_b: PartOption = None,
    max_bits: Annotated[
        int | None, typer.Option(help="Bits of 255 in which the hashes may differ.")
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option("--backbone", "-b", metavar="NAME", help="Also look for overlapping crops."),
    ] = None,
    min_cosine: Annotated[
        float | None, typer.Option(help="Cosine of embeddings of candidates for overlap.")
    ] = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    output: OptionalOutputOption = None,
    force: ForceOption = False,
) -> None:
    """Print a JSON line for each image of A that shows the same place as one of B.

    Turned, flipped, rescaled and re-encoded copies are found by a perceptual hash. With --backbone,
    images whose embeddings are alike are laid over each other to find crops that overlap.
    """
    from skycue.data import near_duplicates as near
    from skycue.files import refuse_overwrite, write_atomically

    if output is not None:
        refuse_overwrite(output, force=force)
    paths_a, paths_b = _image_paths(first, part_a), _image_paths(second, part_b)
    grey_a, grey_b = near.read_grey(paths_a), near.read_grey(paths_b)
    hashes = near.hash_grey(grey_a), near.hash_grey(grey_b)
    limit = near.MAX_BITS if max_bits is None else max_bits
    found: list[tuple[near.NearPair, dict[str, float]]] = [
        (pair, {"bits": int(pair.score)}) for pair in near.hash_pairs(*hashes, limit)
    ]
    if backbone is not None:
        embedded_a, embedded_b = _embed((paths_a, paths_b), backbone, device, dtype)
        cosine = near.MIN_COSINE if min_cosine is None else min_cosine
        alike = near.embedding_pairs(embedded_a, embedded_b, cosine)
        rows = [pair.first for pair in alike], [pair.second for pair in alike]
        peaks = near.overlap_peaks(grey_a[rows[0]], grey_b[rows[1]])
        for pair, peak in zip(alike, peaks.tolist(), strict=True):
            if peak >= near.MIN_OVERLAP:
                found.append((pair, {"cosine": round(pair.score, 3), "overlap": round(peak, 3)}))
    lines: dict[frozenset[Path], str] = {}
    for pair, scores in found:
        a, b = paths_a[pair.first], paths_b[pair.second]
        if a != b:  # where A and B share images
            line = json.dumps({"a": str(a), "b": str(b), **scores})
            lines.setdefault(frozenset({a, b}), line)
    text = "".join(f"{line}\n" for line in lines.values())
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_atomically(output, text)
    logger.info("%d pairs among %d x %d images", len(lines), len(paths_a), len(paths_b))


@data.command()
def examples(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where to write; made if absent.")
    ],
    force: ForceOption = False,
) -> None:
    """Write examples: drawn/CLASS/*.png to learn from, real/CLASS/*.jpg, and regions/*.tif."""
    from skycue.data.examples import write_examples

    images = write_examples(folder, force=force)
    typer.echo(json.dumps({"folder": str(folder), "images": len(images)}))


def _embed(
    sets: Sequence[Sequence[Path]], backbone: str, device: str, dtype: str
) -> list["NDArray[np.float32]"]:
    """Return the embeddings of the images of each set, [N, D] of unit length."""
    from skycue.backbones.pretrained import load_clip
    from skycue.device import resolve_device, resolve_dtype
    from skycue.encoding import SceneEncoder

    place = resolve_device(device)
    encoder = SceneEncoder(load_clip(backbone, place), dtype=resolve_dtype(dtype, place))
    embeddings = []
    for paths in sets:
        inputs = encoder.encode(paths, {"embedding"})
        assert inputs.embedding is not None
        embeddings.append(inputs.embedding.numpy())
    return embeddings


def _image_paths(folder: Path, parts: str | None) -> Sequence[Path]:
    """Return the images of a dataset, or of some parts of its split."""
    from skycue.data.scenes import PARTS, scan_folder
    from skycue.data.splits import load_split

    if parts is None:
        return [item.path for item in scan_folder(folder)[1]]
    split = load_split(folder)
    by_name = {part: split.part(part) for part in PARTS}
    wanted = parts.split(",")
    unknown = [name for name in wanted if name not in PARTS]
    if unknown:
        raise DatasetError(f"no part '{unknown[0]}' of a split: train, val, test, or train,val.")
    return [item.path for part, items in by_name.items() if part in wanted for item in items]
