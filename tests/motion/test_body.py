import shutil

import numpy as np
import pytest
import torch
from smplx.lbs import vertices2joints

from motionmamba.motion.body import EMBEDDED_BODY, Body, BodyMotion
from motionmamba.motion.skeleton import HUMANML3D


@pytest.fixture(scope="module")
def body():
    return Body.load()


def still(body: Body, frames: int = 1) -> BodyMotion:
    zeros = np.zeros((frames, body.num_joints, 3), np.float32)
    return BodyMotion(body, zeros, zeros[:, 0], body.shapes["neutral"], 20.0)


def test_shipped_body_is_small_and_says_its_licence():
    assert EMBEDDED_BODY.stat().st_size < 2.5e6
    with np.load(EMBEDDED_BODY) as file:
        assert "CC0" in str(file["licence"])
        assert file["weights"].sum(1) == pytest.approx(1, abs=1e-5)
        assert (np.count_nonzero(file["weights"], axis=1) <= 4).all()


def test_body_stands_upright_and_looks_forward(body):
    vertices, joints = body.rest(body.shapes["neutral"])
    names = dict(zip(body.joint_names, joints, strict=True))
    assert 1.6 < np.ptp(vertices[:, 1]) < 1.85
    assert names["left_wrist"][0] > 0.4 and names["right_wrist"][0] < -0.4
    assert names["left_foot"][2] > names["left_ankle"][2] + 0.08
    assert names["head"][1] > names["neck"][1] > names["pelvis"][1] > names["left_knee"][1]
    # nearly mirrored, as its mesh is
    mirrored = joints[list(HUMANML3D.mirror)] * (-1, 1, 1)
    assert np.abs(mirrored - joints[:22]).max() < 0.004


def test_soles_are_flat(body):
    vertices, joints = body.rest(body.shapes["neutral"])
    floor = vertices[:, 1].min()
    for foot in (joints[10], joints[11]):
        near = np.hypot(*(vertices - foot)[:, [0, 2]].T) < 0.06
        low = vertices[near & (vertices[:, 1] < floor + 0.005)]
        assert np.ptp(low[:, 2]) > 0.08 and np.ptp(low[:, 0]) > 0.04


def test_unposed_vertices_are_those_at_rest(body):
    for betas in (body.shapes["neutral"], body.shapes["female"], body.betas(height=1.5)):
        rest, _ = body.rest(betas)
        motion = still(body)
        posed = body.vertices(motion.poses, motion.trans + (0, 1, 0), betas)
        np.testing.assert_allclose(posed[0], rest + (0, 1, 0), atol=1e-5)


def test_turned_arm_moves_its_hand_and_nothing_else(body):
    motion = still(body, 2)
    motion.poses[1, body.joint_names.index("left_shoulder")] = (0, 0, np.pi / 2)
    before, after = motion.vertices()
    moved = np.linalg.norm(after - before, axis=1)
    hand = body.weights[:, body.joint_names.index("left_hand")] > 0.9
    torso = body.weights[:, body.joint_names.index("spine1")] > 0.6
    assert moved[hand].min() > 0.5 and moved[torso].max() < 1e-6
    # raised above the head
    assert after[hand, 1].min() > before[:, 1].max() - 0.1


def test_mesh_and_joints_move_alike(body):
    random = np.random.default_rng(0)
    poses = random.normal(0, 0.3, (3, body.num_joints, 3)).astype(np.float32)
    poses[:, 1:] = 0
    motion = BodyMotion(body, poses, random.normal(0, 1, (3, 3)), body.shapes["male"], 20.0)
    with np.load(EMBEDDED_BODY) as file:
        regressor = torch.from_numpy(file["J_regressor"])
    found = vertices2joints(regressor, torch.from_numpy(motion.vertices()))
    np.testing.assert_allclose(found[:, :22].numpy(), motion.joints, atol=2e-3)


def test_frames_can_be_made_in_pieces(body):
    random = np.random.default_rng(0)
    poses = random.normal(0, 0.2, (40, body.num_joints, 3)).astype(np.float32)
    motion = BodyMotion(body, poses, poses[:, 0], body.shapes["neutral"], 20.0)
    pieces = [motion.vertices(0, 7), motion.vertices(7, 35), motion.vertices(35)]
    np.testing.assert_allclose(np.concatenate(pieces), motion.vertices(), atol=1e-5)


@pytest.mark.parametrize("axis", range(21))
def test_every_shape_goes_both_ways_by_little(body, axis):
    betas = np.eye(body.num_betas, dtype=np.float32)[axis]
    middle, more, less = (body.rest(s * betas)[0] for s in (0, 1, -1))
    step = np.linalg.norm(more - middle, axis=1)
    assert 0.002 < step.max() < 0.2
    np.testing.assert_allclose(more - middle, middle - less, atol=1e-5)


def test_women_and_men_differ_as_they_do(body):
    heights = {name: np.ptp(body.rest(betas)[0][:, 1]) for name, betas in body.shapes.items()}
    assert heights["female"] < heights["neutral"] < heights["male"]


def test_unknown_shape_is_named(body):
    with pytest.raises(ValueError, match="'muscles', expected one of gender"):
        body.betas(muscles=1.0)


def test_own_file_is_read_as_the_shipped_one(body, tmp_path):
    path = tmp_path / "SMPL_NEUTRAL.npz"
    shutil.copy(EMBEDDED_BODY, path)
    own = Body.load(path)
    assert own.kind == "smpl" and "SMPL_NEUTRAL.npz" in own.source
    betas = np.linspace(-1, 1, own.num_betas)
    np.testing.assert_allclose(own.rest(betas)[0], body.rest(betas)[0], atol=1e-6)


@pytest.mark.parametrize("broken", ["weights", "posedirs", "f"])
def test_file_that_is_no_body_is_refused(tmp_path, broken):
    with np.load(EMBEDDED_BODY) as file:
        arrays = dict(file)
    arrays[broken] = arrays[broken][:-1] + (20000 if broken == "f" else 0)
    path = tmp_path / "body.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match="is no body model: its"):
        Body.load(path)


def test_shapes_are_told_in_words(body):
    expected = body.shapes["female"] + body.betas(weight=-1.5)
    np.testing.assert_allclose(body.shaped(["female", "weight=-1.5"]), expected)
    for wrong in ("weight", "weight=x", "female=1", "kindness=1", "weight=nan", "weight=9"):
        with pytest.raises(ValueError, match=f"the shape '{wrong}' is none of neutral, female"):
            body.shaped([wrong])
