"""The causal convolution against PyTorch's, and the backends against the float64 reference."""

import pytest
import torch
from torch.nn import functional as F

from motionmamba.ops import causal_conv1d, causal_conv1d_update

TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}
# every length, width and number of groups that is worth a case: (B, D, L, W, G)
SHAPES = [
    (3, 10, 1, 4, 5),
    (2, 3, 2, 5, 1),
    (1, 30, 3, 3, 5),
    (2, 6, 7, 4, 2),
    (1, 53, 64, 4, 1),
    (1, 130, 77, 2, 1),
    (1, 6, 200, 1, 2),
    (1, 6, 200, 5, 1),
]


def make_inputs(batch, channels, length, width, dtype=torch.float64, device="cpu"):
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator).to(device, dtype)

    return {
        "x": normal(batch, length, channels).transpose(1, 2),
        "weight": normal(channels, width),
        "bias": normal(channels),
        "initial_state": normal(batch, channels, width - 1),
    }


def directions(groups):
    return [group % 3 != 1 for group in range(groups)] if groups > 1 else True


def assert_matches_reference(backend, shape, dtype, options=None, left_out=(), device="cpu"):
    """Compares results, last states and every gradient with the reference in float64."""
    *sizes, groups = shape
    inputs = make_inputs(*sizes, dtype, device)
    inputs = {name: x for name, x in inputs.items() if name not in left_out}
    options = {"reverse": directions(groups), "return_last_state": True} | (options or {})
    results = []
    for name, precision in (("reference", torch.float64), (backend, dtype)):
        given = {key: x.to(precision, copy=True).requires_grad_() for key, x in inputs.items()}
        outputs = causal_conv1d(**given, **options, backend=name)
        torch.manual_seed(0)
        weights = [torch.randn(y.shape).to(device, dtype).to(precision) for y in outputs]
        grads = torch.autograd.grad(outputs, list(given.values()), weights)
        assert all(y.dtype == precision for y in (*outputs, *grads))
        results.append((*outputs, *grads))
    names = ("y", "last_state", *(f"gradient of {name}" for name in inputs))
    for name, expected, actual in zip(names, *results, strict=True):
        error = (actual - expected).norm() / expected.norm().clamp(min=1e-12)
        assert error <= TOLERANCES[dtype], f"{name}: {error:.1e}"


def padded_conv1d(x, weight, bias):
    width = weight.shape[1]
    return F.conv1d(F.pad(x, (width - 1, 0)), weight[:, None], bias, groups=x.shape[1])


@pytest.mark.parametrize("backend", ["reference", "torch"])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 1, 4), (2, 5, 3, 4), (2, 4, 33, 2)])
@pytest.mark.parametrize("activation", [None, "silu"])
@pytest.mark.parametrize("reverse", [False, True])
def test_matches_padded_conv1d_with_gradients(backend, shape, activation, reverse):
    inputs = make_inputs(*shape)
    x, weight, bias = inputs = [inputs[n].requires_grad_() for n in ("x", "weight", "bias")]
    expected = padded_conv1d(x.flip(-1) if reverse else x, weight, bias)
    expected = expected.flip(-1) if reverse else expected
    expected = F.silu(expected) if activation else expected
    actual = causal_conv1d(x, weight, bias, activation, reverse, backend)
    torch.testing.assert_close(actual, expected)

    direction = torch.randn_like(expected)
    expected, actual = (torch.autograd.grad(y, inputs, direction) for y in (expected, actual))
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_torch_matches_reference(shape, dtype):
    assert_matches_reference("torch", shape, dtype, {"activation": "silu"})
    assert_matches_reference("torch", shape, dtype, left_out=("bias", "initial_state"))


def test_gradcheck():
    inputs = [x.requires_grad_() for x in make_inputs(2, 4, 5, 3).values()]

    def convolve(x, weight, bias, state):
        options = dict(initial_state=state, return_last_state=True, backend="torch")
        return causal_conv1d(x, weight, bias, "silu", [False, True], **options)

    assert torch.autograd.gradcheck(convolve, inputs)


@pytest.mark.parametrize("reverse", [False, True])
def test_sees_only_one_side(reverse):
    inputs = make_inputs(1, 3, 9, 4)
    x = inputs.pop("x")
    before = causal_conv1d(x, **inputs, reverse=reverse)
    changed = x.clone()
    changed[..., 4] += 1
    moved = (causal_conv1d(changed, **inputs, reverse=reverse) != before).any(1)[0]
    assert moved.nonzero().flatten().tolist() == ([1, 2, 3, 4] if reverse else [4, 5, 6, 7])


@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_reverse_groups_equal_flipping_in_and_out(backend):
    inputs = make_inputs(2, 10, 7, 4)
    backward = [False, True, True, False, True]
    channels = torch.tensor(backward).repeat_interleave(2)[:, None]

    def turn(x):
        return torch.where(channels, x.flip(-1), x)

    options = dict(activation="silu", return_last_state=True, backend=backend)
    actual, state = causal_conv1d(**inputs, **options, reverse=backward)
    inputs["x"] = turn(inputs["x"])
    expected, expected_state = causal_conv1d(**inputs, **options)
    torch.testing.assert_close(actual, turn(expected))
    torch.testing.assert_close(state, expected_state)


