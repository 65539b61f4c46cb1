"""A data set made larger by generated motions, those that show what they were asked for."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from packed_set import TINY, VOCABULARY, write_set

from motionmamba.data import MotionDataset
from motionmamba.data.packed import merge_datasets
from motionmamba.data.report import way_of
from motionmamba.evaluation import T2MEvaluator
from motionmamba.evaluation import enlarge as enlarging
from motionmamba.evaluation.enlarge import enlarge, faithful
from motionmamba.evaluation.protocol import Recordings

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "enlarge_dataset.py"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("enlarge") / "set", lengths=(40, 80))


@pytest.fixture(scope="module")
def evaluator(dataset):
    torch.manual_seed(0)
    evaluator = T2MEvaluator(263, VOCABULARY, trained_on="nothing", **TINY).eval()
    evaluator.words.vectors.normal_()
    evaluator.mean.copy_(torch.from_numpy(dataset.mean))
    evaluator.std.copy_(torch.from_numpy(dataset.std))
    return evaluator


def shifted(told, random):
    return [motion + 0.01 for motion in told.motions]


def run(dataset, evaluator, out, **changes):
    options = dict(count=63, top_k=32, seed=0, model="a model", tell=lambda text: None)
    return enlarge(dataset, shifted, evaluator, out, **options | changes)


def test_generated_motions_join_the_training_split_alone(dataset, evaluator, tmp_path):
    larger = run(dataset, evaluator, tmp_path / "larger")
    new = [clip for clip in larger.clips if clip.made]
    assert len(new) == 32  # whole pools
    assert {(clip.split, clip.source, way_of(clip)) for clip in new} == {
        ("train", "generated", "generated")
    }
    assert [c.name for c in larger.clips if not c.made] == [c.name for c in dataset.clips]
    told = Recordings(dataset, "train").draw(np.random.default_rng((0, 0)))
    for clip, motion, caption, tokens in zip(
        new, told.motions, told.captions, told.tokens, strict=False
    ):
        np.testing.assert_allclose(larger.features(clip), motion + 0.01, rtol=1e-6)
        (index,) = clip.captions
        assert (larger.captions[index], larger.tokens[index]) == (caption, tokens)
    assert not list(tmp_path.glob(".*"))


def test_only_what_the_evaluator_recognises_is_kept(dataset, evaluator, tmp_path, monkeypatch):
    recordings = Recordings(dataset, "train").draw(np.random.default_rng((0, 0)))
    told = recordings.take(range(32))
    kept = faithful(evaluator, told, shifted(told, None), 5)
    assert 0 < len(kept) < 32
    assert set(kept) <= set(faithful(evaluator, told, shifted(told, None), 9))
    larger = run(dataset, evaluator, tmp_path / "larger", top_k=5)
    assert [c.name for c in larger.clips if c.made] == [f"generated_{i:06d}" for i in kept]
    monkeypatch.setattr(enlarging, "faithful", lambda *arguments: [])
    with pytest.raises(ValueError, match="none of 32 motions"):
        run(dataset, evaluator, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_joints_are_stored_where_the_set_has_joints(evaluator, tmp_path):
    from motionmamba.data.packed import write_dataset
    from motionmamba.data.sources.procedural import prepare_procedural

    dataset = write_dataset(tmp_path / "set", prepare_procedural(60, 0), "procedural")
    larger = run(dataset, evaluator, tmp_path / "larger", count=32)
    new = [clip for clip in larger.clips if clip.made]
    assert len(new) == 32 and larger.stores_joints
    assert np.isfinite(larger.features(new[0])).all()


@pytest.mark.parametrize("count", [31, 4000])
def test_counts_that_the_captions_do_not_reach_are_refused(dataset, evaluator, tmp_path, count):
    with pytest.raises(ValueError, match=rf"{count} motions were asked for.* 32 to 64"):
        run(dataset, evaluator, tmp_path / "larger", count=count)


def test_the_script_writes_a_set_that_merges_no_more(dataset, evaluator, pipeline, tmp_path):
    evaluator.save_half(tmp_path / "evaluator")
    pipeline.save_pretrained(tmp_path / "pipeline")
    command = [
        *(sys.executable, SCRIPT, "--dataset", dataset.folder, "--out", tmp_path / "larger"),
        *("--checkpoint", tmp_path / "pipeline", "--evaluator", tmp_path / "evaluator"),
        *("--motions", 32, "--top-k", 9, "--device", "cpu"),
    ]
    command = list(map(str, command))
    first = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert first.returncode == 0, first.stderr
    assert "of 32 motions are kept" in first.stdout
    larger = MotionDataset.load(tmp_path / "larger")
    assert "generated" in larger.info["sources"]
    assert "generated" in (larger.folder / "report.md").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="several of the sets have a clip"):
        merge_datasets([larger.folder, larger.folder], tmp_path / "twice", "twice")
    again = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert again.returncode == 2 and "exists already" in again.stderr
