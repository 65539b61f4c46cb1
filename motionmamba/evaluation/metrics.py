"""Metrics on the embeddings of an evaluator, after Guo et al. 2022 (EricGuo5513/text-to-motion).

Embeddings are NumPy arrays or torch tensors, computed in float64: N (and M) samples, D channels.
Every function raises ValueError for wrong shapes, too few samples, and NaN or infinity: two test
clips of HumanML3D hold NaN (007975 and M007975), and one of them would spoil the whole average.
Embeddings are taken as given; features are normalised with the evaluator's own mean and std before.
"""

import numpy as np


def frechet_distance(x, y) -> float:
    """Fréchet distance (FID) between Gaussians fitted to x (N, D) and y (M, D), with N, M >= 2.

    Biased upward for few samples, so compare only distances taken from equal N and M.
    """
    x, y = _embeddings("x", x), _embeddings("y", y)
    _same("width", {"x": x.shape[1], "y": y.shape[1]})
    root_x, root_y = _covariance_root("x", x), _covariance_root("y", y)
    # Squares of these singular values are the eigenvalues of cov(x) cov(y). Unlike a matrix square
    # root they are never complex, and unlike eigenvalues they stay exact near zero (N < D).
    cross = np.linalg.svd(root_x @ root_y.T, compute_uv=False).sum()
    means = np.square(x.mean(0) - y.mean(0)).sum()
    distance = means + np.square(root_x).sum() + np.square(root_y).sum() - 2 * cross
    return max(float(distance), 0.0)


def r_precision(text, motion, top_k: int = 3, pool_size: int = 32) -> np.ndarray:
    """Share of texts whose own motion is among the 1, 2, ... top_k nearest of its pool: (top_k,).

    Rows of text (N, D) and motion (N, D) are pairs. Pools are consecutive rows, in the caller's
    order, and the last incomplete one is dropped. Equal distances rank by row. Published values
    hold for pools of 32 only: a larger pool is a harder task.
    """
    if not 1 <= top_k <= pool_size:
        raise ValueError(f"top_k is {top_k}, expected 1 to {pool_size}, the size of a pool.")
    places = places_in_pools(text, motion, pool_size)
    return np.array([(places < k).mean() for k in range(1, top_k + 1)])


def places_in_pools(queries, candidates, pool_size: int = 32) -> np.ndarray:
    """How many of a query's pool are nearer to it than its own candidate, (N',) int.

    Rows of queries (N, D) and candidates (N, D) are pairs. Pools are as in `r_precision`; N' is
    what fills them.
    """
    queries, candidates = _pairs(queries, candidates)
    count = len(queries) // pool_size * pool_size
    if not count:
        raise ValueError(
            f"there are {len(queries)} pairs, expected at least a pool of {pool_size}."
        )
    places = np.empty(count, int)
    for start in range(0, count, pool_size):
        pool = slice(start, start + pool_size)
        distances = np.linalg.norm(queries[pool, None] - candidates[None, pool], axis=-1)
        # stable, so that embeddings that are all alike score chance
        order = np.argsort(distances, axis=1, kind="stable")
        places[pool] = np.nonzero(order == np.arange(pool_size)[:, None])[1]
    return places


def matching_score(text, motion) -> float:
    """Mean distance (MM-Dist) between the paired rows of text (N, D) and motion (N, D).

    Takes every row; the protocol gives it those that `r_precision` keeps.
    """
    text, motion = _pairs(text, motion)
    return float(np.linalg.norm(text - motion, axis=-1).mean())


def retrieval(queries, candidates, ranks=(1, 3, 10)) -> np.ndarray:
    """Share of queries (N, D) whose own candidate is among the k nearest of all (N, D): (ranks,).

    Rows are pairs: texts and motions for text-to-motion retrieval, the other way round for
    motion-to-text. Unlike in `r_precision`, all N are one pool, so values of different N cannot be
    compared. Candidates at the same distance count as nearer.
    """
    queries, candidates = _pairs(queries, candidates)
    # a query's own squared length adds the same to all of its distances
    distances = np.square(candidates).sum(1) - 2 * queries @ candidates.T
    own = distances.diagonal()[:, None]
    place = (distances <= own + 1e-9 * np.abs(own)).sum(1)
    return (place[:, None] <= np.asarray(ranks)).mean(0)


def diversity(motion, num_pairs: int = 300, *, generator: np.random.Generator) -> float:
    """Mean distance between two random draws of num_pairs rows each of motion (N, D).

    Each draw is without replacement; they are independent, so a row can meet itself.
    """
    motion = _embeddings("motion", motion)
    first, second = _draw_pairs(len(motion), num_pairs, generator)
    return float(np.linalg.norm(motion[first] - motion[second], axis=-1).mean())


def multimodality(motion, num_pairs: int = 10, *, generator: np.random.Generator) -> float:
    """`diversity` among the R samples of one text, averaged over the P texts of motion (P, R, D).

    All texts use the same pairs of samples.
    """
    motion = _embeddings("motion", motion, shape="(P, R, D)")
    first, second = _draw_pairs(motion.shape[1], num_pairs, generator)
    return float(np.linalg.norm(motion[:, first] - motion[:, second], axis=-1).mean())


def _covariance_root(name: str, x: np.ndarray) -> np.ndarray:
    """R (min(N, D), D) such that R^T R is the unbiased covariance of x (N, D)."""
    if len(x) < 2:
        raise ValueError(f"{name} has {len(x)} sample, expected at least 2 to take a covariance.")
    return np.linalg.qr(x - x.mean(0), mode="r") / np.sqrt(len(x) - 1)


def _draw_pairs(
    count: int, num_pairs: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    if not 1 <= num_pairs <= count:
        raise ValueError(
            f"num_pairs is {num_pairs} and motion has {count} samples to draw from, "
            f"expected 1 to {count} pairs."
        )
    first = generator.choice(count, num_pairs, replace=False)
    return first, generator.choice(count, num_pairs, replace=False)


def _pairs(text, motion) -> tuple[np.ndarray, np.ndarray]:
    text, motion = _embeddings("text", text), _embeddings("motion", motion)
    _same("width", {"text": text.shape[1], "motion": motion.shape[1]})
    _same("number of rows", {"text": len(text), "motion": len(motion)})
    return text, motion


def _same(what: str, sizes: dict[str, int]) -> None:
    (first, size), (second, other) = sizes.items()
    if size != other:
        raise ValueError(f"{first} and {second} differ in {what}, {size} and {other}.")


def _embeddings(name: str, values, shape: str = "(N, D)") -> np.ndarray:
    """The values in float64, known to be finite."""
    if hasattr(values, "detach"):  # a tensor, told without importing torch
        values = values.detach().cpu().double().numpy()
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != shape.count(",") + 1 or not values.size:
        raise ValueError(f"{name} has shape {values.shape}, expected a non-empty {shape}.")
    broken = np.argwhere(~np.isfinite(values).all(-1))
    if len(broken):
        raise ValueError(
            f"{name} has NaN or infinity in {len(broken)} samples, the first at "
            f"{tuple(broken[0].tolist())}, expected finite numbers; leave those clips out."
        )
    return values
