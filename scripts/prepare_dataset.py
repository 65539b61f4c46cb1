#!/usr/bin/env python
"""Turn motion into a packed training set, or check one: scripts/prepare_dataset.py SOURCE …"""

import json
import shutil
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from _cli import run_app

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)

Out = Annotated[Path, typer.Option(help="Folder of the packed data set.")]
Seed = Annotated[int, typer.Option(help="Of captions and choices.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a data set that is there.")]
Workers = Annotated[int | None, typer.Option(help="Processes; as many as cores by default.")]
Licence = Annotated[str, typer.Option(help="Under which the motion may be used.")]
Title = Annotated[str, typer.Option(help="What the motion is called; as the source by default.")]
Captions = Annotated[
    Path | None, typer.Option(help="CSV: file, caption, and perhaps start, end in seconds.")
]
NamePattern = Annotated[
    str | None, typer.Option(help="What file names tell: {content}_{style}_{id}.")
]
Splits = Annotated[Path | None, typer.Option(help="Folder of train.txt, val.txt, test.txt.")]
Texts = Annotated[Path | None, typer.Option(help="HumanML3D's texts, for these segments.")]
Joined = Annotated[int, typer.Option(help="Clips of several takes, one after another.")]
Warped = Annotated[int, typer.Option(help="Clips at a slower or faster pace.")]
Overlaid = Annotated[int, typer.Option(help="Clips with the arms of one take on another's legs.")]
HeldOut = Annotated[int, typer.Option(help="Clips of combinations that training never sees.")]


@app.command()
def bandai(
    source: Annotated[Path, typer.Option(help="Folder or archive with the BVH files.")],
    out: Out = Path("data/bandai"),
    joined: Joined = 2000,
    warped: Warped = 600,
    overlaid: Overlaid = 1200,
    held_out: HeldOut = 120,
    seed: Seed = 0,
    workers: Workers = None,
    overwrite: Overwrite = False,
):
    """Bandai-Namco Research Motiondataset 1 and 2 (CC BY-NC 4.0), captions by a grammar."""
    from motionmamba.data.making.more import MadeCounts
    from motionmamba.data.sources.bandai import prepare_bandai

    counts = MadeCounts(joined, warped, overlaid, held_out)
    _make(out, "bandai", overwrite, prepare_bandai, source, counts, seed, workers=workers)


@app.command()
def cmu(
    source: Annotated[Path, typer.Option(help="Folder or archive with .asf, .amc and .bvh files.")],
    out: Out = Path("data/cmu"),
    clips: Annotated[
        Path | None, typer.Option(help="CSV: trial, path, fps, description; else in the source.")
    ] = None,
    captions: Annotated[
        Path | None, typer.Option(help="CSV: subject, trial, description; else in the source.")
    ] = None,
    humanml3d_index: Annotated[
        Path | None, typer.Option(help="HumanML3D's index.csv: cut its segments and no others.")
    ] = None,
    texts: Texts = None,
    seed: Seed = 0,
    workers: Workers = None,
    overwrite: Overwrite = False,
):
    """CMU's motion capture database (free for all uses), captions by descriptions and measures."""
    from motionmamba.data.sources.cmu import prepare_cmu

    tables = clips, captions, humanml3d_index, texts
    _make(out, "cmu", overwrite, prepare_cmu, source, *tables, seed, workers=workers)


@app.command()
def bvh(
    source: Annotated[Path, typer.Option(help="Folder or archive with BVH files.")],
    licence: Licence,
    out: Out = Path("data/bvh"),
    joint_map: Annotated[
        str, typer.Option("--map", help="Name of a joint map, a .yaml file, or auto.")
    ] = "auto",
    captions: Captions = None,
    name_pattern: NamePattern = None,
    splits: Splits = None,
    title: Title = "",
    seed: Seed = 0,
    workers: Workers = None,
    overwrite: Overwrite = False,
):
    """Any BVH files, captions from a CSV, from file names or from NAME.txt beside NAME.bvh."""
    from motionmamba.data.sources.bvh import prepare_bvh

    options = {"licence": licence, "title": title or source.name, "splits": splits, "seed": seed}
    arguments = source, joint_map, captions, name_pattern
    _make(out, out.name, overwrite, prepare_bvh, *arguments, **options, workers=workers)


@app.command()
def joints(
    source: Annotated[Path, typer.Option(help="Folder or archive: NAME.npy (T, 22, 3).")],
    licence: Licence,
    out: Out = Path("data/joints"),
    fps: Annotated[float, typer.Option(help="Frames per second of the files.")] = 20.0,
    captions: Captions = None,
    name_pattern: NamePattern = None,
    splits: Splits = None,
    title: Title = "",
    workers: Workers = None,
    overwrite: Overwrite = False,
):
    """Joint positions in metres, Y up, on HumanML3D's 22 joints; captions as for bvh."""
    from motionmamba.data.sources.joints import prepare_joints

    options = {"licence": licence, "title": title or source.name, "fps": fps, "splits": splits}
    arguments = source, captions, name_pattern
    _make(out, out.name, overwrite, prepare_joints, *arguments, **options, workers=workers)


