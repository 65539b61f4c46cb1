"""The Triton selective scan against the reference: on a GPU, or else in Triton's interpreter."""

import importlib

import pytest
import torch
from scan_inputs import make_inputs
from triton_device import DEVICE, needs_gpu, needs_interpreter, needs_kernels, run_in_interpreter

from motionmamba.ops import selective_scan

triton = pytest.importorskip("triton")


# (B, D, L, N, G): padded N and channels, one step, whole and broken stretches of time
SHAPES = [(1, 3, 1, 5, 1), (2, 12, 9, 4, 3), (1, 5, 3, 16, 1), (1, 10, 21, 3, 5)]
if DEVICE == "cuda":
    SHAPES += [(2, 70, length, 16, 2) for length in (2, 7, 64, 77, 200, 1000)]
    SHAPES += [(1, 50, 77, 8, 5), (2, 24, 200, 33, 1), (1, 40, 77, 64, 2), (1, 24, 5000, 16, 1)]
    SHAPES += [(2, 40, 21, 12, 1), (1, 64, 48, 16, 1)]


@needs_interpreter
def test_in_interpreter():
    run_in_interpreter(__file__)


@pytest.fixture
def many_segments(monkeypatch):
    """Cuts even short sequences into segments that run side by side."""
    module = "motionmamba.ops.selective_scan_triton"
    monkeypatch.setattr(f"{module}.MIN_SEGMENT", 16)
    monkeypatch.setattr(f"{module}._multiprocessors", lambda device: 1000)


@pytest.fixture
def several_blocks(monkeypatch):
    """Lets every program of the backward pass take several blocks of channels."""
    module = "motionmamba.ops.selective_scan_triton"
    monkeypatch.setattr(f"{module}.WARPS", 1)
    monkeypatch.setattr(f"{module}._multiprocessors", lambda device: 1)
    monkeypatch.setattr(f"{module}.TILE", 64)


def relative_error(actual, expected):
    scale = expected.detach().double().norm().clamp(min=1e-30)
    return float((actual.detach().double() - expected.detach().double()).norm() / scale)


def assert_matches_reference(shape, limit=1e-5, dtype=torch.float32, left_out=(), **options):
    """Compares the output, the last state and all gradients with the float64 reference."""
    inputs = make_inputs(*shape, dtype=dtype, device=DEVICE, initial_state=True)
    inputs = {name: x for name, x in inputs.items() if name not in left_out}
    if "delta_bias" in left_out:
        inputs["delta"] = inputs["delta"].abs()
    options = dict(delta_softplus="delta_bias" not in left_out, return_last_state=True) | options
    results = []
    for backend, wide in (("reference", torch.float64), ("triton", None)):
        leaves = {k: (x.detach().to(wide or x.dtype)).requires_grad_() for k, x in inputs.items()}
        outputs = selective_scan(**leaves, **options, backend=backend)
        generator = torch.Generator().manual_seed(1)
        weights = [torch.randn(y.shape, generator=generator).to(dtype).to(y) for y in outputs]
        grads = torch.autograd.grad(outputs, list(leaves.values()), weights)
        results.append(dict(zip(["out", "state", *leaves], [*outputs, *grads], strict=True)))
    expected, actual = results
    errors = {name: relative_error(actual[name], expected[name]) for name in expected}
    assert max(errors.values()) <= limit, errors


@needs_kernels
@pytest.mark.parametrize("shape", SHAPES)
def test_matches_reference(shape):
    assert_matches_reference(shape)


@needs_kernels
@pytest.mark.parametrize("shape", SHAPES[1:])
@pytest.mark.parametrize("discretization", ["mamba", "zoh"])
def test_lengths_and_mixed_directions_match_reference(shape, discretization):
    lengths = torch.tensor([0, shape[2]], device=DEVICE)[-shape[0] :] - shape[2] // 3
    reverse = [group % 2 == 0 for group in range(shape[-1])]
    assert_matches_reference(
        shape, lengths=lengths.clamp(min=0), reverse=reverse, discretization=discretization
    )


