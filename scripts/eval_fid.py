#!/usr/bin/env python
"""Score a model by the protocol of Guo et al. 2022: FID, R-precision, MM-Dist, Diversity, …"""

from pathlib import Path
from typing import Annotated

import typer
from _cli import CONFIGS, run_script


def main(
    dataset: Annotated[Path, typer.Option(help="Packed data set, of prepare_dataset.py.")],
    checkpoint: Annotated[
        str | None,
        typer.Option(help="Pipeline, or a folder with a VAE alone; the shipped model by default."),
    ] = None,
    evaluator: Annotated[
        Path | None,
        typer.Option(help="Folder of train_evaluator.py or an official finest.tar; the shipped."),
    ] = None,
    split: Annotated[str, typer.Option(help="train, val, test or held_out.")] = "test",
    replications: Annotated[int, typer.Option(min=1, help="How often all is drawn anew.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same numbers.")] = 0,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Motions generated at once; 256 on GPUs, else 128.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps; the checkpoint's.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance; the checkpoint's.")] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="float32, bfloat16 or float16, of the denoiser; bfloat16 on GPUs and processors "
            "that multiply it, else float32."
        ),
    ] = None,
    multimodality: Annotated[
        bool | None,
        typer.Option(help="MModality takes 3,000 more motions each time; on GPUs by default."),
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="YAML list of prompts and what they must show.")
    ] = CONFIGS / "prompts.yaml",
    prompt_seeds: Annotated[int, typer.Option(min=0, help="Motions of each prompt; 0: none.")] = 5,
    compare: Annotated[
        list[str] | None,
        typer.Option(help="To set beside: result.json of a run, a published table or method."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of result.json and report.md.")] = Path(
        "runs/eval"
    ),
    overwrite: Annotated[bool, typer.Option(help="Begin anew in a folder of another run.")] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps; the best there is.")] = None,
):
    """Evaluate recordings, VAE reconstructions and generated motions in one run.

    The same command goes on where it was interrupted. What is comparable with what is told in
    docs/evaluation.md.
    """
    import time

    import torch
    from _checkpoint import Checkpoint, load_evaluator
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

    from motionmamba.data import MotionDataset
    from motionmamba.evaluation.prompts import check_prompts, generate_with, read_prompts
    from motionmamba.evaluation.protocol import Evaluation, Protocol
    from motionmamba.evaluation.quality import length_histogram
    from motionmamba.evaluation.report import read_comparisons, write_result
    from motionmamba.evaluation.run import describe_run, replicate, summarize
    from motionmamba.evaluation.tables import table

    began = time.perf_counter()
    others, published = read_comparisons(compare or [])
    sentences = read_prompts(prompts) if prompts and prompt_seeds else []
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if multimodality is None:
        multimodality = torch.device(device).type == "cuda"
    protocol = Protocol(split, replications, seed, texts=100 if multimodality else 0)
    bar = Progress(
        "{task.description}", BarColumn(), TimeElapsedColumn(), "left", TimeRemainingColumn()
    )
    task = bar.add_task("generating")
    model = Checkpoint(
        *(checkpoint, device),
        precision=precision,
        batch_size=batch_size,
        steps=steps,
        guidance=guidance,
        advance=lambda motions: bar.advance(task, motions),
    )
    evaluation = Evaluation(
        MotionDataset.load(dataset),
        load_evaluator(evaluator).to(device),
        protocol,
        model.rows,
        sampled="generated" if model.pipeline else None,
    )
    record = describe_run(evaluation, model.describe(), str(evaluator or "shipped"), model.sampling)
    each = evaluation.motions_sampled
    bar.update(task, total=each * replications)
    with bar:
        scores = replicate(
            *(evaluation, record, out, overwrite),
            done=lambda count: bar.update(task, completed=each * count),
        )
    result = record | {"name": out.name, "rows": summarize(scores), "prompts": None}
    result["histogram"] = length_histogram(
        evaluation.recordings.lengths.tolist(), evaluation.dataset.fps
    )
    if model.pipeline and sentences and evaluation.dataset.skeleton.num_joints == 22:
        answer = generate_with(model.pipeline, steps, guidance)
        seconds = min(6.0, model.pipeline.max_seconds)
        result["prompts"] = check_prompts(answer, sentences, prompt_seeds, seconds).to_dict()
    result["seconds"] = {"total": round(time.perf_counter() - began, 1)}
    write_result(result, out, others, published)
    Console().print(table([result, *others], published))
    print(f"wrote {out / 'result.json'} and report.md")


if __name__ == "__main__":
    run_script(main)
