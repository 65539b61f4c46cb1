"""The scan of Mamba-2 in PyTorch operations, for processors without Triton.

Within a chunk of steps the outputs are products with a masked matrix of decays, and between
chunks a state is handed on (section 6 of arXiv 2405.21060). Long sequences run in blocks of
chunks whose matrices are computed again in the backward pass.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from motionmamba.ops.ssd_reference import effective_dt, step_mask, turn

# elements of the decay matrices of a block of chunks
BLOCK_ELEMENTS = 1 << 22
# sums of exponents that are multiples of GRID and not below FLOOR at each step are exact in
# float32; the exponential of FLOOR is zero in float64, too
GRID, FLOOR = 1 / 16, -1024.0


def ssd_torch(
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
    with torch.autocast(x.device.type, enabled=False):
        u, B, C = (m.to(dtype) for m in (x, B, C))
        dt = effective_dt(dt.to(dtype), dt_bias, dt_softplus, counts)
        y, state = _scan(u, dt, A.to(dtype), B, C, initial_state, reverse, chunk_size)
    if D is not None:
        y = y + D.to(dtype).reshape(len(D), -1) * u
    if z is not None:
        y = y * F.silu(z.to(dtype))
    if counts is not None:
        y = y * counts[..., None, None]
    return y.to(x.dtype), state


def _scan(x, dt, A, B, C, state, reverse, chunk_size):
    """y (B, L, H, P) and the last state (B, H, P, N), without D and z."""
    batch, length, heads, width = x.shape
    groups, N = B.shape[2:]
    chunk_size = min(chunk_size, length)
    chunks = -(-length // chunk_size)
    # steps past the end have dt = 0 and leave the state as it is
    x, dt, B, C = (
        _pad(turn(m, reverse), chunks * chunk_size).unflatten(1, (chunks, chunk_size))
        for m in (x, dt, B, C)
    )
    if state is None:
        state = x.new_zeros(batch, heads, width, N)
    state = state.to(x.dtype).unflatten(1, (groups, -1))
    inputs = (
        x.unflatten(3, (groups, -1)).permute(0, 1, 3, 4, 2, 5),  # (B, chunks, G, H / G, Q, P)
        dt.unflatten(3, (groups, -1)).permute(0, 1, 3, 4, 2),
        B.transpose(2, 3),  # (B, chunks, G, Q, N)
        C.transpose(2, 3),
    )
    A = A.unflatten(0, (groups, -1))
    size = max(1, BLOCK_ELEMENTS // (batch * heads * chunk_size**2))
    outputs = []
    for block in zip(*(m.split(size, 1) for m in inputs), strict=True):
        if size < chunks:
            options = dict(use_reentrant=False, preserve_rng_state=False)
            y, state = checkpoint(_block, *block, A, state, **options)
        else:
            y, state = _block(*block, A, state)
        outputs.append(y)
    y = torch.cat(outputs, 1).permute(0, 1, 4, 2, 3, 5).reshape(batch, -1, heads, width)
    return turn(y[:, :length], reverse), state.flatten(1, 2)


def _pad(x: Tensor, length: int) -> Tensor:
    return F.pad(x, (0, 0) * (x.ndim - 2) + (0, length - x.shape[1]))


def _block(x, dt, B, C, A, state):
    """Outputs of a block of chunks, (B, chunks, G, H / G, Q, P), and the state after it."""
    exponents = dt * A[..., None]
    within, until = _Decay.apply(exponents), exponents.cumsum(-1).exp()
    scores = (C @ B.transpose(-1, -2))[:, :, :, None] * within * dt.unsqueeze(-2)
    inputs = ((within[..., -1, :] * dt).unsqueeze(-1) * x).transpose(-1, -2) @ B.unsqueeze(3)
    starts = []
    for decay, new in zip(until[..., -1, None, None].unbind(1), inputs.unbind(1), strict=True):
        starts.append(state)
        state = decay * state + new
    # all heads of a group at once: their states side by side, (N, H / G * P)
    starts = torch.stack(starts, 1).flatten(3, 4).transpose(-1, -2)
    carried = (C @ starts).unflatten(-1, (x.shape[3], x.shape[5])).transpose(-2, -3)
    return scores @ x + until.unsqueeze(-1) * carried, state


class _Decay(torch.autograd.Function):
    """exp of the sum of exponents (..., Q) after step j until step i, (..., Q, Q); 0 for i < j."""

    @staticmethod
    def forward(ctx, exponents):
        exponents = exponents.clamp(min=FLOOR)
        coarse = (exponents / GRID).round() * GRID
        # differences of sums of the exponents themselves would lose the steps after a large one
        sums = coarse.cumsum(-1), (exponents - coarse).cumsum(-1)
        coarse, fine = (m.unsqueeze(-1) - m.unsqueeze(-2) for m in sums)
        future = torch.ones(coarse.shape[-2:], dtype=torch.bool, device=coarse.device).triu(1)
        decay = coarse.add_(fine).masked_fill_(future, -torch.inf).exp_()
        ctx.save_for_backward(decay)
        return decay

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (decay,) = ctx.saved_tensors
        # an exponent is in every product from before it until after it: all terms that are
        # summed belong to the result, where differences of sums would cancel
        later = (grad * decay).flip(-2).cumsum(-2).flip(-2)
        return later.tril(-1).sum(-1)