@needs_kernels
@pytest.mark.parametrize("shape", SHAPES[1:])
def test_without_options_matches_reference(shape):
    assert_matches_reference(shape, left_out=("D", "z", "delta_bias", "initial_state"))


@needs_kernels
@pytest.mark.parametrize("reverse", [False, True])
def test_segments_side_by_side_match_reference(many_segments, reverse):
    lengths = torch.tensor([45, 23], device=DEVICE)
    assert_matches_reference((2, 5, 50, 3, 1), reverse=reverse, lengths=lengths)


@needs_kernels
def test_sequences_too_long_for_one_segment_match_reference(monkeypatch):
    monkeypatch.setattr("motionmamba.ops.selective_scan_triton.MAX_SEGMENT", 16)
    assert_matches_reference((1, 5, 37, 3, 1))


@needs_kernels
def test_weights_and_lengths_of_any_strides():
    x = make_inputs(2, 6, 9, 4, 1, torch.float32, device=DEVICE)
    lengths = torch.tensor([[9, 0], [5, 0]], device=DEVICE)[:, 0]
    for A in (x["A"][:1].expand(6, 4), x["A"].repeat(1, 2)[:, :4], x["A"].T.contiguous().T):
        options = x | dict(A=A, lengths=lengths, delta_softplus=True)
        expected = selective_scan(**options, backend="reference")
        actual = selective_scan(**options, backend="triton")
        torch.testing.assert_close(actual, expected)


@needs_kernels
@pytest.mark.parametrize("reverse", [True, [False] * 69 + [True]])
def test_many_groups(reverse):
    x = make_inputs(1, 70, 3, 2, 70, torch.float32, device=DEVICE)
    options = dict(delta_softplus=True, reverse=reverse)
    expected = selective_scan(**x, **options, backend="reference")
    if reverse is True:
        actual = selective_scan(**x, **options, backend="triton")
        torch.testing.assert_close(actual, expected)
    else:
        torch.testing.assert_close(selective_scan(**x, **options), expected)
        with pytest.raises(ValueError, match="62 groups"):
            selective_scan(**x, **options, backend="triton")


@needs_kernels
@pytest.mark.parametrize("share", [2, 3])  # of three blocks: the last program has one too many
def test_several_blocks_of_a_program_match_reference(several_blocks, monkeypatch, share):
    module = "motionmamba.ops.selective_scan_triton"
    monkeypatch.setattr(f"{module}._share", lambda *_: share)
    assert_matches_reference((2, 12, 21, 16, 1))


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", SHAPES[3:])
def test_low_precision_matches_reference(shape, dtype):
    assert_matches_reference(shape, 1e-2, dtype)


@needs_kernels
def test_mixed_precision_matches_reference():
    x = make_inputs(2, 6, 33, 4, 2, torch.float32, device=DEVICE)
    low = {name: x[name].bfloat16() for name in ("u", "B", "z")}
    x |= low
    leaves = [v.requires_grad_() for v in x.values()]
    expected, actual = (
        torch.autograd.grad(
            selective_scan(**x, delta_softplus=True, backend=name).float().square().sum(), leaves
        )
        for name in ("torch", "triton")
    )
    for got, wanted in zip(actual, expected, strict=True):
        assert got.dtype == wanted.dtype
        assert relative_error(got, wanted) <= 1e-2


@needs_kernels
def test_gradients_are_reproducible():
    shape = (2, 70, 40, 16, 1) if DEVICE == "cuda" else (1, 6, 20, 4, 1)
    x = make_inputs(*shape, torch.float32, device=DEVICE)
    leaves = [v.requires_grad_() for v in x.values()]
    first, second = (
        torch.autograd.grad(
            selective_scan(**x, delta_softplus=True, backend="triton").sum(), leaves
        )
        for _ in range(2)
    )
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)


