import numpy as np
import pytest
import torch
from packed_set import TINY, VOCABULARY, write_set

from motionmamba.evaluation import T2MEvaluator, frechet_distance
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


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("data") / "swaying", broken=2)


@pytest.fixture(scope="module")
def evaluator(dataset):
    torch.manual_seed(0)
    evaluator = T2MEvaluator(263, VOCABULARY, **TINY).eval()
    evaluator.words.vectors.normal_()
    evaluator.mean.copy_(torch.from_numpy(dataset.mean))
    evaluator.std.copy_(torch.from_numpy(dataset.std))
    return evaluator


def evaluate(dataset, evaluator, rows=None, sampled=None, **settings):
    settings = {"replications": 1, "texts": 0} | settings
    return Evaluation(dataset, evaluator, Protocol(**settings), rows or {}, sampled)


def echo(told, random):
    return told.motions


def noise(told, random):
    return [m + random.normal(size=m.shape).astype(np.float32) for m in told.motions]


def test_a_draw_has_each_stretch_once_cropped_to_whole_units_with_a_caption_of_its_own(dataset):
    recordings = Recordings(dataset, "test")
    clips = {dataset.features(c).tobytes(): c for c in dataset.split("test")}
    whole = {k: np.frombuffer(k, np.float32).reshape(-1, 263) for k in clips}
    told = recordings.draw(np.random.default_rng(1))
    assert len(told) == len(recordings) // POOL * POOL == 64
    met = set()
    for motion, caption, tokens in zip(told.motions, told.captions, told.tokens, strict=True):
        key = next(k for k, rows in whole.items() if (rows == motion[0]).all(1).any())
        clip, rows = clips[key], whole[key]
        first = int((rows == motion[0]).all(1).argmax())
        assert (rows[first : first + len(motion)] == motion).all()
        assert len(motion) % 4 == 0 and len(rows) - len(motion) < 8
        assert (caption, tokens) in [
            (dataset.captions[i], dataset.tokens[i]) for i in clip.captions
        ]
        met.add(clip.name)
    assert len(met) == len(told), "no stretch twice"


def test_draws_differ_and_a_seed_repeats_them(dataset):
    recordings = Recordings(dataset, "test")
    first, again, other = (recordings.draw(np.random.default_rng(s)) for s in (3, 3, 4))
    assert first.captions == again.captions != other.captions
    assert all((a == b).all() for a, b in zip(first.motions, again.motions, strict=True))


def test_too_short_too_long_and_broken_stretches_are_left_out_and_counted(tmp_path):
    dataset = write_set(tmp_path / "set", tests=60, broken=3, lengths=(30, 230))
    recordings = Recordings(dataset, "test")
    lengths = [c.length for c in dataset.split("test")[:60]]
    assert recordings.left_out["shorter than 40 frames"] == sum(n < 40 for n in lengths) > 0
    assert recordings.left_out["longer than 199 frames"] == sum(n > 199 for n in lengths) > 0
    assert len(recordings) == 63 - sum(recordings.left_out.values())
    assert all(np.isfinite(m).all() for m in recordings.whole())


def test_a_split_without_a_whole_pool_is_refused(tmp_path, evaluator):
    dataset = write_set(tmp_path / "set", tests=31)
    with pytest.raises(ValueError, match="31 captioned stretches of 40 to 199 frames"):
        evaluate(dataset, evaluator)


def test_embeddings_are_in_the_order_given_and_depend_on_no_neighbour(dataset, evaluator):
    told = Recordings(dataset, "test").draw(np.random.default_rng(0))
    together = embed_motions(evaluator, told.motions)
    texts = embed_texts(evaluator, told.tokens)
    for i in (0, 17, 63):
        np.testing.assert_allclose(
            embed_motions(evaluator, [told.motions[i]])[0], together[i], 1e-4, 1e-5
        )
        np.testing.assert_allclose(
            embed_texts(evaluator, [told.tokens[i]])[0], texts[i], 1e-4, 1e-5
        )


