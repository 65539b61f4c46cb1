import os
import time
import warnings

import numpy as np
import pytest
from bodies import CONVENTIONS, walk_bvh
from body_motions import swaying
from scipy.spatial.transform import Rotation

from motionmamba.data.sources.procedural import make_motion
from motionmamba.motion import HUMANML3D, Motion
from motionmamba.motion.body import Body
from motionmamba.motion.bvh import read_bvh
from motionmamba.motion.export.bvh import load_bvh, unwrapped_euler, write_bvh


@pytest.fixture(params=range(3))
def motion(request):
    return Motion(joints=make_motion(np.random.default_rng(request.param))[0], fps=24)


def test_our_reader_gives_the_joints_back(motion, tmp_path):
    motion.save(tmp_path / "motion.bvh")
    take = read_bvh(tmp_path / "motion.bvh")
    assert sorted(take.joint_names) == sorted(HUMANML3D.joint_names)
    assert take.fps == pytest.approx(24)
    order = [take.joint_names.index(name) for name in HUMANML3D.joint_names]
    np.testing.assert_allclose(take.positions()[:, order], 100 * motion.joints, atol=1e-3)


def test_another_reader_gives_the_joints_back(motion, tmp_path):
    bvhio = pytest.importorskip("bvhio")
    write_bvh(tmp_path / "motion.bvh", motion)
    take = bvhio.readAsBvh(str(tmp_path / "motion.bvh"))
    assert take.FrameCount == len(motion) and take.FrameTime == pytest.approx(1 / 24)
    root = bvhio.readAsHierarchy(str(tmp_path / "motion.bvh"))
    for frame in (0, len(motion) // 2, len(motion) - 1):
        root.loadPose(frame)
        read = {joint.Name: joint.PositionWorld.to_tuple() for joint, *_ in root.layout()}
        found = [read[name] for name in HUMANML3D.joint_names]
        np.testing.assert_allclose(found, 100 * motion.joints[frame], atol=1e-3)


def test_the_poses_of_a_body_are_kept(tmp_path):
    bvhio = pytest.importorskip("bvhio")
    motion = swaying(Body.load())
    write_bvh(tmp_path / "motion.bvh", motion)
    root = bvhio.readAsHierarchy(str(tmp_path / "motion.bvh"))
    for frame in (0, 11, 23):
        root.loadPose(frame)
        read = {joint.Name: joint.PositionWorld.to_tuple() for joint, *_ in root.layout()}
        found = [read[name] for name in HUMANML3D.joint_names]
        np.testing.assert_allclose(found, 100 * motion.joints[frame], atol=1e-3)
    take = read_bvh(tmp_path / "motion.bvh")
    angles = take.values[:, 3:].reshape(-1, 3)
    found = Rotation.from_euler("ZXY", angles, degrees=True).as_matrix().reshape(24, 22, 3, 3)
    order = [HUMANML3D.joint_names.index(name) for name in take.joint_names]
    expected = Rotation.from_rotvec(motion.poses[:, order].reshape(-1, 3)).as_matrix()
    np.testing.assert_allclose(found, expected.reshape(24, 22, 3, 3), atol=1e-5)


def test_ours_load_again(motion, tmp_path):
    write_bvh(tmp_path / "motion.bvh", motion)
    loaded = load_bvh(tmp_path / "motion.bvh")
    np.testing.assert_allclose(loaded.joints, motion.joints, atol=1e-5)
    assert loaded.fps == 24


@pytest.mark.parametrize("convention", ["mixamo", "lafan1", "unreal", "smpl"])
def test_those_of_other_software_load(convention, tmp_path):
    (tmp_path / "walk.bvh").write_text(walk_bvh(CONVENTIONS[convention], fps=30))
    loaded = load_bvh(tmp_path / "walk.bvh")
    assert loaded.joints.shape == (60, 22, 3) and loaded.fps == 30
    height = np.ptp(loaded.joints[0, :, 1])
    assert 1.2 < height < 1.7 and loaded.joints[..., 1].min() > -0.1
    left, right = (HUMANML3D.joint_names.index(f"{side}_wrist") for side in ("left", "right"))
    assert (loaded.joints[:, left, 0] > loaded.joints[:, right, 0]).all()
    # it walks towards Z+
    assert loaded.joints[-1, 0, 2] - loaded.joints[0, 0, 2] == pytest.approx(1.2 * 59 / 20, abs=0.1)


BAD = {
    "no MOTION section": lambda path: path.write_bytes(b"HIERARCHY"),
    "broken header": lambda path: path.write_bytes(b"HIERARCHY ROOT\nMOTION\n"),
    "cut off or its header is wrong": lambda path: path.write_text(
        walk_bvh(CONVENTIONS["mixamo"])[:-400]
    ),
    "whose joints cannot be told": lambda path: path.write_text(
        "HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 1 Xrotation\n}\n"
        "MOTION\nFrames: 1\nFrame Time: 0.1\n0\n"
    ),
}


@pytest.mark.parametrize("reason", BAD)
def test_bad_files_are_refused(reason, tmp_path):
    BAD[reason](tmp_path / "walk.bvh")
    with pytest.raises(ValueError, match=rf"walk\.bvh .*{reason}") as error:
        load_bvh(tmp_path / "walk.bvh")
    assert "\n" not in str(error.value)


def test_six_seconds_take_a_tenth_of_one(tmp_path):
    joints, taken = make_motion(np.random.default_rng(0))[0], []
    motion = Motion(joints=np.resize(joints, (120, 22, 3)))
    for _ in range(3):
        began = time.perf_counter()
        write_bvh(tmp_path / "motion.bvh", motion)
        taken.append(time.perf_counter() - began)
    assert min(taken) < 0.1


def test_layout_of_the_file(motion, tmp_path):
    path = tmp_path / "motion.bvh"
    write_bvh(path, motion)
    header, body = path.read_text().split("MOTION\n")
    assert header.startswith("HIERARCHY\nROOT pelvis\n{\n\tOFFSET 0.000000 0.000000 0.000000\n")
    assert header.count("JOINT") == 21 and header.count("End Site") == 5
    rotation = "Zrotation Xrotation Yrotation"
    assert header.count(f"CHANNELS 6 Xposition Yposition Zposition {rotation}\n") == 1
    assert header.count(f"CHANNELS 3 {rotation}\n") == 21
    lines = body.splitlines()
    assert lines[0] == f"Frames: {len(motion)}" and len(lines) == 2 + len(motion)
    np.testing.assert_allclose(
        [float(value) for value in lines[2].split()[:3]], 100 * motion.joints[0, 0], atol=1e-4
    )


def test_angles_go_on_over_whole_turns(motion, tmp_path):
    turn = np.linspace(0, 6 * np.pi, len(motion))
    spin = Rotation.from_rotvec(turn[:, None] * [0, 1, 0]).as_matrix()
    joints = np.einsum("tij,tkj->tki", spin, motion.joints - motion.joints[:, :1])
    Motion(joints=joints).save(tmp_path / "spin.bvh")
    angles = read_bvh(tmp_path / "spin.bvh").values[:, 3:]
    assert np.abs(np.diff(angles, axis=0)).max() < 120
    assert angles[-1, 2] - angles[0, 2] == pytest.approx(3 * 360, abs=30)


def test_euler_angles_make_the_rotations_even_in_gimbal_lock():
    angles = np.stack([np.linspace(0, 50, 40), np.linspace(0, 180, 40), np.full(40, 20.0)], -1)
    angles[20:25, 1] = 90
    rotations = Rotation.from_euler("ZXY", angles, degrees=True).as_matrix()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = unwrapped_euler(rotations[:, None])[:, 0]
    again = Rotation.from_euler("ZXY", found, degrees=True).as_matrix()
    np.testing.assert_allclose(again, rotations, atol=1e-6)


def test_angles_pass_upright_without_a_jump():
    angles = np.stack([np.full(40, 10.0), np.linspace(1, 175, 40), np.full(40, 20.0)], -1)
    rotations = Rotation.from_euler("ZXY", angles, degrees=True).as_matrix()
    np.testing.assert_allclose(unwrapped_euler(rotations[:, None])[:, 0], angles, atol=1e-6)


def test_failed_write_keeps_the_older_file(motion, tmp_path, monkeypatch):
    path = tmp_path / "motion.bvh"
    path.write_text("older")

    def full_disk(source, target):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_bvh(path, motion)
    assert path.read_text() == "older" and os.listdir(tmp_path) == ["motion.bvh"]


def test_missing_folder_leaves_nothing(motion, tmp_path):
    path = tmp_path / "missing" / "motion.bvh"
    with pytest.raises(OSError):
        write_bvh(path, motion)
    with pytest.raises(ValueError, match="does not exist"):
        motion.save(path)
    assert os.listdir(tmp_path) == []
