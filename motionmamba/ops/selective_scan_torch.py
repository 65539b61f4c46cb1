"""The selective scan in PyTorch operations, for processors without Triton.

The states of a block of time steps are laid out (L, B, G, N, D / G), so that a step is one
multiply-add over contiguous memory. Blocks keep the working set in the cache, and narrow states,
whose steps would be all launch overhead, are scanned as parallel chunks.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from motionmamba.ops.selective_scan_reference import selective_scan_reference

# numbers of a state: in a block of steps, in one step, and in a step that counts as narrow
BLOCK_ELEMENTS = 1 << 19
STEP_ELEMENTS = 1 << 16
NARROW_ELEMENTS = 1 << 14
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
    x, delta, B, C = (_turn(m, reverse) for m in (x, delta, B, C))
    y, state = _scan(A, x, delta, B, C, state, zoh)
    if D is not None:
        y.addcmul_(x, D.to(dtype).unflatten(0, (groups, 1, -1)))
    y = _turn(y, reverse).flatten(2)
    if z is not None:
        y = F.silu(z.transpose(1, 2).to(dtype)).mul_(y)
    if lengths is not None:
        y = y.masked_fill(padding, 0)
    return y.transpose(1, 2).to(u.dtype), state.transpose(2, 3).flatten(1, 2)


def _turn(x: Tensor, reverse: tuple[bool, ...]) -> Tensor:
    """Reverses time in the groups of x (B, L, G, ...) that run backward; its own inverse."""
    if not any(reverse):
        return x
    if all(reverse):
        return x.flip(1)
    groups = zip(x.unbind(2), reverse, strict=True)
    return torch.stack([m.flip(1) if backward else m for m, backward in groups], 2)


def _scan(A, x, delta, B, C, state, zoh) -> tuple[Tensor, Tensor]:
    """`_Scan`, on as many sequences at a time as keep a step in the cache."""
    size = max(STEP_ELEMENTS, BLOCK_ELEMENTS // x.shape[1]) // A.numel() or 1
    inputs = x, delta, B, C, state
    if len(x) <= size:
        return _Scan.apply(A, *inputs, zoh)
    pieces = zip(*(m.split(size) for m in inputs), strict=True)
    y, state = zip(*(_Scan.apply(A, *piece, zoh) for piece in pieces), strict=True)
    return torch.cat(y), torch.cat(state)


class _Softplus(torch.autograd.Function):
    """F.softplus without log1p, which takes longer than a whole scan on some CPUs."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        exp = x.abs().neg_().exp_()
        # log1p(exp) = 2 atanh(exp / (exp + 2))
        return exp.div_(exp + 2).atanh_().mul_(2).add_(x.clamp(min=0))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        slope = x.sigmoid()
        # a gradient that overflows must not meet a slope that underflows
        flat = slope == 0
        return slope.mul_(grad).masked_fill_(flat, 0)


class _Scan(torch.autograd.Function):
    """The scan of all groups and its gradient, block by block in time.

    A (G, N, D / G); x, delta (B, L, G, 1, D / G); B, C (B, L, G, N, 1); state (B, G, N, D / G)
    -> y like x, state. Saves its inputs and one state per block, and computes the other states
    again in `backward`.
    """

    @staticmethod
    def forward(ctx, A, x, delta, B, C, state, zoh):
        rate = _rate(A)
        size, chunks, buffers = _workspace(state, x.shape[1], 3)
        recur = _Recurrence(*buffers, chunks)
        y = torch.empty_like(x)
        blocks = _blocks(size, x, delta, B, C, y)
        starts = state.new_empty(len(blocks), *state.shape)
        for (x_, delta_, B_, C_, y_), start in zip(blocks, starts, strict=True):
            start.copy_(state)
            decay, states, scratch = (m[: len(x_)] for m in buffers)
            _discretize(A, rate, x_, delta_, B_, start, zoh, decay, states)
            recur(len(x_))
            state = states[-1]
            torch.sum(torch.mul(states, C_, out=scratch), -2, keepdim=True, out=y_)
        ctx.save_for_backward(A, x, delta, B, C, starts)
        ctx.zoh = zoh
        return y, state.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_y, carry):
        A, x, delta, B, C, starts = ctx.saved_tensors
        rate = _rate(A)
        size, chunks, buffers = _workspace(carry, x.shape[1], 4)
        recur = _Recurrence(*buffers[:3], chunks)
        recur_back = _Recurrence(buffers[0], *buffers[3:1:-1], chunks, backward=True)
        grad_A, grad_x, grad_delta = torch.zeros_like(A), torch.empty_like(x), torch.empty_like(x)
        grad_B, grad_C = (m.new_empty(m.shape) for m in (B, C))
        tensors = x, delta, B, C, grad_y, grad_x, grad_delta, grad_B, grad_C
        blocks = zip(_blocks(size, *tensors), starts, strict=True)
        for block, start in reversed(list(blocks)):
            x_, delta_, B_, C_, grad_y_, grad_x_, grad_delta_, grad_B_, grad_C_ = block
            decay, states, scratch, grad = (m[: len(x_)] for m in buffers)
            weight = _discretize(A, rate, x_, delta_, B_, start, ctx.zoh, decay, states)
            recur(len(x_))
            torch.mul(grad_y_, C_, out=grad)[-1] += carry
            recur_back(len(x_))
            carry = decay[0] * grad[0]

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
            exponent[0] *= start
            exponent[1:] *= states[:-1]
            grad_A += torch.mul(exponent, delta_, out=scratch).sum((0, 1))
            grad_delta_ += torch.mul(exponent, A, out=scratch).sum(-2, keepdim=True)
        return grad_A, grad_x, grad_delta, grad_B, grad_C, carry, None


