"""The Triton selective scan against the reference: on a GPU, or else in Triton's interpreter.

Triton reads TRITON_INTERPRET when it is imported, so the interpreter runs in a process of its own.
"""

import os
import subprocess
import sys

import pytest
import torch

from motionmamba.ops import selective_scan

pytest.importorskip("triton")

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cuda" if torch.cuda.is_available() and not INTERPRETED else "cpu"
needs_kernels = pytest.mark.skipif(
    DEVICE == "cpu" and not INTERPRETED, reason="runs inside test_in_interpreter"
)

# (B, D, L, N, G): padded N and channels, one step, whole and broken chunks of time
SHAPES = [(1, 3, 1, 5, 1), (2, 12, 9, 4, 3), (1, 53, 8, 16, 1), (2, 10, 17, 3, 2)]


@pytest.mark.skipif(DEVICE == "cuda" or INTERPRETED, reason="the kernels are tested directly")
def test_in_interpreter():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def make_inputs(shape, dtype=torch.float32):
    batch, channels, length, state, groups = shape
    generator = torch.Generator().manual_seed(0)

    def normal(*sizes, dtype=dtype):
        return torch.randn(*sizes, generator=generator).to(DEVICE, dtype)

    return {
        "u": normal(batch, length, channels).transpose(1, 2),
        "delta": normal(batch, channels, length),
        "A": -normal(channels, state, dtype=torch.float32).exp(),
        "B": normal(batch, groups, state, length),
        "C": normal(batch, length, groups, state).permute(0, 2, 3, 1),
        "D": normal(channels, dtype=torch.float32),
        "z": normal(batch, length, 2 * channels).transpose(1, 2)[:, channels:],
        "delta_bias": normal(channels, dtype=torch.float32),
    }


@needs_kernels
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("optional", "reverse"), [(True, False), (True, True), (False, False)])
def test_matches_reference_with_gradients(shape, optional, reverse):
    inputs = make_inputs(shape)
    if not optional:
        for name in ("D", "z", "delta_bias"):
            del inputs[name]
        inputs["delta"] = inputs["delta"].abs()
    inputs = {name: x.requires_grad_() for name, x in inputs.items()}
    options = dict(delta_softplus=optional, reverse=reverse, return_last_state=True)
    expected = selective_scan(**inputs, **options, backend="reference")
    actual = selective_scan(**inputs, **options, backend="triton")
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)

    weights = [torch.randn_like(x) for x in expected]
    expected, actual = (
        torch.autograd.grad(outputs, list(inputs.values()), weights)
        for outputs in (expected, actual)
    )
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


@needs_kernels
def test_keeps_layout_and_dtype():
    x = make_inputs((2, 6, 5, 4, 2), torch.bfloat16)
    with torch.no_grad():
        y, state = selective_scan(**x, return_last_state=True, backend="triton")
        expected = selective_scan(**x, backend="reference")
    assert y.dtype == torch.bfloat16 and y.stride() == x["u"].stride()
    assert state.dtype == torch.float32
    torch.testing.assert_close(y, expected)


@needs_kernels
@pytest.mark.parametrize("raw", [-200.0, -6.9, 19.9, 1000.0])
def test_softplus_and_gradients_stay_accurate_and_finite(raw):
    x = make_inputs((1, 4, 5, 3, 1))
    x["delta"] = torch.full_like(x["delta"], raw)
    x["delta_bias"] = torch.zeros_like(x["delta_bias"])
    x = {name: v.requires_grad_() for name, v in x.items()}
    actual, expected = (
        selective_scan(**x, delta_softplus=True, backend=name) for name in ("triton", "reference")
    )
    torch.testing.assert_close(actual, expected)
    grads = torch.autograd.grad(actual.sum(), x.values())
    assert all(torch.isfinite(g).all() for g in grads)


@needs_kernels
@pytest.mark.parametrize(
    ("state", "dtype", "message"), [(33, torch.float32, "33"), (4, torch.float64, "float64")]
)
def test_unsupported_inputs_are_named(state, dtype, message):
    inputs = make_inputs((1, 2, 3, state, 1), dtype)
    with pytest.raises(ValueError, match=message):
        selective_scan(**inputs, backend="triton")
