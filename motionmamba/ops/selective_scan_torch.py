"""The selective scan in PyTorch operations, for processors without Triton.

The state of a block of time steps is laid out (B, L, G, N, D / G): channels are contiguous, so a
step is one multiply-add over contiguous memory. Blocks keep the working set in the cache, and
narrow states, whose steps would be all launch overhead, are scanned as parallel chunks.
"""

import math

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

BLOCK_ELEMENTS = 1 << 20
NARROW_ELEMENTS = 1 << 14


def selective_scan_torch(
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
    dtype = torch.promote_types(u.dtype, torch.float32)
    groups = B.shape[1]
    x, delta = (m.transpose(1, 2).to(dtype).contiguous() for m in (u, delta))
    B, C = (m.permute(0, 3, 1, 2).to(dtype) for m in (B, C))
    if delta_bias is not None:
        delta = delta + delta_bias.to(dtype)
    if delta_softplus:
        delta = _Softplus.apply(delta)
    inputs = [
        x.unflatten(2, (groups, 1, -1)),
        delta.unflatten(2, (groups, 1, -1)),
        B.unsqueeze(-1),
        C.unsqueeze(-1),
    ]
    if reverse:
        inputs = [m.flip(1) for m in inputs]
    A = A.to(dtype).unflatten(0, (groups, -1)).transpose(1, 2).contiguous()

    y, state = _Scan.apply(A, *inputs)
    if reverse:
        y = y.flip(1)
    y = y.flatten(2)
    if D is not None:
        y = torch.addcmul(y, x, D.to(dtype))
    if z is not None:
        y = y * F.silu(z.transpose(1, 2).to(dtype))
    return y.transpose(1, 2).to(u.dtype), state.transpose(-1, -2).flatten(1, 2)


class _Softplus(torch.autograd.Function):
    """F.softplus, whose log1p is several times slower on CPUs than this whole formula."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        exp = x.exp()
        shifted = 1 + exp
        # log(shifted) alone would lose exp's low digits; the quotient puts them back
        log1p = shifted.log().mul_(exp).div_(shifted - 1)
        log1p = torch.where(shifted == 1, exp, log1p)
        return torch.where(x > 20, x, log1p)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * x.sigmoid()


class _Scan(torch.autograd.Function):
    """A (G, N, D / G); x, delta (B, L, G, 1, D / G); B, C (B, L, G, N, 1) -> y like x, state.

    Saves its inputs and one state per block, and computes the other states again in `backward`.
    """

    @staticmethod
    def forward(ctx, A, x, delta, B, C):
        state = x.new_zeros(x.shape[0], *A.shape)
        y, starts = torch.empty_like(x), []
        blocks = _blocks(x.shape[1], state.numel())
        workspace = _workspace(A, x[:, blocks[0]])
        for block in blocks:
            starts.append(state)
            decay, states = _prepare(workspace, A, x[:, block], delta[:, block], B[:, block], state)
            _recur(decay, states)
            state = states[:, -1].clone()
            y[:, block] = torch.mul(states, C[:, block], out=decay).sum(-2, keepdim=True)
        ctx.save_for_backward(A, x, delta, B, C, *starts)
        return y, state

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_y, carry):
        A, x, delta, B, C, *starts = ctx.saved_tensors
        grad_A, grad_x, grad_delta = (torch.zeros_like(m) for m in (A, x, delta))
        grad_B, grad_C = (m.new_empty(m.shape) for m in (B, C))
        blocks = _blocks(x.shape[1], carry.numel())
        workspace = _workspace(A, x[:, blocks[0]])
        for block, start in zip(reversed(blocks), reversed(starts), strict=True):
            x_, delta_, B_, grad_y_ = (m[:, block] for m in (x, delta, B, grad_y))
            decay, states = _prepare(workspace, A, x_, delta_, B_, start)
            for t in range(1, states.shape[1]):
                states[:, t].addcmul_(decay[:, t], states[:, t - 1])
            grad = grad_y_ * C[:, block]
            grad[:, -1] += carry
            for t in reversed(range(states.shape[1] - 1)):
                grad[:, t].addcmul_(decay[:, t + 1], grad[:, t + 1])
            carry = decay[:, 0] * grad[:, 0]

            scratch = grad_y_ * states
            grad_C[:, block] = scratch.sum(-1, keepdim=True)
            grad_B[:, block] = torch.mul(grad, delta_ * x_, out=scratch).sum(-1, keepdim=True)
            grad_input = torch.mul(grad, B_, out=scratch).sum(-2, keepdim=True)
            # the exponent's gradient: grad * decay * previous state
            exponent = grad.mul_(decay)
            exponent[:, 0] *= start
            exponent[:, 1:] *= states[:, :-1]
            grad_A += torch.mul(exponent, delta_, out=scratch).sum((0, 1))
            grad_delta[:, block] = torch.mul(exponent, A, out=scratch).sum(-2, keepdim=True)
            grad_delta[:, block] += grad_input * x_
            grad_x[:, block] = grad_input * delta_
        return grad_A, grad_x, grad_delta, grad_B, grad_C


def _blocks(length: int, step_elements: int) -> list[slice]:
    """Equal slices of time, each of about BLOCK_ELEMENTS elements of state at most."""
    count = math.ceil(length * step_elements / BLOCK_ELEMENTS)
    size = math.ceil(length / count)
    return [slice(start, start + size) for start in range(0, length, size)]


def _workspace(A: Tensor, x: Tensor) -> Tensor:
    """Room for the decay and the states of the longest block, taken from the allocator once."""
    return x.new_empty(2, *x.shape[:2], *A.shape)


def _prepare(workspace, A, x, delta, B, state):
    """Decay and input of every step of a block; the first input takes the incoming state in."""
    decay, inputs = workspace[:, :, : x.shape[1]]
    torch.mul(delta, A, out=decay).exp_()
    torch.mul(B, delta * x, out=inputs)
    inputs[:, 0].addcmul_(decay[:, 0], state)
    return decay, inputs


def _recur(decay: Tensor, states: Tensor) -> None:
    """Turns inputs (B, L, ...) into states in place: s[t] += decay[t] * s[t - 1]; spoils decay."""
    length = states.shape[1]
    done = 1
    if states[:, 0].numel() <= NARROW_ELEMENTS:
        size = math.isqrt(length)
        done = length // size * size
        _recur_chunks(*(m[:, :done].unflatten(1, (-1, size)) for m in (decay, states)))
    for t in range(done, length):
        states[:, t].addcmul_(decay[:, t], states[:, t - 1])


def _recur_chunks(decay: Tensor, states: Tensor) -> None:
    """`_recur` over (B, chunks, chunk size, ...), all chunks at once, then joined."""
    for t in range(1, states.shape[2]):
        states[:, :, t].addcmul_(decay[:, :, t], states[:, :, t - 1])
        decay[:, :, t].mul_(decay[:, :, t - 1])
    for k in range(1, states.shape[1]):
        states[:, k, -1].addcmul_(decay[:, k, -1], states[:, k - 1, -1])
    states[:, 1:, :-1].addcmul_(decay[:, 1:, :-1], states[:, :-1, -1:])
