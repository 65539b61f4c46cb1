"""The selective scan compiled for processors, against the float64 reference."""

import multiprocessing

import numpy as np
import pytest
import torch
from scan_inputs import make_inputs
from test_selective_scan import (
    RATES,
    RAW_STEPS,
    SHAPES,
    TOLERANCES,
    assert_close,
    backward,
    plain,
    ragged,
)

from motionmamba.ops import default_backend, selective_scan

numba_module = pytest.importorskip("motionmamba.ops.selective_scan_numba", exc_type=ImportError)
EDGES = [(3, channels, 5, 4, 1) for channels in (1, 63, 64, 65, 130)]


def run(inputs, options, backend):
    with torch.no_grad():
        results = selective_scan(**inputs, **options, return_last_state=True, backend=backend)
    return dict(zip(["out", "state"], results, strict=True))


def reference(inputs, options):
    return run({name: x.double() for name, x in inputs.items()}, options, "reference")


@pytest.mark.parametrize("shape", SHAPES + EDGES)
@pytest.mark.parametrize("variant", [plain, backward, ragged])
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_matches_the_reference(shape, variant, dtype):
    inputs, options = variant(make_inputs(*shape, dtype=dtype, initial_state=True))
    actual = run(inputs, options, "numba")
    assert actual["out"].dtype == dtype and actual["state"].dtype == torch.float32
    assert_close(actual, reference(inputs, options), TOLERANCES[dtype])


