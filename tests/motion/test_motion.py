import subprocess
import sys
import types

import numpy as np
import pytest
from finished_folder import swaying_body

from motionmamba.motion import HUMANML3D, KIT, Motion
from motionmamba.motion.features import features_to_joints, joints_to_features


@pytest.fixture
def joints():
    pose = np.zeros((22, 3), dtype=np.float32)
    for joint, parent in enumerate(HUMANML3D.parents[1:], 1):
        pose[joint] = pose[parent] + HUMANML3D.offsets[joint]
    path = np.linspace(0, 1, 30, dtype=np.float32)[:, None, None] * [0.0, 0.0, 1.0]
    return (pose + path).astype(np.float32)


def test_from_joints(joints):
    motion = Motion(joints=joints, prompt="a person glides")
    assert (len(motion), motion.seconds, motion.fps) == (30, 1.5, 20.0)
    assert motion.features.shape == (30, 263) and motion.features.dtype == np.float32
    np.testing.assert_array_equal(motion.joints, joints)
    np.testing.assert_array_equal(motion.features[:10, 1:4], joints_to_features(joints)[:10, 1:4])
    np.testing.assert_allclose(motion.features[-1, :3], 0, atol=1e-6)
    assert motion.features is motion.features


def test_from_features(joints):
    features = joints_to_features(joints)
    motion = Motion(features=features, fps=10)
    assert (len(motion), motion.seconds) == (29, 2.9)
    np.testing.assert_array_equal(motion.features, features)
    np.testing.assert_array_equal(motion.joints, features_to_joints(features))


def test_single_frame_has_features(joints):
    assert Motion(joints=joints[:1]).features.shape == (1, 263)


class TestKit:
    """Motions on KIT-ML's skeleton: features in millimetres, joints in metres as of any motion."""

    @pytest.fixture
    def motion(self):
        return Motion(features=swaying_body(KIT, 30), prompt="a person sways")

    def test_from_features(self, motion):
        assert motion.skeleton is KIT and motion.fps == 12.5 and len(motion) == 30
        expected = features_to_joints(motion.features, "kit") / 1000
        np.testing.assert_allclose(motion.joints, expected, atol=1e-6)
        assert motion.joints.dtype == np.float32 and 0.3 < np.ptp(motion.joints[..., 1]) < 3

    def test_from_joints(self, motion):
        again = Motion(joints=motion.joints)
        assert again.skeleton is KIT and again.features.shape == (30, 251)
        recovered = Motion(features=again.features).joints
        floor = np.array([0, motion.joints[..., 1].min(), 0])
        np.testing.assert_allclose(recovered, motion.joints - floor, atol=1e-5)

    @pytest.mark.parametrize("suffix", ["npy", "png", "gif", "bvh", "glb", "npz", "json"])
    def test_saves(self, motion, suffix, tmp_path):
        path = tmp_path / f"sway.{suffix}"
        motion.save(path)
        assert path.stat().st_size > 1000
        if suffix == "npy":
            loaded = Motion.load(path)
            assert loaded.skeleton is KIT and loaded.fps == 12.5
            np.testing.assert_array_equal(loaded.joints, motion.joints)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one"),
        ({"joints": np.zeros((2, 22, 3)), "features": np.zeros((2, 263))}, "exactly one"),
        ({"joints": np.zeros((2, 20, 3))}, r"expected \(T, 22, 3\) or \(T, 21, 3\)"),
        ({"joints": np.zeros((1, 2, 22, 3))}, r"expected \(T, 22, 3\)"),
        ({"joints": np.zeros((0, 22, 3))}, "T >= 1"),
        ({"joints": np.full((2, 22, 3), np.nan)}, "NaN"),
        ({"features": np.zeros((2, 250))}, r"expected \(T, 263\) or \(T, 251\)"),
        ({"joints": np.zeros((2, 22, 3)), "fps": 0}, "positive"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        Motion(**arguments)


def test_npy_round_trip_leaves_one_file(joints, tmp_path):
    path = tmp_path / "walk.npy"
    path.write_bytes(b"older")
    Motion(joints=joints).save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["walk.npy"]
    loaded = Motion.load(path, prompt="walk")
    np.testing.assert_array_equal(loaded.joints, joints)
    assert loaded.joints.flags.writeable and loaded.prompt == "walk"


def test_failed_write_keeps_the_older_file(joints, tmp_path, monkeypatch):
    path = tmp_path / "walk.npy"
    path.write_bytes(b"older")

    def full_disk(file, array):
        file.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(np, "save", full_disk)
    with pytest.raises(OSError, match="no space"):
        Motion(joints=joints).save(path)
    assert path.read_bytes() == b"older"
    assert len(list(tmp_path.iterdir())) == 1


def test_pictures_go_to_the_renderer(joints, tmp_path, monkeypatch):
    calls = []
    render = types.ModuleType("motionmamba.motion.render")
    render.render_video = lambda motions, path, model: calls.append(("video", motions, path.name))
    render.render_strip = lambda motions, path, model: calls.append(("strip", motions, path.name))
    monkeypatch.setitem(sys.modules, "motionmamba.motion.render", render)
    motion = Motion(joints=joints)
    for name in ("a.mp4", "b.GIF", "c.png"):
        motion.save(tmp_path / name)
    assert calls == [
        ("video", [motion], "a.mp4"),
        ("video", [motion], "b.GIF"),
        ("strip", [motion], "c.png"),
    ]


def test_save_refuses(joints, tmp_path):
    motion = Motion(joints=joints)
    with pytest.raises(ValueError, match=r"'\.avi', expected one of \.npy, \.json, \.bvh"):
        motion.save(tmp_path / "walk.avi")
    with pytest.raises(ValueError, match="does not exist"):
        motion.save(tmp_path / "missing" / "walk.npy")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((5, 20, 3)),
        np.zeros((22, 3)),
        np.zeros((0, 22, 3)),
        np.full((5, 22, 3), np.nan),
        np.full((5, 22, 3), "a"),
        np.array([{"a": 1}], dtype=object),
    ],
    ids=["joints", "frames", "empty", "nan", "text", "pickle"],
)
def test_load_refuses_arrays(array, tmp_path):
    path = tmp_path / "motion.npy"
    np.save(path, array, allow_pickle=True)
    with pytest.raises(ValueError, match="expected"):
        Motion.load(path)


@pytest.mark.parametrize("content", [b"", b"not an array", b"PK\x03\x04 broken", b"\x93NUMPY\x01"])
def test_load_refuses_other_files(content, tmp_path):
    path = tmp_path / "motion.npy"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"motion\.npy is not a NumPy array, expected joints"):
        Motion.load(path)


def test_load_refuses_archives_and_truncated_files(joints, tmp_path):
    path = tmp_path / "motion.npy"
    with path.open("wb") as file:
        np.savez(file, joints=joints)
    with pytest.raises(ValueError, match="is an archive of arrays"):
        Motion.load(path)
    np.save(path, joints)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="not a NumPy array"):
        Motion.load(path)


def test_import_does_not_load_torch():
    code = "import sys, motionmamba.motion; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
