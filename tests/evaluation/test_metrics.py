import itertools
import subprocess
import sys
import warnings

import numpy as np
import pytest
import scipy.linalg
import torch

from motionmamba.evaluation import (
    diversity,
    frechet_distance,
    matching_score,
    multimodality,
    r_precision,
)
from motionmamba.evaluation.metrics import places_in_pools


def rng(seed=0):
    return np.random.default_rng(seed)


def mixed(generator, n, d):
    """Correlated samples (n, d) away from the origin."""
    return generator.normal(size=(n, d)) @ generator.normal(size=(d, d)) + generator.normal(size=d)


def gaussian(generator, n, mean, std):
    """Samples whose mean and unbiased covariance, diag(std^2), are exact."""
    x = generator.normal(size=(n, len(mean)))
    q = np.linalg.qr(x - x.mean(0))[0]
    return q * np.sqrt(n - 1) * std + mean


def direct_r_precision(text, motion, top_k, pool_size):
    found = []
    for i in range(len(text) - len(text) % pool_size):
        start = i - i % pool_size
        distance = [np.sqrt(((text[i] - motion[start + j]) ** 2).sum()) for j in range(pool_size)]
        order = sorted(range(pool_size), key=lambda j: (distance[j], j))
        found.append([i - start in order[:k] for k in range(1, top_k + 1)])
    return np.mean(found, axis=0)


# Fréchet distance


@pytest.mark.parametrize("seed", range(8))
def test_frechet_distance_is_that_of_sqrtm(seed):
    r = rng(seed)
    d = int(r.integers(2, 40))
    x, y = mixed(r, 4 * d + int(r.integers(100)), d), mixed(r, 4 * d + int(r.integers(100)), d)
    cov_x, cov_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(cov_x @ cov_y).real
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(cov_x + cov_y - 2 * root)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("n", "m", "d"), [(2, 2, 5), (10, 200, 64), (30, 20, 64), (33, 33, 32)])
def test_frechet_distance_of_fewer_samples_than_channels_is_real_and_exact(n, m, d):
    # trap: sqrtm of a singular product is complex or off; the same trace is a nuclear norm
    r = rng(n)
    x, y = mixed(r, n, d), mixed(r, m, d)
    a, b = (x - x.mean(0)) / np.sqrt(n - 1), (y - y.mean(0)) / np.sqrt(m - 1)
    traces = np.trace(a @ a.T) + np.trace(b @ b.T)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + traces - 2 * np.linalg.norm(a @ b.T, "nuc")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        distance = frechet_distance(x, y)
    assert type(distance) is float
    assert distance == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_two_gaussians_is_the_analytic_one():
    # exact at 12 samples only for the unbiased covariance
    r = rng()
    mean, std = (r.normal(size=4), r.normal(size=4)), (np.array([1, 2, 3, 0.5]), np.arange(1, 5))
    expected = ((mean[0] - mean[1]) ** 2).sum() + ((std[0] - std[1]) ** 2).sum()
    x, y = gaussian(r, 12, mean[0], std[0]), gaussian(r, 31, mean[1], std[1])
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("n", "d"), [(100, 16), (20, 64), (2, 8), (50, 1)])
def test_frechet_distance_to_itself_is_zero_and_never_negative(n, d):
    for seed in range(5):
        x = mixed(rng(seed), n, d)
        y = rng(seed).permutation(x)
        for distance in (frechet_distance(x, x), frechet_distance(x, y)):
            assert 0 <= distance <= 1e-12 * np.square(x).sum()


def test_frechet_distance_does_not_change_with_place_order_or_direction():
    r = rng()
    x, y, shift = mixed(r, 60, 12), mixed(r, 45, 12), 100 * r.normal(size=12)
    turn = np.linalg.qr(r.normal(size=(12, 12)))[0]
    expected = pytest.approx(frechet_distance(x, y), rel=1e-9)
    assert frechet_distance(x + shift, y + shift) == expected
    assert frechet_distance(r.permutation(x), r.permutation(y)) == expected
    assert frechet_distance(y, x) == expected
    assert frechet_distance(x @ turn, y @ turn) == expected


def test_frechet_distance_is_biased_upward_by_few_samples():
    # trap: distances from different sample sizes do not compare
    r = rng()
    few, many = (frechet_distance(*r.normal(size=(2, n, 16))) for n in (100, 2000))
    assert few > 10 * many > 0


# R-precision


@pytest.mark.parametrize("seed", range(6))
def test_r_precision_is_that_of_loops(seed):
    r = rng(seed)
    pool_size = int(r.integers(2, 20))
    n, d, top_k = pool_size * 3 + int(r.integers(pool_size)), int(r.integers(1, 9)), 2
    text = r.normal(size=(n, d))
    motion = text + 0.7 * r.normal(size=(n, d))
    expected = direct_r_precision(text, motion, top_k, pool_size)
    np.testing.assert_allclose(r_precision(text, motion, top_k, pool_size), expected, rtol=1e-12)


