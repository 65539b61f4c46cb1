import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
SCANS = {"ours, torch", "ours, reference", "loop"}
FORWARD_ONLY = {"ours, numba"}
OTHERS = {"ours, ssd", "PyTorch attention"}


@pytest.fixture(scope="module", autouse=True)
def scripts():
    """The scripts' folder is where they import from when they run."""
    sys.path.insert(0, str(SCRIPTS))
    yield
    sys.path.remove(str(SCRIPTS))


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """Runs the script as a shell would, on small sweeps: gives its exit status."""
    benchmark, floors, plan = map(
        import_module, ("benchmark", "_benchmark.floors", "_benchmark.plan")
    )

    def run(*arguments) -> int:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.cuda, "is_available", lambda: False)
            patch.setattr(floors, "BUDGET_MS", 10)
            patch.setattr(plan, "SWEEP_CHANNELS", 64)
            patch.setitem(plan.DEFAULTS, "cpu", plan.Defaults("float32", "2x64x9", 16, 32))
            patch.setattr(sys, "argv", ["benchmark.py", *map(str, arguments)])
            with pytest.raises(SystemExit) as exit_:
                benchmark.run_app(benchmark.app)
        return exit_.value.code or 0

    return run


@pytest.fixture(scope="module")
def kernels(command, tmp_path_factory):
    """Folder with the results of one run, and their content."""
    out = tmp_path_factory.mktemp("kernels")
    shapes = "2x64x9,1x32x5"
    assert command("kernels", "--shapes", shapes, "--max-length", 64, "--quick", "--out", out) == 0
    return out, json.loads((out / "kernels.json").read_text())


def test_results_name_machine_and_settings(kernels):
    _, content = kernels
    assert content["machine"]["device"] == "cpu"
    assert content["machine"]["versions"]["torch"] == torch.__version__
    assert content["settings"]["dtype"] == "float32" and content["settings"]["n_state"] == 16
    assert all(rate > 1e6 for rate in content["settings"]["rates"].values())
    assert content["absent"]["mamba_ssm"] == "needs CUDA"
    assert set(content["layouts"]) >= SCANS | FORWARD_ONLY | OTHERS


def test_everyone_is_measured_and_agrees(kernels):
    _, content = kernels
    shapes = {(2, 64, 9), (1, 32, 5), (1, 64, 16), (2, 64, 16)}
    works = ("forward", "forward+backward")
    for shape in shapes:
        for work in works:
            found = {
                r["contestant"]: r
                for r in content["results"]
                if tuple(r["shape"]) == shape and r["work"] == work
            }
            others = OTHERS if shape[1] == 64 else {"PyTorch attention"}
            scans = SCANS | FORWARD_ONLY if work == "forward" else SCANS
            assert set(found) - {"mambapy"} == scans | others
            for result in found.values():
                assert result["status"] == "ok" and result["call"]["repeats"] >= 5
                assert 0 < result["call"]["low_ms"] <= result["call"]["median_ms"]
            for name in scans:
                assert found[name]["error"] < 1e-4 and found[name]["to_floor"] > 0
            assert found["loop"]["to_baseline"]["call"] == 1
    assert {tuple(result["shape"]) for result in content["results"]} == shapes


def test_every_sweep_is_plotted(kernels):
    out, _ = kernels
    plots = sorted(path.name for path in out.glob("*.png"))
    assert plots == ["kernels_batch_1.png", "kernels_batch_32_over_L.png"]
    for name in plots:
        with Image.open(out / name) as image:
            assert image.format == "PNG" and np.asarray(image.convert("L")).std() > 5


def test_tables_show_shapes_contestants_and_who_is_absent(command, tmp_path, capsys):
    options = ("--max-length", 0, "--forward-only", "--dtype", "bfloat16", "--quick")
    assert command("kernels", *options, "--out", tmp_path) == 0
    printed = capsys.readouterr().out
    for text in ("forward", "bfloat16", "(2, 64, 9)", "ours, torch", "loop", "/ floor"):
        assert text in printed
    assert "mamba_ssm takes no part: needs CUDA" in printed
    assert "backward" not in printed and not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (("kernels", "--shapes", "8x512"), "--shapes has '8x512', expected BxDxL"),
        (("kernels", "--shapes", "8x0x3"), "--shapes has '8x0x3', expected BxDxL"),
        (("kernels", "--dtype", "int8"), "--dtype is 'int8'"),
        (("kernels", "--max-length", "-1"), "--max-length"),
        (("kernels", "--n-state", "0"), "--n-state"),
        (("denoiser", "--batches", "1,many"), "--batches is '1,many'"),
        (("denoiser", "--tokens", "100000"), "100000"),
    ],
)
def test_bad_options_end_in_one_line(command, capsys, arguments, complaint):
    assert command(*arguments) == 2
    error = capsys.readouterr().err
    assert complaint in error and len(error.strip().splitlines()) == 1


