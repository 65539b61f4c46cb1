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


@app.command()
def kernels(
    shapes: Annotated[
        str | None, typer.Option(help="BxDxL, comma-separated; short and long ones by default.")
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(min=0, help="End of the sweep over L from 16; 0 for no sweep.")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="float32, bfloat16 or float16; bfloat16 on a GPU.")
    ] = None,
    n_state: Annotated[int, typer.Option(min=1, max=256, help="N of the selective scan.")] = 16,
    forward_only: Annotated[bool, typer.Option("--forward-only", help="No gradients.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer lengths and repeats.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for JSON and plots.")] = Path("out/kernels"),
):
    """Selective scans: our backends, peers, attention, and what the hardware allows.

    mamba_ssm (on a GPU) and mambapy (on a CPU) take part where they can be imported.
    """
    import torch
    from _benchmark.comparison import BOTH, FORWARD, Settings
    from _benchmark.floors import measure_rates
    from _benchmark.kernels import run_kernels
    from _benchmark.plan import DEFAULTS, make_plan
    from _benchmark.timing import make_clock

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = dtype or DEFAULTS[device].dtype
    if dtype not in ("float32", "bfloat16", "float16"):
        raise ValueError(f"--dtype is {dtype!r}, expected float32, bfloat16 or float16.")
    plan = make_plan(device, shapes, max_length, quick)
    out.mkdir(parents=True, exist_ok=True)
    clock = make_clock(device)
    settings = Settings(
        device,
        getattr(torch, dtype),
        n_state,
        clock,
        measure_rates(device, clock),
        budget_ms=50 if quick else 300,
    )
    run_kernels(plan, settings, [FORWARD] if forward_only else [FORWARD, BOTH], out)


@app.command()
def denoiser(
    batches: Annotated[str, typer.Option(help="Comma-separated batch sizes.")] = "1,64",
    tokens: Annotated[int | None, typer.Option(min=1, help="The model's most by default.")] = None,
    model: Annotated[Path | None, typer.Option(help="Model folder; the shipped one.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the result as JSON.")] = None,
):
    """One forward pass of the denoiser on each backend of its scans, eager and as a CUDA graph."""
    import torch
    from _benchmark.denoiser import time_denoiser
    from _benchmark.timing import describe_machine
    from rich.console import Console
    from rich.table import Table

    from motionmamba.models import MotionMambaDenoiser
    from motionmamba.pipeline import EMBEDDED_MODEL

    sizes = _sizes("--batches", batches)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = MotionMambaDenoiser.from_pretrained(model or EMBEDDED_MODEL, subfolder="denoiser")
    network.eval().to(device)
    tokens = tokens or network.config.max_tokens
    rows = [row for size in sizes for row in time_denoiser(network, size, tokens)]
    machine = describe_machine(device)
    table = Table(
        "batch", "backend", "mode", "ms", "spread", title=f"{tokens} tokens, {machine['name']}"
    )
    for row in rows:
        spread = f"{row['low_ms']:.3g} to {row['high_ms']:.3g}"
        values = (str(row["batch"]), row["backend"], row["mode"], f"{row['median_ms']:.3f}", spread)
        table.add_row(*values)
    Console().print(table)
    if out:
        content = {"machine": machine, "tokens": tokens, "results": rows}
        out.write_text(json.dumps(content, indent=2) + "\n")


@app.command()
def sentences(
    batches: Annotated[
        str | None, typer.Option(help="Comma-separated batch sizes; 1,32, on a CPU 1.")
    ] = None,
    lengths: Annotated[
        str | None, typer.Option(help="Comma-separated frames, up to 10,000, on a CPU 1,000.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer repetitions.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for JSON and plot.")] = Path("out/sentences"),
):
    """From sentences to motions: MLD, Motion Mamba and their kin, at batches and over length.

    All with random weights, since time does not depend on them, and with the 50 DDIM steps and the
    guidance of MLD. A model is built as long as the motion.
    """
    import torch
    from _benchmark.sentences import DEFAULTS, make_settings, run_sentences

    device = "cuda" if torch.cuda.is_available() else "cpu"
    defaults = DEFAULTS[device]
    settings = make_settings(
        _sizes("--batches", defaults.batches if batches is None else batches),
        _sizes("--lengths", defaults.lengths if lengths is None else lengths),
    )
    out.mkdir(parents=True, exist_ok=True)
    run_sentences(settings, device, defaults.quick if quick else defaults.repeats, out)


@app.command("app")
def web_app(
    clients: Annotated[int, typer.Option(min=1, help="Who ask at the same moment.")] = 50,
    generations: Annotated[int, typer.Option(min=1, help="One after the other.")] = 200,
    out: Annotated[Path | None, typer.Option(help="Write the result as JSON.")] = None,
):
    """The web page: start, a motion of 6 s, a crowd, memory over many motions. Takes minutes."""
    import asyncio

    from _benchmark.app import crowd, endure, served, time_motions
    from _benchmark.timing import describe_machine
    from rich.console import Console
    from tqdm import tqdm

    with served() as (address, process, folder, start):
        result = {"machine": describe_machine("cpu"), **start, **time_motions(address)}
        result["crowd"] = asyncio.run(crowd(address, clients))
        with tqdm(total=generations, desc="motions") as bar:
            result["endurance"] = endure(
                *(address, process, folder, generations), lambda done: bar.update()
            )
    result["files_left"] = sum(path.is_file() for path in folder.rglob("*"))
    Console().print_json(json.dumps(result))
    if out:
        out.write_text(json.dumps(result, indent=2) + "\n")


def _sizes(option: str, text: str) -> list[int]:
    sizes = text.split(",")
    if not all(size.isdecimal() and int(size) for size in sizes):
        raise ValueError(f"{option} is {text!r}, expected sizes as in 1,64.")
    return [int(size) for size in sizes]


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