def test_a_row_that_echoes_recordings_scores_as_they_do(dataset, evaluator):
    scores = evaluate(dataset, evaluator, {"echo": echo}).replicate(0)
    assert {k: v for k, v in scores["echo"].items() if k != "Path error"} == scores["real"]
    assert scores["echo"].get("Path error", 0.0) == pytest.approx(0.0, abs=1e-6)


def test_fid_of_recordings_is_to_another_pass_and_noise_is_farther(dataset, evaluator):
    scores = evaluate(dataset, evaluator, {"noise": noise}).replicate(0)
    assert 0 < scores["real"]["FID"] < scores["noise"]["FID"]


def test_a_replication_depends_on_its_number_and_the_seed_alone(dataset, evaluator):
    rows = {"noise": noise}
    first = evaluate(dataset, evaluator, rows)
    first.replicate(0)
    assert first.replicate(1) == evaluate(dataset, evaluator, rows).replicate(1)
    assert first.replicate(1) != first.replicate(2)
    assert first.replicate(1) != evaluate(dataset, evaluator, rows, seed=1).replicate(1)


def test_multimodality_repeats_each_text_as_often_as_there_are_samples(dataset, evaluator):
    asked = []

    def count(told, random):
        asked.append(told.captions)
        return noise(told, random)

    evaluation = evaluate(dataset, evaluator, {"made": count}, "made", texts=5, samples=6, pairs=3)
    scores = evaluation.replicate(0)
    assert scores["made"]["MModality"] > 0 and "MModality" not in scores["real"]
    assert len(asked[1]) == 30 and len(set(asked[1])) == 5
    assert evaluation.motions_sampled == sum(map(len, asked))


def test_a_model_that_always_does_the_same_has_no_multimodality(dataset, evaluator):
    settings = dict(texts=5, samples=6, pairs=3)
    scores = evaluate(dataset, evaluator, {"echo": echo}, "echo", **settings).replicate(0)
    assert scores["echo"]["MModality"] == pytest.approx(0.0, abs=1e-4)


def test_reconstructions_are_those_of_single_motions(dataset):
    torch.manual_seed(0)
    vae = TemporalMotionVAE(latent_channels=4, width=16).eval()
    vae.set_statistics(dataset.mean, dataset.std)
    motions = Recordings(dataset, "test").draw(np.random.default_rng(0)).motions[:5]
    made = reconstruct(vae, motions)
    for motion, row in zip(motions, made, strict=True):
        x = vae.normalize(torch.from_numpy(motion))[None]
        n = torch.tensor([len(motion)])
        with torch.no_grad():
            alone = vae.denormalize(vae.decode(vae.encode(x, n).mean, n))[0].numpy()
        np.testing.assert_allclose(row, alone, rtol=1e-4, atol=1e-4)


def test_generation_asks_for_the_captions_and_lengths_it_is_told(dataset, pipeline):
    told = Recordings(dataset, "test").draw(np.random.default_rng(0)).take(range(7))
    told = type(told)([m[:48] for m in told.motions], told.captions, told.tokens)
    counts = []
    made = generate(pipeline, told, np.random.default_rng(5), 3, counts.append)
    assert [len(m) for m in made] == [48] * 7 and sum(counts) == 7
    again = generate(pipeline, told, np.random.default_rng(5), 3, counts.append)
    assert all((a == b).all() for a, b in zip(made, again, strict=True))
    other = generate(pipeline, told, np.random.default_rng(6), 3, counts.append)
    assert not all((a == b).all() for a, b in zip(made, other, strict=True))


def test_an_evaluator_of_other_features_is_refused(dataset):
    with pytest.raises(ValueError, match="embeds 251 features, swaying has 263"):
        evaluate(dataset, T2MEvaluator(251, VOCABULARY, **TINY))


def test_the_distance_between_halves_is_small_beside_that_to_noise(dataset, evaluator):
    motions = Recordings(dataset, "test").draw(np.random.default_rng(0)).motions
    noisy = [m + 0.5 * dataset.std * np.random.default_rng(0).normal(size=m.shape) for m in motions]
    a, b = embed_motions(evaluator, motions[::2]), embed_motions(evaluator, motions[1::2])
    far = embed_motions(evaluator, [m.astype(np.float32) for m in noisy])
    assert frechet_distance(a, b) < frechet_distance(a, far)
