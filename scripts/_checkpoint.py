"""What eval_fid.py measures: a pipeline, or a VAE alone."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from motionmamba.evaluation import T2MEvaluator
from motionmamba.evaluation.protocol import Make, Motions, Told, generate, reconstruct
from motionmamba.evaluation.run import describe_model
from motionmamba.ops.backends import HAS_NUMBA
from motionmamba.pipeline import MotionMambaPipeline
from motionmamba.training.denoiser import load_vae

PRECISIONS = ("float32", "bfloat16", "float16")
BFLOAT16_UNITS = ("avx512bf16", "amx-bf16")  # of x86 processors, as LLVM names them


def load_evaluator(path: Path | None) -> T2MEvaluator:
    """The evaluator in a folder or in an official `finest.tar`; the shipped one by default."""
    if path is None or path.is_dir():
        return T2MEvaluator.from_pretrained(path)
    return T2MEvaluator.from_t2m_checkpoint(path)


def fastest_precision(device: str) -> str:
    """bfloat16 on GPUs, and where the processor multiplies it and scans it without gradients."""
    kind = torch.device(device).type
    if kind == "cpu" and HAS_NUMBA:
        from llvmlite.binding import get_host_cpu_features

        features = get_host_cpu_features()
        return "bfloat16" if any(features.get(f) for f in BFLOAT16_UNITS) else "float32"
    return "bfloat16" if kind == "cuda" else "float32"


class Checkpoint:
    """A trained model as rows of an evaluation.

    Args:
        path: folder of a pipeline or of a VAE, or a Hub id; the shipped pipeline by default.
        precision: of the denoiser, `fastest_precision` by default; what it makes is decoded in
            float32.
        batch_size: motions generated at once; 256 on GPUs, else 128 by default.
        steps, guidance: the pipeline's own by default.
        advance: called with a number of motions whenever so many were generated.

    Attributes:
        sampling: how motions are generated, for the record; nothing of a VAE.
    """

    def __init__(
        self,
        path: str | None,
        device: str,
        *,
        advance: Callable[[int], None],
        precision: str | None = None,
        batch_size: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
    ):
        precision = precision or fastest_precision(device)
        if precision not in PRECISIONS:
            raise ValueError(f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}")
        logging.getLogger("diffusers").setLevel(logging.ERROR)
        self.name = path or "shipped"
        self.batch_size = batch_size or (256 if torch.device(device).type == "cuda" else 128)
        self._advance = advance
        folder = Path(path or "")
        if path and (folder / "config.json").is_file() and not (folder / "vae").is_dir():
            self.pipeline, self.vae, self.sampling = None, load_vae(path).to(device), {}
            return
        self.pipeline = MotionMambaPipeline.from_pretrained(path).to(device)
        self.pipeline.denoiser.to(getattr(torch, precision))
        self.pipeline.set_progress_bar_config(disable=True)
        self.vae = self.pipeline.vae
        config = self.pipeline.config
        steps = config.num_inference_steps if steps is None else steps
        guidance = config.guidance_scale if guidance is None else guidance
        self._settings = {"num_inference_steps": steps, "guidance_scale": guidance}
        self.sampling = self._settings | {
            "scheduler": type(self.pipeline.scheduler).__name__,
            "precision": precision,
            "batch_size": self.batch_size,
        }

    @property
    def rows(self) -> dict[str, Make]:
        made = {"vae": lambda told, random: reconstruct(self.vae, told.motions)}
        return made | ({"generated": self._generate} if self.pipeline else {})

    def describe(self) -> dict:
        parts = {"vae": self.vae}
        if self.pipeline is None:
            return describe_model(self.name, parts)
        parts["denoiser"] = self.pipeline.denoiser
        return describe_model(self.name, parts, text_encoder=self.pipeline.text_encoder.name)

    def at(self, **settings) -> Callable:
        """The pipeline with some of its steps and guidance replaced."""
        return partial(self.pipeline, **self._settings | settings)

    def _generate(self, told: Told, random: np.random.Generator) -> Motions:
        return generate(self.at(), told, random, self.batch_size, self._advance)
