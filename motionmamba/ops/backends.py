"""Which implementation of an operator runs: the choice that all operators share."""

import importlib.util
import os
from importlib.metadata import version

import torch

BACKENDS = ("auto", "reference", "torch", "numba", "triton")
# older ones cannot carry tuples of tensors through loops
MIN_TRITON = (3, 6)


def _has_triton() -> bool:
    if importlib.util.find_spec("triton") is None:
        return False
    major, minor = version("triton").split(".")[:2]
    return (int(major), int(minor)) >= MIN_TRITON


HAS_TRITON = _has_triton()
HAS_NUMBA = importlib.util.find_spec("numba") is not None
COMPILED_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def default_backend(device: torch.device | str) -> str:
    """The backend that "auto" means for tensors on `device`."""
    kind = torch.device(device).type
    if kind == "cuda" and HAS_TRITON:
        return "triton"
    return "numba" if kind == "cpu" and HAS_NUMBA else "torch"


def choose_backend(
    backend: str,
    x: torch.Tensor,
    triton: str | None = None,
    numba: str | None = "does not have this operator",
) -> str:
    """Resolves "auto" for the input x, and refuses what cannot run.

    Args:
        triton, numba: why an operator's compiled kernels cannot take this input beyond what its
            device and dtype say, as in "takes at most 256 states, not 300".

    Raises:
        ValueError: if the backend is unknown or cannot run the input.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend is {backend!r}, expected one of {', '.join(BACKENDS)}.")
    obstacles = {"triton": _triton_obstacle(x) or triton, "numba": _numba_obstacle(x) or numba}
    if backend == "auto":
        preferred = default_backend(x.device)
        return "torch" if obstacles.get(preferred) else preferred
    if obstacle := obstacles.get(backend):
        raise ValueError(f"The {backend} backend {obstacle}, use backend='torch' instead.")
    return backend


def _triton_obstacle(x: torch.Tensor) -> str | None:
    if not HAS_TRITON:
        return "needs the package triton, {}.{} or newer".format(*MIN_TRITON)
    if not x.is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
        return f"needs CUDA tensors, not {x.device.type}"
    return _dtype_obstacle(x)


def _numba_obstacle(x: torch.Tensor) -> str | None:
    if not HAS_NUMBA:
        return "needs the package numba"
    if x.device.type != "cpu":
        return f"needs tensors on the CPU, not {x.device.type}"
    return _dtype_obstacle(x)


def _dtype_obstacle(x: torch.Tensor) -> str | None:
    known = x.dtype in COMPILED_DTYPES
    return None if known else f"has no {str(x.dtype).removeprefix('torch.')}"
