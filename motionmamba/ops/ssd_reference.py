"""The scan of Mamba-2 as a plain loop over time: slow, and the measure of the fast backends."""

import torch
from torch import Tensor
from torch.nn import functional as F


def ssd_reference(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    dt_bias: Tensor | None,
    initial_state: Tensor | None,
    lengths: Tensor | None,
    *,
    dt_softplus: bool,
    reverse: tuple[bool, ...],
    chunk_size: int,
) -> tuple[Tensor, Tensor]:
    """`ssd` in float64 if x is, else in float32."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    counts = step_mask(lengths, x)
    u, A = x.to(dtype), A.to(dtype)
    dt = effective_dt(dt.to(dtype), dt_bias, dt_softplus, counts)
    heads_per_group = x.shape[2] // B.shape[2]
    B, C = (m.to(dtype).repeat_interleave(heads_per_group, dim=2) for m in (B, C))

    u, dt, B, C = (turn(m, reverse) for m in (u, dt, B, C))
    state = u.new_zeros(x.shape[0], *x.shape[2:], B.shape[-1])
    if initial_state is not None:
        state = state + initial_state
    outputs = []
    for t in range(x.shape[1]):
        inputs = (dt[:, t, :, None] * u[:, t])[..., None] * B[:, t, :, None]
        state = torch.exp(dt[:, t] * A)[..., None, None] * state + inputs
        outputs.append((state * C[:, t, :, None]).sum(-1))
    y = turn(torch.stack(outputs, dim=1), reverse)

    if D is not None:
        y = y + D.to(dtype).reshape(len(D), -1) * x.to(dtype)
    if z is not None:
        y = y * F.silu(z.to(dtype))
    if counts is not None:
        y = y * counts[..., None, None]
    return y.to(x.dtype), state


def step_mask(lengths: Tensor | None, x: Tensor) -> Tensor | None:
    """Which steps of x (B, L, ...) count, (B, L); None for all."""
    if lengths is None:
        return None
    return torch.arange(x.shape[1], device=x.device) < lengths[:, None]


def effective_dt(
    dt: Tensor, dt_bias: Tensor | None, dt_softplus: bool, counts: Tensor | None
) -> Tensor:
    """The step sizes (B, L, H) after bias and softplus, zero at steps that do not count."""
    if dt_bias is not None:
        dt = dt + dt_bias.to(dt.dtype)
    if dt_softplus:
        dt = F.softplus(dt)
    return dt if counts is None else dt * counts[..., None]


def turn(x: Tensor, reverse: tuple[bool, ...]) -> Tensor:
    """Reverses time in the groups of heads of x (B, L, H, ...) that scan so; its own inverse."""
    if not any(reverse):
        return x
    groups = x.chunk(len(reverse), dim=2)
    turned = [m.flip(1) if back else m for m, back in zip(groups, reverse, strict=True)]
    return torch.cat(turned, dim=2)