def _rate(A: Tensor) -> Tensor:
    """A to the base 2: on CPUs, exp takes several times as long as exp2."""
    limits = torch.finfo(A.dtype)
    return (A * LOG2_E).clamp_(limits.min, limits.max)


def _workspace(state: Tensor, length: int, count: int) -> tuple[int, int, tuple[Tensor, ...]]:
    """Steps of a block, chunks that it is scanned in, and buffers for it with a step to spare."""
    blocks = math.ceil(length * state.numel() / BLOCK_ELEMENTS)
    size = math.ceil(length / blocks)
    chunks = math.isqrt(size) if state.numel() <= NARROW_ELEMENTS else 1
    steps = math.ceil(size / chunks) * chunks
    # one allocation: malloc would return several to the system, and get them back page by page
    return size, chunks, state.new_empty(count, steps + 1, *state.shape).unbind()


def _blocks(size: int, *tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """Views (steps, B, ...) of the tensors (B, L, ...), with `size` steps each."""
    return list(zip(*(m.transpose(0, 1).split(size) for m in tensors), strict=True))


def _discretize(A, rate, x, delta, B, start, zoh, decay, inputs) -> Tensor:
    """Writes decay and input of every step; the first input takes the state before it in.

    Returns the weight of B * x in the input: delta, or its exact counterpart.
    """
    torch.mul(delta, rate, out=decay).exp2_()
    weight = _exact_weight(A, delta) if zoh else delta
    torch.mul(B, weight * x, out=inputs)
    inputs[0].addcmul_(decay[0], start)
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


class _Recurrence:
    """Turns inputs (steps, B, ...) into states in place: s[t] += decay[t] * s[t - 1].

    Backward, s[t] += decay[t + 1] * s[t + 1]. Chunks of a block are scanned side by side, then
    joined. The views of the buffers are made once, since each costs as much as a narrow step.
    """

    def __init__(self, decay, states, scratch, chunks: int, backward: bool = False):
        order = -1 if backward else 1
        self.buffers = decay[1:] if backward else decay[:-1], states[:-1]
        split = [m.unflatten(0, (chunks, -1)) for m in (*self.buffers, scratch[:-1])]
        self.decays, self.states, self.products = (m.unbind(1)[::order] for m in split)
        self.ends = self.products[-1].unbind()[::order], self.states[-1].unbind()[::order]
        early, late = (slice(None, -1), slice(1, None))[::order]
        self.join = split[1][late, early], split[2][late, early], self.states[-1][early, None]
        self.chunks = chunks

    def __call__(self, steps: int) -> None:
        for buffer in self.buffers:
            buffer[steps:] = 0
        self._accumulate(self.decays, self.states)
        if self.chunks == 1:
            return
        self.products[0].copy_(self.decays[0])
        for t in range(1, len(self.decays)):
            torch.mul(self.products[t - 1], self.decays[t], out=self.products[t])
        self._accumulate(*self.ends)
        states, products, ends = self.join
        states.addcmul_(products, ends)

    @staticmethod
    def _accumulate(decays: Sequence[Tensor], states: Sequence[Tensor]) -> None:
        for t in range(1, len(states)):
            states[t].addcmul_(decays[t], states[t - 1])
