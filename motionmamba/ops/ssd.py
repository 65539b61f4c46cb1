"""The scan of Mamba-2, state-space duality (Dao and Gu, arXiv 2405.21060), on any backend."""

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from motionmamba.ops.backends import choose_backend
from motionmamba.ops.checks import (
    check_floating,
    check_lengths,
    check_same_device,
    check_shapes,
    per_group,
)
from motionmamba.ops.ssd_reference import ssd_reference
from motionmamba.ops.ssd_torch import ssd_torch

# the kernels take mixed directions as the bits of one integer
TRITON_MAX_MIXED_GROUPS = 62


def ssd(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    dt_bias: Tensor | None = None,
    dt_softplus: bool = False,
    initial_state: Tensor | None = None,
    return_last_state: bool = False,
    reverse: bool | Sequence[bool] = False,
    backend: str = "auto",
    *,
    chunk_size: int = 64,
    lengths: Tensor | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Runs a selective scan whose decay is one number per head, by matrix products over chunks.

    In every head, with dt after bias and softplus::

        state[t] = exp(dt[t] * A) * state[t - 1] + dt[t] * x[t] B[t]^T
        out[t] = (state[t] C[t] + D * x[t]) * silu(z[t])

    The same meaning and results as `mamba_ssm`'s `mamba_chunk_scan_combined`. The state is kept
    in float32 (float64 for float64 input). All strides are taken without a copy on a GPU.

    Args:
        x, z: (B, L, H, P), H heads of width P.
        dt: (B, L, H).
        A: (H,), real; negative where the state shall decay.
        B, C: (B, L, G, N) with the heads in G equal consecutive groups.
        D: (H,) or (H, P).
        dt_bias: (H,).
        dt_softplus: whether dt passes through a softplus, after `dt_bias`.
        initial_state: (B, H, P, N), the state before the first step that is scanned; zero without.
            With it and the last state, a long sequence is processed in pieces.
        return_last_state: whether to return the last state, too.
        reverse: whether to scan from the last step to the first; G values set each group.
        backend: "reference", "torch", "triton", or "auto": triton on CUDA where it is installed,
            else torch.
        chunk_size: steps that one matrix product joins at most, a power of two from 16 up. It
            moves time and memory, not the results.
        lengths: (B,) integers: how many first steps of each sequence count. The others leave
            the state as it is, in both directions, and their output is zero.

    Returns:
        (B, L, H, P) in x's dtype; with `return_last_state`, also the state (B, H, P, N).

    Raises:
        TypeError: if an argument is not a tensor of real floating-point numbers.
        ValueError: if a shape, a device or a choice does not fit, or the backend cannot run it.
    """
    tensors = dict(x=x, dt=dt, A=A, B=B, C=C, D=D, z=z, dt_bias=dt_bias)
    tensors |= dict(initial_state=initial_state)
    check_floating(tensors)
    _check(**tensors, lengths=lengths, chunk_size=chunk_size)
    check_same_device(tensors | {"lengths": lengths})
    reverse = per_group("reverse", reverse, B.shape[2])
    out, state = _backend(backend, x, reverse, return_last_state)(
        **tensors,
        lengths=lengths,
        dt_softplus=dt_softplus,
        reverse=reverse,
        chunk_size=chunk_size,
    )
    return (out, state) if return_last_state else out


def _check(x, dt, A, B, C, D, z, dt_bias, initial_state, lengths, chunk_size) -> None:
    if x.ndim != 4 or x.numel() == 0:
        raise ValueError(f"x has shape {tuple(x.shape)}, expected a non-empty (B, L, H, P).")
    batch, length, heads, width = x.shape
    if B.ndim != 4 or B.shape[:2] != x.shape[:2] or B.numel() == 0:
        raise ValueError(f"B has shape {tuple(B.shape)}, expected ({batch}, {length}, G, N).")
    groups, N = B.shape[2:]
    if heads % groups:
        raise ValueError(f"B has {groups} groups, which do not divide the {heads} heads of x.")
    check_shapes(
        dt=(dt, (batch, length, heads)),
        A=(A, (heads,)),
        C=(C, B.shape),
        D=(D, (heads,) if D is None or D.ndim == 1 else (heads, width)),
        z=(z, x.shape),
        dt_bias=(dt_bias, (heads,)),
        initial_state=(initial_state, (batch, heads, width, N)),
    )
    check_lengths(lengths, batch)
    if not isinstance(chunk_size, int) or chunk_size < 16 or chunk_size & (chunk_size - 1):
        raise ValueError(f"chunk_size is {chunk_size!r}, expected a power of two from 16 up.")


def _backend(backend: str, x: Tensor, reverse: tuple[bool, ...], last_state: bool):
    obstacle = None
    if len(set(reverse)) > 1 and len(reverse) > TRITON_MAX_MIXED_GROUPS:
        obstacle = f"takes at most {TRITON_MAX_MIXED_GROUPS} groups of mixed directions"
    name = choose_backend(backend, x, obstacle)
    if name == "reference":
        return ssd_reference
    if name == "torch":
        return ssd_torch
    from motionmamba.ops.ssd_triton import ssd_triton

    # kernels for a single chunk need not compute it
    return partial(ssd_triton, last_state=last_state)