@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize("reverse", [False, True])
def test_pieces_equal_the_whole(width, reverse):
    inputs = make_inputs(2, 5, 12, width)
    expected, expected_state = causal_conv1d(**inputs, reverse=reverse, return_last_state=True)
    # shorter and longer than the state
    pieces = list(inputs.pop("x").split([1, 2, 6, 3], -1))
    state = inputs.pop("initial_state")
    outputs = []
    for piece in reversed(pieces) if reverse else pieces:
        y, state = causal_conv1d(
            piece, **inputs, reverse=reverse, initial_state=state, return_last_state=True
        )
        outputs.append(y)
    actual = torch.cat(outputs[::-1] if reverse else outputs, -1)
    torch.testing.assert_close((actual, state), (expected, expected_state))


def test_state_of_a_short_sequence_begins_with_zeros():
    inputs = make_inputs(1, 2, 2, 4)
    del inputs["initial_state"]
    for reverse in (False, True):
        _, state = causal_conv1d(**inputs, reverse=reverse, return_last_state=True)
        recent = inputs["x"].flip(-1) if reverse else inputs["x"]
        torch.testing.assert_close(state, F.pad(recent, (1, 0)))


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("activation", [None, "silu"])
def test_updates_equal_the_whole(width, activation):
    inputs = make_inputs(2, 5, 7, width)
    expected, expected_state = causal_conv1d(
        **inputs, activation=activation, return_last_state=True
    )
    x, state = inputs.pop("x"), inputs.pop("initial_state")
    steps = [causal_conv1d_update(m, state, **inputs, activation=activation) for m in x.unbind(-1)]
    torch.testing.assert_close(torch.stack(steps, -1), expected)
    torch.testing.assert_close(state, expected_state)


def test_update_in_bfloat16_with_a_float32_state():
    inputs = make_inputs(2, 3, 1, 4, torch.float32)
    expected = causal_conv1d(**inputs)[..., 0]
    x, state = inputs.pop("x")[..., 0], inputs.pop("initial_state")
    y = causal_conv1d_update(x.bfloat16(), state, **inputs)
    assert y.dtype == torch.bfloat16 and state.dtype == torch.float32
    torch.testing.assert_close(y.float(), expected, rtol=0.05, atol=0.05)


def test_keeps_dtype_and_channel_last_layout():
    inputs = make_inputs(2, 3, 6, 4, torch.float32)
    expected = causal_conv1d(**inputs, activation="silu")
    x, state = inputs.pop("x"), inputs.pop("initial_state")
    for initial_state in (None, state):
        y = causal_conv1d(x.bfloat16(), **inputs, initial_state=initial_state)
        assert y.dtype == torch.bfloat16 and y.stride()[1:] == x.stride()[1:]
    y = causal_conv1d(x.bfloat16(), **inputs, activation="silu", initial_state=state)
    torch.testing.assert_close(y.float(), expected, rtol=0.05, atol=0.05)


def test_takes_any_strides():
    inputs = make_inputs(2, 3, 6, 4)
    expected = causal_conv1d(**inputs)
    strided = {name: torch.stack([x, x], -1)[..., 0] for name, x in inputs.items()}
    torch.testing.assert_close(causal_conv1d(**strided), expected)
    inputs["x"] = inputs["x"][:1, :1].expand(2, 3, 6)
    expected = causal_conv1d(**{name: x.contiguous() for name, x in inputs.items()})
    torch.testing.assert_close(causal_conv1d(**inputs), expected)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"x": torch.zeros(3, 6)}, ValueError, "do not fit"),
        ({"x": torch.zeros(2, 3, 0)}, ValueError, "do not fit"),
        ({"x": torch.zeros(2, 3, 6, dtype=torch.int64)}, TypeError, "x is torch.int64"),
        ({"x": torch.zeros(2, 3, 6, dtype=torch.complex64)}, TypeError, "x is torch.complex64"),
        ({"weight": torch.zeros(2, 4)}, ValueError, "do not fit"),
        ({"weight": torch.zeros(3, 0)}, ValueError, "do not fit"),
        ({"weight": torch.zeros(3, 4, device="meta")}, ValueError, "weight is on meta"),
        ({"weight": [1.0]}, TypeError, "weight is a list"),
        ({"bias": torch.zeros(2)}, ValueError, "bias has shape"),
        ({"activation": "relu"}, ValueError, "expected None or 'silu'"),
        ({"reverse": [True, False]}, ValueError, "reverse has 2 values, .* 3 channels"),
        ({"reverse": []}, ValueError, "reverse has 0 values"),
        ({"backend": "cuda"}, ValueError, "backend is 'cuda'"),
        ({"initial_state": torch.zeros(2, 3, 4)}, ValueError, r"initial_state .* \(2, 3, 3\)"),
    ],
)
def test_bad_arguments_are_named(changes, error, message):
    inputs = {"x": torch.zeros(2, 3, 6), "weight": torch.zeros(3, 4)} | changes
    with pytest.raises(error, match=message):
        causal_conv1d(**inputs)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"x": torch.zeros(2, 3, 1)}, ValueError, r"expected \(B, D\)"),
        ({"state": torch.zeros(2, 3, 4)}, ValueError, r"state .* \(2, 3, 3\)"),
        ({"state": torch.zeros(2, 3, 3, device="meta")}, ValueError, "state is on meta"),
        ({"bias": torch.zeros(1)}, ValueError, "bias has shape"),
        ({"activation": "relu"}, ValueError, "expected None or 'silu'"),
    ],
)
def test_bad_arguments_of_updates_are_named(changes, error, message):
    inputs = {"x": torch.zeros(2, 3), "state": torch.zeros(2, 3, 3), "weight": torch.zeros(3, 4)}
    with pytest.raises(error, match=message):
        causal_conv1d_update(**inputs | changes)
