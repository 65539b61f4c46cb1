from itertools import pairwise

import numpy as np
import pytest
import torch

from motionmamba.motion.features import (
    canonical_joints,
    features_to_joints,
    joints_to_features,
)
from motionmamba.motion.skeleton import HUMANML3D, get_skeleton

DATASETS = pytest.mark.parametrize("dataset", ["humanml3d", "kit"])
ARMS = {"collar", "shoulder", "elbow", "wrist"}


def random_motion(dataset, frames=60, batch=(), seed=0):
    """A standing body that sways, bends, walks a curve and turns by less than half a turn."""
    skeleton = get_skeleton(dataset)
    rng = np.random.default_rng(seed)
    pose = np.zeros((skeleton.num_joints, 3))
    for joint, parent in enumerate(skeleton.parents[1:], 1):
        pose[joint] = pose[parent] + 0.2 * np.asarray(skeleton.bone_directions[joint])
    arms = [j for j, n in enumerate(skeleton.joint_names) if n.split("_")[-1] in ARMS]
    # The heading is the shoulders' vector less that of the hips: shoulders must be the wider.
    pose[arms, 0] *= 3
    if dataset == "kit":
        pose[:, 0] *= -1  # its rest directions lie mirrored to its sides

    def wave(size, scale):
        time = np.linspace(0, 2 * np.pi, frames)[:, None]
        rates = rng.uniform(0.2, 1.5, (*batch, 1, size))
        phases = rng.uniform(0, 2 * np.pi, (*batch, 1, size))
        return scale * np.sin(rates * time + phases)

    joints = pose + wave(skeleton.num_joints * 3, 0.02).reshape(*batch, frames, -1, 3)
    yaw = wave(1, 0.6)
    cos, sin = np.cos(yaw), np.sin(yaw)
    x, z = joints[..., 0].copy(), joints[..., 2].copy()
    joints[..., 0], joints[..., 2] = cos * x + sin * z, cos * z - sin * x
    return joints + wave(3, 1.0)[..., None, :]


def canonical(joints, dataset):
    """Floor, origin and facing of frame 0, written out with angles."""
    right_hip, left_hip, right_shoulder, left_shoulder = get_skeleton(dataset).face_joints
    joints = joints - joints[0, 0] * [1, 0, 1]
    joints[..., 1] -= joints[..., 1].min()
    first = joints[0]
    across = first[left_hip] - first[right_hip] + first[left_shoulder] - first[right_shoulder]
    yaw = np.arctan2(across[2], across[0])
    cos, sin = np.cos(yaw), np.sin(yaw)
    turn = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    return joints @ turn.T


class TestReference:
    def test_features_to_joints(self, shared_data):
        folder = shared_data / "humanml3d"
        joints = features_to_joints(np.load(folder / "new_joint_vecs" / "012314.npy"))
        expected = np.load(folder / "new_joints" / "012314.npy")
        np.testing.assert_allclose(joints, expected, atol=1e-5)

    @pytest.mark.parametrize(
        ("source", "target"),
        [
            ("new_joints/012314.npy", "reference/012314_again.npy"),
            ("reference/variant_joints.npy", "reference/variant_features.npy"),
        ],
    )
    def test_joints_to_features(self, shared_data, source, target):
        folder = shared_data / "humanml3d"
        features = joints_to_features(np.load(folder / source))
        np.testing.assert_allclose(features, np.load(folder / target), atol=5e-5)

    def test_a_clip_of_the_dataset_needs_no_retargeting(self, shared_data):
        folder = shared_data / "humanml3d"
        features = joints_to_features(np.load(folder / "new_joints" / "012314.npy"), False)
        expected = np.load(folder / "reference" / "012314_again.npy")
        np.testing.assert_allclose(features, expected, atol=1e-3)


@DATASETS
@pytest.mark.parametrize("seed", range(5))
def test_round_trip_up_to_canonicalisation(dataset, seed):
    joints = random_motion(dataset, seed=seed)
    features = joints_to_features(joints, retarget=False, dataset=dataset)
    recovered = features_to_joints(features, dataset=dataset)
    assert features.shape == (59, get_skeleton(dataset).num_features)
    np.testing.assert_allclose(recovered, canonical(joints, dataset)[:-1], atol=1e-4)


def assert_same(features: np.ndarray, expected: np.ndarray):
    """Equal to 1e-5, but for rotations, which are of float32 and of bones that oppose their rest
    direction only good to 5e-5."""
    joints = (features.shape[-1] + 1) // 12
    rotations = slice(4 + 3 * (joints - 1), 4 + 9 * (joints - 1))
    tolerance = np.full(features.shape[-1], 1e-5)
    tolerance[rotations] = 5e-5
    far = np.abs(features - expected) - 1e-7 * np.abs(expected)
    assert (far <= tolerance).all(), far.max(0) / tolerance


