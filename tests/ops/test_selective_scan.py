"""The selective scan's reference and PyTorch backends, and the checks in front of all backends."""

import numpy as np
import pytest
import torch
from scan_inputs import make_inputs
from torch.nn import functional as F

from motionmamba.ops import (
    selective_scan,
    selective_scan_torch,
    selective_state_update,
)

BACKENDS = ["reference", "torch"]
DISCRETIZATIONS = ["mamba", "zoh"]
TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 1e-2}

# (B, D, L, N, G)
SHAPES = [
    (2, 6, 1, 3, 2),
    (1, 5, 2, 1, 1),
    (2, 10, 3, 5, 5),
    (3, 7, 7, 16, 1),
    (2, 12, 64, 3, 2),
    (1, 10, 77, 5, 5),
    (2, 6, 200, 7, 1),
    (1, 6, 1000, 3, 1),
]


def plain(inputs):
    """Without what can be left away."""
    inputs = {name: inputs[name] for name in ("u", "delta", "A", "B", "C")}
    return inputs | {"delta": inputs["delta"].abs()}, {}


def backward(inputs):
    return inputs, dict(delta_softplus=True, reverse=True)


def ragged(inputs):
    batch, _, length = inputs["u"].shape
    groups = inputs["B"].shape[1]
    lengths = torch.linspace(length, length / 2, batch).int()
    reverse = [group % 2 == 0 for group in range(groups)]
    return inputs, dict(delta_softplus=True, reverse=reverse, lengths=lengths)


def exact(inputs):
    inputs, options = ragged(inputs)
    return inputs, options | dict(discretization="zoh")


VARIANTS = [plain, backward, ragged, exact]


def run(inputs, options, backend, grad_seed=1):
    """Output, last state and the gradients of all inputs, by name."""
    inputs = {name: x.detach().requires_grad_() for name, x in inputs.items()}
    results = selective_scan(**inputs, **options, return_last_state=True, backend=backend)
    generator = torch.Generator().manual_seed(grad_seed)
    weights = [torch.randn(x.shape, generator=generator).to(x.dtype) for x in results]
    grads = torch.autograd.grad(results, list(inputs.values()), weights)
    return dict(zip(["out", "state"], results, strict=True)) | dict(zip(inputs, grads, strict=True))


def assert_close(actual, expected, tolerance):
    """Compares norms of the differences, which are a fair measure of sums that cancel."""
    assert actual.keys() == expected.keys()
    for name, x in expected.items():
        error = (actual[name].double() - x).norm() / x.norm().clamp(min=1e-30)
        assert error <= tolerance, f"{name} is off by {error:.1e}"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_torch_matches_reference_with_gradients(shape, variant):
    for dtype, tolerance in TOLERANCES.items():
        inputs, options = variant(make_inputs(*shape, dtype=dtype, initial_state=True))
        actual = run(inputs, options, "torch")
        assert actual["out"].dtype == dtype
        assert actual["state"].dtype == torch.promote_types(dtype, torch.float32)
        wide = {name: x.double() for name, x in inputs.items()}
        assert_close(actual, run(wide, options, "reference"), tolerance)


@pytest.mark.parametrize("variant", VARIANTS)
def test_torch_gradcheck(variant):
    inputs, options = variant(make_inputs(2, 4, 5, 2, 2, initial_state=True))

    def scan(*tensors):
        tensors = dict(zip(inputs, tensors, strict=True))
        return selective_scan(**tensors, **options, return_last_state=True, backend="torch")

    assert torch.autograd.gradcheck(scan, [x.requires_grad_() for x in inputs.values()])


@pytest.mark.parametrize("variant", [plain, ragged])
@pytest.mark.parametrize("block_elements", [1, 100, 1 << 20])
@pytest.mark.parametrize("narrow_elements", [0, 1 << 14])
def test_torch_schedules_agree(monkeypatch, variant, block_elements, narrow_elements):
    monkeypatch.setattr(selective_scan_torch, "BLOCK_ELEMENTS", block_elements)
    monkeypatch.setattr(selective_scan_torch, "STEP_ELEMENTS", block_elements)
    monkeypatch.setattr(selective_scan_torch, "NARROW_ELEMENTS", narrow_elements)
    inputs, options = variant(make_inputs(3, 4, 23, 3, 2, initial_state=True))
    expected = run(inputs, options, "reference")
    assert_close(run(inputs, options, "torch"), expected, 1e-12)


