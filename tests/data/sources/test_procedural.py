import numpy as np
import pytest

from motionmamba.data.sources.procedural import MAKERS, SIDED, make_motion, pose, prepare_procedural
from motionmamba.evaluation.kinematics import passes
from motionmamba.motion.skeleton import HUMANML3D

CHECKS = {
    ("walk", ""): ["walks", "goes forward"],
    ("run", ""): ["runs", "goes forward"],
    ("turn", "left"): ["turns left"],
    ("turn", "right"): ["turns right"],
    ("raise", "left"): ["left hand up", "stands"],
    ("raise", "right"): ["right hand up", "stands"],
    ("raise", "both"): ["both hands up", "stands"],
    ("wave", "left"): ["left hand up", "left hand waves", "stands"],
    ("wave", "right"): ["right hand up", "right hand waves", "stands"],
    ("wave", "both"): ["both hands up", "stands"],
    ("squat", ""): ["stands"],
    ("jump", ""): ["stands"],
}


@pytest.mark.parametrize(("kind", "side"), CHECKS)
def test_motions_do_what_they_are_called(kind, side):
    for seed in range(4):
        joints = pose(MAKERS[kind](np.random.default_rng(seed), 80, side))
        missed = [c for c in CHECKS[kind, side] if not passes(c, joints, HUMANML3D.fps)]
        assert not missed, (seed, missed)


def test_kicks_lift_the_foot_that_is_named():
    for side, foot, other in (("left", 10, 11), ("right", 11, 10)):
        joints = pose(MAKERS["kick"](np.random.default_rng(1), 80, side))
        assert np.ptp(joints[:, foot, 1]) > 0.25 > 0.02 > np.ptp(joints[:, other, 1])


def test_bones_keep_their_length_and_feet_the_floor():
    rng = np.random.default_rng(0)
    lengths = np.linalg.norm(HUMANML3D.offsets, axis=-1)[1:]
    for _ in range(30):
        joints, action = make_motion(rng)
        assert 40 <= len(joints) <= 160
        bones = np.linalg.norm(joints[:, 1:] - joints[:, HUMANML3D.parents[1:]], axis=-1)
        np.testing.assert_allclose(bones, np.tile(lengths, (len(joints), 1)), atol=2e-3)
        assert joints[..., 1].min() > -0.06, action
        assert bool(action.side) == (action.kind in SIDED)


def test_a_standing_foot_does_not_slide():
    joints = pose(MAKERS["walk"](np.random.default_rng(0), 80, ""))
    speed = np.linalg.norm(np.diff(joints[:, (7, 8)][..., ::2], axis=0), axis=-1) * HUMANML3D.fps
    assert np.median(speed.min(1)) < 0.1
    assert speed[:, 0].max() > 1.0 and speed[:, 1].max() > 1.0  # while each swings in its turn


def test_samples_are_mirrored_split_and_repeatable():
    samples = prepare_procedural(20, seed=3).samples
    assert len(samples) == 20
    assert {s.split for s in samples} == {"train", "val", "test"}
    for sample in samples:
        assert len(sample.captions) == len(sample.mirrored_captions) > 5
        words, mirrored = (
            {word for text in texts for word in text.split()}
            for texts in (sample.captions, sample.mirrored_captions)
        )
        assert ("left" in words) <= ("right" in mirrored) or "both" in words
    again = prepare_procedural(20, seed=3).samples
    assert [s.captions for s in again] == [s.captions for s in samples]
    np.testing.assert_array_equal(again[7].joints, samples[7].joints)
