#!/usr/bin/env python
"""FID and R-precision over denoising steps and over guidance: to choose them, on validation."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from _cli import run_script

METRICS = ("FID", "R@3")


def main(
    dataset: Annotated[Path, typer.Option(help="Packed data set, of prepare_dataset.py.")],
    checkpoint: Annotated[
        str | None, typer.Option(help="Pipeline; the shipped one by default.")
    ] = None,
    evaluator: Annotated[Path | None, typer.Option(help="As in eval_fid.py; the shipped.")] = None,
    split: Annotated[str, typer.Option(help="train, val, test or held_out.")] = "val",
    steps: Annotated[str, typer.Option(help="Comma-separated numbers.")] = "4,6,8,10,15,20,30,50",
    guidance: Annotated[str, typer.Option(help="Comma-separated numbers.")] = "1,1.5,2,3,4,5,7",
    replications: Annotated[int, typer.Option(min=1, help="How often all is drawn anew.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same numbers.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for sweep.json and sweep.png.")] = Path(
        "out/sweep"
    ),
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps; the best there is.")] = None,
):
    """Score a model with other numbers of steps, and with other guidance, all else as it is."""
    import torch
    from _checkpoint import Checkpoint, load_evaluator
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from motionmamba.data import MotionDataset
    from motionmamba.evaluation.protocol import Evaluation, Protocol, generate
    from motionmamba.evaluation.run import describe_run, summarize

    settings = {
        "num_inference_steps": _numbers("--steps", steps, int),
        "guidance_scale": _numbers("--guidance", guidance, float),
    }
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    with Progress(transient=True) as bar:
        task = bar.add_task("generating")
        model = Checkpoint(checkpoint, device, advance=lambda motions: bar.advance(task, motions))
        if model.pipeline is None:
            raise ValueError(f"{checkpoint} is a VAE alone; give the folder of a pipeline")

        def row(name, value):
            sample = model.at(**{name: value})
            return lambda told, random: generate(
                *(sample, told, random, model.batch_size),
                lambda motions: bar.advance(task, motions),
            )

        rows = {
            f"{name}={value:g}": row(name, value)
            for name, values in settings.items()
            for value in values
        }
        evaluation = Evaluation(
            MotionDataset.load(dataset),
            load_evaluator(evaluator).to(device),
            Protocol(split, replications, seed, texts=0),
            rows,
            sampled=next(iter(rows)),
        )
        bar.update(task, total=evaluation.motions_sampled * len(rows) * replications)
        scores = summarize([evaluation.replicate(i) for i in range(replications)])
    record = describe_run(evaluation, model.describe(), str(evaluator or "shipped"), model.sampling)
    table = Table("setting", *METRICS, title=f"{split} split, {replications} replications")
    for name, found in scores.items():
        table.add_row(
            name, *(f"{found[m]['mean']:.3f} ± {found[m]['interval']:.3f}" for m in METRICS)
        )
    Console().print(table)
    out.mkdir(parents=True, exist_ok=True)
    content = record | {"settings": settings, "rows": scores}
    (out / "sweep.json").write_text(json.dumps(content, indent=1) + "\n")
    print(f"wrote {out / 'sweep.json'}")
    if find_spec("matplotlib") is None:
        print("no plot without matplotlib: install motionmamba[benchmark]")
        return
    _plot(settings, scores, out / "sweep.png")


def _plot(settings: dict, scores: dict, path: Path):
    """A column for each setting, a row for each metric; that of recordings is dashed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.subplots(len(METRICS), len(settings), sharex="col")
    for column, (name, values) in zip(axes.T, settings.items(), strict=True):
        for axis, metric in zip(column, METRICS, strict=True):
            found = [scores[f"{name}={value:g}"][metric] for value in values]
            spread = [f["interval"] for f in found]
            axis.errorbar(values, [f["mean"] for f in found], spread, marker="o", capsize=3)
            axis.axhline(scores["real"][metric]["mean"], color="gray", linestyle="--")
            axis.set_ylabel(metric)
            axis.grid(alpha=0.3)
        column[-1].set_xlabel(name)
    for axis in axes[METRICS.index("FID")]:
        axis.set_ylim(bottom=0)
    figure.savefig(path, dpi=150)


def _numbers(option: str, text: str, kind: type) -> list:
    try:
        numbers = [kind(number) for number in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(0 < number < 1000 for number in numbers):
        raise ValueError(f"{option} is {text!r}, expected numbers such as 5,10,20")
    return numbers


if __name__ == "__main__":
    run_script(main)
