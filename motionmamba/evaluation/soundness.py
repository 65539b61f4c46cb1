"""Is an evaluator to be trusted? It has to order what is known to be better and worse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from motionmamba.evaluation.metrics import frechet_distance
from motionmamba.evaluation.protocol import (
    Make,
    Motions,
    Recordings,
    Told,
    embed_motions,
    reconstruct,
)
from motionmamba.evaluation.t2m import T2MEvaluator

NOISE = 1.0  # deviations of each feature
LADDER = ("real", "vae", "noised", "random")  # best first


def worse_and_worse(vae, dataset) -> dict[str, Make]:
    """Rows below recordings, best first: reconstructions, with noise added, and noise alone."""

    def rebuilt(told: Told, random: np.random.Generator) -> Motions:
        return reconstruct(vae, told.motions)

    def noised(told: Told, random: np.random.Generator) -> Motions:
        return [m + _noise(m, random) * NOISE for m in reconstruct(vae, told.motions)]

    def noise(told: Told, random: np.random.Generator) -> Motions:
        return [dataset.mean + _noise(m, random) for m in told.motions]

    def _noise(motion: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return random.standard_normal(motion.shape, np.float32) * dataset.std

    return dict(zip(LADDER[1:], (rebuilt, noised, noise), strict=True))


@dataclass(frozen=True)
class Halves:
    """FID between two halves of the recordings, and of one to the other with frames shuffled."""

    alike: float
    shuffled: float


def halves(evaluator: T2MEvaluator, recordings: Recordings, seed: int = 0) -> Halves:
    """Compares random halves of recordings, which are alike, and what order of frames is worth.

    FID is biased upward for few samples, so give many.
    """
    random = np.random.default_rng(seed)
    told = recordings.draw(random).motions
    first, second = told[::2], told[1::2]
    disordered = [random.permutation(motion) for motion in second]
    a, b, c = (embed_motions(evaluator, m) for m in (first, second, disordered))
    return Halves(frechet_distance(a, b), frechet_distance(a, c))


def flaws(rows: dict, halves: Halves) -> list[str]:
    """What an evaluator gets wrong, one sentence each; `rows` as `summarize` gives them."""
    found = []
    if halves.alike > 0.01 * halves.shuffled:
        found.append(
            f"halves of the recordings are {halves.alike:.3g} apart, more than 1 % of the "
            f"{halves.shuffled:.3g} to shuffled frames"
        )
    for k in (1, 2, 3):
        least, score = 3 * k / 32, rows["real"][f"R@{k}"]["mean"]
        if score < least:
            found.append(f"R@{k} of recordings is {score:.3f}, less than three times chance")
    for better, worse in zip(LADDER, LADDER[1:], strict=False):
        for metric, sign in (("FID", 1), ("R@1", -1), ("R@2", -1), ("R@3", -1)):
            low, high = (sign * rows[row][metric]["mean"] for row in (better, worse))
            if low >= high:
                found.append(f"{metric} does not tell {better} from {worse}")
    return found
