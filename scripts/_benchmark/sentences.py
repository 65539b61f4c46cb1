"""Whole pipelines from a sentence to a motion, built of the choices in configs/."""

import json
from collections.abc import Callable, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from _cli import CONFIGS
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from motionmamba.models import captured
from motionmamba.models.text_encoder import TextEmbedding, TextEncoder
from motionmamba.pipeline import MIN_FRAMES, MotionMambaPipeline
from motionmamba.training.config import build_model
from motionmamba.training.denoiser import build_text_encoder, sampler, token_limit

from . import sentence_report as report
from .attempt import attempt, free
from .timing import Run, describe_machine, make_clock, time_in_turns

PROMPT = "a person walks forward and waves with the left hand"
FRAMES = 196  # the longest motions of HumanML3D, at which batches are compared
STEPS = 50  # of MLD, whatever a model ships with
DIFFUSION = "mld"
EAGER, GRAPH = "eager", "CUDA graph"
BASELINE = "mld"
CONTESTANTS = {  # files of configs/vae and configs/denoiser
    "mld": ("mld", "mld"),
    "motion_mamba": ("mld", "motion_mamba"),
    "transformer_temporal": ("temporal", "mld"),
    "motion_mamba_temporal": ("temporal", "motion_mamba_temporal"),
    "mamba2": ("temporal", "mamba2"),
    "hybrid": ("temporal", "hybrid"),
}


@dataclass(frozen=True)
class Defaults:
    """Of a kind of device: batches, lengths in frames, repetitions, and those of --quick."""

    batches: str
    lengths: str
    repeats: int
    quick: int


DEFAULTS = {
    "cuda": Defaults("1,32", "196,1000,2500,5000,10000", 7, 3),
    # beyond, a sentence takes up to a minute at 2,500 frames and eight at 10,000
    "cpu": Defaults("1", "196,500,1000", 3, 2),
}


class Setting(NamedTuple):
    batch: int
    frames: int


@dataclass
class Timing:
    """What came out for one contestant in one mode at one setting.

    Attributes:
        tokens: latent tokens of a motion.
        parameters: of VAE and denoiser, as built for motions of so many frames.
        status: "ok", or why there is no time.
        text: times of embedding the batch of sentences.
        motion: times of denoising and decoding the batch.
        to_baseline: time of a sentence over the baseline's in the same mode.
    """

    contestant: str
    mode: str
    batch: int
    frames: int
    tokens: int | None = None
    parameters: int | None = None
    status: str = "ok"
    text: dict | None = None
    motion: dict | None = None
    to_baseline: float | None = None

    @property
    def text_ms(self) -> float | None:
        return self.text and self.text["median_ms"] / self.batch

    @property
    def motion_ms(self) -> float | None:
        return self.motion and self.motion["median_ms"] / self.batch

    @property
    def sentence_ms(self) -> float | None:
        """Of a whole sentence."""
        return self.motion and self.text_ms + self.motion_ms

    def to_json(self) -> dict:
        return asdict(self) | {"sentence_ms": self.sentence_ms}


class EmbeddedText:
    """Stands in a pipeline for the encoder whose embedding of all its sentences this is."""

    def __init__(self, embedding: TextEmbedding):
        self.embedding = embedding

    def encode(self, texts: list[str]) -> TextEmbedding:
        return self.embedding


def make_settings(batches: Sequence[int], lengths: Sequence[int]) -> list[Setting]:
    """Batches of motions of FRAMES, and single motions of the lengths.

    Raises:
        ValueError: for a length that is no motion.
    """
    if lengths and min(lengths) < MIN_FRAMES:
        raise ValueError(f"--lengths has {min(lengths)}, expected at least {MIN_FRAMES} frames.")
    settings = [Setting(batch, FRAMES) for batch in batches]
    return list(dict.fromkeys([*settings, *(Setting(1, length) for length in lengths)]))


def run_sentences(settings: Sequence[Setting], device: str, repeats: int, out: Path) -> None:
    """Measures everything, prints tables, and writes sentences.json and a figure to out."""
    encoder = build_text_encoder(_load("text_encoder", "minilm", pooling="pooled")).to(device)
    content = {
        "machine": describe_machine(device),
        "settings": describe_settings(encoder, repeats),
        "contestants": {
            name: {"vae": vae, "denoiser": denoiser}
            for name, (vae, denoiser) in CONTESTANTS.items()
        },
    }
    timings = []
    each = repeats * (1 + len(CONTESTANTS) * len(modes_of(device, 1)))  # at a setting
    columns = (BarColumn(), MofNCompleteColumn(), "left", TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=each * len(settings))
        clock = _telling(make_clock(device), lambda: bar.advance(task))
        for number, setting in enumerate(settings, 1):
            timings += measure(setting, encoder, device, clock, repeats)
            free()
            bar.update(task, completed=each * number)
            content["results"] = [timing.to_json() for timing in timings]
            # after every setting, as a long run may be cut off
            (out / "sentences.json").write_text(json.dumps(content, indent=1) + "\n")
    report.show(content, timings, out / "sentences.png")


