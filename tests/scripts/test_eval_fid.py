"""The way of a researcher: score a checkpoint, be interrupted, go on, set two runs side by side."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from motionmamba.evaluation import T2MEvaluator

sys.path.append(str(Path(__file__).resolve().parents[1] / "evaluation"))
from packed_set import TINY, VOCABULARY, write_set

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "eval_fid.py"
PROMPTS = "- [a person turns to the left side, [turns left]]\n- [someone stands, [stands]]\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set, an evaluator with random weights, prompts."""
    folder = tmp_path_factory.mktemp("evaluation")
    told = write_set(folder / "set", tests=40, lengths=(40, 80))
    torch.manual_seed(0)
    evaluator = T2MEvaluator(263, VOCABULARY, trained_on="nothing", **TINY).eval()
    evaluator.words.vectors.normal_()
    evaluator.mean.copy_(torch.from_numpy(told.mean))
    evaluator.std.copy_(torch.from_numpy(told.std))
    evaluator.save_half(folder / "evaluator")
    (folder / "prompts.yaml").write_text(PROMPTS)
    return folder


@pytest.fixture
def checkpoint(folder, pipeline):
    pipeline.save_pretrained(folder / "pipeline")
    return folder / "pipeline"


def evaluate(folder, *options, out="out"):
    command = [
        *(sys.executable, SCRIPT, "--dataset", folder / "set", "--device", "cpu"),
        *("--evaluator", folder / "evaluator", "--prompts", folder / "prompts.yaml"),
        *("--prompt-seeds", 2, "--replications", 2, "--out", folder / out, *options),
    ]
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=600, cwd=folder
    )


def result(folder, out="out"):
    return json.loads((folder / out / "result.json").read_text())


def test_a_run_is_interrupted_goes_on_and_ends_with_the_same_numbers(folder, checkpoint):
    first = evaluate(folder, "--checkpoint", checkpoint)
    assert first.returncode == 0, first.stderr
    found = result(folder)
    assert set(found["rows"]) == {"real", "vae", "generated"}
    assert found["prompts"]["total"] == 4
    assert len(found["rows"]["generated"]["FID"]["values"]) == 2
    protocol = found["protocol"]
    # guidance is the checkpoint's, in the metrics as in use, and on record
    assert (protocol["guidance_scale"], protocol["num_inference_steps"]) == (2.0, 3)
    assert (protocol["split"], protocol["lengths"]) == ("test", "ground truth")
    report = (folder / "out" / "report.md").read_text()
    for fact in ("DDIMScheduler", "ground truth", found["evaluator"]["sha256"][:8], "0.1.0"):
        assert fact in report
    (folder / "out" / "replications" / "001.json").unlink()
    (folder / "out" / "result.json").unlink()
    again = evaluate(folder, "--checkpoint", checkpoint)
    assert again.returncode == 0, again.stderr
    assert result(folder)["rows"] == found["rows"]


def test_a_folder_of_another_run_is_refused_and_overwritten_when_told(folder, checkpoint):
    vae = evaluate(folder, "--checkpoint", checkpoint / "vae", out="vae")
    assert vae.returncode == 0, vae.stderr
    assert set(result(folder, "vae")["rows"]) == {"real", "vae"}
    other = ["--checkpoint", checkpoint / "vae", "--seed", 1]
    refused = evaluate(folder, *other, out="vae")
    assert refused.returncode == 2 and "another protocol" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    beside = evaluate(folder, *other, "--compare", folder / "vae", "--compare", "mld", out="other")
    assert beside.returncode == 0, beside.stderr
    assert "cannot be compared" in (folder / "other" / "report.md").read_text()


@pytest.mark.parametrize(
    "options, expected",
    [
        (("--split", "tset"), "there is no split"),
        (("--compare", "nobody"), "no published method"),
        (("--checkpoint", "missing"), "missing"),
    ],
)
def test_bad_input_is_told_in_one_sentence(folder, options, expected):
    told = evaluate(folder, *options, out="bad")
    assert told.returncode == 2
    assert expected in told.stderr and "Traceback" not in told.stderr
    assert not (folder / "bad").exists()


def sweep(folder, checkpoint, *options):
    command = [
        *(sys.executable, SCRIPT.with_name("sweep_sampling.py"), "--dataset", folder / "set"),
        *("--evaluator", folder / "evaluator", "--checkpoint", checkpoint, "--split", "test"),
        *("--out", folder / "sweep", "--device", "cpu", *options),
    ]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600)


def test_steps_and_guidance_are_swept_each_with_the_other_as_it_is(folder, checkpoint):
    pytest.importorskip("matplotlib")
    done = sweep(folder, checkpoint, "--steps", "1,3", "--guidance", "2", "--replications", 1)
    assert done.returncode == 0, done.stderr
    rows = json.loads((folder / "sweep" / "sweep.json").read_text())["rows"]
    names = ["num_inference_steps=1", "num_inference_steps=3", "guidance_scale=2"]
    assert list(rows) == ["real", *names]
    one, three, guided = (rows[name]["FID"]["mean"] for name in names)
    assert one != three
    assert guided == pytest.approx(three, rel=0.5)  # the checkpoint's own settings, other noise
    assert (folder / "sweep" / "sweep.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    "options, expected",
    [(("--steps", "0,5"), "--steps is '0,5'"), (("--guidance", "two"), "--guidance is 'two'")],
)
def test_a_sweep_of_what_are_no_numbers_is_refused(folder, checkpoint, options, expected):
    told = sweep(folder, checkpoint, *options)
    assert told.returncode == 2 and expected in told.stderr
    assert len(told.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"avx512bf16": True}, "bfloat16"),
        ({"amx-bf16": True, "avx512bf16": False}, "bfloat16"),
        ({"avx512f": True, "avx512bf16": False}, "float32"),
        ({}, "float32"),
    ],
)
def test_processors_that_multiply_bfloat16_use_it(monkeypatch, features, expected):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    from _checkpoint import fastest_precision

    monkeypatch.setattr("llvmlite.binding.get_host_cpu_features", lambda: features)
    assert fastest_precision("cpu") == expected
    assert fastest_precision("cuda") == "bfloat16"
    assert fastest_precision("mps") == "float32"
