"""Which implementation of an operator runs: the choice that all operators share."""

import importlib.util
import os
from importlib.metadata import version

import torch

BACKENDS = ("auto", "reference", "torch", "triton")
# older ones cannot carry tuples of tensors through loops
MIN_TRITON = (3, 6)


def _has_triton() -> bool:
    if importlib.util.find_spec("triton") is None:
        return False
    major, minor = version("triton").split(".")[:2]
    return (int(major), int(minor)) >= MIN_TRITON


HAS_TRITON = _has_triton()
TRITON_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def default_backend(device: torch.device | str) -> str:
    """The backend that "auto" means for tensors on `device`."""
    return "triton" if HAS_TRITON and torch.device(device).type == "cuda" else "torch"


def choose_backend(backend: str, x: torch.Tensor, obstacle: str | None = None) -> str:
    """Resolves "auto" for the input x, and refuses what cannot run.

    Args:
        obstacle: why an operator's Triton kernels cannot take this input beyond what its device
            and dtype say, as in "takes at most 256 states, not 300".

    Raises:
        ValueError: if the backend is unknown or cannot run the input.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend is {backend!r}, expected one of {', '.join(BACKENDS)}.")
    if backend not in ("auto", "triton"):
        return backend
    obstacle = _triton_obstacle(x) or obstacle
    if backend == "triton" and obstacle:
        raise ValueError(f"The triton backend {obstacle}, use backend='torch' instead.")
    if obstacle or default_backend(x.device) == "torch" and backend == "auto":
        return "torch"
    return "triton"


def _triton_obstacle(x: torch.Tensor) -> str | None:
    if not HAS_TRITON:
        return "needs the package triton, {}.{} or newer".format(*MIN_TRITON)
    if not x.is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
        return f"needs CUDA tensors, not {x.device.type}"
    if x.dtype not in TRITON_DTYPES:
        return f"has no {str(x.dtype).removeprefix('torch.')}"
    return None
