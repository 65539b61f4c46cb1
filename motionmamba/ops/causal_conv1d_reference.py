"""The causal convolution by its definition: the measure of the fast backends."""

import torch
from torch import Tensor
from torch.nn import functional as F


def causal_conv1d_reference(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, silu: bool, reverse: tuple[bool, ...]
) -> Tensor:
    """`causal_conv1d` without states, in float64 if x is, else in float32."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    groups = x.to(dtype).chunk(len(reverse), 1), weight.to(dtype).chunk(len(reverse)), reverse
    y = torch.cat([_convolve(*group) for group in zip(*groups, strict=True)], 1)
    if bias is not None:
        y = y + bias.to(dtype)[:, None]
    if silu:
        y = F.silu(y)
    return y.to(x.dtype)


def _convolve(x: Tensor, weight: Tensor, reverse: bool) -> Tensor:
    if reverse:
        return _convolve(x.flip(-1), weight, False).flip(-1)
    width, length = weight.shape[1], x.shape[-1]
    past = F.pad(x, (width - 1, 0))
    return sum(weight[:, k, None] * past[..., k : k + length] for k in range(width))
