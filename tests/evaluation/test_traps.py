"""The traps of text-to-motion evaluation: each test fails when one is stepped into.

What they cost others is told in docs/evaluation.md, by the names of these tests.
"""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from packed_set import TINY, VOCABULARY, write_set

from motionmamba.data import MotionDataset
from motionmamba.evaluation import T2MEvaluator, frechet_distance, r_precision
from motionmamba.evaluation.protocol import (
    POOL,
    Evaluation,
    Protocol,
    Recordings,
    embed_motions,
    embed_texts,
    generate,
    reconstruct,
)
from motionmamba.models import TemporalMotionVAE
from motionmamba.training.config import compose
from motionmamba.training.evaluator import train_evaluator

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
STAGES = ("movement", "matching")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("data") / "swaying", broken=2)


@pytest.fixture(scope="module")
def evaluator():
    """One whose statistics are nobody else's."""
    torch.manual_seed(0)
    evaluator = T2MEvaluator(263, VOCABULARY, **TINY).eval()
    evaluator.words.vectors.normal_()
    evaluator.mean.normal_()
    evaluator.std.uniform_(0.5, 2)
    return evaluator


@pytest.fixture
def told(dataset):
    return Recordings(dataset, "test").draw(np.random.default_rng(0))


def test_motions_are_normalised_with_the_evaluators_own_statistics(dataset, evaluator, told):
    """Whatever a model normalises with: what it makes is turned back before it is embedded."""
    vae = TemporalMotionVAE(latent_channels=4, width=16).eval()
    vae.set_statistics(dataset.mean, dataset.std)
    vae.encode = lambda features, lengths: Echo(features)
    vae.decode = lambda latents, lengths: latents
    made = embed_motions(evaluator, reconstruct(vae, told.motions))
    np.testing.assert_allclose(made, embed_motions(evaluator, told.motions), rtol=1e-3, atol=1e-4)
    normalised = [(m - dataset.mean) / dataset.std for m in told.motions]
    assert np.abs(embed_motions(evaluator, normalised) - made).max() > 0.01


class Echo:
    def __init__(self, features):
        self.mean = features


def test_multimodality_is_of_motions_normalised_alike(dataset, evaluator):
    """The sampled motions of MModality go the same way as those of every other metric."""
    seen = []
    encode = evaluator.encode_motion

    def watch(features, lengths):
        seen.extend(float(x[:n].abs().mean()) for x, n in zip(features, lengths, strict=True))
        return encode(features, lengths)

    evaluator.encode_motion = watch
    try:
        rows = {"echo": lambda told, random: told.motions}
        protocol = Protocol(replications=1, texts=4, samples=4, pairs=2)
        Evaluation(dataset, evaluator, protocol, rows, "echo").replicate(0)
    finally:
        del evaluator.encode_motion
    assert len(seen) == 80 + 3 * 64 + 16
    assert np.ptp(seen) < 0.2 * np.mean(seen), "one scale, that of raw features"


def test_a_caption_is_as_long_as_its_words_not_as_its_padding(evaluator):
    short, long = "a/DET person/NOUN walk/VERB", " ".join(["a/DET person/NOUN walk/VERB"] * 6)
    alone = embed_texts(evaluator, [short])[0]
    np.testing.assert_allclose(embed_texts(evaluator, [long, short])[1], alone, atol=1e-6)


def test_pools_have_32_pairs_whatever_the_batches_are(dataset, evaluator, monkeypatch):
    import motionmamba.evaluation.protocol as module

    values = []
    for batch in (8, 128):
        monkeypatch.setattr(module, "BATCH", batch)
        protocol = Protocol(replications=1, texts=0)
        values.append(Evaluation(dataset, evaluator, protocol, {}).replicate(0)["real"])
    assert [values[0][f"R@{k}"] for k in (1, 2, 3)] == [values[1][f"R@{k}"] for k in (1, 2, 3)]
    rng = np.random.default_rng(0)
    text, motion = rng.normal(size=(2, 640, 4))
    assert r_precision(text, motion)[2] == pytest.approx(3 / POOL, abs=0.03)


