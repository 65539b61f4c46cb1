"""Models side by side, from what the evaluation, a training and the benchmark write."""

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from motionmamba.evaluation import T2MEvaluator
from motionmamba.evaluation.protocol import Evaluation, Protocol
from motionmamba.evaluation.report import write_result
from motionmamba.evaluation.run import describe_model, describe_run, replicate, summarize
from motionmamba.training.loop import fit, make_accelerator

sys.path.append(str(Path(__file__).resolve().parents[1] / "evaluation"))
from packed_set import TINY, VOCABULARY, write_set

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
ROOT = SCRIPTS.parent
SAMPLING = {
    "num_inference_steps": 20,
    "guidance_scale": 3.0,
    "scheduler": "DDIMScheduler",
    "precision": "float32",
}
TIMES = {"mld": ("tiny", "tiny"), "other": ("tiny", "tiny")}


@pytest.fixture(scope="module")
def script():
    """scripts/compare_models.py, imported as when it runs."""
    sys.path.insert(0, str(SCRIPTS))
    yield import_module("compare_models")
    sys.path.remove(str(SCRIPTS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, script):
    """Evaluations of two models, the training of one, and times of both."""
    folder = tmp_path_factory.mktemp("models")
    dataset = write_set(folder / "set", tests=40, lengths=(40, 60))
    torch.manual_seed(0)
    evaluator = T2MEvaluator(263, VOCABULARY, trained_on="nothing", **TINY).eval()
    evaluator.words.vectors.normal_()
    for name, loud in (("mld", 0.5), ("mamba2", 0.01)):
        evaluate(folder / name, dataset, evaluator, loud)
    train(folder / "runs" / "mld")
    time_sentences(folder)
    return folder


def evaluate(out, dataset, evaluator, loud):
    """A model whose motions are recordings and as much noise."""

    def make(told, random):
        return [m + loud * random.normal(size=m.shape).astype("float32") for m in told.motions]

    rows = {"vae": lambda told, random: told.motions, "generated": make}
    evaluation = Evaluation(dataset, evaluator, Protocol(replications=2, texts=0), rows)
    network = nn.Linear(1000, 1200, bias=False)
    model = describe_model(out.name, {"denoiser": network}, text_encoder="none")
    record = describe_run(evaluation, model, "random", SAMPLING)
    scores = replicate(evaluation, record, out, False, lambda count: None)
    result = record | {"name": out.name, "rows": summarize(scores), "seconds": {"total": 1.0}}
    write_result(result, out)


def train(run):
    config = OmegaConf.load(ROOT / "configs" / "train" / "tiny.yaml")
    config = OmegaConf.merge(config, {"steps": 2, "batch_size": 4, "device": "cpu"})
    losses = lambda network, generator: {"loss": network(torch.ones(4, 3)).square().mean()}  # noqa: E731
    fit(make_accelerator(config, run), nn.Linear(3, 1), losses, config, run, False)


def time_sentences(folder):
    sentences = import_module("_benchmark.sentences")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sentences, "CONTESTANTS", TIMES)
        patch.setattr(sentences, "STEPS", 2)
        settings = sentences.make_settings([1, 2], [40])
        sentences.run_sentences(settings, "cpu", 2, folder)


