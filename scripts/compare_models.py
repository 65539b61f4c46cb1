#!/usr/bin/env python
"""Trained models in one table: their scores, how they were trained, what a sentence takes."""

from pathlib import Path
from typing import Annotated

import typer
from _cli import run_script


def main(
    results: Annotated[
        list[str],
        typer.Argument(help="result.json of eval_fid.py or its folder, as PATH or NAME=PATH."),
    ],
    training: Annotated[
        list[str] | None,
        typer.Option(help="training.json of a run or its folder, as PATH or NAME=PATH."),
    ] = None,
    timing: Annotated[
        list[Path] | None,
        typer.Option(
            help="sentences.json of benchmark.py sentences or its folder; of a GPU, a CPU."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The table as Markdown.")] = Path("out/comparison.md"),
):
    """Set evaluated models side by side, recordings first; refuse what is not comparable.

    A model has the name of its evaluation's folder, or the NAME that is given. Its training is that
    of the run of the same name, its times those of the contestant of the same name (mld,
    motion_mamba, transformer_temporal, motion_mamba_temporal, mamba2, hybrid):

    compare_models.py runs/eval/mld mamba2=runs/eval/b --training mld=runs/a --timing out/sentences
    """
    from rich.console import Console

    from motionmamba.evaluation.side_by_side import (
        markdown,
        notes,
        read_models,
        read_timing,
        tables,
    )

    times = [read_timing(path) for path in timing or []]
    models = read_models(results, training or [], times)
    console = Console()
    console.print(*tables(models))
    for note in notes(models, times):
        console.print(note, highlight=False, markup=False)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(markdown(models, times), encoding="utf-8")
    print(f"wrote {out}")


if __name__ == "__main__":
    run_script(main)
