"""The PyTorch scan of Mamba-2 against the reference, and the checks in front of all backends."""

import pytest
import torch
from torch.nn import functional as F

from motionmamba.ops import selective_scan, ssd

# (B, L, H, P, N, G): widths and states that are no powers of two, whole and broken chunks
SHAPES = [
    (1, 1, 1, 1, 1, 1),
    (2, 2, 4, 5, 3, 2),
    (2, 3, 5, 3, 6, 5),
    (1, 7, 2, 20, 9, 1),
    (2, 64, 4, 6, 5, 2),
    (2, 77, 5, 7, 18, 5),
    (1, 200, 2, 33, 4, 1),
]
MIXED = {1: True, 2: (False, True), 3: (True, False, True), 5: (True, False, False, True, False)}
LIMITS = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}


def make_inputs(shape, dtype=torch.float64, device="cpu", initial_state=True):
    """Arguments of `ssd`, sliced from one tensor as in the model; the same for every dtype."""
    batch, length, heads, width, state, groups = shape
    generator = torch.Generator().manual_seed(0)
    wide = torch.promote_types(dtype, torch.float32)

    def normal(*sizes, dtype=dtype):
        return torch.randn(*sizes, generator=generator, dtype=torch.float64).to(device, dtype)

    matrices = normal(batch, length, 2, groups, state)
    inputs = {
        "x": normal(batch, length, 2, heads, width)[:, :, 1],
        "dt": normal(batch, heads, length).transpose(1, 2),
        "A": -normal(heads, dtype=wide).exp(),
        "B": matrices[:, :, 0],
        "C": matrices[:, :, 1],
        "D": normal(heads, dtype=wide),
        "z": normal(batch, heads, length, width).transpose(1, 2),
        "dt_bias": normal(heads, dtype=wide),
    }
    if initial_state:
        inputs["initial_state"] = normal(batch, heads, width, state, dtype=wide)
    return inputs


def error(actual, expected):
    """The norm of the difference over that of what is expected."""
    difference = (actual.double() - expected).norm()
    return (difference / expected.norm().clamp(min=1e-30)).item()


