import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from motionmamba.data import write_dataset
from motionmamba.data.packed import Prepared, Sample, Source
from motionmamba.models import LengthPredictor
from motionmamba.training.config import compose
from motionmamba.training.length import CaptionedLengths, describe, train_length, validate
from motionmamba.training.text import CaptionEmbeddings

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "train_length.py"
FRAMES = {"kicks": 30, "waves": 90, "walks": 230}  # a word says how long it takes
PEOPLE = ("a man", "a woman", "somebody", "the child")
SHORT = ("train.steps=120", "train.checkpoint_every=60", "train.sample_every=60")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Still bodies; how long they stand, one word of their captions says."""
    rng = np.random.default_rng(0)
    samples = []
    for i in range(48):
        word = list(FRAMES)[i % 3]
        length = FRAMES[word] + int(rng.integers(-2, 3))
        captions = [f"{who} {word}" for who in rng.permutation(PEOPLE)[:3]]
        split = ("train", "val", "test")[0 if i < 36 else 1]
        samples.append(Sample(f"{i}", f"{i}", split, captions, features=np.zeros((length, 263))))
    statistics = np.zeros(263), np.ones(263)
    prepared = Prepared(samples, {"x": Source("x", "CC0", "x")}, statistics=statistics)
    return write_dataset(tmp_path_factory.mktemp("data") / "toy", prepared, "toy")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def settings(dataset, cache, *overrides):
    paths = (f"dataset.path={dataset.folder}", f"cache={cache}", "train.device=cpu")
    options = ("keep_longest=true", *paths, *SHORT, *overrides)
    return compose(ROOT / "configs", "train_length", options)


@pytest.fixture(scope="module")
def trained(toy, cache, tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    return train_length(settings(toy, cache), run)


def count_words(captions: list[str]) -> CaptionEmbeddings:
    """An embedding without a network: what word a caption has."""
    rows = torch.tensor([[word in text for word in FRAMES] for text in captions])
    return CaptionEmbeddings(rows.half(), torch.ones(len(captions), dtype=torch.long))


def test_a_word_that_says_the_length_is_learned(trained, text_encoder):
    predictor = LengthPredictor.from_pretrained(trained)
    frames = predictor.predict(*text_encoder.encode([f"a person {word}" for word in FRAMES]))
    assert (frames - torch.tensor([28, 90, 196])).abs().max() <= 4
    scores = json.loads((trained.parent / "validation.json").read_text())
    assert scores["cross-entropy"] < scores["cross-entropy without text"] - 0.5
    assert scores["seconds"] < 0.3 < scores["seconds without text"]
    assert f"({scores['cross-entropy without text']:.3f} without the text)" in describe(scores)


def test_a_run_leaves_what_a_researcher_looks_for_and_goes_on(trained, toy, cache):
    run = trained.parent
    assert (run / "config.yaml").is_file() and len(list((run / "checkpoints").iterdir())) == 2
    train_length(settings(toy, cache, "train.steps=122"), run, resume=True)
    assert (run / "checkpoints" / "step-00000122").is_dir()


def test_stretches_count_alike_and_their_captions_too(toy):
    train = CaptionedLengths(toy, "train", count_words, "cpu", most=2, seed=0)
    assert len(train.captions) == 2 * train.stretches == 72
    assert torch.allclose(train.weights, torch.full((72,), 1 / 72, dtype=torch.double))
    captions, lengths = train.draw(3000, torch.Generator().manual_seed(0))
    for place, frames in enumerate(FRAMES.values()):
        told = captions[:, place] == 1
        assert told.float().mean() == pytest.approx(1 / 3, abs=0.05)
        assert (lengths[told] - frames).abs().max() <= 2
    again = CaptionedLengths(toy, "train", count_words, "cpu", most=2, seed=0)
    assert torch.equal(again.captions, train.captions)


def test_windows_of_longer_recordings_are_left_out(toy):
    limited = CaptionedLengths(toy, "train", count_words, "cpu", most=2, seed=0, limit=196)
    assert limited.stretches == 24 and limited.lengths.max() <= 92
    assert limited.weights.sum().item() == pytest.approx(1.0)
    with pytest.raises(ValueError, match="have 20 frames or more; set keep_longest=true"):
        CaptionedLengths(toy, "train", count_words, "cpu", most=2, seed=0, limit=20)


def test_validation_is_its_direct_form(toy):
    train, val = (
        CaptionedLengths(toy, split, count_words, "cpu", most=9, seed=0)
        for split in ("train", "val")
    )
    torch.manual_seed(0)
    predictor = LengthPredictor(text_channels=3, hidden_size=4, max_frames=196).eval()
    scores = validate(predictor, train, val)
    units = [min(int(n), 196) // 4 for n in train.lengths[::3]]
    likely = {u: (units.count(u) + 1) / (len(units) + 49) for u in range(1, 50)}
    median = sorted(units)[len(units) // 2] * 4
    blind, entropy, off = [], [], []
    for caption, length in zip(val.captions, val.lengths.tolist(), strict=True):
        mask = torch.ones(1, 1, dtype=torch.bool)
        logits = predictor(caption[None, None], mask)[0].log_softmax(-1)
        unit = min(length, 196) // 4
        blind.append(-np.log(likely[unit]))
        entropy.append(-logits[unit - 1].item())
        guess = predictor.predict(caption[None, None], mask).item()
        off.append([abs(frames - min(length, 196)) / 20 for frames in (guess, median)])
    assert scores["cross-entropy without text"] == pytest.approx(np.mean(blind))
    assert scores["cross-entropy"] == pytest.approx(np.mean(entropy), rel=1e-4)
    found = scores["seconds"], scores["seconds without text"]
    assert found == pytest.approx(tuple(np.mean(off, axis=0)))
    assert scores["captions"] == len(val.captions) == 36


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["captions=0"], "captions is 0"),
        (["predictor.max_frames=2"], "max_frames is 2"),
        (["dataset.path=nowhere"], "no packed data set"),
    ],
)
def test_bad_input_is_one_line(toy, tmp_path, arguments, complaint):
    path = f"dataset.path={toy.folder}"
    command = [sys.executable, SCRIPT, path, *arguments]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert result.returncode == 2 and complaint in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1 and not list(tmp_path.iterdir())


def test_no_captions_to_validate_on(cache, tmp_path):
    samples = [Sample("0", "0", "train", ["he walks"], features=np.zeros((40, 263)))]
    prepared = Prepared(samples, {"x": Source("x", "CC0", "x")})
    small = write_dataset(tmp_path / "small", prepared, "small")
    with pytest.raises(ValueError, match="no captions in its val split"):
        train_length(settings(small, cache), tmp_path / "run")
