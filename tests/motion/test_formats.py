import os
from pathlib import Path

import numpy as np
import pytest
from body_motions import swaying, write_human

from motionmamba.data.sources.procedural import make_motion
from motionmamba.motion import KIT, Motion
from motionmamba.motion.body import Body, BodyMotion
from motionmamba.motion.formats import load_motion, save_motion

KEPT = {"npy": 0, "json": 1e-4, "bvh": 1e-4}  # metres
FITTED = ("glb", "npz")


@pytest.fixture
def motion():
    joints = make_motion(np.random.default_rng(0))[0]
    return Motion(joints=joints, fps=20, prompt="he strolls")


@pytest.mark.parametrize("suffix", KEPT)
def test_joints_are_kept(motion, suffix, tmp_path):
    motion.save(tmp_path / f"motion.{suffix}")
    loaded = Motion.load(tmp_path / f"motion.{suffix}")
    np.testing.assert_allclose(loaded.joints, motion.joints, atol=KEPT[suffix])
    assert loaded.prompt == (motion.prompt if suffix == "json" else "")


@pytest.mark.parametrize("suffix", FITTED)
def test_a_body_moves_alike(motion, suffix, tmp_path):
    motion.save(tmp_path / f"motion.{suffix}")
    loaded = Motion.load(tmp_path / f"motion.{suffix}")
    assert np.linalg.norm(loaded.joints - motion.joints, axis=-1).mean() < 0.05
    assert (loaded.fps, loaded.prompt) == (20, "he strolls")


@pytest.mark.parametrize("suffix", [*KEPT, *FITTED])
def test_poses_of_a_body_are_kept(suffix, tmp_path):
    motion = swaying(Body.load())
    save_motion(motion, tmp_path / f"motion.{suffix}")
    loaded = Motion.load(tmp_path / f"motion.{suffix}")
    np.testing.assert_allclose(loaded.joints, motion.joints, atol=1e-3)
    if suffix != "npy":
        assert loaded.fps == 25


def test_npz_is_a_body_in_motion(motion, tmp_path):
    motion.save(tmp_path / "motion.npz")
    loaded = load_motion(tmp_path / "motion.npz", fps=30, prompt="she strolls")
    assert isinstance(loaded, BodyMotion) and loaded.body is Body.load()
    assert (loaded.fps, loaded.prompt) == (30, "she strolls")


@pytest.mark.parametrize("suffix", FITTED)
def test_the_body_is_the_one_asked_for(motion, suffix, tmp_path):
    body = Body.load(write_human(tmp_path / "model.npz"))
    motion.save(tmp_path / f"a.{suffix}", body)
    save_motion(swaying(Body.load()), tmp_path / f"b.{suffix}", body)
    for path in tmp_path.glob(f"?.{suffix}"):
        loaded = load_motion(path, body=body)
        expected = motion if path.stem == "a" else swaying(Body.load())
        assert len(loaded) == len(expected)
        assert np.linalg.norm(loaded.joints - expected.joints, axis=-1).mean() < 0.1
        if suffix == "npz":
            with pytest.raises(ValueError, match=r"model\.npz, .*--smpl-model"):
                Motion.load(path)
            assert loaded.body is body
        else:
            assert b"model.npz" in path.read_bytes()


@pytest.mark.parametrize("suffix", [*KEPT, *FITTED])
@pytest.mark.parametrize("fps", [None, 12.0])
def test_one_frame_and_another_rate(motion, suffix, fps, tmp_path):
    path = tmp_path / f"motion.{suffix}"
    Motion(joints=motion.joints[:1], fps=20).save(path)
    loaded = Motion.load(path, fps=fps, prompt="he stands")
    assert (len(loaded), loaded.fps, loaded.prompt) == (1, fps or 20, "he stands")


def test_default_rate_of_kit(tmp_path):
    np.save(tmp_path / "motion.npy", np.ones((3, 21, 3)))
    loaded = Motion.load(tmp_path / "motion.npy")
    assert loaded.skeleton is KIT and loaded.fps == 12.5


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_bad_rates_are_refused(fps, tmp_path):
    np.save(tmp_path / "motion.npy", np.ones((3, 22, 3)))
    with pytest.raises(ValueError, match="pass a positive number"):
        Motion.load(tmp_path / "motion.npy", fps=fps)


@pytest.mark.parametrize("name", ["motion.fbx", "motion", "motion.mp4"])
def test_other_suffixes_are_not_read(name, tmp_path):
    (tmp_path / name).write_bytes(b"content")
    with pytest.raises(ValueError, match=r"expected one of \.npy, \.json, \.bvh, \.npz, \.glb"):
        Motion.load(tmp_path / name)


@pytest.mark.parametrize("suffix", [*KEPT, *FITTED])
def test_missing_files_and_folders(motion, suffix, tmp_path):
    with pytest.raises(FileNotFoundError):
        Motion.load(tmp_path / f"none.{suffix}")
    (tmp_path / f"folder.{suffix}").mkdir()
    with pytest.raises(OSError):
        Motion.load(tmp_path / f"folder.{suffix}")
    with pytest.raises(ValueError, match="cannot be written"):
        motion.save(tmp_path / f"folder.{suffix}")


@pytest.mark.parametrize("suffix", [*KEPT, *FITTED])
@pytest.mark.parametrize("failing", ["write_bytes", "replace"])
def test_a_full_disk_leaves_the_older_file(motion, suffix, failing, tmp_path, monkeypatch):
    path = tmp_path / f"motion.{suffix}"
    path.write_bytes(b"older")

    def full_disk(*arguments):
        Path(arguments[0]).touch()
        raise OSError("no space left")

    monkeypatch.setattr(Path if failing == "write_bytes" else os, failing, full_disk)
    with pytest.raises(OSError, match="no space"):
        motion.save(path)
    assert path.read_bytes() == b"older" and os.listdir(tmp_path) == [path.name]


def test_a_read_only_folder_is_refused(motion, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(ValueError, match="a folder you may write to"):
        motion.save(tmp_path / "motion.glb")
    assert os.listdir(tmp_path) == []