@DATASETS
def test_moving_and_turning_the_input_changes_nothing(dataset):
    joints = random_motion(dataset)
    turn = np.array([[0.6, 0, 0.8], [0, 1, 0], [-0.8, 0, 0.6]])
    moved = joints @ turn.T + [3.0, -2.0, 5.0]
    features = joints_to_features(joints, retarget=False, dataset=dataset)
    again = joints_to_features(moved, retarget=False, dataset=dataset)
    assert_same(again, features)


def test_retargeting_gives_the_uniform_bones_at_any_scale():
    joints = random_motion("humanml3d")
    features = joints_to_features(joints)
    recovered = features_to_joints(features)
    bones = recovered[:, 1:] - recovered[:, list(HUMANML3D.parents[1:])]
    lengths = np.linalg.norm(HUMANML3D.offsets[1:], axis=-1)
    np.testing.assert_allclose(
        np.linalg.norm(bones, axis=-1), np.broadcast_to(lengths, bones.shape[:-1]), atol=1e-5
    )
    assert_same(joints_to_features(100 * joints), features)


@DATASETS
def test_batch_equals_single(dataset):
    joints = random_motion(dataset, batch=(2, 3))
    features = joints_to_features(joints, retarget=False, dataset=dataset)
    recovered = features_to_joints(features, dataset=dataset)
    assert features.shape[:3] == (2, 3, 59)
    for index in np.ndindex(2, 3):
        single = joints_to_features(joints[index], retarget=False, dataset=dataset)
        np.testing.assert_allclose(features[index], single, atol=1e-6)
        alone = features_to_joints(single, dataset=dataset)
        np.testing.assert_allclose(recovered[index], alone, atol=1e-5)


@DATASETS
def test_canonical_joints_are_what_the_features_hold(dataset):
    joints = random_motion(dataset, batch=(2,))
    retarget = dataset == "humanml3d"
    placed = canonical_joints(joints, retarget, dataset)
    assert placed.shape == joints.shape and placed.dtype == np.float32
    features = joints_to_features(joints, retarget, dataset)
    recovered = features_to_joints(features, dataset)
    np.testing.assert_allclose(placed[:, :-1], recovered, atol=1e-5)
    np.testing.assert_allclose(canonical_joints(placed, retarget, dataset), placed, atol=1e-5)
    if not retarget:
        for index in range(2):
            np.testing.assert_allclose(placed[index], canonical(joints[index], dataset), atol=1e-5)
    assert canonical_joints(joints[0, :1], retarget, dataset).shape[0] == 1


@DATASETS
@pytest.mark.parametrize("frames", [197, 60])
def test_padded_clips_equal_each_alone(dataset, frames):
    joints = random_motion(dataset, frames, batch=(2, 3))
    lengths = np.array([[frames, 2, frames - 1], [31, 50, 3]])
    padded = joints.copy()
    for index in np.ndindex(2, 3):
        padded[index][lengths[index] :] = np.nan
    features = joints_to_features(padded, False, dataset, lengths)
    for index in np.ndindex(2, 3):
        length = lengths[index]
        alone = joints_to_features(joints[index][:length], False, dataset)
        np.testing.assert_allclose(features[index][: length - 1], alone, atol=1e-6)
        assert not features[index][length - 1 :].any()


