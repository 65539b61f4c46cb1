"""scripts/benchmark.py sentences, with the smallest models."""

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from PIL import Image

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
TINY = {"mld": ("tiny", "tiny"), "longer": ("tiny", "mld")}


@pytest.fixture(scope="module", autouse=True)
def scripts():
    """The scripts' folder is where they import from when they run."""
    sys.path.insert(0, str(SCRIPTS))
    yield
    sys.path.remove(str(SCRIPTS))


@pytest.fixture(scope="module")
def command(scripts):
    """Runs the script as a shell would: gives its exit status."""
    benchmark, sentences = map(import_module, ("benchmark", "_benchmark.sentences"))

    def run(*arguments, contestants=TINY) -> int:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.cuda, "is_available", lambda: False)
            patch.setattr(sentences, "CONTESTANTS", contestants)
            patch.setattr(sentences, "STEPS", 3)
            patch.setattr(sys, "argv", ["benchmark.py", "sentences", *map(str, arguments)])
            with pytest.raises(SystemExit) as exit_:
                benchmark.run_app(benchmark.app)
        return exit_.value.code or 0

    return run


@pytest.fixture(scope="module")
def measured(command, tmp_path_factory):
    """Folder with the results of one run, and their content."""
    out = tmp_path_factory.mktemp("sentences")
    options = ("--batches", "1,2", "--lengths", "40,196,400", "--quick", "--out", out)
    assert command(*options) == 0
    return out, json.loads((out / "sentences.json").read_text())


def test_every_contestant_is_timed_at_every_setting(measured):
    _, content = measured
    results = content["results"]
    settings = [(1, 196), (2, 196), (1, 40), (1, 400)]  # once, what is asked for twice
    found = [(r["batch"], r["frames"], r["contestant"]) for r in results]
    assert found == [(*setting, name) for setting in settings for name in TINY]
    for result in results:
        text, motion = (result[key]["median_ms"] for key in ("text", "motion"))
        assert result["status"] == "ok" and result["mode"] == "eager" and min(text, motion) > 0
        assert result["sentence_ms"] == pytest.approx((text + motion) / result["batch"])
        assert result["tokens"] == -(-result["frames"] // 4)


def test_ratios_are_to_mld_of_the_same_setting(measured):
    _, content = measured
    for base, other in zip(content["results"][::2], content["results"][1::2], strict=True):
        assert base["contestant"] == content["settings"]["baseline"] == "mld"
        assert base["to_baseline"] == 1
        assert other["to_baseline"] == pytest.approx(other["sentence_ms"] / base["sentence_ms"])


def test_models_are_built_as_long_as_the_motion(measured):
    _, content = measured
    sizes = {r["frames"]: r["parameters"] for r in content["results"] if r["contestant"] == "mld"}
    assert sizes[40] < sizes[196] < sizes[400]


def test_results_name_machine_and_settings(measured):
    _, content = measured
    machine, settings = content["machine"], content["settings"]
    assert machine["device"] == "cpu" and machine["versions"]["torch"] == torch.__version__
    assert (settings["scheduler"], settings["guidance_scale"]) == ("DDIMScheduler", 7.5)
    assert settings["weights"] == "untrained" and settings["num_inference_steps"] == 3
    assert content["contestants"]["longer"] == {"vae": "tiny", "denoiser": "mld"}


def test_times_over_length_are_plotted(measured):
    out, _ = measured
    with Image.open(out / "sentences.png") as image:
        assert image.format == "PNG"


def test_who_has_no_memory_is_told_and_stops_nobody(command, tmp_path, capsys):
    from _benchmark import sentences

    def build(vae, denoiser, frames, embedding, build=sentences.build):
        if denoiser == "mld" and frames == 60:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return build(vae, denoiser, frames, embedding)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sentences, "build", build)
        assert command("--lengths", "40,60", "--quick", "--out", tmp_path) == 0
    results = json.loads((tmp_path / "sentences.json").read_text())["results"]
    statuses = {(r["contestant"], r["frames"]): r["status"] for r in results}
    assert statuses["longer", 60] == "out of memory" and statuses["longer", 40] == "ok"
    assert statuses["mld", 60] == "ok" and [r["frames"] for r in results if not r["motion"]] == [60]
    printed = capsys.readouterr().out
    for text in (
        "longer, eager, 1 × 60 frames: out of memory",
        "untrained",
        "longer: vae=tiny denoiser=mld",
        "DDIMScheduler",
    ):
        assert text in printed


def test_all_contestants_can_be_built_for_long_motions():
    from _benchmark import sentences

    from motionmamba.models.text_encoder import TextEmbedding

    text = TextEmbedding(torch.zeros(2, 1, 384), torch.ones(2, 1, dtype=torch.bool))
    pipelines = {
        name: sentences.build(*parts, 2100, text) for name, parts in sentences.CONTESTANTS.items()
    }
    assert {pipeline.max_seconds for pipeline in pipelines.values()} == {105}
    tokens = {name: pipeline.denoiser.config.max_tokens for name, pipeline in pipelines.items()}
    assert tokens.pop("mld") == tokens.pop("motion_mamba") == 2
    assert set(tokens.values()) == {528}
    # more than MLD has positions for
    answer = pipelines["transformer_temporal"]("a", num_frames=2100, num_inference_steps=1)
    assert answer.motions[0].features.shape == (2100, 263)


def test_graphs_are_timed_where_a_pipeline_records_them():
    from _benchmark.sentences import modes_of, without_graphs

    from motionmamba.models import captured

    assert modes_of("cuda", 32) == ["eager", "CUDA graph"]
    assert modes_of("cuda", 65) == modes_of("cpu", 1) == ["eager"]
    most = captured.MOST_ROWS
    with without_graphs():
        assert captured.MOST_ROWS == 0
    assert captured.MOST_ROWS == most


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (("--batches", "1,many"), "--batches is '1,many', expected sizes as in 1,64"),
        (("--lengths", ""), "--lengths is ''"),
        (("--lengths", "196,3"), "--lengths has 3, expected at least 4 frames"),
    ],
)
def test_bad_options_end_in_one_line(command, capsys, arguments, complaint):
    assert command(*arguments) == 2
    error = capsys.readouterr().err
    assert complaint in error and len(error.strip().splitlines()) == 1
