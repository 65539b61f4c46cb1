#!/usr/bin/env python
"""Is an evaluator to be trusted? It has to order what is known to be better and worse."""

from pathlib import Path
from typing import Annotated

import typer
from _cli import run_script


def main(
    dataset: Annotated[Path, typer.Option(help="Packed data set, of prepare_dataset.py.")],
    evaluator: Annotated[
        Path | None,
        typer.Option(help="Folder of train_evaluator.py or an official finest.tar; the shipped."),
    ] = None,
    vae: Annotated[
        str | None, typer.Option(help="Folder of a trained VAE; that of the shipped model.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, val, test or held_out.")] = "test",
    replications: Annotated[int, typer.Option(min=1, help="How often all is drawn anew.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of all draws.")] = 0,
):
    """Score recordings, VAE reconstructions, these with noise, and noise alone.

    The order has to be this one, by FID and by R-precision. Ends with status 1 when it is not, when
    two halves of the training split are far apart beside shuffled frames, or when captions do not
    find their recordings.
    """
    import torch
    from _checkpoint import load_evaluator
    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    from motionmamba.data import MotionDataset
    from motionmamba.evaluation.protocol import Evaluation, Protocol, Recordings
    from motionmamba.evaluation.run import summarize
    from motionmamba.evaluation.soundness import flaws, halves, worse_and_worse
    from motionmamba.pipeline import EMBEDDED_MODEL
    from motionmamba.training.denoiser import load_vae

    device = "cuda" if torch.cuda.is_available() else "cpu"
    data = MotionDataset.load(dataset)
    rows = worse_and_worse(load_vae(vae or EMBEDDED_MODEL / "vae").to(device), data)
    judge = load_evaluator(evaluator).to(device)
    evaluation = Evaluation(data, judge, Protocol(split, replications, seed), rows)
    found = summarize([evaluation.replicate(i) for i in track(range(replications))])
    metrics = ("R@1", "R@2", "R@3", "FID", "MM-Dist", "Diversity")
    table = Table("row", *metrics, title=f"{len(evaluation.recordings)} clips, {split} split")
    for row, scores in found.items():
        table.add_row(row, *(f"{scores[m]['mean']:.3f}" for m in metrics))
    parts = halves(judge, Recordings(data, "train"), seed)
    console = Console()
    console.print(table)
    console.print(
        f"train split: FID of two halves {parts.alike:.4g}, to shuffled frames {parts.shuffled:.4g}"
    )
    wrong = flaws(found, parts)
    console.print("\n".join(wrong) or "All is in order.")
    raise typer.Exit(1 if wrong else 0)


if __name__ == "__main__":
    run_script(main)
