#!/usr/bin/env python
"""Time against peers, all in one run on this machine."""

import json
import time
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from _cli import run_app

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
REPEATS = 7


@app.callback()
def main():
    """Time against peers, all in one run on this machine."""


@app.command()
def generate(
    seconds: Annotated[float, typer.Option(help="Length of the motion.")] = 6.0,
    batch: Annotated[int, typer.Option(help="Sentences at once.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Write the result as JSON.")] = None,
):
    """From a sentence to joints: the shipped model, and MLD's transformer in the same pipeline.

    The peer has MLD's denoiser, two global latents, decoder, 50 DDIM steps and guidance, with
    random weights: time does not depend on them.
    """
    import torch
    from diffusers import DDIMScheduler
    from rich.console import Console
    from rich.table import Table

    from motionmamba.models import MotionVAE, TransformerDenoiser
    from motionmamba.pipeline import MotionMambaPipeline

    device = "cuda" if torch.cuda.is_available() else "cpu"
    ours = MotionMambaPipeline.from_pretrained()
    peer = MotionMambaPipeline(
        MotionVAE().eval(),
        TransformerDenoiser(text_channels=ours.text_encoder.channels).eval(),
        DDIMScheduler(),
        ours.text_encoder,
    )
    runs = {
        "Motion Mamba, shipped": (ours, ours.config.num_inference_steps),
        "Motion Mamba, 50 steps": (ours, 50),
        "MLD's transformer, 50 steps": (peer, 50),
    }
    times = {name: [] for name in runs}
    for _ in range(REPEATS + 1):  # in turns, so that a busy machine is unfair to nobody
        for name, (pipeline, steps) in runs.items():
            pipeline.to(device)
            pipeline.set_progress_bar_config(disable=True)
            times[name].append(_time(pipeline, steps, seconds, batch))
    medians = {name: median(values[1:]) for name, values in times.items()}
    base = medians["MLD's transformer, 50 steps"]
    where = (
        torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} threads"
    )
    title = f"{batch} × {seconds:g} s, {device}, {where}, torch {torch.__version__}"
    table = Table("model", "seconds", "ratio to MLD's", title=title)
    for name, value in medians.items():
        table.add_row(name, f"{value:.3f}", f"{value / base:.2f}")
    Console().print(table)
    if out:
        out.write_text(json.dumps({"setting": title, "seconds": medians}, indent=2) + "\n")


def _time(pipeline, steps: int, seconds: float, batch: int) -> float:
    import torch

    prompts = ["a person walks forward and waves with the left hand"] * batch
    began = time.perf_counter()
    motions = pipeline(prompts, seconds=seconds, num_inference_steps=steps).motions
    _ = [motion.joints for motion in motions]
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


if __name__ == "__main__":
    run_app(app)
