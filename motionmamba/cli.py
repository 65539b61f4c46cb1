"""The `motionmamba` command."""

import logging
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Annotated

import typer

from motionmamba.memory import keep_freed_memory

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Type a sentence, get a moving human body.",
)

INTERRUPTED = 130  # exit status after Ctrl+C
FILMS = (".mp4", ".webm", ".gif")
SUFFIXES = ".mp4 .webm .gif .png .glb .usda .usdc .bvh .npz .html .json .npy"
Out = Annotated[Path, typer.Option(help=f"Where to write: {SUFFIXES}")]
Fps = Annotated[
    float | None,
    typer.Option(help="Frames per second, of .npy or in place of what the file says."),
]
Shape = Annotated[
    list[str] | None,
    typer.Option(help="female, male or name=value of gender height weight muscle age proportions."),
]
Drawn = Annotated[str, typer.Option(help="In pictures: smpl, a human, or skeleton, a mannequin.")]
SmplModel = Annotated[
    Path | None,
    typer.Option(help="SMPL, SMPL-H or SMPL-X file, .npz or .pkl; the shipped body by default."),
]
Model = Annotated[
    str | None, typer.Option(help="Folder or Hub id of a pipeline; the shipped model by default.")
]


def main():
    """Entry point: bad input ends in one line on standard error and exit status 2."""
    run(app, sys.argv[1:] or ["--help"])


def run(application: typer.Typer, arguments: list[str] | None = None):
    """Runs a typer application without ever showing a traceback for bad input."""
    warnings.showwarning = _show_warning
    keep_freed_memory()
    try:
        status = application(args=arguments, standalone_mode=False)
    except typer.Abort:
        status = INTERRUPTED
    except FloatingPointError as error:
        _fail(f"error: {error}", 1)
    except Exception as error:
        if os.environ.get("MOTIONMAMBA_DEBUG") or not _is_bad_input(error):
            raise
        _fail(f"error: {_one_line(error)}", 2)
    if status == INTERRUPTED:  # typer's, too, which says nothing then
        _fail("interrupted", INTERRUPTED)
    sys.exit(status)


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
    seconds: Annotated[
        float | None,
        typer.Option(help="Length; predicted from the sentence, 6 without a predictor."),
    ] = None,
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
    body: Drawn = "smpl",
    smpl_model: SmplModel = None,
    shape: Shape = None,
):
    """Generate a motion from a sentence."""
    from motionmamba.motion.formats import check_output

    if not prompt.strip():
        raise ValueError("the prompt is blank; give a sentence such as 'a person walks forward'")
    check_output(out)
    human, betas = _load_body(smpl_model, shape)
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
    _save([_embody(motion, human, betas)], out, body=body, model=human)
    print(
        f"wrote {out}: {motion.seconds:.1f} s of motion{_length_chosen(seconds, pipeline)}, "
        f"seed {seed}, {_describe(pipeline)} "
        f"(load {loaded - began:.1f} s, generate {made - loaded:.1f} s, "
        f"write {time.perf_counter() - made:.1f} s)"
    )


@app.command()
def render(
    motions: Annotated[
        list[Path], typer.Argument(help="Motions to draw side by side: .npy .json .bvh .npz .glb")
    ],
    out: Annotated[
        Path,
        typer.Option(help="Where to write: .mp4 .webm .gif .png, or frames/%04d.png for each."),
    ] = Path("motion.mp4"),
    prompt: Annotated[str, typer.Option(help="Caption of the picture.")] = "",
    fps: Fps = None,
    size: Annotated[
        str | None, typer.Option(help="Pixels of each motion's picture, such as 512x512.")
    ] = None,
    body: Drawn = "smpl",
    smpl_model: SmplModel = None,
    shape: Shape = None,
    renderer: Annotated[str, typer.Option(help="auto, moderngl, pyrender or software.")] = "auto",
    transparent: Annotated[
        bool, typer.Option(help="No floor or background; .webm and .png only.")
    ] = False,
    scene: Annotated[
        bool, typer.Option(help="A .png of one motion's key frames along its way in one scene.")
    ] = False,
):
    """Render motions as a film, a strip of key frames, or one scene of them."""
    from motionmamba.motion.formats import load_motion

    human, betas = _load_body(smpl_model, shape)
    loaded = [load_motion(path, fps, prompt, human) for path in motions]
    options = {"size": _pixels(size)} if size else {}
    options |= dict(body=body, model=human, renderer=renderer, transparent=transparent)
    _draw([_embody(m, human, betas) for m in loaded], out, scene, **options)
    print(f"wrote {out}")


@app.command()
def convert(
    motion: Annotated[Path, typer.Argument(help="Motion: .npy .json .bvh .npz .glb")],
    to: Annotated[Path, typer.Option(help=f"Where to write: {SUFFIXES}")],
    fps: Fps = None,
    smpl_model: SmplModel = None,
    shape: Shape = None,
):
    """Convert a motion to another kind of file, such as .glb or .bvh for Blender.

    Joints in .npy (T, 22, 3) are in metres, Y up; .bvh may be of any human skeleton, .npz is of
    AMASS or written by this program, .glb by this program.
    """
    from motionmamba.motion.formats import check_output, load_motion

    check_output(to)
    human, betas = _load_body(smpl_model, shape)
    loaded = load_motion(motion, fps=fps, body=human)
    _save([_embody(loaded, human, betas)], to, model=human)
    print(f"wrote {to}")