@needs_kernels
def test_keeps_channel_last_layout_and_dtype():
    x = make_inputs(2, 6, 5, 4, 2, torch.bfloat16, device=DEVICE)
    with torch.no_grad():
        y, state = selective_scan(
            **x, delta_softplus=True, return_last_state=True, backend="triton"
        )
    assert y.dtype == torch.bfloat16 and y.stride() == x["u"].stride()
    assert state.dtype == torch.float32


@needs_kernels
def test_pieces_equal_the_whole():
    x = make_inputs(2, 6, 21, 4, 2, torch.float32, device=DEVICE)
    options = dict(delta_softplus=True, return_last_state=True, backend="triton")
    whole, last = selective_scan(**x, **options)
    state, pieces = None, []
    for piece in (slice(0, 1), slice(1, 18), slice(18, 21)):
        part = {name: v[..., piece] if v.ndim > 2 else v for name, v in x.items()}
        y, state = selective_scan(**part, initial_state=state, **options)
        pieces.append(y)
    torch.testing.assert_close(torch.cat(pieces, -1), whole)
    torch.testing.assert_close(state, last)


@needs_kernels
@pytest.mark.parametrize("raw", [-1e4, -6.9, 19.9, 1e4, 1e30])
@pytest.mark.parametrize("rate", [-1e-12, -1.0, -1e30])
def test_extreme_steps_and_rates_stay_finite(raw, rate):
    x = make_inputs(1, 4, 5, 3, 1, torch.float32, device=DEVICE)
    x["delta"] = torch.full_like(x["delta"], raw)
    x["delta_bias"] = torch.zeros_like(x["delta_bias"])
    x["A"] = torch.full_like(x["A"], rate)
    leaves = {name: v.requires_grad_() for name, v in x.items()}
    y = selective_scan(**leaves, delta_softplus=True, backend="triton")
    wide = {name: v.detach().double() for name, v in x.items()}
    expected = selective_scan(**wide, delta_softplus=True, backend="reference")
    assert relative_error(y, expected) <= 1e-5
    for name, grad in zip(leaves, torch.autograd.grad(y.sum(), leaves.values()), strict=True):
        assert not grad.isnan().any(), name


@needs_gpu
def test_runs_inside_a_cuda_graph():
    x = make_inputs(2, 64, 100, 16, 1, torch.bfloat16, device=DEVICE)
    options = dict(delta_softplus=True, backend="triton")
    expected = selective_scan(**x, **options)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        actual = selective_scan(**x, **options)
    actual.zero_()
    graph.replay()
    assert torch.equal(actual, expected)


@needs_kernels
@pytest.mark.parametrize(
    ("state", "dtype", "message"), [(300, torch.float32, "300"), (4, torch.float64, "float64")]
)
def test_unsupported_inputs_are_named(state, dtype, message):
    x = make_inputs(1, 4, 5, state, 1, dtype, device=DEVICE)
    with pytest.raises(ValueError, match=message):
        selective_scan(**x, backend="triton")
    assert selective_scan(**x).shape == (1, 4, 5)


def test_programs_share_blocks_so_that_none_is_waited_for():
    share = importlib.import_module("motionmamba.ops.selective_scan_triton")._share
    assert share(12, 1280, 1056) == 3  # 5 waves of 3 blocks; of all 12 it were 2 of 12
    assert share(16, 64, 1056) == 1 and share(16, 256, 1056) == 4 and share(1, 5000, 1056) == 1
    for blocks, sequences in ((7, 300), (12, 9), (5, 4000)):
        taken = share(blocks, sequences, 1056)

        def rounds(taken, blocks=blocks, sequences=sequences):
            return taken * -(-sequences * -(-blocks // taken) // 1056)

        assert rounds(taken) == min(rounds(each) for each in range(1, blocks + 1))
