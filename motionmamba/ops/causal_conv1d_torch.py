"""The causal convolution in PyTorch operations, for processors without Triton."""

from itertools import groupby

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

ONEDNN_DTYPES = (torch.float32, torch.bfloat16)


def causal_conv1d_torch(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, silu: bool, reverse: tuple[bool, ...]
) -> Tensor:
    """`causal_conv1d` without states, in x's dtype."""
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    weights = weight.to(x.dtype), bias.to(x.dtype)
    y = _Convolution.apply(x.transpose(1, 2), *weights, reverse).transpose(1, 2)
    return F.silu(y, inplace=not y.requires_grad) if silu else y


class _Convolution(torch.autograd.Function):
    """x (B, L, D), weight (D, W), bias (D,) -> (B, L, D)."""

    @staticmethod
    def forward(ctx, x, weight, bias, reverse):
        ctx.save_for_backward(x, weight)
        ctx.reverse = reverse
        return _convolve(x, weight, bias, reverse)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        grad_weight = torch.zeros_like(weight)
        for tap, now, then in _products(x, weight, ctx.reverse):
            grad_weight[tap] = (grad[now] * x[then]).sum((0, 1))
        # the adjoint of a causal convolution is the same one, run the other way
        turned = tuple(not backward for backward in ctx.reverse)
        grad_x = _convolve(grad, weight, torch.zeros_like(weight[:, 0]), turned)
        return grad_x, grad_weight, grad.sum((0, 1)), None


def _convolve(x: Tensor, weight: Tensor, bias: Tensor, reverse: tuple[bool, ...]) -> Tensor:
    if x.is_cpu and x.dtype in ONEDNN_DTYPES and torch.backends.mkldnn.is_available():
        return _convolve_onednn(x, weight, bias, reverse)
    y = torch.addcmul(bias, x, weight[:, -1])
    for tap, now, then in _products(x, weight, reverse, start=1):
        y[now].addcmul_(x[then], weight[tap])
    return y


def _convolve_onednn(x: Tensor, weight: Tensor, bias: Tensor, reverse: tuple[bool, ...]) -> Tensor:
    """One kernel for both directions: the taps of the steps that a channel must not see are 0."""
    past = weight.shape[1] - 1
    groups = zip(weight.chunk(len(reverse)), reverse, strict=True)
    taps = [F.pad(m.flip(1), (past, 0)) if back else F.pad(m, (0, past)) for m, back in groups]
    taps = torch.cat(taps)[:, None, None]
    y = F.conv2d(x.mT[:, :, None], taps, bias, padding=(0, past), groups=len(weight))
    return y[:, :, 0].mT


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
