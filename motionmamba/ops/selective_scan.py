"""The selective scan of Mamba (Gu and Dao, arXiv 2312.00752), with a choice of backends."""

import importlib.util
import os

import torch
from torch import Tensor

from motionmamba.ops.selective_scan_reference import selective_scan_reference
from motionmamba.ops.selective_scan_torch import selective_scan_torch

BACKENDS = ("auto", "reference", "torch", "triton")
TRITON_MAX_STATE = 32
HAS_TRITON = importlib.util.find_spec("triton") is not None


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    reverse: bool = False,
    backend: str = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """Runs the input-dependent linear recurrence of Mamba over the last dimension.

    In every channel, with delta after bias and softplus::

        state[t] = exp(delta[t] * A) * state[t - 1] + delta[t] * B[t] * u[t]
        out[t] = (<C[t], state[t]> + D * u[t]) * silu(z[t])

    The same call and results as `mamba_ssm.ops.selective_scan_interface.selective_scan_fn`, for
    real A. The state is kept in float32 (float64 for float64 input). Transposed views of
    channel-last tensors are the fastest layout and are not copied.

    Args:
        u, delta, z: (B, D, L).
        A: (D, N), real.
        B, C: (B, N, L), or (B, G, N, L) with the channels in G equal consecutive groups.
        D, delta_bias: (D,).
        delta_softplus: whether delta passes through a softplus, after `delta_bias`.
        return_last_state: whether to return the last state, too.
        reverse: whether to scan from the last step to the first.
        backend: "reference", "torch", "triton", or "auto": triton on CUDA where it is installed,
            else torch.

    Returns:
        (B, D, L) in u's dtype; with `return_last_state`, also the state (B, D, N).

    Raises:
        ValueError: if a shape does not fit, or the backend is unknown or cannot run the input.
    """
    if B.ndim == 3:
        B = B.unsqueeze(1)
    if C.ndim == 3:
        C = C.unsqueeze(1)
    _check(u, delta, A, B, C, D, z, delta_bias)
    scan = _choose(backend, u, A)
    out, state = scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus, reverse)
    return (out, state) if return_last_state else out


def _check(u, delta, A, B, C, D, z, delta_bias) -> None:
    if u.ndim != 3 or u.numel() == 0:
        raise ValueError(f"u has shape {tuple(u.shape)}, expected a non-empty (B, D, L).")
    batch, channels, length = u.shape
    if A.ndim != 2 or A.shape[0] != channels or A.is_complex():
        raise ValueError(
            f"A is {tuple(A.shape)} {A.dtype}, expected real numbers of shape ({channels}, N)."
        )
    groups = B.shape[1] if B.ndim == 4 else 1
    if channels % groups:
        raise ValueError(
            f"B has {groups} groups, which do not divide the {channels} channels of u."
        )
    matrix = (batch, groups, A.shape[1], length)
    expected = {
        "delta": (delta, u.shape),
        "B": (B, matrix),
        "C": (C, matrix),
        "D": (D, (channels,)),
        "z": (z, u.shape),
        "delta_bias": (delta_bias, (channels,)),
    }
    for name, (tensor, shape) in expected.items():
        if tensor is not None and tensor.shape != shape:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected {tuple(shape)}.")


def default_backend(device: torch.device | str) -> str:
    """The backend that "auto" means for tensors on `device`."""
    return "triton" if HAS_TRITON and torch.device(device).type == "cuda" else "torch"


def _choose(backend: str, u: Tensor, A: Tensor):
    if backend not in BACKENDS:
        raise ValueError(f"backend is {backend!r}, expected one of {', '.join(BACKENDS)}.")
    if backend == "reference":
        return selective_scan_reference
    if backend == "triton" or backend == "auto" and default_backend(u.device) == "triton":
        obstacle = _triton_obstacle(u, A)
        if obstacle is None:
            from motionmamba.ops.selective_scan_triton import selective_scan_triton

            return selective_scan_triton
        if backend == "triton":
            raise ValueError(f"The triton backend {obstacle}, use backend='torch' instead.")
    return selective_scan_torch


def _triton_obstacle(u: Tensor, A: Tensor) -> str | None:
    """Why Triton cannot run this input, if it cannot."""
    if not HAS_TRITON:
        return "needs the package triton"
    if not u.is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
        return f"needs CUDA tensors, not {u.device.type}"
    if u.dtype == torch.float64:
        return "has no float64"
    if A.shape[1] > TRITON_MAX_STATE:
        return f"takes at most {TRITON_MAX_STATE} states, not {A.shape[1]}"
    return None
