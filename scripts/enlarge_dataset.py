#!/usr/bin/env python
"""Make a data set larger by what a trained model generates of its training captions."""

from pathlib import Path
from typing import Annotated

import typer
from _cli import run_script


def main(
    dataset: Annotated[Path, typer.Option(help="Packed data set, of prepare_dataset.py.")],
    out: Annotated[Path, typer.Option(help="Folder of the larger data set.")],
    checkpoint: Annotated[
        str | None, typer.Option(help="Pipeline that generates; the shipped model by default.")
    ] = None,
    evaluator: Annotated[
        Path | None,
        typer.Option(help="Folder of train_evaluator.py or an official finest.tar; the shipped."),
    ] = None,
    motions: Annotated[int, typer.Option(min=1, help="How many are generated.")] = 8192,
    top_k: Annotated[
        int,
        typer.Option(min=1, max=32, help="Keeps whose caption is among so many of 32 captions."),
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of captions, lengths and noise.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a data set that is there.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps; the best there is.")] = None,
):
    """Write a data set together with generated motions, those that show what their caption tells.

    The evaluator decides that. Splits for validation and test stay as they are. What came of it
    is told in docs/training.md.
    """
    import torch
    from _checkpoint import Checkpoint, load_evaluator
    from rich.progress import Progress

    from motionmamba.data import MotionDataset
    from motionmamba.data.report import write_report
    from motionmamba.evaluation.enlarge import enlarge

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    with Progress(transient=True) as bar:
        task = bar.add_task("generating", total=motions)
        model = Checkpoint(checkpoint, device, advance=lambda count: bar.advance(task, count))
        if model.pipeline is None:
            raise ValueError(f"{checkpoint} is a VAE alone; give the folder of a pipeline")
        larger = enlarge(
            MotionDataset.load(dataset),
            model.rows["generated"],
            load_evaluator(evaluator).to(device),
            out,
            count=motions,
            top_k=top_k,
            seed=seed,
            model=model.name,
            overwrite=overwrite,
            tell=bar.console.print,
        )
    write_report(larger)
    print(f"wrote {larger.folder}, {len(larger.split('train'))} clips for training")


if __name__ == "__main__":
    run_script(main)
