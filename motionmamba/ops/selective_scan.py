"""The selective scan of Mamba (Gu and Dao, arXiv 2312.00752), with a choice of backends."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from motionmamba.ops.backends import choose_backend
from motionmamba.ops.checks import (
    check_floating,
    check_lengths,
    check_same_device,
    check_shapes,
    per_group,
)
from motionmamba.ops.selective_scan_reference import selective_scan_reference
from motionmamba.ops.selective_scan_torch import selective_scan_torch

DISCRETIZATIONS = ("mamba", "zoh")
TRITON_MAX_STATE = 256
# one bit for each
TRITON_MAX_MIXED = 62


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
    reverse: bool | Sequence[bool] = False,
    backend: str = "auto",
    *,
    lengths: Tensor | None = None,
    initial_state: Tensor | None = None,
    discretization: str = "mamba",
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
        A: (D, N), real; negative where the state shall decay.
        B, C: (B, N, L), or (B, G, N, L) with the channels in G equal consecutive groups.
        D, delta_bias: (D,).
        delta_softplus: whether delta passes through a softplus, after `delta_bias`.
        return_last_state: whether to return the last state, too.
        reverse: whether to scan from the last step to the first; G values set each group.
        backend: "reference", "torch", "numba", "triton", or "auto": triton on CUDA and numba on
            processors where they are installed and can (numba has no gradients), else torch.
        lengths: (B,) integers: how many first steps of each sequence count. The others leave
            the state as it is, in both directions, and their output is zero.
        initial_state: (B, D, N), the state before the first step that is scanned; zero without.
            With it and the last state, a long sequence is processed in pieces.
        discretization: of B; A always has a zero-order hold. "mamba" takes delta * B (Euler), as
            Mamba does, "zoh" the exact (exp(delta * A) - 1) / A * B.

    Returns:
        (B, D, L) in u's dtype; with `return_last_state`, also the state (B, D, N).

    Raises:
        TypeError: if an argument is not a tensor of real floating-point numbers (of integers,
            for `lengths`).
        ValueError: if a shape, a device or a choice does not fit, or the backend cannot run it.
    """
    tensors = dict(u=u, delta=delta, A=A, B=B, C=C, D=D, z=z)
    tensors |= dict(delta_bias=delta_bias, initial_state=initial_state)
    check_floating(tensors, required=("u", "delta", "A", "B", "C"))
    _check_shapes(tensors, "(B, D, L)")
    check_lengths(lengths, len(u))
    check_same_device(tensors | {"lengths": lengths})
    out, state = _scan(tensors.values(), lengths, delta_softplus, reverse, backend, discretization)
    return (out, state) if return_last_state else out


def selective_state_update(
    state: Tensor,
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    dt_bias: Tensor | None = None,
    dt_softplus: bool = False,
    backend: str = "auto",
    *,
    discretization: str = "mamba",
) -> Tensor:
    """One step of `selective_scan`, for streaming; advances `state` in place.

    The same call and results as `mamba_ssm.ops.triton.selective_state_update`.

    Args:
        state: (B, D, N), float32 (or float64), overwritten.
        x, dt, z: (B, D).
        A: (D, N).
        B, C: (B, N) or (B, G, N).
        D, dt_bias: (D,).
        dt_softplus, backend, discretization: as in `selective_scan`.

    Returns:
        (B, D) in x's dtype.

    Raises:
        TypeError, ValueError: as `selective_scan`.
    """
    tensors = dict(x=x, dt=dt, A=A, B=B, C=C, D=D, z=z, dt_bias=dt_bias, state=state)
    check_floating(tensors, required=("x", "dt", "A", "B", "C", "state"))
    _check_shapes(tensors, "(B, D)")
    check_same_device(tensors)
    x, dt, B, C, z = (None if m is None else m.unsqueeze(-1) for m in (x, dt, B, C, z))
    with torch.no_grad():
        out, last = _scan(
            (x, dt, A, B, C, D, z, dt_bias, state),
            None,
            dt_softplus,
            False,
            backend,
            discretization,
        )
        state.copy_(last)
    return out.squeeze(-1)


def _check_shapes(tensors: dict[str, Tensor | None], expected: str) -> None:
    """Checks the tensors, in the order of `selective_scan`, by the names that the caller has.

    The expected shape of the first is "(B, D, L)", or "(B, D)" for a single step.
    """
    u, _, A, B, C, *_ = tensors.values()
    name_u, _, name_A, name_B, *_ = tensors
    ndim = expected.count(",") + 1
    if u.ndim != ndim or u.numel() == 0:
        raise ValueError(f"{name_u} has shape {tuple(u.shape)}, expected a non-empty {expected}.")
    batch, channels, *time = u.shape
    if A.ndim != 2 or len(A) != channels or A.numel() == 0:
        raise ValueError(f"{name_A} has shape {tuple(A.shape)}, expected ({channels}, N).")
    groups = B.shape[1] if B.ndim > ndim else 1
    if groups == 0 or channels % groups:
        raise ValueError(
            f"{name_B} has {groups} groups, which do not divide the {channels} channels of "
            f"{name_u}."
        )
    N = A.shape[1]
    shape_B, shape_C = (
        (batch, groups, N, *time) if groups > 1 or m.ndim > ndim else (batch, N, *time)
        for m in (B, C)
    )
    per_channel, state = (channels,), (batch, channels, N)
    shapes = u.shape, u.shape, A.shape, shape_B, shape_C, per_channel, u.shape, per_channel, state
    check_shapes(**dict(zip(tensors, zip(tensors.values(), shapes, strict=True), strict=True)))


def _scan(
    tensors: Iterable[Tensor | None],
    lengths: Tensor | None,
    delta_softplus: bool,
    reverse: bool | Sequence[bool],
    backend: str,
    discretization: str,
) -> tuple[Tensor, Tensor]:
    """Output and last state of checked tensors, in the order of `selective_scan`."""
    if discretization not in DISCRETIZATIONS:
        raise ValueError(f"discretization is {discretization!r}, expected 'mamba' or 'zoh'.")
    u, delta, A, B, C, *others = tensors
    B, C = (m.unsqueeze(1) if m.ndim == 3 else m for m in (B, C))
    reverse = per_group("reverse", reverse, B.shape[1])
    exact = discretization == "zoh"
    tensors = u, delta, A, B, C, *others
    return _backend(backend, tensors, reverse, exact)(
        *tensors, lengths, delta_softplus=delta_softplus, reverse=reverse, zoh=exact
    )


def _backend(
    backend: str, tensors: Sequence[Tensor | None], reverse: tuple[bool, ...], exact: bool
):
    u, _, A, *_ = tensors
    triton = numba = None
    if A.shape[1] > TRITON_MAX_STATE:
        triton = f"takes at most {TRITON_MAX_STATE} states, not {A.shape[1]}"
    elif len(reverse) > TRITON_MAX_MIXED and any(reverse) and not all(reverse):
        triton = f"mixes the directions of at most {TRITON_MAX_MIXED} groups, not {len(reverse)}"
    if exact:
        numba = "has no exact discretization"
    elif torch.is_grad_enabled() and any(m is not None and m.requires_grad for m in tensors):
        numba = "has no gradients"
    name = choose_backend(backend, u, triton, numba)
    if name == "reference":
        return selective_scan_reference
    if name == "torch":
        return selective_scan_torch
    if name == "numba":
        from motionmamba.ops.selective_scan_numba import selective_scan_numba

        return selective_scan_numba
    from motionmamba.ops.selective_scan_triton import selective_scan_triton

    return selective_scan_triton