@pytest.mark.parametrize("shape", [(5, 6, 7, 3, 2), (1, 200, 7, 3, 1), (1, 200, 7, 3, 2)])
@pytest.mark.parametrize("threads", [2, 3, 7])
def test_threads_change_nothing(monkeypatch, shape, threads):
    inputs, options = ragged(make_inputs(*shape, dtype=torch.float32, initial_state=True))
    alone = run(inputs, options, "numba")
    monkeypatch.setattr(numba_module, "WORTH_A_THREAD", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    together = run(inputs, options, "numba")
    assert all(torch.equal(alone[name], together[name]) for name in alone)


@pytest.mark.parametrize("shape", [(2, 6, 7, 3, 2), (3, 130, 5, 4, 1)])
def test_bfloat16_is_the_same_scan_rounded_once(shape):
    inputs, options = ragged(make_inputs(*shape, dtype=torch.bfloat16, initial_state=True))
    del inputs["z"]
    inputs["u"][0, 0, :2] = torch.tensor([float("nan"), 3e38])
    widened = run({name: x.float() for name, x in inputs.items()}, options, "numba")
    actual = run(inputs, options, "numba")
    expected = widened | {"out": widened["out"].bfloat16()}
    for name in expected:
        torch.testing.assert_close(actual[name], expected[name], rtol=0, atol=0, equal_nan=True)
    assert actual["out"].isnan().any() and actual["out"].isfinite().any()


def test_inputs_are_left_as_they_are():
    inputs = make_inputs(2, 6, 5, 3, 2, dtype=torch.float32, initial_state=True)
    before = {name: x.clone() for name, x in inputs.items()}
    run(inputs, dict(delta_softplus=True), "numba")
    assert all(torch.equal(x, before[name]) for name, x in inputs.items())


def test_lengths_out_of_range_are_the_ends():
    inputs = make_inputs(3, 6, 5, 3, 2, dtype=torch.float32)
    actual, expected = (
        run(inputs, dict(lengths=torch.tensor(lengths)), "numba")
        for lengths in ([5, 10_000_000_000, -3], [5, 5, 0])
    )
    assert all(torch.equal(actual[name], expected[name]) for name in expected)


def test_pieces_are_the_whole():
    inputs = make_inputs(2, 70, 11, 3, 2, dtype=torch.float32, initial_state=True)
    whole = run(inputs, {}, "numba")
    by_step = ("u", "delta", "B", "C", "z")
    state, outputs = inputs["initial_state"], []
    for piece in (slice(0, 4), slice(4, 5), slice(5, 11)):
        part = {name: x[..., piece] for name, x in inputs.items() if name in by_step}
        result = run(inputs | part | {"initial_state": state}, {}, "numba")
        outputs.append(result["out"])
        state = result["state"]
    torch.testing.assert_close(torch.cat(outputs, -1), whole["out"])
    torch.testing.assert_close(state, whole["state"])


def test_extreme_steps_and_rates_stay_finite():
    inputs = make_inputs(2, len(RATES), 9, len(RATES), 1, dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    steps = torch.randint(len(RAW_STEPS), inputs["delta"].shape, generator=generator)
    inputs["delta"] = torch.tensor(RAW_STEPS)[steps]
    inputs["A"] = torch.stack([torch.tensor(RATES).roll(i) for i in range(len(RATES))])
    actual = run(inputs, dict(delta_softplus=True), "numba")
    for name, expected in reference(inputs, dict(delta_softplus=True)).items():
        fits = expected.abs() < torch.finfo(torch.float32).max
        assert fits.any() and actual[name][fits].isfinite().all(), name


@pytest.mark.parametrize("raw", [-80.0, -30.0, -6.9, -1.0, 0.0, 1.0, 19.9, 20.1, 1000.0])
def test_softplus_stays_accurate(raw):
    inputs, options = make_inputs(1, 4, 6, 3, 1, dtype=torch.float32), dict(delta_softplus=True)
    inputs["delta"] = torch.full_like(inputs["delta"], raw)
    inputs["delta_bias"] = torch.zeros(4)
    assert_close(run(inputs, options, "numba"), reference(inputs, options), 1e-6)


@pytest.mark.parametrize("exponent", [-125.9, -60.3, -1.5, -1e-6, 0.0, 0.5, 77.7, 126.9])
def test_exponentials_stay_accurate(exponent):
    one, zero = torch.ones(1, 1, 1), torch.zeros(1, 1, 1)
    A = torch.full((1, 1), exponent * np.log(2))
    inputs = dict(u=zero, delta=one, A=A, B=one, C=one, initial_state=one)
    assert_close(run(inputs, {}, "numba"), reference(inputs, {}), 1e-5)


@pytest.mark.parametrize("name", ["u", "delta", "A", "B", "C", "D", "z", "initial_state"])
def test_nan_is_not_hidden(name):
    inputs = make_inputs(1, 2, 3, 2, 1, dtype=torch.float32, initial_state=True)
    inputs[name] = torch.full_like(inputs[name], float("nan"))
    assert run(inputs, dict(delta_softplus=True), "numba")["out"].isnan().any()


def test_auto_is_compiled_where_no_gradient_is_wanted(monkeypatch):
    used = []
    compiled = numba_module.selective_scan_numba

    def watched(*args, **kwargs):
        used.append("numba")
        return compiled(*args, **kwargs)

    monkeypatch.setattr(numba_module, "selective_scan_numba", watched)
    assert default_backend("cpu") == "numba"
    inputs = make_inputs(2, 6, 5, 3, 2, dtype=torch.float32)
    inputs["A"].requires_grad_()
    with torch.inference_mode():
        selective_scan(**inputs)
    assert used == ["numba"]
    selective_scan(**inputs).sum().backward()
    assert used == ["numba"] and inputs["A"].grad.any()
    with torch.no_grad():
        selective_scan(**inputs, discretization="zoh")
        selective_scan(**{name: x.double() for name, x in inputs.items()})
    assert used == ["numba"]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"dtype": torch.float64}, {}, "has no float64"),
        ({}, {"discretization": "zoh"}, "has no exact discretization"),
    ],
)
def test_what_it_cannot_do_is_said(change, options, message):
    inputs = make_inputs(1, 2, 3, 2, 1, **{"dtype": torch.float32} | change)
    with pytest.raises(ValueError, match=f"numba backend {message}, use backend='torch'"):
        selective_scan(**inputs, **options, backend="numba")
    with pytest.raises(ValueError, match="numba backend"):
        selective_scan(**inputs | {"A": inputs["A"].requires_grad_()}, backend="numba")


def _scan_in_a_child(inputs, answers):
    torch.set_num_threads(2)
    answers.put(run(inputs, {}, "numba")["out"].sum().item())


def test_scans_in_a_forked_process(monkeypatch):
    """A pool of threads that the parent had would be dead in the child."""
    monkeypatch.setattr(numba_module, "WORTH_A_THREAD", 0)
    inputs = make_inputs(4, 6, 5, 3, 2, dtype=torch.float32)
    expected = run(inputs, {}, "numba")["out"].sum().item()
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=_scan_in_a_child, args=(inputs, answers))
    child.start()
    assert answers.get(timeout=30) == pytest.approx(expected)
    child.join(30)
