"""The PyTorch selective scan against the reference, and the checks in front of all backends."""

import pytest
import torch
from torch.nn import functional as F

from motionmamba.ops import default_backend, selective_scan, selective_scan_torch


def make_inputs(batch, channels, length, state, groups, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    return {
        "u": normal(batch, length, channels).transpose(1, 2),
        "delta": normal(batch, channels, length),
        "A": -normal(channels, state).exp(),
        "B": normal(batch, groups, state, length),
        "C": normal(batch, length, groups, state).permute(0, 2, 3, 1),
        "D": normal(channels),
        "z": normal(batch, length, channels).transpose(1, 2),
        "delta_bias": normal(channels),
    }


SHAPES = [(1, 1, 1, 1, 1), (2, 6, 1, 3, 2), (2, 12, 37, 4, 3), (1, 5, 64, 16, 1), (3, 53, 9, 7, 1)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("optional", [True, False])
def test_torch_matches_reference_with_gradients(shape, reverse, optional):
    inputs = make_inputs(*shape)
    if not optional:
        for name in ("D", "z", "delta_bias"):
            del inputs[name]
        inputs["delta"] = inputs["delta"].abs()
    inputs = {name: x.requires_grad_() for name, x in inputs.items()}
    options = dict(delta_softplus=optional, reverse=reverse, return_last_state=True)
    expected = selective_scan(**inputs, **options, backend="reference")
    actual = selective_scan(**inputs, **options, backend="torch")
    torch.testing.assert_close(actual, expected)

    weights = [torch.randn_like(x) for x in expected]
    expected, actual = (
        torch.autograd.grad(outputs, list(inputs.values()), weights)
        for outputs in (expected, actual)
    )
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("block_elements", [1, 100, 1 << 20])
@pytest.mark.parametrize("narrow_elements", [0, 1 << 14])
def test_torch_schedules_agree(monkeypatch, block_elements, narrow_elements):
    monkeypatch.setattr(selective_scan_torch, "BLOCK_ELEMENTS", block_elements)
    monkeypatch.setattr(selective_scan_torch, "NARROW_ELEMENTS", narrow_elements)
    inputs = {name: x.requires_grad_() for name, x in make_inputs(2, 4, 23, 3, 2).items()}
    outputs = [selective_scan(**inputs, backend=name) for name in ("reference", "torch")]
    torch.testing.assert_close(outputs[1], outputs[0])
    expected, actual = (torch.autograd.grad(y.square().sum(), inputs.values()) for y in outputs)
    torch.testing.assert_close(actual, expected)


def test_torch_gradcheck():
    inputs = [x.requires_grad_() for x in make_inputs(1, 4, 5, 2, 2).values()]

    def scan(*tensors):
        return selective_scan(
            *tensors, delta_softplus=True, return_last_state=True, backend="torch"
        )

    assert torch.autograd.gradcheck(scan, inputs)


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_one_step_follows_the_definition(backend):
    x = make_inputs(2, 3, 1, 4, 1)
    y, state = selective_scan(**x, delta_softplus=True, return_last_state=True, backend=backend)
    dt = F.softplus(x["delta"] + x["delta_bias"][:, None])
    expected = dt * x["u"] * x["B"][:, 0].transpose(1, 2)
    torch.testing.assert_close(state, expected)
    y_expected = (expected * x["C"][:, 0].transpose(1, 2)).sum(-1, keepdim=True)
    y_expected = (y_expected + x["D"][:, None] * x["u"]) * F.silu(x["z"])
    torch.testing.assert_close(y, y_expected)


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_long_step_forgets_and_zero_step_remembers(backend):
    x = make_inputs(1, 2, 8, 3, 1)
    x["delta"] = torch.zeros(1, 2, 8, dtype=torch.float64)
    x["delta"][:, :, 2] = 1.0
    _, after_step = selective_scan(
        **{k: x[k] for k in ("u", "delta", "A", "B", "C")}, return_last_state=True, backend=backend
    )
    expected = x["u"][:, :, 2, None] * x["B"][:, 0, :, 2, None].transpose(1, 2)
    torch.testing.assert_close(after_step, expected)
    x["delta"][:, :, 5] = 1e4
    _, after_jump = selective_scan(
        **{k: x[k] for k in ("u", "delta", "A", "B", "C")}, return_last_state=True, backend=backend
    )
    expected = 1e4 * x["u"][:, :, 5, None] * x["B"][:, 0, :, 5, None].transpose(1, 2)
    torch.testing.assert_close(after_jump, expected)


def test_reverse_is_flip_scan_flip():
    x = make_inputs(2, 6, 11, 3, 2)
    flipped = {name: v.flip(-1) if v.ndim > 2 else v for name, v in x.items()}
    expected = selective_scan(**flipped, backend="reference").flip(-1)
    torch.testing.assert_close(selective_scan(**x, reverse=True, backend="reference"), expected)


def test_three_dimensional_matrices_are_one_group():
    x = make_inputs(2, 6, 11, 3, 1)
    expected = selective_scan(**x)
    x["B"], x["C"] = x["B"][:, 0], x["C"][:, 0]
    torch.testing.assert_close(selective_scan(**x), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_torch_keeps_dtype_and_sums_in_float32(dtype):
    x = make_inputs(2, 8, 40, 16, 2, dtype=torch.float32)
    x = {name: v if name in ("A", "D", "delta_bias") else v.to(dtype) for name, v in x.items()}
    y, state = selective_scan(**x, delta_softplus=True, return_last_state=True, backend="torch")
    assert y.dtype == dtype and state.dtype == torch.float32
    wide = {name: v.double() for name, v in x.items()}
    expected = selective_scan(**wide, delta_softplus=True, backend="reference")
    torch.testing.assert_close(y, expected.to(dtype))


def test_torch_is_exact_under_autocast():
    x = make_inputs(2, 8, 20, 4, 2, dtype=torch.float32)
    expected = selective_scan(**x, backend="torch")
    with torch.autocast("cpu", torch.bfloat16):
        actual = selective_scan(**x, backend="torch")
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


@pytest.mark.parametrize("raw", [-200.0, -30.0, -6.9, 0.0, 19.9, 20.1, 1000.0])
def test_softplus_and_gradients_stay_accurate_and_finite(raw):
    x = make_inputs(1, 4, 6, 3, 1, dtype=torch.float32)
    x["delta"] = torch.full_like(x["delta"], raw)
    x["delta_bias"] = torch.zeros(4)
    x = {name: v.requires_grad_() for name, v in x.items()}
    actual, expected = (
        selective_scan(**x, delta_softplus=True, backend=name) for name in ("torch", "reference")
    )
    torch.testing.assert_close(actual, expected)
    grads = torch.autograd.grad(actual.sum(), x.values())
    assert all(torch.isfinite(g).all() for g in grads)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("u", torch.zeros(2, 6), "u has shape"),
        ("u", torch.zeros(2, 6, 0), "non-empty"),
        ("A", torch.zeros(6, 3, dtype=torch.complex64), "expected real"),
        ("A", torch.zeros(5, 3), "A is"),
        ("B", torch.zeros(2, 4, 3, 5), "4 groups"),
        ("B", torch.zeros(3), "B has shape"),
        ("C", torch.zeros(2, 2, 4, 5), "C has shape"),
        ("D", torch.zeros(1), "D has shape"),
        ("z", torch.zeros(2, 6, 4), "z has shape"),
        ("delta_bias", torch.zeros(6, 1), "delta_bias has shape"),
        ("backend", "cuda", "expected one of auto"),
        ("backend", "triton", "use backend='torch'"),
    ],
)
def test_bad_arguments_are_named(name, value, message, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    inputs = make_inputs(2, 6, 5, 3, 2, dtype=torch.float32) | {name: value}
    with pytest.raises(ValueError, match=message):
        selective_scan(**inputs)


def test_default_backend_on_cpu_is_torch():
    assert default_backend("cpu") == "torch"
