import numpy as np
import pytest
import torch

from motionmamba.motion import HUMANML3D, KIT
from motionmamba.motion.skeleton import (
    get_skeleton,
    humanml3d_joints,
    mirror_joints,
    skeleton_of,
)

BOTH = pytest.mark.parametrize("skeleton", [HUMANML3D, KIT], ids=lambda s: s.name)


def test_sizes():
    assert (HUMANML3D.num_joints, HUMANML3D.num_features) == (22, 263)
    assert (KIT.num_joints, KIT.num_features) == (21, 251)


@BOTH
def test_fields_agree(skeleton):
    assert len(set(skeleton.joint_names)) == len(skeleton.bone_directions) == skeleton.num_joints
    assert skeleton.parents[0] == -1
    assert all(0 <= parent < joint for joint, parent in enumerate(skeleton.parents[1:], 1))
    names = skeleton.joint_names
    sides = [names[joint].split("_")[0] for joint in skeleton.face_joints]
    assert sides == ["right", "left", "right", "left"]
    assert all(names[joint].startswith("left") for joint in skeleton.feet[0])
    assert [skeleton.mirror[joint] for joint in skeleton.feet[0]] == list(skeleton.feet[1])


def test_humanml3d_mirror_is_the_published_one():
    left, right = [1, 4, 7, 10, 13, 16, 18, 20], [2, 5, 8, 11, 14, 17, 19, 21]
    expected = np.arange(22)
    expected[left], expected[right] = right, left
    assert HUMANML3D.mirror == tuple(expected)


@BOTH
def test_mirror_twice_is_identity_and_keeps_the_input(skeleton):
    joints = np.random.default_rng(0).normal(size=(2, 3, skeleton.num_joints, 3))
    before = joints.copy()
    mirrored = mirror_joints(joints, skeleton)
    assert not np.allclose(mirrored, joints)
    np.testing.assert_array_equal(joints, before)
    np.testing.assert_array_equal(mirror_joints(mirrored, skeleton), joints)
    tensor = mirror_joints(torch.from_numpy(joints), skeleton)
    np.testing.assert_array_equal(tensor.numpy(), mirrored)


def test_mirror_exchanges_sides():
    joints = np.zeros((22, 3))
    joints[20] = 1.0, 2.0, 3.0
    np.testing.assert_array_equal(mirror_joints(joints)[21], [-1.0, 2.0, 3.0])


def test_mirror_refuses_other_skeletons():
    with pytest.raises(ValueError, match=r"expected \(\.\.\., 22, 3\)"):
        mirror_joints(np.zeros((5, 21, 3)))


def test_bone_lengths_are_those_of_the_target_skeleton(shared_data):
    target = np.load(shared_data / "humanml3d" / "target_skeleton_h3d.npy")[:22]
    lengths = np.linalg.norm(target[1:] - target[list(HUMANML3D.parents[1:])], axis=-1)
    np.testing.assert_allclose(np.linalg.norm(HUMANML3D.offsets[1:], axis=-1), lengths, atol=1e-8)


def test_kit_has_no_offsets():
    with pytest.raises(ValueError, match="retarget=False"):
        KIT.offsets  # noqa: B018


def test_get_skeleton():
    assert get_skeleton("kit") is KIT
    with pytest.raises(ValueError, match="'humanml3d' or 'kit'"):
        get_skeleton("h36m")


@BOTH
def test_skeletons_are_known_by_their_sizes(skeleton):
    assert skeleton_of(skeleton.num_joints) is skeleton_of(skeleton.num_features) is skeleton
    with pytest.raises(ValueError, match="22 and 263 or 21 and 251"):
        skeleton_of(24)


def test_kit_bodies_keep_what_both_skeletons_have():
    kit = np.random.default_rng(0).normal(size=(5, 21, 3))
    joints = humanml3d_joints(kit)
    assert joints.shape == (5, 22, 3)
    for name in ("left_hip", "right_knee", "left_ankle", "right_shoulder", "left_wrist"):
        place = joints[:, HUMANML3D.joint_names.index(name)]
        np.testing.assert_array_equal(place, kit[:, KIT.joint_names.index(name)])
    mirrored = humanml3d_joints(mirror_joints(kit, KIT))
    np.testing.assert_allclose(mirrored, mirror_joints(joints), atol=1e-12)
    assert humanml3d_joints(joints) is joints
