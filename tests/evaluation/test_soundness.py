import numpy as np
import pytest
import torch
from packed_set import write_set

from motionmamba.evaluation.protocol import Recordings
from motionmamba.evaluation.soundness import LADDER, Halves, flaws, worse_and_worse
from motionmamba.models import TemporalMotionVAE

ORDERED = {
    "real": (0.6, 0.01),
    "vae": (0.59, 0.02),
    "noised": (0.4, 2.0),
    "random": (0.03, 90.0),
}


def rows(scores):
    return {
        row: {"FID": {"mean": fid}} | {f"R@{k}": {"mean": r * (1 + k / 10)} for k in (1, 2, 3)}
        for row, (r, fid) in scores.items()
    }


def test_an_evaluator_that_orders_all_has_no_flaw():
    assert flaws(rows(ORDERED), Halves(0.01, 4.0)) == []


@pytest.mark.parametrize("metric", [0, 1])
@pytest.mark.parametrize("step", range(3))
def test_every_two_rows_that_are_not_told_apart_are_named(metric, step):
    better, worse = LADDER[step : step + 2]
    scores = {row: list(values) for row, values in ORDERED.items()}
    scores[worse][metric] = scores[better][metric]
    found = [f for f in flaws(rows(scores), Halves(0.01, 4.0)) if f.endswith(worse)]
    name = ("R@", "FID")[metric]
    assert found and all(f.startswith(name) and f"{better} from {worse}" in f for f in found)


def test_halves_that_are_far_apart_and_captions_that_find_nothing_are_flaws():
    assert "more than 1 %" in flaws(rows(ORDERED), Halves(0.1, 4.0))[0]
    chance = rows(ORDERED | {"real": (0.03, 0.01)})
    assert any("less than three times chance" in f for f in flaws(chance, Halves(0.01, 4.0)))


def test_rows_get_worse_and_keep_their_lengths(tmp_path):
    dataset = write_set(tmp_path / "set", tests=32)
    torch.manual_seed(0)
    vae = TemporalMotionVAE(latent_channels=4, width=16).eval()
    vae.set_statistics(dataset.mean, dataset.std)
    told = Recordings(dataset, "test").draw(np.random.default_rng(0))
    made = {
        name: make(told, np.random.default_rng(1))
        for name, make in worse_and_worse(vae, dataset).items()
    }
    assert tuple(made) == LADDER[1:]
    lengths = [len(m) for m in told.motions]
    assert all([len(m) for m in motions] == lengths for motions in made.values())
    gap = [np.abs(a - b).mean() for a, b in zip(made["vae"], made["noised"], strict=True)]
    assert min(gap) > 0
    assert all(m.dtype == np.float32 for motions in made.values() for m in motions)
