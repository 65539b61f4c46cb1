"""The Triton scan of Mamba-2 against the reference: on a GPU, or else in Triton's interpreter."""

import pytest
import torch
from test_ssd import MIXED, SHAPES, assert_matches_reference, make_inputs
from triton_device import DEVICE, needs_interpreter, needs_kernels, run_in_interpreter

from motionmamba.ops import ssd

pytest.importorskip("triton")

if DEVICE == "cuda":
    SHAPES = [*SHAPES, (2, 200, 4, 64, 16, 1), (1, 200, 2, 128, 128, 2), (3, 50, 6, 64, 64, 3)]
# the interpreter takes seconds for what a GPU does at once
FEW_SHAPES = SHAPES if DEVICE == "cuda" else SHAPES[3:4]


@needs_interpreter
def test_in_interpreter():
    run_in_interpreter(__file__)


@needs_kernels
@pytest.mark.parametrize("shape", SHAPES)
def test_matches_reference(shape):
    lengths = torch.tensor([shape[1], (shape[1] + 1) // 2, 0], device=DEVICE)[: shape[0]]
    inputs = make_inputs(shape, torch.float32, DEVICE)
    assert_matches_reference(inputs, "triton", reverse=MIXED[shape[-1]], lengths=lengths)


@needs_kernels
@pytest.mark.parametrize("shape", FEW_SHAPES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_matches_reference(shape, dtype):
    assert_matches_reference(make_inputs(shape, dtype, DEVICE), "triton", limit=1e-2)


@needs_kernels
@pytest.mark.parametrize("length", [16, 33])
def test_matches_reference_without_options(length):
    inputs = make_inputs((2, length, 4, 5, 3, 2), torch.float32, DEVICE, initial_state=False)
    for name in ("D", "z", "dt_bias"):
        del inputs[name]
    inputs["dt"] = inputs["dt"].abs()
    assert_matches_reference(inputs, "triton", dt_softplus=False, chunk_size=16)


@needs_kernels
def test_blocks_of_wide_heads_and_states_match_reference():
    inputs = make_inputs((1, 17, 2, 70, 67, 1), torch.float32, DEVICE)
    assert_matches_reference(inputs, "triton", chunk_size=16)


@needs_kernels
def test_many_chunks_match_reference(monkeypatch):
    monkeypatch.setattr("motionmamba.ops.ssd_triton.LOADS", 2)
    monkeypatch.setattr("motionmamba.ops.ssd_triton.HANDED_ON", 16)
    inputs = make_inputs((1, 75, 2, 3, 7, 1), torch.float32, DEVICE)
    assert_matches_reference(inputs, "triton", chunk_size=16)


@needs_kernels
@pytest.mark.parametrize("programs", [1, 7])
def test_split_heads_match_reference(monkeypatch, programs):
    monkeypatch.setattr("motionmamba.ops.ssd_triton.SUMMING_PROGRAMS", programs)
    inputs = make_inputs((1, 9, 6, 3, 5, 2), torch.float32, DEVICE)
    assert_matches_reference(inputs, "triton", chunk_size=16)


@needs_kernels
def test_outputs_alone_need_no_last_state():
    x = make_inputs((2, 9, 4, 5, 3, 2), torch.float32, DEVICE, initial_state=False)
    x = {name: m.requires_grad_() for name, m in x.items()}
    outputs = [ssd(**x, dt_softplus=True, backend=name) for name in ("triton", "reference")]
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-4)
    grads = [torch.autograd.grad(out.square().sum(), x.values()) for out in outputs]
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-4)


@needs_kernels
def test_the_last_state_alone_has_gradients():
    x = make_inputs((1, 20, 2, 3, 4, 1), torch.float32, DEVICE)
    x = {name: m.requires_grad_() for name, m in x.items() if name not in ("C", "D", "z")}
    options = dict(C=x["B"].detach(), dt_softplus=True, return_last_state=True, chunk_size=16)
    actual, expected = (ssd(**x, **options, backend=name)[1] for name in ("triton", "reference"))
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)
    grads = [torch.autograd.grad(m.square().sum(), x.values()) for m in (actual, expected)]
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-4)


@needs_kernels
@pytest.mark.parametrize("dt", [-200.0, -6.9, 1e4])
@pytest.mark.parametrize("rate", [0.0, -1.0, -1e30])
def test_extremes_stay_finite(dt, rate):
    x = make_inputs((1, 20, 2, 3, 4, 1), torch.float32, DEVICE)
    x["dt"], x["A"] = torch.full_like(x["dt"], dt), torch.full_like(x["A"], rate)
    x["dt_bias"], x["x"] = torch.zeros_like(x["dt_bias"]), x["x"] / max(1.0, dt)
    x = {name: m.requires_grad_() for name, m in x.items()}
    options = dict(dt_softplus=True, return_last_state=True, chunk_size=16)
    actual, expected = (ssd(**x, **options, backend=name) for name in ("triton", "reference"))
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)
    grads = torch.autograd.grad(actual[0].sum() + actual[1].sum(), x.values())
    assert all(torch.isfinite(g).all() for g in grads)


@needs_kernels
def test_small_steps_after_a_large_one_are_exact():
    x = make_inputs((1, 64, 1, 2, 3, 1), torch.float32, DEVICE)
    x["dt"] = torch.full_like(x["dt"], 0.01)
    x["dt"][:, ::7] = 3e3
    del x["dt_bias"]
    assert_matches_reference(x, "triton", dt_softplus=False)


@needs_kernels
def test_gradients_are_reproducible():
    shape = (2, 200, 8, 64, 64, 1) if DEVICE == "cuda" else (1, 20, 4, 3, 5, 1)
    x = {name: m.requires_grad_() for name, m in make_inputs(shape, torch.float32, DEVICE).items()}
    first, second = (
        torch.autograd.grad(ssd(**x, dt_softplus=True, backend="triton").sum(), x.values())
        for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@needs_kernels
def test_keeps_layout_and_dtype():
    x = make_inputs((2, 6, 4, 8, 5, 2), torch.bfloat16, DEVICE)
    x["x"] = x["x"].transpose(1, 2).contiguous().transpose(1, 2)
    out, state = ssd(**x, return_last_state=True, backend="triton")
    assert out.dtype == torch.bfloat16 and out.stride() == x["x"].stride()
    assert state.dtype == torch.float32


@needs_kernels
def test_unsupported_inputs_are_named():
    with pytest.raises(ValueError, match="float64"):
        ssd(**make_inputs((1, 2, 2, 3, 4, 1), device=DEVICE), backend="triton")
    inputs = make_inputs((1, 2, 63, 1, 1, 63), torch.float32, DEVICE)
    with pytest.raises(ValueError, match="62 groups"):
        ssd(**inputs, reverse=[True] + [False] * 62, backend="triton")