def assert_matches_reference(inputs, backend, limit=None, **options):
    """Outputs, states and all gradients, against the reference in float64."""
    limit = limit or LIMITS[inputs["x"].dtype]
    options = {"dt_softplus": True, "return_last_state": True} | options
    inputs = {name: x.detach().requires_grad_() for name, x in inputs.items()}
    exact = {name: x.detach().double().requires_grad_() for name, x in inputs.items()}
    expected = ssd(**exact, **options, backend="reference")
    actual = ssd(**inputs, **options, backend=backend)
    assert actual[0].dtype == inputs["x"].dtype and actual[1].dtype != torch.bfloat16
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(x.shape, generator=generator).to(x.device) for x in expected]
    weights = [w.to(x.dtype) for w, x in zip(weights, actual, strict=True)]
    expected_grads = torch.autograd.grad(
        expected, list(exact.values()), [w.double() for w in weights]
    )
    actual_grads = torch.autograd.grad(actual, list(inputs.values()), weights)
    names = ["out", "state", *(f"gradient of {name}" for name in inputs)]
    pairs = zip(names, [*actual, *actual_grads], [*expected, *expected_grads], strict=True)
    errors = {name: error(a, e) for name, a, e in pairs}
    assert all(value <= limit for value in errors.values()), errors


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", LIMITS)
def test_torch_matches_reference(shape, dtype):
    lengths = torch.tensor([shape[1], (shape[1] + 1) // 2])[: shape[0]]
    assert_matches_reference(make_inputs(shape, dtype), "torch", lengths=lengths)
    assert_matches_reference(make_inputs(shape, dtype), "torch", reverse=MIXED[shape[-1]])


def test_long_sequence_matches_reference():
    inputs = make_inputs((1, 1000, 2, 4, 3, 2), torch.float32)
    assert_matches_reference(inputs, "torch", reverse=(True, False))


def test_matches_reference_without_options():
    inputs = make_inputs((2, 20, 4, 5, 3, 2), initial_state=False)
    for name in ("D", "z", "dt_bias"):
        del inputs[name]
    inputs["dt"] = inputs["dt"].abs()
    assert_matches_reference(inputs, "torch", dt_softplus=False)


def test_skip_may_differ_within_a_head():
    inputs = make_inputs((2, 5, 2, 3, 4, 1))
    inputs["D"] = torch.randn(2, 3, dtype=torch.float64)
    assert_matches_reference(inputs, "torch")
    wide = ssd(**inputs | {"D": torch.tensor([[1.0] * 3, [2.0] * 3]).double()})
    torch.testing.assert_close(ssd(**inputs | {"D": torch.tensor([1.0, 2.0]).double()}), wide)


@pytest.mark.parametrize("chunk_size", [16, 128])
@pytest.mark.parametrize("block_elements", [1, 5000])
def test_torch_schedules_agree(monkeypatch, chunk_size, block_elements):
    monkeypatch.setattr("motionmamba.ops.ssd_torch.BLOCK_ELEMENTS", block_elements)
    inputs = make_inputs((2, 50, 4, 3, 5, 2))
    assert_matches_reference(inputs, "torch", reverse=(True, False), chunk_size=chunk_size)


def test_torch_gradcheck():
    inputs = {name: x.requires_grad_() for name, x in make_inputs((1, 18, 2, 2, 2, 1)).items()}

    def scan(*tensors):
        options = dict(dt_softplus=True, return_last_state=True, chunk_size=16)
        return ssd(**dict(zip(inputs, tensors, strict=True)), **options, backend="torch")

    assert torch.autograd.gradcheck(scan, tuple(inputs.values()))


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_equals_the_selective_scan_with_one_decay_in_a_head(backend):
    """Two operators of this package, written apart."""
    batch, length, heads, width, state, _ = shape = (2, 21, 6, 4, 5, 3)
    x = make_inputs(shape)
    out, last = ssd(**x, dt_softplus=True, return_last_state=True, backend=backend)

    def channels(m):
        return m.flatten(2).transpose(1, 2)

    per_channel = {name: x[name].repeat_interleave(width, -1) for name in ("A", "D", "dt_bias")}
    expected, expected_last = selective_scan(
        channels(x["x"]),
        x["dt"].repeat_interleave(width, -1).transpose(1, 2),
        per_channel["A"][:, None].expand(-1, state),
        x["B"].permute(0, 2, 3, 1),
        x["C"].permute(0, 2, 3, 1),
        per_channel["D"],
        channels(x["z"]),
        per_channel["dt_bias"],
        delta_softplus=True,
        return_last_state=True,
        initial_state=x["initial_state"].flatten(1, 2),
        backend="reference",
    )
    torch.testing.assert_close(channels(out), expected)
    torch.testing.assert_close(last.flatten(1, 2), expected_last)


@pytest.mark.parametrize("backend", ["reference", "torch"])
@pytest.mark.parametrize("reverse", [False, True])
def test_pieces_equal_the_whole(backend, reverse):
    x = make_inputs((2, 50, 4, 3, 5, 2))
    options = dict(dt_softplus=True, return_last_state=True, reverse=reverse, backend=backend)
    expected, expected_state = ssd(**x, **options)
    state, outputs = x["initial_state"], []
    edges = [0, 17, 18, 50]
    pieces = [slice(a, b) for a, b in zip(edges, edges[1:], strict=False)]
    for piece in reversed(pieces) if reverse else pieces:
        part = {
            name: m[:, piece] if name in ("x", "dt", "B", "C", "z") else m for name, m in x.items()
        }
        out, state = ssd(**part | {"initial_state": state}, **options)
        outputs.append(out)
    torch.testing.assert_close(torch.cat(outputs[::-1] if reverse else outputs, 1), expected)
    torch.testing.assert_close(state, expected_state)


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_reverse_is_flip_scan_flip(backend):
    x = make_inputs((2, 21, 4, 3, 5, 2))
    flipped = {
        name: m.flip(1) if name in ("x", "dt", "B", "C", "z") else m for name, m in x.items()
    }
    expected = ssd(**flipped, backend=backend).flip(1)
    torch.testing.assert_close(ssd(**x, reverse=True, backend=backend), expected)
    forward = ssd(**x, backend=backend)
    mixed = ssd(**x, reverse=(False, True), backend=backend)
    torch.testing.assert_close(mixed, torch.cat([forward[:, :, :2], expected[:, :, 2:]], 2))


@pytest.mark.parametrize("backend", ["reference", "torch"])
@pytest.mark.parametrize("reverse", [False, True])
def test_padding_is_as_if_it_were_not_there(backend, reverse):
    x = {name: m.requires_grad_() for name, m in make_inputs((3, 20, 4, 3, 5, 2)).items()}
    lengths = torch.tensor([20, 11, 0])
    options = dict(dt_softplus=True, return_last_state=True, reverse=reverse, backend=backend)
    out, state = ssd(**x, **options, lengths=lengths)
    grads = torch.autograd.grad(out.sum() + state.sum(), x.values())
    grads = dict(zip(x, grads, strict=True))
    assert not out[2].any() and torch.equal(state[2], x["initial_state"][2])
    steps = ("x", "dt", "B", "C", "z")
    alone = {name: m[1:2, :11] if name in steps else m for name, m in x.items()}
    alone["initial_state"] = x["initial_state"][1:2]
    expected, expected_state = ssd(**alone, **options)
    torch.testing.assert_close(out[1:2, :11], expected)
    torch.testing.assert_close(state[1:2], expected_state)
    assert not out[1, 11:].any()
    assert not any(grads[name][1, 11:].any() or grads[name][2].any() for name in steps)


@pytest.mark.parametrize("dt", [-200.0, -30.0, 0.0, 20.0, 1e4, 1e30])
@pytest.mark.parametrize("rate", [0.0, -1e-30, -1.0, -1e30])
def test_extremes_stay_finite(dt, rate):
    x = make_inputs((1, 40, 2, 3, 4, 1), torch.float32)
    x["dt"], x["A"] = torch.full_like(x["dt"], dt), torch.full_like(x["A"], rate)
    x["dt_bias"] = torch.zeros(2)
    x = {name: (m / max(1.0, dt) if name == "x" else m).requires_grad_() for name, m in x.items()}
    out, state = ssd(**x, dt_softplus=True, return_last_state=True, backend="torch")
    expected = ssd(**x, dt_softplus=True, return_last_state=True, backend="reference")
    torch.testing.assert_close((out, state), expected, rtol=1e-4, atol=1e-4)
    grads = torch.autograd.grad(out.sum(), x.values())
    assert all(torch.isfinite(g).all() for g in grads)


def test_small_steps_after_a_large_one_are_exact():
    x = make_inputs((1, 64, 1, 2, 3, 1), torch.float32)
    x["dt"] = torch.full_like(x["dt"], 0.01)
    x["dt"][:, ::7] = 3e3
    del x["dt_bias"]
    assert_matches_reference(x, "torch", dt_softplus=False)


def test_torch_is_exact_under_autocast():
    x = make_inputs((2, 20, 4, 3, 5, 2), torch.float32)
    expected = ssd(**x, backend="torch")
    with torch.autocast("cpu", torch.bfloat16):
        actual = ssd(**x, backend="torch")
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_one_step_follows_the_definition(backend):
    x = make_inputs((2, 1, 3, 2, 4, 1))
    out, state = ssd(**x, dt_softplus=True, return_last_state=True, backend=backend)
    dt = F.softplus(x["dt"][:, 0] + x["dt_bias"])[..., None, None]
    B, C = x["B"][:, 0, :, None], x["C"][:, 0, :, None]
    u, z = x["x"][:, 0], x["z"][:, 0]
    expected = torch.exp(dt * x["A"][:, None, None]) * x["initial_state"] + dt * u[..., None] * B
    torch.testing.assert_close(state, expected)
    expected = ((expected * C).sum(-1) + x["D"][:, None] * u) * F.silu(z)
    torch.testing.assert_close(out[:, 0], expected)


@pytest.mark.parametrize(
    ("name", "value", "kind", "message"),
    [
        ("x", torch.zeros(2, 5, 4), ValueError, "x has shape"),
        ("x", torch.zeros(2, 0, 4, 3), ValueError, "non-empty"),
        ("x", [1.0], TypeError, "x is a list"),
        ("dt", torch.zeros(2, 5, 3), ValueError, "dt has shape"),
        ("A", torch.zeros(4, dtype=torch.complex64), TypeError, "A is torch.complex64"),
        ("A", torch.zeros(4, 3), ValueError, "A has shape"),
        ("A", torch.zeros(4, device="meta"), ValueError, "A is on meta"),
        ("B", torch.zeros(2, 5, 3, 6), ValueError, "3 groups"),
        ("B", torch.zeros(2, 5, 6), ValueError, "B has shape"),
        ("C", torch.zeros(2, 5, 2, 7), ValueError, "C has shape"),
        ("D", torch.zeros(3), ValueError, "D has shape"),
        ("D", torch.zeros(4, 2), ValueError, "D has shape"),
        ("z", torch.zeros(2, 5, 4, 1), ValueError, "z has shape"),
        ("dt_bias", torch.zeros(1), ValueError, "dt_bias has shape"),
        ("initial_state", torch.zeros(2, 4, 6, 3), ValueError, "initial_state has shape"),
        ("lengths", torch.ones(2), TypeError, "lengths are torch.float32"),
        ("lengths", torch.ones(3, dtype=torch.int64), ValueError, "lengths has shape"),
        ("reverse", (True, False, True), ValueError, "reverse has 3 values"),
        ("chunk_size", 48, ValueError, "chunk_size is 48"),
        ("backend", "cuda", ValueError, "expected one of auto"),
        ("backend", "triton", ValueError, "use backend='torch'"),
    ],
)
def test_bad_arguments_are_named(name, value, kind, message, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    inputs = make_inputs((2, 5, 4, 3, 6, 2), torch.float32) | {name: value}
    with pytest.raises(kind, match=message):
        ssd(**inputs)