def test_clips_with_nan_are_left_out_and_told(dataset, evaluator):
    recordings = Recordings(dataset, "test")
    assert recordings.left_out == {"NaN or infinity": 2}
    with pytest.raises(ValueError, match="NaN or infinity"):
        frechet_distance(np.full((4, 3), np.nan), np.zeros((4, 3)))


def test_fid_is_taken_from_as_many_made_as_recorded_motions(dataset, evaluator):
    """FID grows as samples get fewer: a thousand made against all recorded flatters nobody."""
    short = {"short": lambda told, random: told.motions[:-1]}
    with pytest.raises(ValueError, match="64.*63|63.*64"):
        Evaluation(dataset, evaluator, Protocol(replications=1, texts=0), short).replicate(0)


def test_fid_of_degenerate_embeddings_is_real_finite_and_without_warnings():
    """Where scipy's sqrtm says "Imaginary component", and loses its `disp` argument."""
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(64, 3)) @ rng.normal(size=(3, 512))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = frechet_distance(flat, flat + 1e-9 * rng.normal(size=flat.shape))
    assert isinstance(value, float) and 0 <= value < 1e-6


def test_training_never_sees_the_test_split(tmp_path, monkeypatch):
    """Models that were selected on the test split look better than they are."""
    told = write_set(tmp_path / "set", tests=40, others=("train", "val"))
    asked = set()
    split = MotionDataset.split
    monkeypatch.setattr(MotionDataset, "split", lambda self, n: asked.add(n) or split(self, n))
    few = [f"train.{stage}.{key}=2" for stage in STAGES for key in ("steps", "batch_size")]
    paths = [f"dataset.path={told.folder}", f"cache={tmp_path / 'cache'}", "train.device=cpu"]
    tiny = ["evaluator=tiny", "train=evaluator_tiny"]
    train_evaluator(compose(CONFIGS, "train_evaluator", tiny + paths + few), tmp_path / "run")
    assert asked == {"train", "val"}


def test_a_motion_in_a_padded_batch_is_the_one_it_is_alone(dataset, pipeline, told):
    """Sampling short motions at another length than they were trained at made them freeze."""
    lengths = (40, 48, 76)
    motions = [told.motions[0][:1].repeat(n, 0) for n in lengths]
    three = type(told)(motions, told.captions[:3], told.tokens[:3])
    noise = {}

    def keep(prompts, num_frames, generator):
        tokens = -(-max(num_frames) // 4)
        latents = torch.randn(len(prompts), tokens, 8, generator=generator)
        noise.update({p: x for p, x in zip(prompts, latents, strict=True)})
        return pipeline(prompts, num_frames=num_frames, latents=latents)

    together = generate(keep, three, np.random.default_rng(0), 3, lambda n: None)
    for prompt, length, made in zip(three.captions, lengths, together, strict=True):
        latents = noise[prompt][None, : -(-length // 4)]
        alone = pipeline(prompt, num_frames=length, latents=latents).motions[0].features
        np.testing.assert_allclose(made, alone, rtol=1e-3, atol=1e-3)


def test_embeddings_follow_the_order_of_inputs(evaluator, told):
    """The original returns them sorted by length."""
    swapped = told.take(range(len(told))[::-1])
    forward = embed_motions(evaluator, told.motions), embed_texts(evaluator, told.tokens)
    backward = embed_motions(evaluator, swapped.motions), embed_texts(evaluator, swapped.tokens)
    for a, b in zip(forward, backward, strict=True):
        np.testing.assert_allclose(a, b[::-1], rtol=1e-4, atol=1e-5)


def test_another_width_of_features_needs_another_evaluator(dataset, told):
    kit = T2MEvaluator(251, VOCABULARY, **TINY)
    with pytest.raises(ValueError, match="251"):
        embed_motions(kit, told.motions)
