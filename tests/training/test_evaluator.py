import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from motionmamba.data import write_dataset
from motionmamba.data.packed import Caption, Prepared, Sample, Source
from motionmamba.data.sources.procedural import prepare_procedural
from motionmamba.evaluation import T2MEvaluator
from motionmamba.evaluation.protocol import Recordings
from motionmamba.evaluation.word_vectors import WordVectorizer
from motionmamba.training import evaluator as training
from motionmamba.training.config import compose
from motionmamba.training.evaluator import (
    CaptionedMotions,
    MovementAutoencoder,
    MovementDecoder,
    autoencoder_losses,
    build_evaluator,
    disturbed_loss,
    draw_shift,
    matching_losses,
    train_evaluator,
    validate,
)

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "train_evaluator.py"
SHORT = ("train.movement.steps=4", "train.matching.steps=6", "train.checkpoint_every=2")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Enough procedural clips for a pool of 32 in the validation split."""
    folder = tmp_path_factory.mktemp("data") / "procedural"
    return write_dataset(folder, prepare_procedural(180, seed=0), "procedural")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def settings(dataset, cache, *overrides):
    paths = (f"dataset.path={dataset.folder}", f"cache={cache}")
    tiny = ("evaluator=tiny", "train=evaluator_tiny", "train.device=cpu")
    return compose(ROOT / "configs", "train_evaluator", [*tiny, *paths, *overrides])


@pytest.mark.parametrize("shift", range(5))
def test_matching_losses_are_their_direct_form(shift):
    text, motion = 5 * torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    near = [sum((a - b) ** 2) for a, b in zip(text, motion, strict=True)]
    far = [sum((text[i] - motion[(i + shift) % 5]) ** 2) ** 0.5 for i in range(5)]
    assert any(d > 10 for d in far) and any(d < 10 for d in far)
    losses = matching_losses(text, motion, torch.tensor(shift))
    positive, negative = sum(near) / 5, sum(max(0, 10 - d) ** 2 for d in far) / 5
    torch.testing.assert_close(losses["positive"], positive, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(losses["negative"], negative, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(losses["loss"], positive + negative, rtol=1e-4, atol=1e-4)


def test_a_disturbed_motion_belongs_farther_from_its_caption_by_its_level_and_no_farther():
    text, motion = torch.zeros(3, 2), torch.tensor([[3.0, 0], [0, 4], [1, 0]], requires_grad=True)
    # 3 + 5 x 1 for 8, 4 + 5 x 0.2 for 7, 1 + 5 x 0.4 for 1
    disturbed = torch.tensor([[8.0, 0], [0, 7], [1, 0]], requires_grad=True)
    loss = disturbed_loss(text, motion, disturbed, torch.tensor([1.0, 0.2, 0.4]))
    assert loss.item() == pytest.approx((0 + 4 + 4) / 3, rel=1e-5)
    loss.backward()
    assert motion.grad is None and disturbed.grad.abs().sum() > 0


def test_the_shift_reaches_every_other_row_and_zero_only_as_published():
    generator = torch.Generator().manual_seed(0)
    shifts = {int(draw_shift(5, generator)) for _ in range(200)}
    published = {int(draw_shift(5, generator, allow_zero=True)) for _ in range(200)}
    assert shifts == {1, 2, 3, 4} and published == {0, 1, 2, 3}
    assert int(draw_shift(2, generator)) == 1


def test_autoencoder_losses_are_their_direct_form():
    torch.manual_seed(0)
    encoder = T2MEvaluator(num_features=10, movement_size=6).movement_encoder
    model = MovementAutoencoder(encoder, MovementDecoder(6, 10)).eval()
    features = torch.randn(3, 24, 10)
    made, movements = model(features)
    assert made.shape == features.shape and movements.shape == (3, 6, 6)
    without_contacts = features.clone()
    without_contacts[..., -4:] = 9
    assert torch.equal(model(without_contacts)[1], movements)
    losses = autoencoder_losses(model, features)
    steps = [(movements[:, i + 1] - movements[:, i]).abs() for i in range(5)]
    torch.testing.assert_close(losses["smoothness"], torch.stack(steps).mean())
    expected = (made - features).abs().mean() + 0.001 * (
        movements.abs().mean() + torch.stack(steps).mean()
    )
    torch.testing.assert_close(losses["loss"], expected)


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """Clips whose features tell the clip and the frame, and whose captions tell the clip."""
    lengths = [30, 40, 57, 100, 199, 200]
    samples = [
        Sample(
            *(str(i), str(i), "train"),
            [Caption(f"{word} {i}", f"{word}{i}/NOUN") for word in ("one", "two")[: 1 + i % 2]],
            features=np.stack([np.full(length, i), np.arange(length)], 1).repeat(132, 1)[:, :263],
        )
        for i, length in enumerate(lengths)
    ]
    prepared = Prepared(
        samples, {"x": Source("x", "CC0", "x")}, statistics=(np.zeros(263), np.ones(263))
    )
    dataset = write_dataset(tmp_path_factory.mktemp("data") / "numbered", prepared, "numbered")
    evaluator = T2MEvaluator(vocabulary=["unk", *{t.split("/")[0] for t in dataset.tokens}])
    return CaptionedMotions(dataset, "train", evaluator, 40, "cpu"), evaluator.words.vocabulary


def test_pairs_are_crops_with_captions_of_their_own(numbered):
    motions, vocabulary = numbered
    batch = motions.pairs(300, torch.Generator().manual_seed(0))
    clips, frames = batch["features"][:, 0, 0].long(), batch["features"][..., 200]
    assert set(clips.tolist()) == {1, 2, 3, 4}, "40 to 199 frames"
    seen = set()
    for i in range(300):
        length = int(batch["lengths"][i])
        first = frames[i, 0]
        assert torch.equal(frames[i, :length], first + torch.arange(length))
        assert not frames[i, length:].any() and length % 4 == 0
        assert first + length <= [30, 40, 57, 100, 199, 200][clips[i]]
        words = batch["words"][i, : batch["word_counts"][i], 0]
        assert len(words) == 3
        word = vocabulary[words[1]]
        assert word[3:] == str(int(clips[i]))
        seen.add(word)
    assert seen == {"one1", "two1", "one2", "one3", "two3", "one4"}


def test_windows_are_whole_and_from_anywhere(numbered):
    windows = numbered[0].windows(2000, 24, torch.Generator().manual_seed(0))[..., (0, 200)]
    first = windows[:, 0]
    assert torch.equal(windows[..., 1], first[:, 1:] + torch.arange(24))
    of_shortest = first[first[:, 0] == 1, 1]
    assert set(of_shortest.long().tolist()) == set(range(40 - 24 + 1))


def test_statistics_are_the_data_sets_with_root_and_contacts_enlarged(told, cache):
    config = settings(told, cache, "root_bias=5")
    evaluator = build_evaluator(config, told, WordVectorizer(["unk"], 3))
    mean, std = evaluator.mean.numpy(), evaluator.std.numpy()
    np.testing.assert_array_equal(mean, told.mean.astype(np.float32))
    factor = np.r_[np.full(4, 5.0), np.ones(255), np.full(4, 5.0)]
    np.testing.assert_allclose(std * factor, told.std, rtol=1e-6)
    assert settings(told, cache).root_bias == 25


@pytest.fixture(scope="module")
def trained(told, cache, tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    changes = ("train.movement.steps=60", "train.sample_every=60", "train.matching.steps=120")
    return run, train_evaluator(settings(told, cache, *changes), run)


def test_training_matches_captions_and_motions_well_above_chance(trained, told):
    run, folder = trained
    evaluator = T2MEvaluator.from_pretrained(folder)
    scores = validate(evaluator, Recordings(told, "val"))
    assert scores["R@1"] > 3 / 32 and scores["R@3"] > 8 / 32, scores
    assert scores["MM-Dist"] < 0.7 * scores["chance MM-Dist"]
    assert json.loads((run / "validation.json").read_text()) == pytest.approx(scores)
    assert evaluator.config.trained_on == "procedural"


def test_every_batch_is_matched_with_disturbed_copies_of_its_motions(
    told, cache, tmp_path, monkeypatch
):
    seen = []

    def spy(text, motion, disturbed, level):
        seen.append((motion.detach(), disturbed.detach(), level))
        return disturbed_loss(text, motion, disturbed, level)

    monkeypatch.setattr(training, "disturbed_loss", spy)
    kinds = "train.matching.disturbed=[noise,shuffle,smooth]"
    train_evaluator(settings(told, cache, *SHORT, kinds), tmp_path)
    assert len(seen) == 6  # of SHORT
    for motion, disturbed, level in seen:
        assert motion.shape == disturbed.shape and level.shape == (32,)
        change = (motion - disturbed).norm(dim=1)
        assert change[level == 1].min() > 0 and not torch.isnan(change).any()


def test_the_file_is_half_precision_but_for_statistics(trained, told):
    weights = load_file(trained[1] / "diffusion_pytorch_model.safetensors")
    wide = {name for name, value in weights.items() if value.dtype != torch.float16}
    assert wide == {"mean", "std"}
    np.testing.assert_array_equal(weights["mean"], told.mean.astype(np.float32))


def test_no_gradient_reaches_the_movement_encoder_or_the_words(told, cache, tmp_path):
    config = settings(told, cache, *SHORT)
    evaluator = build_evaluator(config, told, WordVectorizer(["unk"], 3))
    motions = CaptionedMotions(told, "train", evaluator, 40, "cpu")
    before = {k: v.clone() for k, v in evaluator.state_dict().items()}
    stage = training._stage(config.train, "matching")
    training.train_matching(evaluator, motions, stage, tmp_path)
    for name, value in evaluator.state_dict().items():
        frozen = name.startswith("movement_encoder.") or name in ("mean", "std", "words.vectors")
        assert torch.equal(value, before[name]) == frozen, name
    assert all(p.grad is None for p in evaluator.movement_encoder.parameters())


class Interrupted(Exception):
    pass


@pytest.mark.parametrize(("part", "calls"), [("autoencoder_losses", 3), ("matching_losses", 5)])
def test_a_resumed_run_ends_with_the_same_weights(told, cache, tmp_path, monkeypatch, part, calls):
    config = settings(told, cache, *SHORT, "train.sample_every=0")
    whole = T2MEvaluator.from_pretrained(train_evaluator(config, tmp_path / "whole"))
    plain, left = getattr(training, part), [calls]

    def interrupted(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise Interrupted
        return plain(*arguments)

    monkeypatch.setattr(training, part, interrupted)
    with pytest.raises(Interrupted):
        train_evaluator(config, tmp_path / "parts")
    monkeypatch.setattr(training, part, plain)
    resumed = T2MEvaluator.from_pretrained(train_evaluator(config, tmp_path / "parts", resume=True))
    assert resumed.sha256 == whole.sha256


def test_word_vectors_are_kept_so_that_another_machine_needs_no_encoder(
    told, tmp_path, monkeypatch
):
    config = settings(told, tmp_path)
    words = training._words(config, told)
    assert words.vocabulary[:3] == ["unk", "sos", "eos"] and "left" in words.vocabulary
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    training._words(config, told)
    assert file.read_bytes() == whole

    monkeypatch.setattr(WordVectorizer, "from_minilm", None)
    again = training._words(config, told)
    assert again.vocabulary == words.vocabulary and torch.equal(again.vectors, words.vectors)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("train=tiny", "no part movement"),
        ("dataset.path=nowhere", "no packed data set"),
        ("root_bias=0", "root_bias is 0"),
        ("train.movement.window=22", "window is 22 frames, expected a multiple of 4 from 8 to 40"),
        ("train.movement.window=44", "window is 44 frames"),
        ("train.matching.batch_size=1", "batch_size is 1, expected 2 or more"),
        ("train.matching.disturbed=[noise,hail]", "disturbed has hail, expected some of noise,"),
        ("evaluator.motion_size=-3", "cannot build an evaluator"),
        ("glove=nowhere", "our_vab_words.pkl is missing"),
    ],
)
def test_wrong_settings_are_one_sentence(told, cache, tmp_path, change, complaint):
    config = settings(told, cache, change)
    with pytest.raises(ValueError, match=complaint) as error:
        train_evaluator(config, tmp_path)
    assert "\n" not in str(error.value)


def test_the_script_trains_and_tells_how_it_does(told, cache, tmp_path):
    choices = ("evaluator=tiny", "train=evaluator_tiny", f"cache={cache}", *SHORT)
    done = subprocess.run(
        [sys.executable, SCRIPT, f"dataset.path={told.folder}", *choices],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    score, wrote = done.stdout.splitlines()[-2:]
    assert "R@1" in score and "chance 0.031" in score and "32 pairs" in score
    assert T2MEvaluator.from_pretrained(tmp_path / wrote.removeprefix("wrote ")).words
    assert (tmp_path / "runs" / "evaluator" / "config.yaml").is_file()


def test_a_validation_split_smaller_than_a_pool_is_refused(dataset, cache, tmp_path):
    with pytest.raises(ValueError, match="val split of procedural has 4 captioned stretches"):
        train_evaluator(settings(dataset, cache), tmp_path)