@app.command()
def view(
    motions: Annotated[
        list[Path],
        typer.Argument(help="Motions to play side by side: .glb .npy .json .bvh .npz"),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Page to write; by default here, named as the first motion is."),
    ] = None,
    prompt: Annotated[str, typer.Option(help="Caption; what the file says by default.")] = "",
    fps: Fps = None,
    smpl_model: SmplModel = None,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = True,
):
    """Play motions in 3-D in the browser, on one page that fetches nothing."""
    import webbrowser

    from motionmamba.motion.export.html import check_page, load_glb, write_html

    out = check_page(out or Path(f"{motions[0].stem}.html"))
    human, _ = _load_body(smpl_model)
    loaded = [load_glb(path, fps=fps, prompt=prompt, body=human) for path in motions]
    write_html(out, *zip(*loaded, strict=True))
    print(f"wrote {out}")
    if open_page and not webbrowser.open(out.resolve().as_uri()):
        print("found no browser here; open that file in one")


@app.command("app")
def web_app(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 7860,
    auth: Annotated[
        str | None, typer.Option(help="user:password that the page asks for.", metavar="USER:PASS")
    ] = None,
    model: Model = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda or mps; the best there is by default.")
    ] = None,
    smpl_model: SmplModel = None,
):
    """Serve the web page: type a sentence, watch a person do it."""
    from motionmamba.app.server import serve
    from motionmamba.app.worker import Options

    serve(Options(model, device, smpl_model), host, port, auth)


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
        "numba",
        "diffusers",
        "transformers",
        "open_clip_torch",
    ):
        try:
            table.add_row(package, version(package))
        except PackageNotFoundError:
            table.add_row(package, "not installed")
    import torch

    from motionmamba.motion.body import Body
    from motionmamba.motion.render import describe_renderers
    from motionmamba.ops import default_backend
    from motionmamba.pipeline import usable_device

    device = usable_device()
    name = (
        torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} threads"
    )
    table.add_row("python", sys.version.split()[0])
    table.add_row("device", f"{device} ({name})")
    table.add_row("scan backend", default_backend(device))
    pipeline = _load_pipeline(model, "cpu")
    table.add_row(
        "checkpoint",
        model or "Bandai-Namco and CMU, shipped with this package (templated captions)",
    )
    for part in ("vae", "denoiser", "length_predictor"):
        if module := getattr(pipeline, part):
            size = sum(p.numel() for p in module.parameters()) / 1e6
            table.add_row(part, f"{type(module).__name__}, {size:.1f} M parameters")
    sampling = (
        f"{pipeline.config.num_inference_steps} steps, guidance {pipeline.config.guidance_scale:g}"
    )
    table.add_row("sampler", f"{type(pipeline.scheduler).__name__}, {sampling}")
    table.add_row("text encoder", pipeline.text_encoder.name)
    table.add_row("longest motion", f"{pipeline.max_seconds:g} s")
    table.add_row("body", Body.load().source)
    for line in describe_renderers():
        table.add_row("renderer", line)
    Console().print(table)


def _load_pipeline(model: str | None, device: str | None):
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    from motionmamba.pipeline import MotionMambaPipeline, usable_device

    chosen = usable_device(device)
    pipeline = MotionMambaPipeline.from_pretrained(model).to(chosen)
    pipeline.set_progress_bar_config(desc="denoising", leave=False)
    return pipeline


def _load_body(smpl_model: Path | None, shape: list[str] | None = None):
    """The user's body and shape; None for what was not given."""
    from motionmamba.motion.body import Body

    if not (smpl_model or shape):
        return None, None
    body = Body.load(smpl_model)
    return body, body.shaped(shape) if shape else None


def _embody(motion, body, betas):
    """The motion on a body of that shape; as it is where none was asked for."""
    if betas is None:
        return motion
    from motionmamba.motion.fitting import fit_body
    from motionmamba.motion.motion import Motion

    joints = Motion(joints=motion.joints, fps=motion.fps, prompt=motion.prompt)
    return fit_body(joints, body, betas=betas[: len(body.shape_names)])


def _save(motions: list, out: Path, body: str = "smpl", model=None):
    from motionmamba.motion.formats import save_motion

    if out.suffix.lower() in (*FILMS, ".png"):
        _draw(motions, out, body=body, model=model)
    else:
        save_motion(motions[0], out, model)


def _draw(motions: list, out: Path, scene: bool = False, **options):
    from rich.progress import Progress

    from motionmamba.motion.render import render_sequence, render_strip, render_video

    if scene:
        if len(motions) > 1:
            raise ValueError(f"--scene shows one motion, not {len(motions)}; give one")
        render_sequence(motions[0], out, **options)
        return
    if out.suffix.lower() == ".png" and "%" not in out.name:
        render_strip(motions, out, **options)
        return
    with Progress(transient=True) as bar:
        task = bar.add_task("rendering", total=max(map(len, motions)))
        render_video(
            *(motions, out),
            progress=lambda done, total: bar.update(task, completed=done, total=total),
            **options,
        )


def _pixels(size: str) -> tuple[int, int]:
    width, _, height = size.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and len(size) < 12):
        raise ValueError(f"--size is {size!r}, expected width and height such as 512x512")
    return int(width), int(height)


def _length_chosen(seconds: float | None, pipeline) -> str:
    """Who chose the length, when the user did not."""
    if seconds is not None:
        return ""
    return " by default" if pipeline.length_predictor is None else " as predicted from the sentence"


def _describe(pipeline) -> str:
    encoder = type(pipeline.text_encoder).__name__.removesuffix("TextEncoder")
    return f"{type(pipeline.denoiser).__name__} with {encoder} text on {pipeline.device}"


def _show_warning(message, category, filename, lineno, file=None, line=None):
    if issubclass(category, UserWarning):
        print(f"warning: {message}", file=sys.stderr)
