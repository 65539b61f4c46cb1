"""The causal convolution against PyTorch's."""

import pytest
import torch
from torch.nn import functional as F

from motionmamba.ops import causal_conv1d


def make_inputs(batch, channels, length, width, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (
        torch.randn(*shape, generator=generator, dtype=dtype)
        for shape in ((batch, length, channels), (channels, width), (channels,))
    )
    return x.transpose(1, 2), weight, bias


def padded_conv1d(x, weight, bias):
    width = weight.shape[1]
    return F.conv1d(F.pad(x, (width - 1, 0)), weight[:, None], bias, groups=x.shape[1])


SHAPES = [(1, 1, 1, 1), (2, 3, 1, 4), (2, 5, 3, 4), (3, 7, 4, 4), (2, 4, 33, 2)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("activation", [None, "silu"])
@pytest.mark.parametrize("reverse", [False, True])
def test_matches_padded_conv1d_with_gradients(shape, activation, reverse):
    inputs = [x.requires_grad_() for x in make_inputs(*shape)]
    x, weight, bias = inputs
    expected = padded_conv1d(x.flip(-1) if reverse else x, weight, bias)
    expected = expected.flip(-1) if reverse else expected
    expected = F.silu(expected) if activation else expected
    actual = causal_conv1d(x, weight, bias, activation, reverse)
    torch.testing.assert_close(actual, expected)

    direction = torch.randn_like(expected)
    expected, actual = (torch.autograd.grad(y, inputs, direction) for y in (expected, actual))
    torch.testing.assert_close(actual, expected)


def test_without_bias():
    x, weight, _ = make_inputs(2, 3, 6, 4)
    torch.testing.assert_close(causal_conv1d(x, weight), padded_conv1d(x, weight, None))


@pytest.mark.parametrize("reverse", [False, True])
def test_sees_only_one_side(reverse):
    x, weight, bias = make_inputs(1, 3, 9, 4)
    before = causal_conv1d(x, weight, bias, reverse=reverse)
    changed = x.clone()
    changed[..., 4] += 1
    moved = (causal_conv1d(changed, weight, bias, reverse=reverse) != before).any(1)[0]
    assert moved.nonzero().flatten().tolist() == ([1, 2, 3, 4] if reverse else [4, 5, 6, 7])


def test_keeps_dtype_and_channel_last_layout():
    x, weight, bias = make_inputs(2, 3, 6, 4, dtype=torch.float32)
    y = causal_conv1d(x.bfloat16(), weight, bias, activation="silu")
    assert y.dtype == torch.bfloat16 and y.stride() == x.stride()
    torch.testing.assert_close(
        y.float(), F.silu(padded_conv1d(x, weight, bias)), rtol=0.05, atol=0.05
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": torch.zeros(3, 6)}, "do not fit"),
        ({"weight": torch.zeros(2, 4)}, "do not fit"),
        ({"bias": torch.zeros(2)}, "bias has shape"),
        ({"activation": "relu"}, "expected None or 'silu'"),
    ],
)
def test_bad_arguments_are_named(changes, message):
    inputs = {"x": torch.zeros(2, 3, 6), "weight": torch.zeros(3, 4)} | changes
    with pytest.raises(ValueError, match=message):
        causal_conv1d(**inputs)
