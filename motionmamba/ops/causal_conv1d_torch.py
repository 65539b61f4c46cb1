"""The causal convolution in PyTorch operations, for processors without Triton."""

from itertools import groupby

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def causal_conv1d_torch(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, silu: bool, reverse: tuple[bool, ...]
) -> Tensor:
    """`causal_conv1d` without states, in x's dtype."""
    y = _Convolution.apply(x.transpose(1, 2), weight.to(x.dtype), reverse)
    if bias is not None:
        y = y + bias.to(x.dtype)
    if silu:
        y = F.silu(y)
    return y.transpose(1, 2)


class _Convolution(torch.autograd.Function):
    """x (B, L, D), weight (D, W) -> (B, L, D), as sums of W shifted products."""

    @staticmethod
    def forward(ctx, x, weight, reverse):
        ctx.save_for_backward(x, weight)
        ctx.reverse = reverse
        return _convolve(x, weight, reverse)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        grad_weight = torch.zeros_like(weight)
        for tap, now, then in _products(x, weight, ctx.reverse):
            grad_weight[tap] = (grad[now] * x[then]).sum((0, 1))
        # the adjoint of a causal convolution is the same one, run the other way
        turned = tuple(not backward for backward in ctx.reverse)
        return _convolve(grad, weight, turned), grad_weight, None


def _convolve(x: Tensor, weight: Tensor, reverse: tuple[bool, ...]) -> Tensor:
    y = x * weight[:, -1]
    for tap, now, then in _products(x, weight, reverse, start=1):
        y[now].addcmul_(x[then], weight[tap])
    return y


def _products(x: Tensor, weight: Tensor, reverse: tuple[bool, ...], start: int = 0):
    """Yields the index of a tap, of the steps it adds to and of those it weighs, for each shift."""
    (_, length, channels), end = x.shape, 0
    for backward, run in groupby(reverse):
        begin, end = end, end + len(list(run)) * channels // len(reverse)
        group = slice(begin, end)
        for shift in range(start, min(weight.shape[1], length)):
            late, early = slice(shift, length), slice(0, length - shift)
            now, then = (early, late) if backward else (late, early)
            yield (group, -1 - shift), (slice(None), now, group), (slice(None), then, group)
