"""Linear layers and attention in a form that runs fast on all processors."""

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

FEW_SEQUENCES = 16  # fewer convolutions of width one are left to MKL, too


def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """`F.linear`; on CPUs, batches (B, L, D) without gradients run as convolutions of width one.

    They are oneDNN's, while `F.linear` is MKL's, which leaves AVX-512 out unless Intel made the
    processor, and takes twice as long.
    """
    if x.ndim == 3 and _convolution_is_faster(x):
        return _convolve(x, weight, bias)
    return F.linear(x, weight, bias)


def _convolution_is_faster(x: torch.Tensor) -> bool:
    return (
        x.is_cpu
        and x.dtype == torch.float32
        and len(x) >= FEW_SEQUENCES
        and not torch.is_grad_enabled()
        and torch.backends.mkldnn.is_available()
    )


def _convolve(x: torch.Tensor, weight: torch.Tensor, bias=None, groups: int = 1) -> torch.Tensor:
    """x (B, L, D) by weight (F, D / groups) to (B, L, F)."""
    image = x.contiguous().mT[:, :, None]
    return F.conv2d(image, weight[:, :, None, None], bias, groups=groups)[:, :, 0].mT


class Linear(nn.Linear):
    """`nn.Linear` by `linear`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return linear(x, self.weight, self.bias)


def grouped_linear(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Each group by a matrix of its own: x (B, L, K, E) by weight (K, E, F) to (B, L, K, F)."""
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, weight = x.to(dtype), weight.to(dtype)
    if _convolution_is_faster(x):
        groups, _, size = weight.shape
        y = _convolve(x.flatten(2), weight.mT.flatten(0, 1), groups=groups)
        return y.unflatten(2, (groups, size))
    return _GroupedLinear.apply(x.flatten(0, 1), weight).unflatten(0, x.shape[:2])


class _GroupedLinear(torch.autograd.Function):
    """One product for each group; for gradients of the weights, one for all pairs of groups.

    Only the pairs of a group with itself are wanted. But these few sums over all tokens of a batch
    are what libraries are slow at group by group, 30 times on an H100.
    """

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return _by_group(x, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        pairs = x.flatten(1).mT @ grad.flatten(1)
        pairs = pairs.unflatten(0, weight.shape[:2]).unflatten(2, (len(weight), -1))
        return _by_group(grad, weight.mT), pairs.diagonal(dim1=0, dim2=2).permute(2, 0, 1)


def _by_group(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """x (M, K, E) by weight (K, E, F) to (M, K, F), contiguous, as scans read it."""
    y = x.new_empty(*x.shape[:2], weight.shape[2])
    torch.bmm(x.transpose(0, 1), weight, out=y.transpose(0, 1))
    return y


class Attention(nn.MultiheadAttention):
    """`nn.MultiheadAttention` by `linear`, with the same parameters and results."""

    def __init__(self, d_model: int, num_heads: int, dropout: float, add_zero_attn: bool = False):
        super().__init__(d_model, num_heads, dropout, add_zero_attn=add_zero_attn, batch_first=True)

    def forward(
        self, x: torch.Tensor, context: torch.Tensor, context_mask: torch.Tensor
    ) -> torch.Tensor:
        """Maps x (B, L, D) to (B, L, D), given context (B, S, D) and its mask (B, S)."""
        d_model, heads = self.embed_dim, (-1, self.head_dim)
        weight, bias = self.in_proj_weight, self.in_proj_bias
        query = linear(x, weight[:d_model], bias[:d_model])
        key, value = linear(context, weight[d_model:], bias[d_model:]).chunk(2, -1)
        if self.add_zero_attn:
            key, value = (F.pad(m, (0, 0, 0, 1)) for m in (key, value))
            context_mask = F.pad(context_mask, (0, 1), value=True)
        y = F.scaled_dot_product_attention(
            *(m.unflatten(2, heads).transpose(1, 2) for m in (query, key, value)),
            context_mask[:, None, None],
            self.dropout if self.training else 0.0,
        )
        y = y.transpose(1, 2).flatten(2)
        return linear(y, self.out_proj.weight, self.out_proj.bias)
