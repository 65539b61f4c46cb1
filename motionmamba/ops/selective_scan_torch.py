"""The selective scan in PyTorch operations, for processors without Triton.

The states of a block of time steps are laid out (L, B, G, N, D / G), so that a step is one
multiply-add over contiguous memory. Blocks keep the working set in the cache, and narrow states,
whose steps would be all launch overhead, are scanned as parallel chunks.
"""

import math
from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from motionmamba.ops.selective_scan_reference import selective_scan_reference

# numbers of a state: in a block of steps, in one step, and in a step that counts as narrow
BLOCK_ELEMENTS = 1 << 19
STEP_ELEMENTS = 1 << 16
NARROW_ELEMENTS = 1 << 12
FEW_STEPS = 5  # of all groups together, which a plain loop has done before blocks are laid out
LOG2_E = math.log2(math.e)


def selective_scan_torch(
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
    if u.shape[2] * len(reverse) <= FEW_STEPS:
        inputs = u, delta, A, B, C, D, z, delta_bias, initial_state, lengths
        options = {"delta_softplus": delta_softplus, "reverse": reverse, "zoh": zoh}
        return selective_scan_reference(*inputs, **options)
    dtype = torch.promote_types(u.dtype, torch.float32)
    batch, _, length = u.shape
    groups = len(reverse)
    x, delta = (m.transpose(1, 2).to(dtype).contiguous() for m in (u, delta))
    B, C = (m.permute(0, 3, 1, 2).to(dtype).unsqueeze(-1) for m in (B, C))
    A = A.to(dtype).unflatten(0, (groups, -1)).transpose(1, 2).contiguous()
    if initial_state is None:
        state = A.new_zeros(batch, *A.shape)
    else:
        state = initial_state.to(dtype).unflatten(1, (groups, -1)).transpose(2, 3).contiguous()
    if delta_bias is not None:
        delta = delta + delta_bias.to(dtype)
    if delta_softplus:
        delta = _Softplus.apply(delta)
    if lengths is not None:
        padding = (torch.arange(length, device=x.device) >= lengths[:, None])[..., None]
        delta = delta.masked_fill(padding, 0)

    x, delta = (m.unflatten(2, (groups, 1, -1)) for m in (x, delta))
    runs = [list(run) for _, run in groupby(range(groups), reverse.__getitem__)]
    sizes = [len(run) for run in runs]
    by_run = zip(*(m.split(sizes, 2) for m in (x, delta, B, C)), strict=True)
    scanned = [
        _scan(A[run], *inputs, state[:, run], zoh, reverse[run[0]])
        for run, inputs in zip(runs, by_run, strict=True)
    ]
    outputs, states = zip(*scanned, strict=True)
    y, state = _join(outputs, 2), _join(states, 1)
    if D is not None:
        y = torch.addcmul(y, x, D.to(dtype).unflatten(0, (groups, 1, -1)))
    y = y.flatten(2)
    if z is not None:
        y = F.silu(z.transpose(1, 2).to(dtype)).mul_(y)
    if lengths is not None:
        y = y.masked_fill(padding, 0)
    return y.transpose(1, 2).to(u.dtype), state.transpose(2, 3).flatten(1, 2)


def _scan(A, x, delta, B, C, state, zoh, backward) -> tuple[Tensor, Tensor]:
    """`_Scan`, on as many sequences at a time as keep a step in the cache."""
    size = max(STEP_ELEMENTS, BLOCK_ELEMENTS // x.shape[1]) // A.numel() or 1
    pieces = zip(*(m.split(size) for m in (x, delta, B, C, state)), strict=True)
    scanned = [_Scan.apply(A, *piece, zoh, backward) for piece in pieces]
    return tuple(_join(parts, 0) for parts in zip(*scanned, strict=True))


def _join(parts: Sequence[Tensor], dim: int) -> Tensor:
    return torch.cat(parts, dim) if len(parts) > 1 else parts[0]


class _Softplus(torch.autograd.Function):
    """F.softplus in a way that is fast on all processors."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        # With AVX-512, log1p masks out the load of a constant that only -0.0 needs. Until the
        # constant's page is read, that stalls a Zen 5 for longer than a whole scan takes.
        torch.log1p(x.new_full((16,), -0.0))
        return torch.logaddexp(x, x.new_zeros(()))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        slope = x.sigmoid()
        # a gradient that overflows must not meet a slope that underflows
        flat = slope == 0
        return slope.mul_(grad).masked_fill_(flat, 0)


class _Scan(torch.autograd.Function):
    """The scan of groups of one direction and its gradient, block by block in time.

    A (G, N, D / G); x, delta (B, L, G, 1, D / G); B, C (B, L, G, N, 1); state (B, G, N, D / G)
    -> y like x, state. Saves its inputs and one state per block, and computes the other states
    again in `backward`.
    """

    @staticmethod
    def forward(ctx, A, x, delta, B, C, state, zoh, backward):
        rate = _rate(A)
        buffers = _workspace(state, x.shape[1], 2)
        y = x.new_empty(x.transpose(0, 1).shape).transpose(0, 1)
        rows = C.mT.transpose(0, 1).contiguous().transpose(0, 1)
        starts, order = [], -1 if backward else 1
        for x_, delta_, B_, row, y_ in _blocks(buffers, x, delta, B, rows, y)[::order]:
            starts.append(state)
            decay, states = (m[: len(x_)] for m in buffers)
            _discretize(A, rate, x_, delta_, B_, zoh, decay, states)
            state = _recur(decay, states, state, order, products=decay)
            # the sum over N as a product, which does not write its terms
            torch.bmm(row.flatten(0, 2), states.flatten(0, 2), out=y_.flatten(0, 2))
        ctx.save_for_backward(A, x, delta, B, C, *starts)
        ctx.zoh, ctx.order = zoh, order
        return y, state

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_y, carry):
        A, x, delta, B, C, *starts = ctx.saved_tensors
        rate = _rate(A)
        buffers = _workspace(carry, x.shape[1], 4)
        grad_A, grad_x, grad_delta = torch.zeros_like(A), torch.empty_like(x), torch.empty_like(x)
        grad_B, grad_C = (m.new_empty(m.shape) for m in (B, C))
        tensors = x, delta, B, C, grad_y, grad_x, grad_delta, grad_B, grad_C
        early, late = (slice(None, -1), slice(1, None))[:: ctx.order]
        blocks = zip(_blocks(buffers, *tensors)[:: ctx.order], starts, strict=True)
        for block, start in reversed(list(blocks)):
            x_, delta_, B_, C_, grad_y_, grad_x_, grad_delta_, grad_B_, grad_C_ = block
            decay, states, scratch, grad = (m[: len(x_)] for m in buffers)
            weight = _discretize(A, rate, x_, delta_, B_, ctx.zoh, decay, states)
            _recur(decay, states, start, ctx.order, products=scratch)
            torch.mul(grad_y_, C_, out=grad)
            decays, grads = (m.unbind()[:: -ctx.order] for m in (decay, grad))
            grads[0].add_(carry)
            for factor, after, now in zip(decays, grads, grads[1:], strict=False):
                now.addcmul_(factor, after)
            carry = decays[-1] * grads[-1]

            torch.sum(torch.mul(grad_y_, states, out=scratch), -1, keepdim=True, out=grad_C_)
            torch.sum(torch.mul(grad, weight * x_, out=scratch), -1, keepdim=True, out=grad_B_)
            grad_input = torch.mul(grad, B_, out=scratch)
            if ctx.zoh:
                torch.sum(grad_input * weight, -2, keepdim=True, out=grad_x_)
                grad_weight = grad_input.mul_(x_)
                torch.sum(grad_weight * decay, -2, keepdim=True, out=grad_delta_)
                grad_A += grad_weight.mul_(_exact_slope(A, delta_, decay, weight)).sum((0, 1))
            else:
                grad_input = grad_input.sum(-2, keepdim=True)
                torch.mul(grad_input, delta_, out=grad_x_)
                torch.mul(grad_input, x_, out=grad_delta_)
            # the exponent's gradient: grad * decay * previous state
            exponent = grad.mul_(decay)
            exponent[0 if ctx.order > 0 else -1] *= start
            exponent[late] *= states[early]
            grad_A += torch.mul(exponent, delta_, out=scratch).sum((0, 1))
            grad_delta_ += torch.mul(exponent, A, out=scratch).sum(-2, keepdim=True)
        return grad_A, grad_x, grad_delta, grad_B, grad_C, carry, None, None


def _rate(A: Tensor) -> Tensor:
    """A to the base 2: on CPUs, exp takes several times as long as exp2."""
    limits = torch.finfo(A.dtype)
    return (A * LOG2_E).clamp_(limits.min, limits.max)


def _workspace(state: Tensor, length: int, count: int) -> tuple[Tensor, ...]:
    """Buffers (steps, B, ...) of the states of a block of steps."""
    blocks = math.ceil(length * state.numel() / BLOCK_ELEMENTS)
    # one allocation: malloc would return several to the system, and get them back page by page
    return state.new_empty(count, math.ceil(length / blocks), *state.shape).unbind()


def _blocks(buffers: Sequence[Tensor], *tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """Views (steps, B, ...) of the tensors (B, L, ...), with as many steps as the buffers."""
    size = len(buffers[0])
    return list(zip(*(m.transpose(0, 1).split(size) for m in tensors), strict=True))


def _discretize(A, rate, x, delta, B, zoh, decay, inputs) -> Tensor:
    """Writes decay and input of every step.

    Returns the weight of B * x in the input: delta, or its exact counterpart.
    """
    torch.mul(delta, rate, out=decay).exp2_()
    weight = _exact_weight(A, delta) if zoh else delta
    torch.mul(B, weight * x, out=inputs)
    return weight


def _exact_weight(A: Tensor, delta: Tensor) -> Tensor:
    """(exp(delta * A) - 1) / A."""
    exponent = delta * A
    tiny = exponent.abs() < torch.finfo(A.dtype).eps
    return torch.where(tiny, delta, exponent.expm1_().div_(A))


def _exact_slope(A: Tensor, delta: Tensor, decay: Tensor, weight: Tensor) -> Tensor:
    """The derivative of `_exact_weight` by A, as a series where the quotient would cancel."""
    exponent = delta * A
    series = torch.zeros_like(exponent)
    for k in reversed(range(12)):
        series.mul_(exponent).add_((k + 1) / math.factorial(k + 2))
    quotient = (delta * decay).sub_(weight).div_(A)
    return torch.where(exponent.abs_() < 0.25, series.mul_(delta * delta), quotient)


def _recur(decay: Tensor, states: Tensor, state: Tensor, order: int, products: Tensor) -> Tensor:
    """Turns inputs (steps, B, ...) into states in place; returns the last, a copy.

    Args:
        state: (B, ...), before the first step.
        order: -1 to start at the last step.
        products: memory for a narrow state's decays since the start of a chunk; may be `decay`.
    """
    if state.numel() > NARROW_ELEMENTS:
        for factor, now in zip(decay.unbind()[::order], states.unbind()[::order], strict=True):
            state = now.addcmul_(factor, state)
        return state.clone()
    size = _chunk_size(len(decay))
    split = (m.unflatten(0, (-1, size)).unbind(1)[::order] for m in (decay, states, products))
    factors, inputs, since_start = split
    since_start[0].copy_(factors[0])
    for t in range(1, size):
        inputs[t].addcmul_(factors[t], inputs[t - 1])
        torch.mul(factors[t], since_start[t - 1], out=since_start[t])
    for factor, chunk in zip(
        products.split(size)[::order], states.split(size)[::order], strict=True
    ):
        state = chunk.addcmul_(factor, state)[-1 if order > 0 else 0]
    return state.clone()


def _chunk_size(steps: int) -> int:
    """The divisor of the number of steps that makes for the fewest operations."""
    return min((n for n in range(1, steps + 1) if steps % n == 0), key=lambda n: 2 * n + steps // n)