def test_places_count_what_is_nearer_in_the_pool():
    rng = np.random.default_rng(0)
    queries, candidates = rng.normal(size=(2, 23, 4))
    expected = [
        sum(
            np.linalg.norm(queries[i] - candidates[j]) < np.linalg.norm(queries[i] - candidates[i])
            for j in range(i // 5 * 5, i // 5 * 5 + 5)
        )
        for i in range(20)
    ]
    assert len(set(expected)) > 3
    np.testing.assert_array_equal(places_in_pools(queries, candidates, 5), expected)


def test_r_precision_ranks_in_pools_of_32():
    # trap: "This must be 32"; every motion of the second pool is a better match for the first one
    r = rng()
    first = r.normal(size=(32, 8))
    motion = np.concatenate([first + 0.01, first + 0.001])
    text = np.concatenate([first, first + 0.001])
    np.testing.assert_array_equal(r_precision(text, motion), [1, 1, 1])
    assert r_precision(text, motion, pool_size=64)[0] == 0.5


def test_r_precision_drops_the_last_incomplete_pool():
    r = rng()
    text = r.normal(size=(2 * 32 + 31, 8))
    motion = text.copy()
    motion[64:] = motion[64:][::-1]
    np.testing.assert_array_equal(r_precision(text, motion), [1, 1, 1])


def test_r_precision_ranks_motions_for_each_text():
    text, motion = np.array([[0.0], [1.0]]), np.array([[0.4], [0.45]])
    assert r_precision(text, motion, top_k=1, pool_size=2)[0] == 1
    text, motion = np.array([[0.0], [5.0]]), np.array([[3.0], [2.0]])
    assert r_precision(text, motion, top_k=1, pool_size=2)[0] == 0
    text, motion = np.array([[0.0], [1.0]]), np.array([[0.9], [2.0]])
    # both texts are nearest to the first motion, the motions to the second text
    assert r_precision(text, motion, top_k=2, pool_size=2).tolist() == [0.5, 1]


def test_r_precision_of_random_embeddings_is_chance_and_of_perfect_ones_is_one():
    r = rng()
    text, motion = r.normal(size=(2, 32 * 200, 8))
    np.testing.assert_allclose(r_precision(text, motion, 5), np.arange(1, 6) / 32, atol=0.012)
    np.testing.assert_array_equal(r_precision(text, text, 5), np.ones(5))


def test_r_precision_of_embeddings_that_are_all_alike_is_exactly_chance():
    # ties: a collapsed evaluator must not look perfect
    alike = np.ones((96, 4))
    np.testing.assert_array_equal(r_precision(alike, alike), np.array([1, 2, 3]) / 32)


def test_r_precision_depends_on_the_order_of_pairs_only_through_their_pools():
    r = rng()
    text = r.normal(size=(64, 4))
    motion = text + 0.5 * r.normal(size=(64, 4))
    expected, shift = r_precision(text, motion), r.normal(size=4)
    within = np.concatenate([32 + r.permutation(32), r.permutation(32)])
    np.testing.assert_array_equal(r_precision(text[within], motion[within]), expected)
    np.testing.assert_array_equal(r_precision(text + shift, motion + shift), expected)
    # trap: an encoder that sorts by length returns texts and motions in another order
    assert r_precision(text, motion[within])[0] < 0.2 < expected[0]


# MM-Dist, diversity, multimodality


@pytest.mark.parametrize("seed", range(5))
def test_means_of_distances_are_those_of_loops(seed):
    r = rng(seed)
    p, n, d = (int(r.integers(*span)) for span in ((1, 5), (12, 40), (1, 9)))
    text, motion, many = r.normal(size=(n, d)), r.normal(size=(n, d)), r.normal(size=(p, n, d))

    expected = np.mean([np.sqrt(((a - b) ** 2).sum()) for a, b in zip(text, motion, strict=True)])
    assert matching_score(text, motion) == pytest.approx(expected, rel=1e-12)

    draws = rng(seed)
    pairs = [draws.choice(n, 11, replace=False) for _ in range(2)]
    pairs = list(zip(*pairs, strict=True))
    expected = np.mean([np.sqrt(((motion[i] - motion[j]) ** 2).sum()) for i, j in pairs])
    assert diversity(motion, 11, generator=rng(seed)) == pytest.approx(expected, rel=1e-12)

    distances = [
        np.sqrt(((one[i] - one[j]) ** 2).sum()) for one, (i, j) in itertools.product(many, pairs)
    ]
    result = multimodality(many, 11, generator=rng(seed))
    assert result == pytest.approx(np.mean(distances), rel=1e-12)


def test_mean_distances_do_not_change_with_place_or_common_order():
    r = rng()
    text, motion, shift = r.normal(size=(40, 6)), r.normal(size=(40, 6)), r.normal(size=6)
    order = r.permutation(40)
    expected = pytest.approx(matching_score(text, motion))
    assert matching_score(text + shift, motion + shift) == expected
    assert matching_score(text[order], motion[order]) == expected
    assert matching_score(text, motion[order]) != expected
    for metric, values in ((diversity, motion), (multimodality, motion[None])):
        before, after = (metric(v, 40, generator=rng()) for v in (values, values + shift))
        assert before == pytest.approx(after)


@pytest.mark.parametrize("metric", [diversity, multimodality])
def test_draws_are_independent_and_without_replacement(metric):
    motion = np.array([[0.0], [1.0]])
    motion = motion if metric is diversity else motion[None]
    # two orders of two samples either agree, both meeting themselves, or are opposite
    assert {metric(motion, 2, generator=rng(seed)) for seed in range(20)} == {0.0, 1.0}


def test_all_texts_use_the_same_pairs():
    r = rng()
    one = r.normal(size=(1, 30, 6))
    many = one + r.normal(size=(7, 1, 6))
    expected = multimodality(one, generator=rng(3))
    assert multimodality(many, generator=rng(3)) == pytest.approx(expected, rel=1e-12)


def test_defaults_are_those_of_the_protocol():
    r = rng()
    motion = r.normal(size=(2, 320, 6))
    assert diversity(motion[0], generator=rng()) == diversity(motion[0], 300, generator=rng())
    assert multimodality(motion, generator=rng()) == multimodality(motion, 10, generator=rng())
    assert r_precision(*motion).tolist() == r_precision(*motion, 3, 32).tolist()


# What goes in and comes out

METRICS = {
    "frechet_distance": lambda x, y: frechet_distance(x, y),
    "r_precision": lambda x, y: r_precision(x, y),
    "matching_score": lambda x, y: matching_score(x, y),
    "diversity": lambda x, y: diversity(y, 20, generator=rng()),
    "multimodality": lambda x, y: multimodality(y[None], generator=rng()),
}


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_tensors_give_what_arrays_give_and_are_computed_in_float64(metric):
    # far from the origin float32 arithmetic would lose the distances
    x, y = (rng().normal(size=(2, 64, 6)) + 1e3).astype(np.float32)
    expected = metric(x.astype(np.float64), y.astype(np.float64))
    x_kept, y_kept = x.copy(), y.copy()
    tensors = [torch.from_numpy(v).requires_grad_() for v in (x.copy(), y.copy())]
    for result in (metric(x, y), metric(*tensors)):
        assert type(result) in (float, np.ndarray)
        np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal((x, y), (x_kept, y_kept))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_one_broken_clip_is_refused(metric, value):
    # trap: 007975 and M007975 are in the test split and turn every average to NaN
    x, y = rng().normal(size=(2, 64, 6))
    y[63, 2] = value
    with pytest.raises(ValueError, match=r"(y|motion) has NaN .* 1 samples, .* \((0, )?63,?\)"):
        metric(x, y)


ONES = np.ones((40, 4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: frechet_distance(ONES[0], ONES), r"x has shape \(4,\), expected .*\(N, D\)"),
        (lambda: frechet_distance(ONES, ONES[:, :3]), "x and y differ in width, 4 and 3"),
        (lambda: frechet_distance(ONES, ONES[:1]), "y has 1 sample, expected at least 2"),
        (lambda: frechet_distance(ONES[:0], ONES), r"x has shape \(0, 4\), expected a non-empty"),
        (lambda: r_precision(ONES, ONES[:, :3]), "text and motion differ in width, 4 and 3"),
        (lambda: r_precision(ONES, ONES[:38]), "text and motion differ in number .*, 40 and 38"),
        (lambda: r_precision(ONES[:31], ONES[:31]), "there are 31 pairs, .* a pool of 32"),
        (lambda: r_precision(ONES, ONES, top_k=33), "top_k is 33, expected 1 to 32"),
        (lambda: r_precision(ONES, ONES, top_k=0), "top_k is 0, expected 1 to 32"),
        (lambda: matching_score(ONES, ONES[None]), r"motion has shape \(1, 40, 4\)"),
        (lambda: matching_score(ONES, ONES[:38]), "40 and 38"),
        (lambda: diversity(ONES, generator=rng()), "num_pairs is 300 and motion has 40 samples"),
        (lambda: diversity(ONES, 0, generator=rng()), "num_pairs is 0 .* expected 1 to 40"),
        (lambda: multimodality(ONES, generator=rng()), r"\(40, 4\), expected .*\(P, R, D\)"),
        (lambda: multimodality(ONES[None, :9], generator=rng()), "num_pairs is 10 .* 9 samples"),
    ],
)
def test_wrong_input_is_named_in_one_sentence(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


def test_importing_the_metrics_imports_nothing_heavy():
    code = "import sys, motionmamba.evaluation; print({'torch', 'scipy'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
