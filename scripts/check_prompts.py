#!/usr/bin/env python
"""Does a model do what it is told? Measures motions of sentences outside its caption grammar."""

import json
from pathlib import Path
from typing import Annotated

import typer
from _cli import CONFIGS, run_script


def main(
    checkpoint: Annotated[
        str | None, typer.Option(help="Pipeline; the shipped one by default.")
    ] = None,
    prompts: Annotated[Path, typer.Option(help="YAML list of prompts and checks.")] = CONFIGS
    / "prompts.yaml",
    seeds: Annotated[int, typer.Option(min=1, help="Motions of each sentence.")] = 5,
    seconds: Annotated[float, typer.Option(help="Length of each motion.")] = 6.0,
    steps: Annotated[int | None, typer.Option(help="Denoising steps; the checkpoint's.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance; the checkpoint's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the result as JSON.")] = None,
):
    """Generate every sentence and check the motion: which hand, which way, how fast."""
    import torch
    from rich.progress import Progress

    from motionmamba.evaluation.prompts import check_prompts, generate_with, read_prompts
    from motionmamba.pipeline import MotionMambaPipeline

    sentences = read_prompts(prompts)
    if out and not out.parent.is_dir():
        raise ValueError(f"there is no folder {out.parent} to write {out.name} to; make it first")
    pipeline = MotionMambaPipeline.from_pretrained(checkpoint)
    pipeline.to("cuda" if torch.cuda.is_available() else "cpu")
    pipeline.set_progress_bar_config(disable=True)
    with Progress(transient=True) as bar:
        task = bar.add_task("generating", total=len(sentences) * seeds)
        report = check_prompts(
            *(generate_with(pipeline, steps, guidance), sentences, seeds, seconds),
            progress=lambda what, done, total: bar.update(task, completed=done),
        ).to_dict()
    _show(report)
    if out:
        out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _show(report: dict):
    from rich.console import Console
    from rich.table import Table

    title = f"{report['seeds']} motions of {report['seconds']:g} s each"
    table = Table("prompt", "did", "other side", "missed", title=title)
    for row in report["prompts"]:
        misses = ", ".join(f"{check} ×{count}" for check, count in row["misses"].items())
        table.add_row(
            row["prompt"], f"{row['done']}/{row['total']}", str(row["wrong_side"] or ""), misses
        )
    Console().print(table)
    rate, wrong = (f"{report[key] or 0:.1%}" for key in ("rate", "wrong_side_rate"))
    print(f"did what it was told: {report['done']}/{report['total']} ({rate})")
    print(f"did it on the other side: {report['wrong_side']}/{report['sided']} ({wrong})")


if __name__ == "__main__":
    run_script(main)
