import pytest
import torch
from torch import nn
from torch.nn import functional as F

from motionmamba.models.layers import FEW_SEQUENCES, Attention, Linear, grouped_linear


@pytest.mark.parametrize("batch", [1, FEW_SEQUENCES])
@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_linear_is_linear_in_any_layout(batch, bias):
    layer = Linear(6, 5, bias=bias)
    channel_last = torch.randn(batch, 7, 6)
    for x in (channel_last, torch.randn(batch, 6, 7).mT, channel_last[:, 0]):
        y = layer(x)
        torch.testing.assert_close(y, F.linear(x, layer.weight, layer.bias))
        assert y.is_contiguous()


def test_linear_learns():
    layer, x = Linear(6, 5), torch.randn(FEW_SEQUENCES, 7, 6, requires_grad=True)
    layer(x).square().sum().backward()
    assert layer.weight.grad.abs().min() > 0 and x.grad.abs().min() > 0


@pytest.mark.parametrize("groups", [1, 3])
def test_each_group_has_a_matrix_of_its_own(groups):
    x = torch.randn(2, 7, groups, 9, dtype=torch.double)[..., 2:].requires_grad_()
    weight = torch.randn(groups, 7, 5, dtype=torch.double, requires_grad=True)
    y = grouped_linear(x, weight)
    torch.testing.assert_close(y, torch.einsum("blki,kio->blko", x, weight))
    assert y.is_contiguous() and torch.autograd.gradcheck(grouped_linear, (x, weight))


def test_groups_follow_autocast():
    x, weight = torch.randn(2, 7, 3, 4, requires_grad=True), torch.randn(3, 4, 5)
    with torch.autocast("cpu", torch.bfloat16):
        y = grouped_linear(x, weight)
    y.float().sum().backward()
    assert y.dtype == torch.bfloat16 and x.grad.dtype == torch.float32
    torch.testing.assert_close(y.float(), grouped_linear(x, weight), rtol=0.02, atol=0.05)


@pytest.mark.parametrize("batch", [2, FEW_SEQUENCES])
@pytest.mark.parametrize("zero", [True, False])
@torch.no_grad()
def test_attention_equals_multihead_attention(batch, zero):
    expected = nn.MultiheadAttention(8, 2, add_zero_attn=zero, batch_first=True).eval()
    nn.init.normal_(expected.in_proj_bias)
    attention = Attention(8, 2, dropout=0.5, add_zero_attn=zero).eval()
    attention.load_state_dict(expected.state_dict())
    x, context = torch.randn(batch, 5, 8), torch.randn(batch, 3, 8)
    mask = torch.rand(batch, 3) < 0.5
    mask[:, 0] = True
    y = expected(x, context, context, ~mask, need_weights=False)[0]
    torch.testing.assert_close(attention(x, context, mask), y)


@torch.no_grad()
def test_attention_to_nothing_but_zero_is_finite():
    attention = Attention(8, 2, dropout=0.0, add_zero_attn=True)
    y = attention(torch.randn(2, 5, 8), torch.randn(2, 3, 8), torch.zeros(2, 3, dtype=torch.bool))
    torch.testing.assert_close(y, attention.out_proj.bias.expand_as(y))