@DATASETS
def test_chunks_change_nothing(dataset, monkeypatch):
    joints = random_motion(dataset, batch=(7,))
    features = joints_to_features(joints, False, dataset)
    monkeypatch.setattr("motionmamba.motion.features.CHUNK", 1)
    np.testing.assert_allclose(joints_to_features(joints, False, dataset), features, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@DATASETS
def test_gpu_and_processor_agree(dataset):
    joints = torch.from_numpy(random_motion(dataset, batch=(3,))).float()
    lengths = torch.tensor([60, 20, 2])
    features = joints_to_features(joints, False, dataset, lengths)
    made = joints_to_features(joints.cuda(), False, dataset, lengths)
    torch.testing.assert_close(made.cpu(), features, atol=5e-5, rtol=0)
    recovered = features_to_joints(made, dataset).cpu()
    torch.testing.assert_close(recovered, features_to_joints(features, dataset), atol=5e-5, rtol=0)


def test_a_recording_far_away_is_as_exact():
    joints = random_motion("humanml3d")
    features = joints_to_features(joints)
    np.testing.assert_allclose(joints_to_features(joints + [1e4, 0, -1e4]), features, atol=5e-5)


@DATASETS
def test_rotations_take_rest_directions_to_the_bones_the_shortest_way(dataset):
    skeleton = get_skeleton(dataset)
    joints = canonical_joints(random_motion(dataset), False, dataset)
    rest = np.array(skeleton.bone_directions)
    opposed = [chain[-1] for chain in skeleton.chains]
    for joint in opposed:
        joints[:, joint] = joints[:, skeleton.parents[joint]] - 0.2 * rest[joint]
    features = joints_to_features(joints, False, dataset)
    joints = features_to_joints(features, dataset)
    columns = features[:, 3 * skeleton.num_joints + 1 :][:, : 6 * (skeleton.num_joints - 1)]
    columns = columns.reshape(len(features), -1, 2, 3)
    first, second = columns[:, :, 0], columns[:, :, 1]
    rotations = np.stack([first, second, np.cross(first, second)], axis=-1)

    yaw = -2 * np.concatenate([[0], features[:-1, 0]]).cumsum()
    cos, sin, zero, one = np.cos(yaw), np.sin(yaw), np.zeros_like(yaw), np.ones_like(yaw)
    root = np.array([[cos, zero, -sin], [zero, one, zero], [sin, zero, cos]]).transpose(2, 0, 1)
    for chain in skeleton.chains:
        world = root
        for parent, joint in pairwise(chain):
            world = world @ rotations[:, joint - 1]
            np.testing.assert_allclose(
                world @ world.swapaxes(1, 2), np.tile(np.eye(3), (59, 1, 1)), atol=1e-4
            )
            bones = joints[:, joint] - joints[:, parent]
            turned = np.linalg.norm(bones, axis=-1, keepdims=True) * (world @ rest[joint])
            np.testing.assert_allclose(turned, bones, atol=1e-4)
            axes = np.stack([world[:, 2, 1], world[:, 0, 2], world[:, 1, 0]], -1)
            axes -= np.stack([world[:, 1, 2], world[:, 2, 0], world[:, 0, 1]], -1)
            np.testing.assert_allclose(axes @ rest[joint], 0, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kind_and_dtype(dtype):
    joints = random_motion("humanml3d").astype(dtype)[::-1]
    features = joints_to_features(joints)
    tensor = joints_to_features(torch.from_numpy(joints.copy()))
    assert isinstance(features, np.ndarray) and features.dtype == np.float32
    assert isinstance(tensor, torch.Tensor) and tensor.dtype == torch.float32
    np.testing.assert_array_equal(tensor.numpy(), features)
    recovered = features_to_joints(features.astype(dtype))
    assert isinstance(recovered, np.ndarray) and recovered.dtype == np.float32
    again = features_to_joints(tensor.to(torch.float64))
    assert isinstance(again, torch.Tensor) and again.dtype == torch.float32
    np.testing.assert_array_equal(again.numpy(), recovered)


@DATASETS
def test_features_to_joints_is_differentiable(dataset):
    joints = random_motion(dataset, frames=12)
    features = torch.from_numpy(joints_to_features(joints, retarget=False, dataset=dataset))
    features.requires_grad_()
    features_to_joints(features, dataset).square().sum().backward()
    used = 3 * get_skeleton(dataset).num_joints + 1
    assert torch.isfinite(features.grad).all()
    assert (features.grad[:-1, :used].abs().sum(0) > 0).all()
    assert (features.grad[:, used:] == 0).all()

    step = torch.zeros_like(features)
    step[3, 0] = 1e-2
    with torch.no_grad():
        ahead, behind = (
            features_to_joints(features + sign * step, dataset).double().square().sum()
            for sign in (1, -1)
        )
    slope = (ahead - behind) / 2e-2
    torch.testing.assert_close(features.grad[3, 0].double(), slope, rtol=1e-2, atol=1e-2)


def turning_body(degrees_per_frame, frames):
    joints = random_motion("humanml3d", frames=2)[:1].repeat(frames, axis=0)
    joints = canonical(joints, "humanml3d")
    yaw = np.radians(degrees_per_frame) * np.arange(frames)[:, None]
    cos, sin = np.cos(yaw), np.sin(yaw)
    x, z = joints[..., 0].copy(), joints[..., 2].copy()
    joints[..., 0], joints[..., 2] = cos * x + sin * z, cos * z - sin * x
    return joints


def test_a_walk_in_a_circle_comes_back_without_the_fold():
    joints = turning_body(3.0, 300)
    yaw = np.radians(3.0) * np.arange(300)[:, None]
    joints[..., 0] -= 2 * np.cos(yaw)
    joints[..., 2] += 2 * np.sin(yaw)
    smooth, folded = (joints_to_features(joints, False, fold=fold) for fold in (False, True))
    np.testing.assert_allclose(smooth[90:200, 0], -np.radians(1.5), atol=1e-4)
    crossings = np.flatnonzero(np.abs(smooth[:, 0] - folded[:, 0]) > 1e-6)
    assert len(crossings) == 2
    np.testing.assert_allclose(folded[crossings, 0], -smooth[crossings, 0], atol=1e-6)
    np.testing.assert_array_equal(np.delete(folded, 0, 1), np.delete(smooth, 0, 1))

    expected = canonical(joints, "humanml3d")[:-1]
    np.testing.assert_allclose(features_to_joints(smooth), expected, atol=1e-4)
    assert np.abs(features_to_joints(folded) - expected).max() > 0.1


class TestQuirks:
    def test_yaw_velocity_is_half_the_angle_and_folds_at_the_back(self):
        features = joints_to_features(turning_body(1.5, 300), retarget=False)
        middle = features[90:200, 0]
        half = np.radians(1.5) / 2
        folded = np.isclose(middle, half, atol=1e-4)
        assert folded.sum() == 1
        np.testing.assert_allclose(middle[~folded], -half, atol=1e-4)

    def test_hips_and_shoulders_oppose_in_the_heading(self):
        """Hips wider than the shoulders make every frame but the first face backwards."""
        joints = turning_body(0.0, 30)
        hips = joints[:, [1, 2]]
        joints[:, [1, 2]] = hips.mean(1, keepdims=True) + 10 * (hips - hips.mean(1, keepdims=True))
        features = joints_to_features(joints, retarget=False)
        first, later = features[0, 4:67].reshape(21, 3), features[9, 4:67].reshape(21, 3)
        assert first[0, 0] > 0.3
        assert later[0, 0] < -0.3

    def test_arm_chains_start_from_the_root(self):
        """Bending the spine above a straight pelvis leaves the collars' rotations alone."""
        joints = turning_body(0.0, 30)
        bent = joints.copy()
        bent[:, [9, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21]] += [0.0, -0.05, 0.1]
        before, after = (joints_to_features(j, retarget=False)[:, 67:193] for j in (joints, bent))
        before, after = before.reshape(-1, 21, 6), after.reshape(-1, 21, 6)
        assert not np.allclose(before[:, 8], after[:, 8], atol=1e-2)
        np.testing.assert_allclose(before[:, [12, 13]], after[:, [12, 13]], atol=1e-6)

    def test_contacts_compare_squared_displacement(self):
        joints = turning_body(0.0, 4)
        joints[2:, 7, 1] += 0.0446
        joints[2:, 11, 1] += 0.0448
        contacts = joints_to_features(joints, retarget=False)[:, 259:]
        np.testing.assert_array_equal(contacts, [[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]])


class TestValidation:
    @pytest.mark.parametrize("shape", [(22, 3), (10, 21, 3), (10, 22, 2), (10, 66)])
    def test_joint_shape(self, shape):
        with pytest.raises(ValueError, match=r"expected \(\.\.\., T, 22, 3\)"):
            joints_to_features(np.zeros(shape))

    @pytest.mark.parametrize("shape", [(263,), (10, 251), (10, 263, 1)])
    def test_feature_shape(self, shape):
        with pytest.raises(ValueError, match=r"expected \(\.\.\., T, 263\)"):
            features_to_joints(np.zeros(shape))

    def test_too_few_frames(self):
        with pytest.raises(ValueError, match="1 frames, expected at least 2"):
            joints_to_features(random_motion("humanml3d")[:1])
        with pytest.raises(ValueError, match="0 frames, expected at least 1"):
            features_to_joints(np.zeros((0, 263)))

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_not_finite(self, bad):
        joints = random_motion("humanml3d")
        joints[3, 4, 1] = bad
        with pytest.raises(ValueError, match="NaN or infinite"):
            joints_to_features(joints)
        features = torch.zeros(5, 263)
        features[2, 1] = bad
        with pytest.raises(ValueError, match="NaN or infinite"):
            features_to_joints(features)

    @pytest.mark.parametrize("retarget", [True, False])
    def test_zero_length_bone(self, retarget):
        joints = random_motion("humanml3d")
        joints[:, 15] = joints[:, 12]
        with pytest.raises(ValueError, match="zero length"):
            joints_to_features(joints, retarget=retarget)

    @pytest.mark.parametrize("lengths", [[5, 1], [5, 61], [5], 5])
    def test_lengths(self, lengths):
        with pytest.raises(ValueError, match="expected 2 to 60 for each motion"):
            joints_to_features(random_motion("humanml3d", batch=(2,)), lengths=lengths)

    def test_no_heading(self):
        joints = random_motion("humanml3d")
        joints[:, [1, 2, 16, 17]] *= [0, 1, 0]
        for convert in (canonical_joints, joints_to_features):
            with pytest.raises(ValueError, match="no heading"):
                convert(joints, retarget=False)

    def test_kit_cannot_be_retargeted(self):
        with pytest.raises(ValueError, match="retarget=False"):
            joints_to_features(random_motion("kit"), dataset="kit")

    def test_unknown_dataset(self):
        with pytest.raises(ValueError, match="Unknown dataset"):
            features_to_joints(np.zeros((5, 263)), dataset="smpl")
