"""The Triton convolution against the reference: on a GPU, or else in Triton's interpreter."""

import pytest
import torch
from test_causal_conv1d import SHAPES, assert_matches_reference, make_inputs
from triton_device import DEVICE, needs_interpreter, needs_kernels, run_in_interpreter

from motionmamba.ops import causal_conv1d

pytest.importorskip("triton")

# the interpreter takes seconds for what a GPU does at once
FEW_SHAPES = SHAPES if DEVICE == "cuda" else SHAPES[1:4]


@needs_interpreter
def test_in_interpreter():
    run_in_interpreter(__file__)


@needs_kernels
@pytest.mark.parametrize("shape", SHAPES)
def test_matches_reference(shape):
    options = {"activation": "silu"}
    assert_matches_reference("triton", shape, torch.float32, options, device=DEVICE)


@needs_kernels
@pytest.mark.parametrize("shape", FEW_SHAPES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_matches_reference(shape, dtype):
    assert_matches_reference("triton", shape, dtype, {"activation": "silu"}, device=DEVICE)


@needs_kernels
@pytest.mark.parametrize("shape", FEW_SHAPES)
def test_matches_reference_without_options(shape):
    left_out = ("bias", "initial_state")
    options = {"reverse": False}
    assert_matches_reference("triton", shape, torch.float32, options, left_out, DEVICE)


@needs_kernels
def test_programs_of_several_tiles_match_reference(monkeypatch):
    monkeypatch.setattr("motionmamba.ops.causal_conv1d_triton.BACKWARD_PROGRAMS", 4)
    options = {"activation": "silu"}
    assert_matches_reference("triton", (3, 6, 20, 4, 2), torch.float32, options, device=DEVICE)


@needs_kernels
def test_keeps_dtype_and_channel_last_layout():
    inputs = make_inputs(2, 3, 6, 4, torch.bfloat16, DEVICE)
    del inputs["initial_state"]
    y = causal_conv1d(**inputs, backend="triton")
    assert y.dtype == torch.bfloat16 and y.stride() == inputs["x"].stride()


@needs_kernels
def test_takes_any_strides():
    inputs = make_inputs(2, 3, 6, 4, torch.float32, DEVICE)
    expected = causal_conv1d(**inputs, backend="triton")
    inputs = {name: torch.stack([x, x], -1)[..., 0] for name, x in inputs.items()}
    torch.testing.assert_close(causal_conv1d(**inputs, backend="triton"), expected)


@needs_kernels
def test_gradients_are_reproducible():
    inputs = make_inputs(2, 40, 20, 4, torch.float32, DEVICE)
    inputs = [x.requires_grad_() for x in inputs.values()][:3]

    def gradients():
        y = causal_conv1d(*inputs, "silu", backend="triton")
        return torch.autograd.grad(y.square().sum(), inputs)

    assert all(torch.equal(a, b) for a, b in zip(gradients(), gradients(), strict=True))


@needs_kernels
@pytest.mark.parametrize("value", [-1e4, -100.0, 100.0, 1e4])
def test_silu_and_gradients_stay_finite(value):
    x = torch.full((1, 2, 5), value, device=DEVICE).requires_grad_()
    y = causal_conv1d(x, torch.ones(2, 4, device=DEVICE), activation="silu", backend="triton")
    (grad,) = torch.autograd.grad(y.sum(), x)
    assert torch.isfinite(y).all() and torch.isfinite(grad).all()


@needs_kernels
@pytest.mark.parametrize(
    ("width", "dtype", "message"), [(9, torch.float32, "9"), (4, torch.float64, "float64")]
)
def test_unsupported_inputs_are_named_and_auto_avoids_them(width, dtype, message):
    inputs = make_inputs(1, 2, 3, width, dtype, DEVICE)
    with pytest.raises(ValueError, match=message):
        causal_conv1d(**inputs, backend="triton")
    expected = causal_conv1d(**inputs, backend="reference")
    torch.testing.assert_close(causal_conv1d(**inputs), expected)
