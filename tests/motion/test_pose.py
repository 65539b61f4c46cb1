import time

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from motionmamba.data.sources.procedural import make_motion
from motionmamba.motion import HUMANML3D
from motionmamba.motion.pose import PARENTS, Pose, fit_pose

LEAVES = [10, 11, 15, 20, 21]
T_POSE = fit_pose(make_motion(np.random.default_rng(0))[0]).offsets


def smooth_pose(seed: int, frames: int = 60, size: float = 1.0) -> Pose:
    """Every joint turns slowly by up to some 60 degrees, the root all the way round."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames)[:, None, None] / 20
    rate, phase = rng.uniform(0.2, 0.8, (2, 22, 3))
    turns = 0.6 * np.sin(2 * np.pi * (rate * t + phase))
    turns[:, 0, 1] += np.linspace(0, 7, frames)
    rotations = Rotation.from_rotvec(turns.reshape(-1, 3)).as_matrix().reshape(frames, 22, 3, 3)
    return Pose(size * T_POSE, rotations, np.linspace((0, 1, 0), (1, 1, 2), frames))


def arm(upper, lower) -> np.ndarray:
    """Joints (T, 22, 3) in T-pose but for the left arm, whose bones have directions (T, 3)."""
    frames = len(upper)
    joints = Pose(T_POSE, np.tile(np.eye(3), (frames, 22, 1, 1)), np.zeros((frames, 3))).joints()
    for joint, parent, direction in ((18, 16, upper), (20, 18, lower)):
        direction = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
        joints[:, joint] = joints[:, parent] + direction * np.linalg.norm(T_POSE[joint])
    return joints


def turned(rotations: np.ndarray) -> np.ndarray:
    """Degrees (T - 1, J) by which rotations (T, J, 3, 3) change."""
    change = np.swapaxes(rotations[:-1], -1, -2) @ rotations[1:]
    angles = Rotation.from_matrix(change.reshape(-1, 3, 3)).magnitude()
    return np.degrees(angles).reshape(change.shape[:2])


def moved(joints: np.ndarray) -> np.ndarray:
    """Degrees (T - 1,) by which the bone that turns most does, between frames."""
    bones = (joints - joints[:, PARENTS])[:, 1:].astype(np.float64)
    bones /= np.linalg.norm(bones, axis=-1, keepdims=True)
    cosine = (bones[1:] * bones[:-1]).sum(-1)
    return np.degrees(np.arccos(cosine.clip(-1, 1))).max(-1)


def assert_steady(pose: Pose, joints: np.ndarray):
    excess = turned(pose.rotations).max(-1) - 3 * moved(joints)
    assert excess.max() < 5


@pytest.mark.parametrize("size", [0.5, 1.0, 1.3])
@pytest.mark.parametrize("seed", range(4))
def test_smooth_motion_of_any_size_comes_back(seed, size):
    joints = smooth_pose(seed, size=size).joints()
    pose = fit_pose(joints)
    np.testing.assert_allclose(pose.joints(), joints, atol=1e-5)
    assert_steady(pose, joints)


@pytest.mark.parametrize("seed", range(10, 20))
def test_procedural_motion_comes_back_steadily(seed):
    joints, _ = make_motion(np.random.default_rng(seed))
    pose = fit_pose(joints)
    np.testing.assert_allclose(pose.joints(), joints, atol=1e-5)
    assert_steady(pose, joints)


def test_recording_comes_back(shared_data):
    joints = np.load(sorted((shared_data / "humanml3d" / "new_joints").glob("*.npy"))[0])
    pose = fit_pose(joints)
    np.testing.assert_allclose(pose.joints(), joints, atol=1e-5)
    assert_steady(pose, joints)


def test_rest_is_a_t_pose_with_median_bones():
    source = smooth_pose(0)
    joints = source.joints()
    joints[7, 20] += 1.0
    offsets = fit_pose(joints).offsets
    lengths = np.linalg.norm(source.offsets, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(offsets, axis=-1), lengths, atol=1e-5)
    rest = Pose(offsets, np.tile(np.eye(3), (1, 22, 1, 1)), np.zeros((1, 3))).joints()[0]
    name = HUMANML3D.joint_names.index
    for side, sign in (("left", 1), ("right", -1)):
        hand = rest[name(f"{side}_wrist")] - rest[name(f"{side}_shoulder")]
        assert sign * hand[0] == pytest.approx(np.linalg.norm(hand), rel=1e-5)
        foot = rest[name(f"{side}_foot")] - rest[name(f"{side}_ankle")]
        assert foot[2] > 0.9 * np.linalg.norm(foot)
    assert rest[name("head"), 1] > rest[name("neck"), 1] > 0 > rest[name("left_foot"), 1]


def test_rotations_are_rotations_and_leaves_do_not_turn():
    rotations = fit_pose(smooth_pose(1).joints()).rotations
    square = rotations @ np.swapaxes(rotations, -1, -2)
    np.testing.assert_allclose(square, np.broadcast_to(np.eye(3), square.shape), atol=1e-12)
    assert (np.linalg.det(rotations) > 0).all()
    still = np.broadcast_to(np.eye(3), (len(rotations), len(LEAVES), 3, 3))
    np.testing.assert_allclose(rotations[:, LEAVES], still, atol=1e-12)


@pytest.mark.parametrize(
    ("parent", "child", "limb", "axis"),
    [
        (1, 4, (0, -1, 0), (1, 0, 0)),
        (16, 18, (1, 0, 0), (0, -1, 0)),
        (17, 19, (-1, 0, 0), (0, 1, 0)),
    ],
)
@pytest.mark.parametrize("twist", [-1.0, 0.5, 1.0])
def test_twist_is_that_of_the_bend_plane(parent, child, limb, axis, twist):
    source = smooth_pose(2, frames=20)
    source.rotations[:, [13, 14]] = np.eye(3)  # joints do not show how a collar twists
    source.rotations[:, parent] = Rotation.from_rotvec(twist * np.array(limb)).as_matrix()
    source.rotations[:, child] = Rotation.from_rotvec(1.2 * np.array(axis)).as_matrix()
    rotations = fit_pose(source.joints()).rotations
    apart = np.stack([source.rotations[:, parent], rotations[:, parent]])
    assert turned(apart).max() < 3


@pytest.mark.parametrize("bend", [0.0, 0.05, 0.3, 1.0])
def test_legs_that_rest_aslant_do_not_twist(bend):
    rest = Pose(T_POSE, np.eye(3)[None, None].repeat(22, 1), np.zeros((1, 3))).joints()[0]
    rest[[4, 7, 10]] += np.array([0.07, 0, 0])
    rest[[5, 8, 11]] -= np.array([0.07, 0, 0])
    source = Pose(rest - rest[list(PARENTS)], np.tile(np.eye(3), (20, 22, 1, 1)), np.zeros((20, 3)))
    source.rotations[:, [4, 5]] = Rotation.from_rotvec([bend, 0, 0]).as_matrix()
    pose = fit_pose(source.joints(), rest)
    np.testing.assert_allclose(pose.joints(), source.joints(), atol=1e-5)
    apart = np.stack([source.rotations[0], pose.rotations[0]])
    assert turned(apart)[0, [1, 2, 4, 5]].max() < 3


def test_spine_shares_its_twist():
    source = smooth_pose(0, frames=20)
    source.rotations[:] = np.eye(3)
    rest = source.joints()[0].astype(np.float64)
    source.rotations[:, 9] = Rotation.from_rotvec([0, 0.9, 0]).as_matrix()
    pose = fit_pose(source.joints(), rest)
    np.testing.assert_allclose(pose.joints(), source.joints(), atol=1e-5)
    twist = Rotation.from_matrix(pose.rotations[0, [3, 6, 9]]).as_rotvec()[:, 1]
    np.testing.assert_allclose(twist, 0.3, atol=0.01)


def test_straight_limbs_do_not_spin():
    rng = np.random.default_rng(0)
    angle = np.linspace(0, 2, 80)
    upper = np.stack([np.cos(angle), np.sin(angle), 0.2 * angle], -1)
    joints = arm(upper, upper + rng.normal(size=upper.shape) * 0.005)
    assert turned(fit_pose(joints).rotations)[:, 16].max() < 3


def test_arm_swung_past_the_opposite_of_its_rest_does_not_flip():
    angle = np.linspace(0, 2 * np.pi, 90)
    upper = np.stack([np.cos(angle), np.full(90, 0.01), np.sin(angle)], -1)
    lower = upper + np.stack([-np.sin(angle), np.zeros(90), np.cos(angle)], -1)
    joints = arm(upper, lower)
    assert_steady(fit_pose(joints), joints)


def test_error_stays_within_what_bones_stretch():
    joints = smooth_pose(3).joints().astype(np.float64)
    bones = joints - joints[:, PARENTS]
    bones[:, [4, 7, 6, 18]] *= np.random.default_rng(0).uniform(0.9, 1.1, (60, 4, 1))
    for joint, parent in enumerate(PARENTS[1:], 1):
        joints[:, joint] = joints[:, parent] + bones[:, joint]
    pose = fit_pose(joints)
    stretch = np.abs(
        np.linalg.norm(bones[:, 1:], axis=-1) - np.linalg.norm(pose.offsets[1:], axis=-1)
    )
    error = np.linalg.norm(pose.joints() - joints, axis=-1)
    assert 0.001 < error.max() and (error.max(-1) < stretch.sum(-1) + 1e-5).all()


def test_bones_that_start_elsewhere_still_end_where_they_should():
    forward = np.tile([[1.0, 0.0, 0.0]], (30, 1))
    joints = arm(forward, forward)
    joints[20:, 1, 2] += 0.02  # a hip that leaves its place in the pelvis, as generated ones do
    error = np.linalg.norm(fit_pose(joints).joints() - joints, axis=-1)
    assert error[20:, 1].min() > 0.003 and error[20:, [4, 7]].max() < 0.001


@pytest.mark.parametrize(
    "joints", [np.zeros((3, 22, 3)), T_POSE[None], np.random.default_rng(0).normal(size=(9, 22, 3))]
)
def test_odd_input_gives_finite_rotations(joints):
    pose = fit_pose(joints)
    np.testing.assert_allclose(np.linalg.det(pose.rotations), 1, atol=1e-9)
    assert np.isfinite(pose.joints()).all()


@pytest.mark.parametrize("shape", [(22, 3), (5, 20, 3), (0, 22, 3)])
def test_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match=r"expected \(T, 22, 3\)"):
        fit_pose(np.zeros(shape))


def test_is_fast():
    joints = smooth_pose(0, frames=200).joints()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        fit_pose(joints)
        times.append(time.perf_counter() - start)
    assert min(times) / len(joints) < 1e-3  # ten times what it takes, for busy machines
