"""The selective scan as a plain loop over time: slow, and the measure of the fast backends."""

import torch
from torch import Tensor
from torch.nn import functional as F


def selective_scan_reference(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    initial_state: Tensor | None,
    lengths: Tensor | None,
    *,
    delta_softplus: bool,
    reverse: tuple[bool, ...],
    zoh: bool,
) -> tuple[Tensor, Tensor]:
    """`selective_scan` with B, C (B, G, N, L), in float64 if u is, else in float32."""
    dtype = torch.promote_types(u.dtype, torch.float32)
    x, delta, A, B, C = (m.to(dtype) for m in (u, delta, A, B, C))
    if initial_state is None:
        state = x.new_zeros(*x.shape[:2], A.shape[1])
    else:
        state = initial_state.to(dtype)
    if delta_bias is not None:
        delta = delta + delta_bias.to(dtype)[:, None]
    if delta_softplus:
        delta = F.softplus(delta)
    if lengths is not None:
        padding = torch.arange(x.shape[2], device=x.device) >= lengths[:, None, None]
        delta = delta.masked_fill(padding, 0)

    groups = len(reverse)
    by_group = zip(
        x.chunk(groups, 1),
        delta.chunk(groups, 1),
        A.chunk(groups),
        B.unbind(1),
        C.unbind(1),
        state.chunk(groups, 1),
        reverse,
        strict=True,
    )
    scanned = [_scan(*inputs, zoh) for inputs in by_group]
    y, state = (torch.cat(parts, 1) for parts in zip(*scanned, strict=True))

    if D is not None:
        y = y + D.to(dtype)[:, None] * x
    if z is not None:
        y = y * F.silu(z.to(dtype))
    if lengths is not None:
        y = y.masked_fill(padding, 0)
    return y.to(u.dtype), state


def _scan(x, delta, A, B, C, state, reverse, zoh) -> tuple[Tensor, Tensor]:
    """x, delta (B, D, L), A (D, N), B, C (B, N, L), state (B, D, N) -> (B, D, L), state."""
    times = range(x.shape[-1])
    steps = list(zip(*(m.unbind(-1) for m in (x, delta, B, C)), strict=True))
    outputs = [None] * len(times)
    for t in reversed(times) if reverse else times:
        x_t, delta_t, B_t, C_t = steps[t]
        delta_t = delta_t.unsqueeze(-1)
        weight = _exact_weight(delta_t, A) if zoh else delta_t
        entering = weight * B_t.unsqueeze(1) * x_t.unsqueeze(-1)
        state = torch.exp(delta_t * A) * state + entering
        outputs[t] = (state * C_t.unsqueeze(1)).sum(-1)
    return torch.stack(outputs, -1), state


def _exact_weight(delta: Tensor, A: Tensor) -> Tensor:
    """(exp(delta * A) - 1) / A, by its Taylor series where the numerator would cancel."""
    exponent = delta * A
    small = exponent.abs() < 0.25
    # where a branch is not taken it gets a harmless number, or its gradient would be 0 * inf
    x = torch.where(small, exponent, 0)
    series = torch.ones_like(x)
    for k in reversed(range(2, 14)):
        series = 1 + x / k * series
    quotient = torch.expm1(torch.where(small, -1, exponent)) / torch.where(small, -1, A)
    return torch.where(small, delta * series, quotient)
