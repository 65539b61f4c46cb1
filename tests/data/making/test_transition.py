import numpy as np
import pytest
from procedural_takes import assert_bones_are_uniform, motion, moved

from motionmamba.data.making.bones import FEET, place_feet
from motionmamba.data.making.footing import BLEND, planted
from motionmamba.data.making.transition import Seam, best_seam, connect


def _apart(joints: np.ndarray, metres: float) -> np.ndarray:
    """The motion with its feet that much further apart."""
    joints = joints.astype(np.float64)
    feet = joints[:, FEET]
    feet[:, 0, :, 0] += metres / 2
    feet[:, 1, :, 0] -= metres / 2
    assert place_feet(joints, feet)
    return joints.astype(np.float32)


def _slide(joints: np.ndarray) -> float:
    """Metres that feet on the ground move at most from frame to frame."""
    toes = joints[:, FEET[:, 1]]
    low = (toes[1:, :, 1] < 0.02) & (toes[:-1, :, 1] < 0.02)
    return float((np.linalg.norm(np.diff(toes[..., ::2], axis=0), axis=-1) * low).max())


@pytest.mark.parametrize("angle", [0.0, 1.0, 3.0])
def test_a_motion_cut_and_moved_is_whole_again(angle):
    whole = motion("walk", 3)
    joined, begin = connect(whole[:40], moved(whole[20:], angle), Seam(0.0, 30, 10))
    assert len(joined) == len(whole) and begin == 31
    np.testing.assert_allclose(joined, whole, atol=2e-4)


def test_the_best_seam_is_where_two_cuts_of_a_motion_overlap():
    whole = motion("walk", 3)
    seam = best_seam(whole[:45], 20, moved(whole[20:], 2.0), 20)
    assert seam.error < 1e-3 and seam.end - seam.start == 20
    assert seam.stands == tuple(planted(whole)[seam.end])


@pytest.mark.parametrize("pair", [("walk", "run"), ("run", "walk"), ("walk", "raise")])
def test_seams_are_smooth_and_bones_stay_long(pair):
    first, second = (motion(k, 1, "left" if k == "raise" else "") for k in pair)
    second = moved(second, 2.0)
    seam = best_seam(first, 20, second, 20, changes=True)
    assert min(seam.paces) < 1
    joined, begin = connect(first, second, seam)
    assert_bones_are_uniform(joined)
    steps = np.linalg.norm(np.diff(joined, axis=0), axis=-1).max(-1)
    usual = max(np.linalg.norm(np.diff(m, axis=0), axis=-1).max() for m in (first, second))
    assert steps[begin - 4 : begin + 2 * BLEND].max() < 1.5 * usual
    assert joined[..., 1].min() > -0.005
    # after the transition the second motion is as it was, but for where it stands
    tail, source = joined[-10:].copy(), second[-10:].copy()
    np.testing.assert_allclose(tail[..., 1], source[..., 1], atol=5e-3)
    for frames in (tail, source):
        frames -= frames[:1, :1] * (1, 0, 1)
    np.testing.assert_allclose(
        np.linalg.norm(tail[:, 0], axis=-1), np.linalg.norm(source[:, 0], axis=-1), atol=5e-3
    )


def test_feet_that_stand_a_little_off_stay_where_they_are():
    first, second = motion("raise", 1, "left"), _apart(motion("raise", 2, "right"), 0.04)
    joined, begin = connect(first, moved(second, 1.0), Seam(0.0, 60, 8, (True, True)))
    toes = joined[:, FEET[:, 1]]
    np.testing.assert_allclose(toes, np.broadcast_to(toes[0], toes.shape), atol=2e-3)


def test_feet_that_stand_far_off_step_one_after_the_other():
    first, second = motion("raise", 1, "left"), _apart(motion("raise", 2, "right"), 0.3)
    joined, begin = connect(first, moved(second, 1.0), Seam(0.0, 60, 8, (True, True)))
    toes = joined[:, FEET[:, 1]]
    up = toes[..., 1] > 0.01
    assert up.any(0).all() and not up.all(1).any()
    width = np.linalg.norm(np.diff(toes[..., ::2], axis=1)[:, 0], axis=-1)
    np.testing.assert_allclose(width[-1] - width[0], 0.3, atol=0.02)
    assert _slide(joined) < 0.02


@pytest.mark.parametrize("order", [("walk", "raise"), ("raise", "walk"), ("walk", "walk")])
def test_feet_on_the_ground_do_not_slide(order):
    motions = [motion(kind, seed, "left" * (kind == "raise")) for seed, kind in enumerate(order)]
    seam = best_seam(motions[0], 20, motions[1], 20, changes=order[0] != order[1])
    joined, begin = connect(*motions, seam)
    around = slice(begin - 5, begin + 25)
    toes = joined[around][:, FEET]
    stands = planted(joined)[around]
    assert stands.any(1).mean() > 0.85
    steps = np.linalg.norm(np.diff(toes[..., ::2], axis=0), axis=-1).min(-1)  # ankle or toes
    held = np.where(stands[1:] & stands[:-1], steps, np.inf).min(1)
    assert held[np.isfinite(held)].max() < 0.012


def test_a_gait_after_standing_sets_out_slowly():
    first, second = motion("raise", 1, "left"), motion("walk", 2)
    seam = best_seam(first, 8, second, 20, changes=True)
    assert seam.paces[0] == 1.0 and seam.paces[1] < 0.5
    joined, begin = connect(first, second, seam)
    speed = np.linalg.norm(np.diff(joined[:, 0, ::2], axis=0), axis=-1)
    assert speed[begin : begin + 3].max() < 0.4 * speed[-10:].mean()


def test_what_legs_cannot_reach_is_refused():
    first = motion("raise", 1, "left")
    second = _apart(motion("raise", 2, "right"), 0.3)
    second[..., 1] += 0.3  # nobody stands so high
    second[:, FEET, 1] -= 0.3
    assert connect(first, second, Seam(0.0, 60, 8, (True, True))) is None


def test_too_short_motions_have_no_seam():
    short = motion("walk", 1, frames=12)
    assert best_seam(motion("walk", 2), 20, short, 20).error == np.inf


def test_standing_and_flying_feet_are_told_apart():
    assert planted(motion("raise", 0, "both")).all()
    walk = planted(motion("walk", 0))
    assert walk.any(1).mean() > 0.9 and (~walk).any(1).mean() > 0.7
    assert 0.2 < (~planted(motion("jump", 0))).all(1).mean() < 0.8