@pytest.fixture
def compare(script, tmp_path, capsys):
    """Runs the script as a shell would: gives its exit status, output and Markdown."""

    def run(*arguments):
        out = tmp_path / "comparison.md"
        command = ["compare_models.py", *map(str, arguments), "--out", str(out)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", command)
            with pytest.raises(SystemExit) as exit_:
                script.run_script(script.main)
        printed = capsys.readouterr()
        markdown = out.read_text(encoding="utf-8") if out.is_file() else ""
        return exit_.value.code or 0, printed.out, printed.err, markdown

    return run


def cells(markdown):
    """Rows of the table by label, as cells by heading."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


def test_everything_known_of_the_models_is_in_one_table(compare, folder):
    training = ("--training", folder / "runs" / "mld")
    status, printed, _, markdown = compare(
        *(folder / "mld", folder / "mamba2", *training, "--timing", folder)
    )
    assert status == 0
    rows = cells(markdown)
    assert list(rows) == ["recordings", "mld", "mamba2"]
    for metric in ("R@1 ↑", "R@2 ↑", "R@3 ↑", "FID ↓", "MM-Dist ↓", "Diversity →", "Foot skate ↓"):
        assert all("±" in row[metric] for row in rows.values())
    assert "MModality ↑" not in rows["mld"]
    assert rows["mamba2"]["FID ↓"].startswith("**") and not rows["mld"]["FID ↓"].startswith("**")
    assert rows["recordings"]["VAE FID"] == "–" and "±" in rows["mld"]["VAE FID"]
    assert rows["mld"]["Parameters"] == "1.2 M"
    assert (rows["mld"]["Steps × batch"], rows["mamba2"]["Steps × batch"]) == ("2 × 4", "–")
    assert rows["mld"]["Training (h:min:s)"].startswith("0:00:0")
    times = json.loads((folder / "sentences.json").read_text())["results"]
    (time,) = [t["sentence_ms"] for t in times if (t["contestant"], t["batch"]) == ("mld", 2)]
    assert rows["mld"]["Sentence, batch 2, CPU (ms)"] == f"{time:.1f}"
    assert rows["mamba2"]["Sentence, batch 1, CPU (ms)"] == "–"
    for fact in ("32 pairs", "test split", "drawn 2 times", "trained on nothing", "cpu ("):
        assert fact in markdown
    assert "20 steps of DDIMScheduler" in markdown and "untrained weights" in markdown
    assert "Scores" in printed and "Costs" in printed and "mld was timed with 0." in printed


def test_times_of_a_gpu_stand_beside_those_of_a_cpu(compare, folder, tmp_path):
    timing = json.loads((folder / "sentences.json").read_text())
    timing["machine"] |= {"device": "cuda", "name": "some GPU"}
    for found in timing["results"]:
        found["sentence_ms"] = 7.25
    (tmp_path / "sentences.json").write_text(json.dumps(timing))
    both = "--timing", folder, "--timing", tmp_path
    status, _, _, markdown = compare(folder / "mld", *both)
    assert status == 0 and "Times on a CPU" in markdown and "some GPU" in markdown
    row = cells(markdown)["mld"]
    assert row["Sentence, batch 2, GPU (ms)"] == "7.2"
    assert row["Sentence, batch 2, CPU (ms)"] not in ("7.2", "–")


def test_results_alone_are_enough(compare, folder):
    status, _, _, markdown = compare(f"ours={folder / 'mamba2'}", folder / "mld")
    assert status == 0
    rows = cells(markdown)
    assert list(rows) == ["recordings", "ours", "mld"]
    assert list(rows["ours"])[-2:] == ["VAE FID", "Parameters"] and "Times" not in markdown


@pytest.mark.parametrize(
    "part, key, value, complaint",
    [
        ("dataset", "sha256", "0" * 64, "the data set is swaying (00000000) instead of"),
        ("evaluator", "sha256", "0" * 64, "the evaluator is nothing (00000000) instead of"),
        ("protocol", "split", "val", "the split is val instead of test"),
        ("protocol", "pairs", 64, "the number of pairs is 64 instead of 32"),
    ],
)
def test_what_does_not_compare_is_refused(compare, folder, tmp_path, part, key, value, complaint):
    result = json.loads((folder / "mamba2" / "result.json").read_text())
    result[part][key] = value
    write_result(result, tmp_path / "changed")
    status, _, error, markdown = compare(folder / "mld", tmp_path / "changed")
    assert status == 2 and not markdown
    assert "mamba2 does not belong into one table with mld" in error and complaint in error
    assert len(error.splitlines()) == 1


def test_other_precision_is_told_and_never_the_best(compare, folder, tmp_path):
    result = json.loads((folder / "mamba2" / "result.json").read_text())
    result["protocol"]["precision"] = "bfloat16"
    write_result(result, tmp_path / "changed")
    status, _, _, markdown = compare(folder / "mld", tmp_path / "changed")
    assert status == 0 and "**" not in markdown
    assert "precision is bfloat16 instead of float32" in markdown
    assert "guidance 3, bfloat16 (mamba2)" in markdown


def test_bad_input_is_told_in_one_sentence(compare, folder, tmp_path):
    mld = folder / "mld"
    result = json.loads((mld / "result.json").read_text())
    del result["rows"]["generated"]
    write_result(result, tmp_path / "vae")
    (tmp_path / "half.json").write_text('{"steps": 3}')
    bad = {
        (mld, folder / "nothing"): "nothing does not exist",
        (mld, mld): "two results are called mld",
        (tmp_path / "vae",): "mld has no generated motions",
        (mld, "--training", f"mdl={folder / 'runs' / 'mld'}"): "a training is of mdl",
        (mld, "--training", tmp_path / "half.json"): "half.json lacks batch_size",
        (mld, "--timing", mld / "result.json"): "result.json lacks machine",
        (mld, *("--timing", folder) * 2): "two timings are of a CPU",
        (f"a={mld}", "--timing", folder): "times are of mld, other, none of which is a model",
    }
    for arguments, complaint in bad.items():
        status, _, error, markdown = compare(*arguments)
        assert status == 2 and not markdown
        assert complaint in error and len(error.splitlines()) == 1