def test_denoiser_is_timed_per_batch(command, pipeline, tmp_path, capsys):
    pipeline.save_pretrained(tmp_path / "model")
    out = tmp_path / "denoiser.json"
    options = ("--batches", "1,2", "--model", tmp_path / "model", "--tokens", 6, "--out", out)
    assert command("denoiser", *options) == 0
    content = json.loads(out.read_text())
    assert content["tokens"] == 6 and content["machine"]["device"] == "cpu"
    found = [(row["batch"], row["backend"]) for row in content["results"]]
    assert found == [(1, "torch"), (1, "numba"), (2, "torch"), (2, "numba")]
    assert all(row["median_ms"] > 0 for row in content["results"])
    assert "eager" in capsys.readouterr().out


def test_a_backend_is_forced_for_a_while():
    from _benchmark.denoiser import forced_backend

    from motionmamba.ops import backends

    chosen = backends.default_backend
    with pytest.raises(ArithmeticError), forced_backend("triton"):
        assert backends.default_backend("cpu") == "triton"
        raise ArithmeticError
    assert backends.default_backend is chosen


def test_wrong_and_failing_contestants_get_no_time():
    from _benchmark.comparison import BOTH, FORWARD, Settings, compare
    from _benchmark.contestants import CHANNEL_LAST, Contestant, Shape, scan_loop
    from _benchmark.floors import Rates
    from _benchmark.timing import cpu_clock

    class ScaledGradient(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, scale):
            ctx.scale = scale
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            return ctx.scale * grad, None

    def with_gradient(name, scale):
        def call(**inputs):
            return scan_loop(**inputs | {name: ScaledGradient.apply(inputs[name], scale)})

        return call

    def refuses(**inputs):
        raise RuntimeError("no kernel\nfor this")

    calls = {
        "loop": scan_loop,
        "off": lambda **inputs: 1.05 * scan_loop(**inputs),
        "nan": lambda **inputs: torch.full_like(inputs["u"], torch.nan),
        "backward off": with_gradient("delta_bias", 1.05),
        "backward nan": with_gradient("z", torch.nan),
        "refuses": refuses,
    }
    contestants = [
        Contestant(name, "selective scan", CHANNEL_LAST, call) for name, call in calls.items()
    ]
    settings = Settings("cpu", torch.float32, 4, cpu_clock, Rates(1e9, 1e9), budget_ms=1)

    def statuses(work):
        results = compare(Shape(1, 8, 6), work, contestants, "loop", settings)
        assert all((r.call is not None) == (r.status == "ok") for r in results)
        return {r.contestant: r.status.partition(":")[0] for r in results}

    right, wrong = {"loop": "ok"}, {"off": "wrong", "refuses": "failed"}
    backward = ("backward off", "backward nan")
    expected = right | wrong | {"nan": "wrong"} | dict.fromkeys(backward, "ok")
    assert statuses(FORWARD) == expected
    # the tensor full of nan has no gradient at all
    expected = right | wrong | {"nan": "failed"} | dict.fromkeys(backward, "wrong")
    assert statuses(BOTH) == expected


def test_floors_are_those_of_the_hardware():
    from _benchmark.contestants import Shape
    from _benchmark.floors import Rates

    h100 = Rates(bytes=3.0e12, exponentials=3.6e12)
    forward = h100.floors(Shape(64, 512, 200), 16, 2, backward=False)
    assert forward["bytes_ms"] == pytest.approx(0.018, abs=5e-4)
    assert forward["exponentials_ms"] == pytest.approx(0.029, abs=5e-4)
    both = h100.floors(Shape(64, 512, 200), 16, 2, backward=True)
    assert 2 * forward["bytes_ms"] < both["bytes_ms"] < 3 * forward["bytes_ms"]


def test_runs_are_timed_in_turns():
    from _benchmark.timing import time_in_turns

    order = []
    runs = [lambda: order.append("slow"), lambda: order.append("fast")]
    clock = lambda run: (run(), 10.0 if order[-1] == "slow" else 1.0)[1]  # noqa: E731
    slow, fast = time_in_turns(runs, clock, budget_ms=20)
    assert order[:10] == ["slow", "fast"] * 5 and order[10:] == ["fast"] * 15
    assert (slow["median_ms"], slow["repeats"]) == (10, 5)
    assert (fast["low_ms"], fast["high_ms"], fast["repeats"]) == (1, 1, 20)


def test_exponents_are_fitted_beyond_4096():
    from _benchmark.comparison import FORWARD, Result
    from _benchmark.contestants import Shape
    from _benchmark.report import fit_exponents

    def result(name, length, milliseconds):
        call = {"median_ms": milliseconds}
        return Result(Shape(1, 8, length), name, "selective scan", FORWARD, call=call)

    lengths = (16, 4096, 16384, 65536)
    results = [result("linear", n, 1.0 if n == 16 else 3e-3 * n) for n in lengths]
    results += [result("steep", n, n**1.5) for n in lengths]
    results += [result("short", n, n) for n in lengths[:2]]
    exponents = fit_exponents(results)[FORWARD]
    assert exponents == pytest.approx({"linear": 1.0, "steep": 1.5})
