"""One forward pass of a denoiser on each backend of the scans, eager and as a CUDA graph."""

import warnings
from contextlib import contextmanager
from functools import partial

import torch

from motionmamba.models import MotionMambaDenoiser
from motionmamba.ops import backends

from .timing import capture, make_clock, time_in_turns

BUDGET_MS = 1000


@contextmanager
def forced_backend(name: str):
    """Lets "auto" mean `name` in every operator."""
    chosen = backends.default_backend
    backends.default_backend = lambda device: name
    try:
        yield
    finally:
        backends.default_backend = chosen


def time_denoiser(model: MotionMambaDenoiser, batch: int, tokens: int) -> list[dict]:
    """Summaries of the times, see `time_in_turns`, each with batch, backend and mode."""
    run = partial(_forward, model, _inputs(model, batch, tokens))
    kinds, runs = [], []
    for backend in dict.fromkeys(("torch", backends.default_backend(model.device))):
        kinds.append({"batch": batch, "backend": backend, "mode": "eager"})
        runs.append(partial(run, backend))
        runs[-1]()
        if model.device.type == "cuda":
            try:
                runs.append(capture(runs[-1]))
                kinds.append(kinds[-1] | {"mode": "CUDA graph"})
            except RuntimeError as error:
                warnings.warn(f"no CUDA graph of {backend}: {error}", stacklevel=2)
    times = time_in_turns(runs, make_clock(model.device.type), BUDGET_MS)
    return [kind | time for kind, time in zip(kinds, times, strict=True)]


def _inputs(model: MotionMambaDenoiser, batch: int, tokens: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator(model.device).manual_seed(0)
    options = dict(generator=generator, device=model.device, dtype=model.dtype)
    config = model.config
    return dict(
        sample=torch.randn(batch, tokens, config.latent_channels, **options),
        timestep=torch.full((batch,), 500, device=model.device),
        encoder_hidden_states=torch.randn(batch, 1, config.text_channels, **options),
        lengths=torch.full((batch,), tokens, device=model.device),
    )


@torch.no_grad()
def _forward(model: MotionMambaDenoiser, inputs: dict[str, torch.Tensor], backend: str):
    with forced_backend(backend):
        return model(**inputs)
