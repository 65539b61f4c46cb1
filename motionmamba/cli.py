"""The `motionmamba` command."""

import logging
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Type a sentence, get a moving human body.",
)

Out = Annotated[Path, typer.Option(help="Where to write: .mp4 .gif .png .bvh .npy")]
Model = Annotated[
    str | None, typer.Option(help="Folder or Hub id of a pipeline; the shipped model by default.")
]


def main():
    """Entry point: bad input ends in one line on standard error and exit status 2."""
    run(app, sys.argv[1:] or ["--help"])


def run(application: typer.Typer, arguments: list[str] | None = None):
    """Runs a typer application without ever showing a traceback for bad input."""
    warnings.showwarning = _show_warning
    try:
        sys.exit(application(args=arguments, standalone_mode=False))
    except typer.Abort:
        _fail("interrupted", 130)
    except FloatingPointError as error:
        _fail(f"error: {error}", 1)
    except Exception as error:
        if os.environ.get("MOTIONMAMBA_DEBUG") or not _is_bad_input(error):
            raise
        _fail(f"error: {_one_line(error)}", 2)


def _is_bad_input(error: Exception) -> bool:
    return isinstance(error, (ValueError, OSError)) or hasattr(error, "format_message")


def _one_line(error: Exception) -> str:
    # typer's own complaints about arguments carry a message without the usage around it
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    return " ".join(message.split())


def _fail(message: str, status: int):
    print(message, file=sys.stderr)
    sys.exit(status)


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help='What the person does: "a person walks".')],
    seconds: Annotated[float, typer.Option(help="Length of the motion.")] = 6.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same motion.")] = 0,
    out: Out = Path("motion.mp4"),
    steps: Annotated[
        int | None, typer.Option(help="Denoising steps; the checkpoint's own by default.")
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Guidance scale; the checkpoint's own by default.")
    ] = None,
    model: Model = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda or mps; the best there is by default.")
    ] = None,
):
    """Generate a motion from a sentence."""
    from motionmamba.motion.motion import check_output

    if not prompt.strip():
        raise ValueError("the prompt is blank; give a sentence such as 'a person walks forward'")
    check_output(out)
    began = time.perf_counter()
    pipeline = _load_pipeline(model, device)
    loaded = time.perf_counter()
    import torch

    motion = pipeline(
        prompt,
        seconds=seconds,
        num_inference_steps=steps,
        guidance_scale=guidance,
        generator=torch.Generator().manual_seed(seed),
    ).motions[0]
    made = time.perf_counter()
    _save(motion, out)
    print(
        f"wrote {out}: {motion.seconds:.1f} s of motion, seed {seed}, {_describe(pipeline)} "
        f"(load {loaded - began:.1f} s, generate {made - loaded:.1f} s, "
        f"write {time.perf_counter() - made:.1f} s)"
    )


@app.command()
def render(
    motion: Annotated[Path, typer.Argument(help="Joints (T, 22, 3) as .npy, metres, Y up.")],
    out: Out = Path("motion.mp4"),
    prompt: Annotated[str, typer.Option(help="Caption of the picture.")] = "",
    fps: Annotated[
        float | None, typer.Option(help="Frames per second; HumanML3D's or KIT-ML's by default.")
    ] = None,
):
    """Render the joints in a file as a video, a gif or a strip of poses."""
    from motionmamba.motion.motion import Motion, check_output

    check_output(out)
    _save(Motion.load(motion, fps=fps, prompt=prompt), out)
    print(f"wrote {out}")


@app.command()
def convert(
    motion: Annotated[Path, typer.Argument(help="Joints (T, 22, 3) as .npy, metres, Y up.")],
    to: Annotated[Path, typer.Option(help="Where to write: .bvh .npy .mp4 .gif .png")],
    fps: Annotated[
        float | None, typer.Option(help="Frames per second; HumanML3D's or KIT-ML's by default.")
    ] = None,
):
    """Convert the joints in a file to another format, such as .bvh for Blender."""
    from motionmamba.motion.motion import Motion, check_output

    check_output(to)
    _save(Motion.load(motion, fps=fps), to)
    print(f"wrote {to}")


@app.command()
def info(model: Model = None):
    """Show versions, device, scan backend and which checkpoint, text encoder and body are used."""
    from importlib.metadata import PackageNotFoundError, version

    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None)
    for package in (
        "motionmamba",
        "torch",
        "triton",
        "diffusers",
        "transformers",
        "open_clip_torch",
    ):
        try:
            table.add_row(package, version(package))
        except PackageNotFoundError:
            table.add_row(package, "not installed")
    import torch

    from motionmamba.ops import default_backend

    device = _best_device()
    name = (
        torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} threads"
    )
    table.add_row("python", sys.version.split()[0])
    table.add_row("device", f"{device} ({name})")
    table.add_row("scan backend", default_backend(device))
    pipeline = _load_pipeline(model, "cpu")
    table.add_row("checkpoint", model or "bandai, shipped with this package (templated captions)")
    for part in ("vae", "denoiser"):
        module = getattr(pipeline, part)
        size = sum(p.numel() for p in module.parameters()) / 1e6
        table.add_row(part, f"{type(module).__name__}, {size:.1f} M parameters")
    sampling = (
        f"{pipeline.config.num_inference_steps} steps, guidance {pipeline.config.guidance_scale:g}"
    )
    table.add_row("sampler", f"{type(pipeline.scheduler).__name__}, {sampling}")
    table.add_row("text encoder", pipeline.text_encoder.name)
    table.add_row("longest motion", f"{pipeline.max_seconds:g} s")
    table.add_row("body", "skeleton (22 joints)")
    Console().print(table)


def _load_pipeline(model: str | None, device: str | None):
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    import torch

    from motionmamba.pipeline import MotionMambaPipeline

    chosen = device or _best_device()
    try:
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"the device {chosen!r} cannot be used here; try --device cpu") from error
    pipeline = MotionMambaPipeline.from_pretrained(model).to(chosen)
    pipeline.set_progress_bar_config(desc="denoising", leave=False)
    return pipeline


def _best_device() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _save(motion, out: Path):
    from rich.progress import Progress

    if out.suffix.lower() not in (".mp4", ".gif", ".webm"):
        motion.save(out)
        return
    from motionmamba.motion.render import render_video

    with Progress(transient=True) as bar:
        task = bar.add_task("rendering", total=len(motion))
        render_video(
            [motion], out, progress=lambda n, total: bar.update(task, completed=n, total=total)
        )


def _describe(pipeline) -> str:
    encoder = type(pipeline.text_encoder).__name__.removesuffix("TextEncoder")
    return f"{type(pipeline.denoiser).__name__} with {encoder} text on {pipeline.device}"


def _show_warning(message, category, filename, lineno, file=None, line=None):
    if issubclass(category, UserWarning):
        print(f"warning: {message}", file=sys.stderr)
