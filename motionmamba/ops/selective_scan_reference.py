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
    delta_softplus: bool,
    reverse: bool,
) -> tuple[Tensor, Tensor]:
    """`selective_scan` with B, C (B, G, N, L), in float64 if u is, else in float32."""
    if reverse:
        u, delta, B, C = (x.flip(-1) for x in (u, delta, B, C))
    dtype = torch.promote_types(u.dtype, torch.float32)
    x, delta, A = u.to(dtype), delta.to(dtype), A.to(dtype)
    group_size = u.shape[1] // B.shape[1]
    B, C = (m.to(dtype).repeat_interleave(group_size, dim=1) for m in (B, C))
    if delta_bias is not None:
        delta = delta + delta_bias.to(dtype)[:, None]
    if delta_softplus:
        delta = F.softplus(delta)

    state = x.new_zeros(*x.shape[:2], A.shape[1])
    outputs = []
    for t in range(x.shape[-1]):
        step = delta[:, :, t, None]
        state = torch.exp(step * A) * state + step * B[..., t] * x[:, :, t, None]
        outputs.append((state * C[..., t]).sum(-1))
    y = torch.stack(outputs, dim=-1)

    if D is not None:
        y = y + D.to(dtype)[:, None] * x
    if reverse:
        y = y.flip(-1)
    if z is not None:
        y = y * F.silu(z.to(dtype))
    return y.to(u.dtype), state
