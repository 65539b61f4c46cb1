"""The causal depthwise convolution of Mamba."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def causal_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    activation: str | None = None,
    reverse: bool = False,
) -> Tensor:
    """Convolves every channel with its own W taps; the last tap weighs the current step.

    The same results as `causal_conv1d.causal_conv1d_fn`. Transposed views of channel-last tensors
    are the fastest layout and are not copied.

    Args:
        x: (B, D, L).
        weight: (D, W).
        bias: (D,).
        activation: None or "silu".
        reverse: whether a step sees the steps after it instead of those before it.

    Returns:
        (B, D, L) in x's dtype.

    Raises:
        ValueError: if a shape does not fit or the activation is unknown.
    """
    if x.ndim != 3 or weight.ndim != 2 or weight.shape[0] != x.shape[1]:
        raise ValueError(
            f"x {tuple(x.shape)} and weight {tuple(weight.shape)} do not fit, expected (B, D, L) "
            "and (D, W)."
        )
    if bias is not None and bias.shape != x.shape[1:2]:
        raise ValueError(f"bias has shape {tuple(bias.shape)}, expected ({x.shape[1]},).")
    if activation not in (None, "silu"):
        raise ValueError(f"activation is {activation!r}, expected None or 'silu'.")
    y = _Convolution.apply(x.transpose(1, 2), weight.to(x.dtype), reverse)
    if bias is not None:
        y = y + bias.to(x.dtype)
    if activation == "silu":
        y = F.silu(y)
    return y.transpose(1, 2)


class _Convolution(torch.autograd.Function):
    """x (B, L, D), weight (D, W) -> (B, L, D), as a sum of W shifted products."""

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
        for shift, now, then in _shifts(x, weight, ctx.reverse):
            grad_weight[:, -1 - shift] = (grad[:, now] * x[:, then]).sum((0, 1))
        # the adjoint of a causal convolution is the same one, run the other way
        return _convolve(grad, weight, not ctx.reverse), grad_weight, None


def _convolve(x: Tensor, weight: Tensor, reverse: bool) -> Tensor:
    y = x * weight[:, -1]
    for shift, now, then in _shifts(x, weight, reverse):
        if shift:
            y[:, now].addcmul_(x[:, then], weight[:, -1 - shift])
    return y


def _shifts(x: Tensor, weight: Tensor, reverse: bool):
    """Yields (shift, slice of outputs, slice of the inputs that many steps away) for each tap."""
    length = x.shape[1]
    for shift in range(min(weight.shape[1], length)):
        late, early = slice(shift, length), slice(0, length - shift)
        yield (shift, early, late) if reverse else (shift, late, early)
