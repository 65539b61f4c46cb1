#!/usr/bin/env python
"""Turn motion into a packed training set: scripts/prepare_dataset.py bandai --source … --out …"""

from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from _cli import run_app

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)

Out = Annotated[Path, typer.Option(help="Folder of the packed data set.")]
Seed = Annotated[int, typer.Option(help="Of captions and choices.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a data set that is there.")]


@app.command()
def bandai(
    source: Annotated[Path, typer.Option(help="Folder or archive with the BVH files.")],
    out: Out = Path("data/bandai"),
    joined: Annotated[int, typer.Option(help="Clips made of several takes, training only.")] = 2000,
    seed: Seed = 0,
    overwrite: Overwrite = False,
):
    """Bandai-Namco Research Motiondataset 1 and 2 (CC BY-NC 4.0), captions by a grammar."""
    from motionmamba.data import bandai as source_of
    from motionmamba.data.packed import check_target, write_dataset

    check_target(out, overwrite)
    with _progress_bars() as progress:
        samples, skipped = source_of.bandai_samples(source, joined, seed, progress)
    dataset = write_dataset(
        out,
        samples,
        name="bandai",
        source=source_of.SOURCE,
        licence=source_of.LICENCE,
        statement=source_of.STATEMENT,
        skipped=skipped,
        overwrite=overwrite,
    )
    _report(dataset)


@app.command()
def humanml3d(
    source: Annotated[Path, typer.Option(help="Finished folder: new_joint_vecs, texts, splits.")],
    out: Out = Path("data/humanml3d"),
    overwrite: Overwrite = False,
):
    """HumanML3D as its authors' notebooks leave it: their features, splits, Mean and Std."""
    from motionmamba.data import humanml3d as source_of
    from motionmamba.data.packed import check_target, write_dataset

    check_target(out, overwrite)
    statistics = source_of.read_statistics(source)
    with _progress_bars() as progress:
        samples, skipped = source_of.humanml3d_samples(source, progress)
    dataset = write_dataset(
        out,
        samples,
        name="humanml3d",
        source=source_of.SOURCE,
        licence=source_of.LICENCE,
        statement=source_of.STATEMENT,
        skipped=skipped,
        statistics=statistics,
        overwrite=overwrite,
    )
    _report(dataset)


@app.command()
def procedural(
    out: Out = Path("data/procedural"),
    clips: Annotated[
        int, typer.Option(help="How many to make, mirrored copies not counted.")
    ] = 200,
    seed: Seed = 0,
    overwrite: Overwrite = False,
):
    """Motions computed by rule (walk, turn, wave, squat, jump …): no recording, no licence."""
    from motionmamba.data import procedural as source_of
    from motionmamba.data.packed import check_target, write_dataset

    check_target(out, overwrite)
    dataset = write_dataset(
        out,
        source_of.procedural_samples(clips, seed),
        name="procedural",
        source=source_of.SOURCE,
        licence=source_of.LICENCE,
        statement=source_of.STATEMENT,
        overwrite=overwrite,
    )
    _report(dataset)


@contextmanager
def _progress_bars():
    """Gives a function that shows what is being done, how much of it is done, and of how much."""
    from rich.progress import Progress

    with Progress(transient=True) as bar:
        tasks = {}

        def progress(what: str, done: int, total: int):
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total or None)
            bar.update(tasks[what], completed=done, description=f"{what} {done}")

        yield progress


def _report(dataset):
    from rich.console import Console
    from rich.table import Table

    table = Table("split", "clips", "frames", "minutes", title=str(dataset.folder))
    for split in ("train", "val", "test"):
        clips = dataset.split(split)
        frames = sum(c.length for c in clips)
        minutes = frames / dataset.fps / 60
        table.add_row(split, str(len(clips)), str(frames), f"{minutes:.1f}")
    console = Console()
    console.print(table)
    joined = sum(c.joined for c in dataset.clips)
    mirrored = sum(c.mirrored for c in dataset.clips)
    console.print(f"{mirrored} clips are mirrored, {joined} joined of several takes")
    console.print(f"{len(dataset.captions)} distinct captions. {dataset.info['statement']}")
    console.print(f"licence: {dataset.info['licence']}", markup=False)
    skipped = dataset.info["skipped"]
    if skipped:
        by_reason = {}
        for name, reason in skipped.items():
            by_reason.setdefault(reason, []).append(name)
        console.print(f"skipped {len(skipped)}, all named in dataset.json:")
        groups = sorted(by_reason.items(), key=lambda item: -len(item[1]))
        for reason, names in groups[:20]:
            shown = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
            console.print(f"  {len(names)} {reason}: {shown}", markup=False)
        if len(groups) > 20:
            console.print(f"  and {len(groups) - 20} more reasons")


if __name__ == "__main__":
    run_app(app)