@app.command()
def amass(
    source: Annotated[Path, typer.Option(help="Folder of AMASS's sub-datasets, any release.")],
    models: Annotated[Path, typer.Option(help="Folder of SMPL-H bodies, .npz or .pkl.")],
    index: Annotated[Path, typer.Option(help="HumanML3D's index.csv.")],
    texts: Annotated[Path, typer.Option(help="HumanML3D's texts, folder or archive.")],
    splits: Splits = None,
    humanact12: Annotated[
        Path | None, typer.Option(help="pose_data/humanact12, if not in the source.")
    ] = None,
    out: Out = Path("data/humanml3d"),
    workers: Workers = None,
    overwrite: Overwrite = False,
):
    """HumanML3D from AMASS: what its notebooks do, in one command that can be interrupted."""
    from motionmamba.data.sources.amass import prepare_amass

    files = source, models, index, texts, splits
    options = {"humanact12": humanact12, "workers": workers}
    _make(out, "humanml3d", overwrite, prepare_amass, *files, **options)


@app.command()
def humanml3d(
    source: Annotated[Path, typer.Option(help="Finished folder: new_joint_vecs, texts, splits.")],
    out: Out = Path("data/humanml3d"),
    overwrite: Overwrite = False,
):
    """HumanML3D as its authors' notebooks leave it: their features, splits, Mean and Std."""
    from motionmamba.data.sources.humanml3d import prepare_humanml3d

    _make(out, "humanml3d", overwrite, prepare_humanml3d, source)


@app.command()
def kit(
    source: Annotated[Path, typer.Option(help="Finished folder: new_joint_vecs, texts, splits.")],
    out: Out = Path("data/kit"),
    overwrite: Overwrite = False,
):
    """KIT-ML in HumanML3D's layout: 251 features, 21 joints, 12.5 fps, its own Mean and Std."""
    from motionmamba.data.sources.humanml3d import prepare_kit

    _make(out, "kit", overwrite, prepare_kit, source)


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
    from motionmamba.data.sources.procedural import prepare_procedural

    _make(out, "procedural", overwrite, prepare_procedural, clips, seed)


@app.command()
def merge(
    folders: Annotated[list[Path], typer.Argument(help="Packed data sets of one skeleton.")],
    out: Out = Path("data/merged"),
    overwrite: Overwrite = False,
):
    """Several packed data sets as one, with statistics of all of them."""
    from motionmamba.data.packed import merge_datasets
    from motionmamba.data.report import write_report

    dataset = merge_datasets(folders, out, out.name, overwrite)
    write_report(dataset)
    _summarise(dataset)


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="A packed set, or a HumanML3D or KIT-ML folder.")],
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write every finding there.")
    ] = None,
):
    """Look for what is wrong with a data set; ends with status 1 when there is something."""
    from motionmamba.data.checking.check import check_folder, summarise

    with _progress_bars() as progress:
        findings = check_folder(folder, progress)
    if json_file:
        json_file.write_text(json.dumps([asdict(f) for f in findings], indent=1) + "\n")
    typer.echo(summarise(findings))
    if any(f.severity == "error" for f in findings):
        raise typer.Exit(1)


def _make(out: Path, name: str, overwrite: bool, prepare, *arguments, **options):
    """Prepares a source, writes the packed set and its report, and prints what came out."""
    from motionmamba.data.packed import check_target, write_dataset
    from motionmamba.data.report import write_report

    check_target(out, overwrite)
    work = out.with_name(f".{out.name}.work")
    if "workers" in options:  # these sources go on where they were interrupted
        options["work"] = work
    try:
        with _progress_bars() as progress:
            prepared = prepare(*arguments, progress=progress, **options)
            dataset = write_dataset(out, prepared, name, overwrite, progress)
            write_report(dataset)
    except ValueError:  # unlike an interruption nothing that the same command could go on from
        shutil.rmtree(work, ignore_errors=True)
        raise
    shutil.rmtree(work, ignore_errors=True)
    _summarise(dataset)


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


def _summarise(dataset):
    from rich.console import Console
    from rich.table import Table

    from motionmamba.data.packed import SPLITS
    from motionmamba.data.report import by_reason

    table = Table("split", "clips", "mirrored", "made", "minutes", title=str(dataset.folder))
    for split in SPLITS:
        clips = dataset.split(split)
        minutes = sum(clip.length for clip in clips) / dataset.fps / 60
        counts = len(clips), sum(c.mirrored for c in clips), sum(bool(c.made) for c in clips)
        table.add_row(split, *map(str, counts), f"{minutes:.1f}")
    console = Console()
    console.print(table)
    console.print(f"{len(dataset.captions)} distinct captions")
    told = {(s["statement"], s["licence"]) for s in dataset.info["sources"].values()}
    for statement, licence in sorted(told):
        console.print(f"{statement} Licence: {licence}", markup=False, soft_wrap=True)
    if account := dataset.info["settings"].get("account"):
        columns = list(next(iter(account.values())))[:-1]  # what was dropped is told below
        table = Table("sub-dataset", *columns)
        for subset, counts in account.items():
            table.add_row(subset, *(str(counts[column]) for column in columns))
        console.print(table)
    for text in dataset.info["settings"].get("joint_maps", {}).values():
        console.print(text, markup=False, highlight=False)
    if dropped := dataset.info["dropped"]:
        console.print(f"{len(dropped)} files or clips were dropped, by reason:")
        for reason, names in by_reason(dropped)[:20]:
            shown = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
            console.print(f"  {len(names)} {reason}: {shown}", markup=False, soft_wrap=True)
    console.print(f"all of it is told in {dataset.folder / 'report.md'}", markup=False)


if __name__ == "__main__":
    run_app(app)