def _telling(clock: Callable[[Run], float], tell: Callable[[], object]) -> Callable[[Run], float]:
    def timed(run: Run) -> float:
        milliseconds = clock(run)
        tell()
        return milliseconds

    return timed


def describe_settings(encoder: TextEncoder, repeats: int) -> dict:
    diffusion = _load("diffusion", DIFFUSION)
    return {
        "frames": FRAMES,
        "num_inference_steps": STEPS,
        "guidance_scale": diffusion.guidance_scale,
        "scheduler": diffusion.sampler._class_name,
        "dtype": "float32",
        "weights": "untrained",
        "text_encoder": encoder.name,
        "baseline": BASELINE,
        "repeats": repeats,
    }


def measure(
    setting: Setting, encoder: TextEncoder, device: str, clock: Callable, repeats: int
) -> list[Timing]:
    """All contestants at one setting, in turns."""
    texts = [PROMPT] * setting.batch + [""] * setting.batch  # the latter for guidance
    embedding = encoder.encode(texts)
    timings = [
        Timing(name, mode, *setting)
        for name in CONTESTANTS
        for mode in modes_of(device, setting.batch)
    ]
    runs = [attempt(partial(_prepare, timing, embedding, device), timing) for timing in timings]
    ready = [pair for pair in zip(timings, runs, strict=True) if pair[1]]
    text, *motions = time_in_turns(
        [partial(encoder.encode, texts), *(partial(attempt, run, timing) for timing, run in ready)],
        *(clock, 0, range(repeats, repeats + 1)),
    )
    for (timing, _), motion in zip(ready, motions, strict=True):
        if timing.status == "ok":
            timing.text, timing.motion = text, motion
    _relate(timings)
    return timings


def modes_of(device: str, batch: int) -> list[str]:
    """Eager, and where a pipeline records its denoiser, as a CUDA graph."""
    # guidance doubles the batch
    records = device == "cuda" and 2 * batch <= captured.MOST_ROWS
    return [EAGER, GRAPH] if records else [EAGER]


def _prepare(timing: Timing, embedding: TextEmbedding, device: str) -> Run:
    """Builds a contestant as long as it has to be; gives its warm run."""
    pipeline = build(*CONTESTANTS[timing.contestant], timing.frames, embedding).to(device)
    vae, denoiser = pipeline.vae, pipeline.denoiser
    timing.tokens = int(vae.latent_lengths(torch.tensor([timing.frames])))
    timing.parameters = sum(p.numel() for part in (vae, denoiser) for p in part.parameters())
    _generate(pipeline, timing, 2)  # compiles kernels and records the graph
    return partial(_generate, pipeline, timing, STEPS)


def build(vae: str, denoiser: str, frames: int, embedding: TextEmbedding) -> MotionMambaPipeline:
    """An untrained pipeline for motions of so many frames, of choices in configs/."""
    torch.manual_seed(0)
    vae = build_model(_load("vae", vae, max_frames=frames)).eval()
    diffusion, settings = _load("diffusion", DIFFUSION), _load("denoiser", denoiser)
    max_tokens = token_limit(vae)
    if "num_positions" in settings:
        # those of timestep and text come after the latents'
        needed = max_tokens + 1 + embedding.tokens.shape[1]
        settings.num_positions = max(settings.num_positions, needed)
    network = build_model(
        settings,
        latent_channels=vae.config.latent_channels,
        max_tokens=max_tokens,
        text_channels=embedding.tokens.shape[2],
    )
    pipeline = MotionMambaPipeline(
        vae,
        network.eval(),
        sampler(diffusion),
        EmbeddedText(embedding),
        guidance_scale=diffusion.guidance_scale,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _generate(pipeline: MotionMambaPipeline, timing: Timing, steps: int) -> None:
    prompts = [PROMPT] * timing.batch
    with without_graphs() if timing.mode == EAGER else nullcontext():
        pipeline(prompts, num_frames=timing.frames, num_inference_steps=steps)


@contextmanager
def without_graphs():
    """Lets pipelines record no CUDA graphs."""
    most = captured.MOST_ROWS
    captured.MOST_ROWS = 0
    try:
        yield
    finally:
        captured.MOST_ROWS = most


def _relate(timings: Sequence[Timing]) -> None:
    bases = {t.mode: t.sentence_ms for t in timings if t.contestant == BASELINE}
    for timing in timings:
        base = bases.get(timing.mode)
        if base and timing.sentence_ms:
            timing.to_baseline = timing.sentence_ms / base


def _load(group: str, choice: str, **changes) -> DictConfig:
    return OmegaConf.merge(OmegaConf.load(CONFIGS / group / f"{choice}.yaml"), changes)
