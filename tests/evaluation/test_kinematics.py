import numpy as np
import pytest

from motionmamba.data.sources.procedural import MAKERS, pose
from motionmamba.evaluation.kinematics import (
    CHECKS,
    displacement,
    heading,
    passes,
    speed,
    turn,
    wrong_side,
)
from motionmamba.motion.skeleton import mirror_joints

FPS = 20.0


def make(kind, side="", seed=0):
    return pose(MAKERS[kind](np.random.default_rng(seed), 100, side))


def turned(joints, degrees):
    angle = np.radians(degrees)
    out = joints.copy()
    out[..., 0] = np.cos(angle) * joints[..., 0] + np.sin(angle) * joints[..., 2]
    out[..., 2] = np.cos(angle) * joints[..., 2] - np.sin(angle) * joints[..., 0]
    return out


@pytest.mark.parametrize(
    ("kind", "side", "check"),
    [
        ("walk", "", "walks"),
        ("walk", "", "goes forward"),
        ("run", "", "runs"),
        ("turn", "left", "turns left"),
        ("turn", "right", "turns right"),
        ("raise", "left", "left hand up"),
        ("raise", "right", "right hand up"),
        ("raise", "both", "both hands up"),
        ("wave", "left", "left hand waves"),
        ("wave", "right", "right hand waves"),
        ("squat", "", "stands"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_checks_pass_on_what_they_name_and_tell_the_sides_apart(kind, side, check, seed):
    joints = make(kind, side, seed)
    assert passes(check, joints, FPS)
    if side in ("left", "right"):
        other = mirror_joints(joints)
        assert not passes(check, other, FPS) and wrong_side(check, other, FPS)
        assert not wrong_side(check, joints, FPS)


def test_checks_fail_on_other_motions():
    standing = make("squat")
    for check in set(CHECKS) - {"stands"}:
        assert not passes(check, standing, FPS), check
    assert not passes("stands", make("walk"), FPS)
    assert not passes("left hand waves", make("raise", "left"), FPS)


def test_measurements_do_not_depend_on_where_the_body_stands_and_faces():
    joints = make("turn", "left")
    moved = turned(joints, 130) + (3.0, 0.0, -2.0)
    assert speed(moved, FPS) == pytest.approx(speed(joints, FPS))
    assert turn(moved) == pytest.approx(turn(joints))
    np.testing.assert_allclose(displacement(moved), displacement(joints), atol=1e-9)
    difference = np.degrees(heading(moved) - heading(joints))
    np.testing.assert_allclose((difference - 130 + 180) % 360 - 180, 0, atol=1e-6)