def test_torch_does_not_save_states():
    inputs = make_inputs(2, 64, 512, 32, 1, dtype=torch.float32)
    inputs = {name: x.requires_grad_() for name, x in inputs.items()}
    saved = {}

    def pack(x):
        saved[x.data_ptr()] = x.numel()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        selective_scan(**inputs, delta_softplus=True, backend="torch")
    # a few tensors like u, and one state for many steps
    assert sum(saved.values()) < 12 * inputs["u"].numel()


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_step_follows_the_definition(backend):
    x = make_inputs(2, 3, 1, 4, 1, initial_state=True)
    y, state = selective_scan(**x, delta_softplus=True, return_last_state=True, backend=backend)
    dt = F.softplus(x["delta"] + x["delta_bias"][:, None])
    expected = torch.exp(dt * x["A"]) * x["initial_state"]
    expected = expected + dt * x["u"] * x["B"][:, 0].transpose(1, 2)
    torch.testing.assert_close(state, expected)
    y_expected = (expected * x["C"][:, 0].transpose(1, 2)).sum(-1, keepdim=True)
    y_expected = (y_expected + x["D"][:, None] * x["u"]) * F.silu(x["z"])
    torch.testing.assert_close(y, y_expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("discretization", DISCRETIZATIONS)
def test_long_step_forgets_and_zero_step_remembers(backend, discretization):
    inputs, _ = plain(make_inputs(1, 2, 8, 3, 1))
    options = dict(discretization=discretization, return_last_state=True, backend=backend)

    def last_state(**steps):
        delta = torch.zeros(1, 2, 8, dtype=torch.float64)
        for t, step in steps.items():
            delta[:, :, int(t[1:])] = step
        return selective_scan(**inputs | {"delta": delta}, **options)[1]

    torch.testing.assert_close(last_state(t2=1.0, t7=0.0), last_state(t2=1.0))
    torch.testing.assert_close(last_state(t2=1.0, t5=1e6), last_state(t5=1e6))
    assert (last_state(t2=1.0) - last_state(t2=1.0, t5=1.0)).abs().min() > 1e-6


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reverse", [False, True])
def test_pieces_are_the_whole(backend, reverse):
    def scan(inputs, ends):
        inputs = {name: x.clone().requires_grad_() for name, x in inputs.items()}
        by_step = {name: inputs[name] for name in ("u", "delta", "B", "C", "z")}
        pieces = {name: x.tensor_split(ends, -1) for name, x in by_step.items()}
        state, outputs = inputs["initial_state"], {}
        order = range(len(ends) + 1)
        for i in reversed(order) if reverse else order:
            outputs[i], state = selective_scan(
                **inputs | {name: x[i] for name, x in pieces.items()} | {"initial_state": state},
                delta_softplus=True,
                return_last_state=True,
                reverse=reverse,
                backend=backend,
            )
        out = torch.cat([outputs[i] for i in order], -1)
        loss = out.square().sum() + state.square().sum()
        return out, state, *torch.autograd.grad(loss, list(inputs.values()))

    inputs = make_inputs(2, 6, 29, 3, 2, initial_state=True)
    torch.testing.assert_close(scan(inputs, [1, 8, 17]), scan(inputs, []))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("groups", [None, 1, 2])
@pytest.mark.parametrize("discretization", DISCRETIZATIONS)
def test_updates_are_the_whole(backend, groups, discretization):
    inputs = make_inputs(2, 6, 9, 3, groups or 1, initial_state=True)
    if groups is None:
        inputs["B"], inputs["C"] = inputs["B"][:, 0], inputs["C"][:, 0]
    options = dict(discretization=discretization, backend=backend)
    expected, last = selective_scan(
        **inputs, **options, delta_softplus=True, return_last_state=True
    )
    # a state that is a view, as in a cache of many layers
    cache = torch.stack([inputs["initial_state"]] * 2)
    state = cache[1]
    outputs = []
    for t in range(9):
        u, delta, B, C, z = (inputs[name][..., t] for name in ("u", "delta", "B", "C", "z"))
        A, D, bias = inputs["A"], inputs["D"], inputs["delta_bias"]
        out = selective_state_update(
            state, u, delta, A, B, C, D, z, bias, dt_softplus=True, **options
        )
        outputs.append(out)
    torch.testing.assert_close(torch.stack(outputs, -1), expected)
    torch.testing.assert_close(cache[1], last)
    torch.testing.assert_close(cache[0], inputs["initial_state"], rtol=0, atol=0)


def test_update_needs_no_optional_argument_and_keeps_dtype():
    x, dt = torch.randn(2, 6, dtype=torch.bfloat16), torch.rand(2, 6, dtype=torch.bfloat16)
    A, B, C = -torch.rand(6, 3), torch.randn(2, 3), torch.randn(2, 3, requires_grad=True)
    state = torch.randn(2, 6, 3)
    expected = torch.exp(dt.float()[..., None] * A) * state
    expected = expected + (dt.float() * x.float())[..., None] * B[:, None]
    out = selective_state_update(state, x, dt, A, B, C)
    torch.testing.assert_close(state, expected)
    torch.testing.assert_close(out, (expected * C[:, None]).sum(-1).bfloat16())
    assert not out.requires_grad


def flip(inputs):
    keep = ("A", "D", "delta_bias", "initial_state")
    return {name: x if name in keep else x.flip(-1) for name, x in inputs.items()}


@pytest.mark.parametrize("backend", BACKENDS)
def test_reverse_is_flip_scan_flip(backend):
    x = make_inputs(2, 6, 11, 3, 2, initial_state=True)
    options = dict(delta_softplus=True, return_last_state=True, backend=backend)
    expected, expected_state = selective_scan(**flip(x), **options)
    actual = selective_scan(**x, reverse=True, **options)
    torch.testing.assert_close(actual, (expected.flip(-1), expected_state))


@pytest.mark.parametrize("backend", BACKENDS)
def test_groups_may_run_in_different_directions(backend):
    x = make_inputs(2, 6, 11, 3, 2, initial_state=True)
    options = dict(delta_softplus=True, return_last_state=True, backend=backend)
    forward, backward = (selective_scan(**x, reverse=r, **options) for r in (False, True))
    expected = [torch.cat([f[:, :3], b[:, 3:]], 1) for f, b in zip(forward, backward, strict=True)]
    actual = selective_scan(**x, reverse=[False, True], **options)
    torch.testing.assert_close(list(actual), expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("discretization", DISCRETIZATIONS)
def test_lengths_are_sequences_alone(backend, reverse, discretization):
    inputs = make_inputs(4, 6, 11, 3, 2, initial_state=True)
    options = dict(reverse=reverse, discretization=discretization, backend=backend)
    options |= dict(delta_softplus=True, return_last_state=True)
    lengths = torch.tensor([11, 4, 1, 0])
    inputs = {name: x.requires_grad_() for name, x in inputs.items()}
    out, state = selective_scan(**inputs, lengths=lengths, **options)
    by_step = {name: x for name, x in inputs.items() if name in ("u", "delta", "B", "C", "z")}
    grads = torch.autograd.grad(out.sum() + state.sum(), list(by_step.values()))
    for i, length in enumerate(lengths.tolist()):
        assert not out[i, :, length:].any()
        assert not any(grad[i, ..., length:].any() for grad in grads)
        if length:
            alone = {name: x[i : i + 1, ..., :length] for name, x in by_step.items()}
            alone["initial_state"] = inputs["initial_state"][i : i + 1]
            expected = selective_scan(**inputs | alone, **options)
            torch.testing.assert_close((out[i : i + 1, :, :length], state[i : i + 1]), expected)
        else:
            torch.testing.assert_close(state[i], inputs["initial_state"][i])


def test_lengths_beyond_the_end_are_the_end():
    inputs = make_inputs(2, 6, 11, 3, 2)
    actual = selective_scan(**inputs, lengths=torch.tensor([11, 300]))
    torch.testing.assert_close(actual, selective_scan(**inputs))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("rate", [0.0, -1e-38, -1e-12, -1e-4, -0.34, -0.36, -5.0, 0.5])
def test_zoh_integrates_the_decay(backend, dtype, rate):
    step = 0.7
    delta = torch.full((1, 1, 1), step, dtype=dtype, requires_grad=True)
    A = torch.full((1, 1), rate, dtype=dtype, requires_grad=True)
    one = torch.ones(1, 1, 1, dtype=dtype)
    weight = selective_scan(one, delta, A, one, one, discretization="zoh", backend=backend)
    # the integral of exp(s * A) over s from 0 to delta, by Gauss-Legendre quadrature
    nodes, weights = np.polynomial.legendre.leggauss(32)
    s, ds = step * (nodes + 1) / 2, step * weights / 2
    expected = (np.exp(s * rate) @ ds, (s * np.exp(s * rate)) @ ds, np.exp(step * rate))
    actual = (weight, *torch.autograd.grad(weight, (A, delta)))
    tolerance = 1e-12 if dtype == torch.float64 else 2e-6
    np.testing.assert_allclose([x.item() for x in actual], expected, rtol=tolerance)


def test_zoh_is_close_to_mamba_at_small_steps():
    inputs, _ = plain(make_inputs(2, 6, 11, 3, 2))
    inputs["delta"] = inputs["delta"] * 1e-4
    mamba, zoh = (selective_scan(**inputs, discretization=name) for name in DISCRETIZATIONS)
    torch.testing.assert_close(zoh, mamba, rtol=1e-2, atol=1e-6)
    assert not torch.equal(zoh, mamba)


RAW_STEPS = [-1e30, -1e4, -200.0, -30.0, -6.9, 0.0, 19.9, 20.1, 1e3, 1e4, 1e30]
RATES = [0.0, -1e-30, -1e-12, -1e-3, -1.0, -50.0, -1e4, -1e30, -3e38]


@pytest.mark.parametrize("discretization", DISCRETIZATIONS)
@pytest.mark.parametrize("lengths", [None, torch.tensor([9, 4])])
def test_extreme_steps_and_rates_stay_finite(discretization, lengths):
    inputs = make_inputs(2, len(RATES), 9, len(RATES), 1, dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    steps = torch.randint(len(RAW_STEPS), inputs["delta"].shape, generator=generator)
    inputs["delta"] = torch.tensor(RAW_STEPS)[steps]
    inputs["A"] = torch.stack([torch.tensor(RATES).roll(i) for i in range(len(RATES))])
    options = dict(delta_softplus=True, discretization=discretization, lengths=lengths)
    actual = run(inputs, options, "torch")
    wide = {name: x.double() for name, x in inputs.items()}
    for name, expected in run(wide, options, "reference").items():
        fits = expected.abs() < torch.finfo(torch.float32).max
        assert fits.any() and actual[name][fits].isfinite().all(), name


@pytest.mark.parametrize("raw", [-80.0, -30.0, -6.9, -1.0, 0.0, 1.0, 19.9, 20.1, 1000.0])
def test_softplus_stays_accurate(raw):
    inputs = make_inputs(1, 4, 6, 3, 1, dtype=torch.float32)
    inputs["delta"] = torch.full_like(inputs["delta"], raw)
    inputs["delta_bias"] = torch.zeros(4)
    options = dict(delta_softplus=True)
    wide = {name: x.double() for name, x in inputs.items()}
    assert_close(run(inputs, options, "torch"), run(wide, options, "reference"), 1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_any_strides_are_handled(backend):
    x = make_inputs(2, 6, 11, 3, 2, initial_state=True)
    x["u"] = torch.randn(2, 1, 11, dtype=torch.float64).expand(-1, 6, -1)
    x["delta"] = torch.randn(6, 1, dtype=torch.float64).expand(2, 6, 11)
    x["A"] = -torch.rand(3, 1, dtype=torch.float64).expand(3, 6).T
    x["B"] = torch.randn(2, 4, 3, 22, dtype=torch.float64)[:, ::2, :, ::2]
    x["C"] = torch.randn((), dtype=torch.float64).expand(2, 2, 3, 11)
    x["D"] = torch.randn(12, dtype=torch.float64)[::2]
    x["z"] = torch.randn(11, 6, 2, dtype=torch.float64).permute(2, 1, 0)
    x["initial_state"] = torch.randn(3, 6, 2, dtype=torch.float64).transpose(0, 2)
    contiguous = {name: v.contiguous() for name, v in x.items()}
    options = dict(reverse=[True, False], delta_softplus=True)
    expected = run(contiguous, options, backend)
    assert_close(run(x, options, backend), expected, 1e-12)


def test_three_dimensional_matrices_are_one_group():
    x = make_inputs(2, 6, 11, 3, 1)
    expected = selective_scan(**x)
    for names in ("BC", "B", "C"):
        narrow = {name: x[name][:, 0] for name in names}
        torch.testing.assert_close(selective_scan(**x | narrow), expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(backend, dtype):
    x = make_inputs(2, 8, 40, 16, 2, dtype=dtype)
    y, state = selective_scan(**x, delta_softplus=True, return_last_state=True, backend=backend)
    assert y.dtype == dtype and state.dtype == torch.float32
    wide = {name: v.double() for name, v in x.items()}
    expected = selective_scan(**wide, delta_softplus=True, backend="reference")
    torch.testing.assert_close(y, expected.to(dtype))


def test_torch_is_exact_under_autocast():
    x = make_inputs(2, 8, 20, 4, 2, dtype=torch.float32)
    expected = run(x, dict(delta_softplus=True), "torch")
    with torch.autocast("cpu", torch.bfloat16):
        actual = run(x, dict(delta_softplus=True), "torch")
    assert_close(actual, expected, 0)


def test_torch_is_reproducible():
    inputs, options = ragged(make_inputs(2, 12, 77, 5, 2, dtype=torch.float32, initial_state=True))
    first, second = (run(inputs, options, "torch") for _ in range(2))
    assert all(torch.equal(x, second[name]) for name, x in first.items())


def zeros(*shape, **options):
    return torch.zeros(*shape, **options)


BAD_ARGUMENTS = [
    ("u", zeros(2, 6), ValueError, r"u has shape \(2, 6\), expected a non-empty \(B, D, L\)"),
    ("u", zeros(2, 6, 0), ValueError, "non-empty"),
    ("u", zeros(2, 6, 5, dtype=torch.int64), TypeError, "u is torch.int64, expected real"),
    ("u", zeros(2, 6, 5).to(torch.float8_e4m3fn), TypeError, "u is torch.float8_e4m3fn"),
    ("u", [[0.0]], TypeError, "u is a list, expected a torch.Tensor"),
    ("delta", None, TypeError, "delta is a NoneType"),
    ("delta", zeros(2, 6, 4), ValueError, r"delta has shape \(2, 6, 4\), expected \(2, 6, 5\)"),
    ("A", zeros(6, 3, dtype=torch.complex64), TypeError, "A is torch.complex64, expected real"),
    ("A", zeros(5, 3), ValueError, r"A has shape \(5, 3\), expected \(6, N\)"),
    ("A", zeros(6, 0), ValueError, "A has shape"),
    ("A", zeros(6, 3, device="meta"), ValueError, "A is on meta, expected cpu, where u is"),
    ("B", zeros(2, 4, 3, 5), ValueError, "B has 4 groups, which do not divide the 6 channels of u"),
    ("B", zeros(2, 0, 3, 5), ValueError, "B has 0 groups"),
    ("B", zeros(3), ValueError, r"B has shape \(3,\), expected \(2, 3, 5\)"),
    ("B", zeros(2, 4, 5), ValueError, r"B has shape \(2, 4, 5\), expected \(2, 3, 5\)"),
    ("C", zeros(2, 2, 4, 5), ValueError, r"C has shape \(2, 2, 4, 5\), expected \(2, 2, 3, 5\)"),
    ("C", zeros(2, 3, 5), ValueError, r"C has shape \(2, 3, 5\), expected \(2, 2, 3, 5\)"),
    ("D", zeros(1), ValueError, "D has shape"),
    ("D", 1.0, TypeError, "D is a float"),
    ("z", zeros(2, 6, 4), ValueError, "z has shape"),
    ("z", zeros(2, 6, 5, dtype=torch.bool), TypeError, "z is torch.bool"),
    ("delta_bias", zeros(6, 1), ValueError, "delta_bias has shape"),
    ("initial_state", zeros(2, 3, 6), ValueError, "initial_state has shape"),
    ("initial_state", zeros(2, 6, 3, device="meta"), ValueError, "initial_state is on meta"),
    ("lengths", [5, 3], TypeError, "lengths is a list"),
    ("lengths", zeros(2), TypeError, "lengths are torch.float32, expected integers"),
    ("lengths", zeros(2, dtype=torch.bool), TypeError, "lengths are torch.bool"),
    ("lengths", zeros(3, dtype=torch.int64), ValueError, r"lengths has shape \(3,\)"),
    ("lengths", zeros(2, dtype=torch.int64, device="meta"), ValueError, "lengths is on meta"),
    ("reverse", [True], ValueError, "reverse has 1 values"),
    ("reverse", 1, TypeError, "reverse is a int, expected a bool or 2 bools"),
    ("discretization", "euler", ValueError, "discretization is 'euler'"),
    ("backend", "cuda", ValueError, "expected one of auto"),
    ("backend", "triton", ValueError, "use backend='torch'"),
]


@pytest.mark.parametrize(("name", "value", "error", "message"), BAD_ARGUMENTS)
def test_bad_arguments_are_named(name, value, error, message, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    inputs = make_inputs(2, 6, 5, 3, 2, dtype=torch.float32) | {name: value}
    with pytest.raises(error, match=message):
        selective_scan(**inputs)


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("state", None, TypeError, "state is a NoneType"),
        ("state", zeros(2, 6, 4), ValueError, r"state has shape \(2, 6, 4\), expected \(2, 6, 3\)"),
        ("state", zeros(2, 6, 3, device="meta"), ValueError, "state is on meta"),
        (
            "x",
            zeros(2, 6, 1),
            ValueError,
            r"x has shape \(2, 6, 1\), expected a non-empty \(B, D\)",
        ),
        ("x", zeros(2, 6, dtype=torch.int32), TypeError, "x is torch.int32"),
        ("dt", zeros(2, 1), ValueError, r"dt has shape \(2, 1\), expected \(2, 6\)"),
        ("A", zeros(6), ValueError, "A has shape"),
        (
            "B",
            zeros(2, 4, 3),
            ValueError,
            "B has 4 groups, which do not divide the 6 channels of x",
        ),
        ("C", zeros(2, 3), ValueError, r"C has shape \(2, 3\), expected \(2, 2, 3\)"),
        ("dt_bias", zeros(5), ValueError, "dt_bias has shape"),
        ("discretization", "euler", ValueError, "discretization is 'euler'"),
    ],
)
def test_bad_arguments_of_an_update_are_named(name, value, error, message):
    inputs = dict(state=zeros(2, 6, 3), x=zeros(2, 6), dt=zeros(2, 6), A=zeros(6, 3))
    inputs |= dict(B=zeros(2, 2, 3), C=zeros(2, 2, 3), D=zeros(6), z=zeros(2, 6))
    with pytest.raises(error, match=message):
        selective_state_update(**inputs | {name: value})
