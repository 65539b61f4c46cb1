import csv
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from amass_files import body_arrays, recording, slow_joints, write_new, write_old
from body_motions import swaying, write_body

from motionmamba.data.sources.amass import prepare_amass
from motionmamba.motion import amass
from motionmamba.motion.body import EMBEDDED_BODY, Body
from motionmamba.motion.export.amass import read_amass, write_amass

FRAMES = 60


def prepared_joints(folder, models):
    """Joints of the only recording, of which a data set is prepared."""
    with (folder / "index.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["source_path", "start_frame", "end_frame", "new_name"])
        table.writerow(["./pose_data/CMU/1/walk_poses.npy", 0, FRAMES, "000001.npy"])
    (folder / "texts").mkdir()
    (folder / "texts" / "000001.txt").write_text("a person walks#a/DET#0.0#0.0\n")
    (folder / "lists").mkdir()
    for split in ("train", "val", "test"):
        (folder / "lists" / f"{split}.txt").write_text("000001" if split == "train" else "")
    prepared = prepare_amass(
        *(folder, models, folder / "index.csv", folder / "texts", folder / "lists"), workers=1
    )
    assert not prepared.dropped
    return prepared.samples[0].joints


@pytest.mark.parametrize("kind", ["shipped", "smpl", "smplh", "smplx"])
def test_our_amass_source_makes_the_same_joints(kind, tmp_path):
    path = tmp_path / "models" / "neutral" / "model.npz"
    path.parent.mkdir(parents=True)
    if kind == "shipped":
        path.write_bytes(EMBEDDED_BODY.read_bytes())
        motion = swaying(Body.load(), FRAMES)
    else:
        motion = swaying(Body.load(write_body(path, kind)), FRAMES)
        motion.betas[10:] = 0  # HumanML3D takes ten of them
    (tmp_path / "CMU" / "1").mkdir(parents=True)
    write_amass(tmp_path / "CMU" / "1" / "walk_poses.npz", motion)
    joints = prepared_joints(tmp_path, tmp_path / "models")
    assert np.linalg.norm(joints - motion.joints, axis=-1).max() < 1e-3


def test_layout_of_the_file(tmp_path):
    motion = swaying(Body.load(), FRAMES)
    write_amass(tmp_path / "motion.npz", motion)
    stored = np.load(tmp_path / "motion.npz")
    assert stored["poses"].shape == (FRAMES, 156) and stored["trans"].shape == (FRAMES, 3)
    assert not stored["poses"][:, 66:].any() and stored["betas"].shape == (motion.body.num_betas,)
    assert (str(stored["gender"]), float(stored["mocap_framerate"])) == ("neutral", 25)
    assert float(stored["mocap_frame_rate"]) == 25 and "MakeHuman" in str(stored["body"])


@pytest.mark.parametrize(("name", "gender"), [("SMPLH_FEMALE", "female"), ("smplh_male", "male")])
def test_gender_is_that_of_the_model(name, gender, tmp_path):
    body = Body.load(write_body(tmp_path / f"{name}.npz", "smplh"))
    write_amass(tmp_path / "motion.npz", swaying(body))
    stored = np.load(tmp_path / "motion.npz")
    assert str(stored["gender"]) == gender and stored["betas"].shape == (16,)


def test_smplx_stands_up_z_as_in_amass(tmp_path):
    """Forward kinematics of smplx on the numbers in the file."""
    from smplx.lbs import batch_rigid_transform, batch_rodrigues

    motion = swaying(Body.load(), FRAMES)
    write_amass(tmp_path / "motion.npz", motion)
    stored = np.load(tmp_path / "motion.npz")
    turns = batch_rodrigues(torch.from_numpy(stored["poses"][:, :66].reshape(-1, 3)))
    rest = torch.from_numpy(motion.body.rest(stored["betas"])[1][None, :22])
    parents = torch.tensor(motion.body.parents[:22])
    places, _ = batch_rigid_transform(
        turns.view(FRAMES, 22, 3, 3), rest.expand(FRAMES, 22, 3), parents
    )
    x, y, z = (places.numpy() + stored["trans"][:, None]).transpose(2, 0, 1)
    np.testing.assert_allclose(np.stack([-x, z, y], axis=-1), motion.joints, atol=1e-4)


@pytest.mark.parametrize("kind", ["shipped", "smpl", "smplh", "smplx"])
def test_poses_come_back(kind, tmp_path):
    body = None
    if kind != "shipped":
        body = Body.load(write_body(tmp_path / "model.npz", kind))
    motion = swaying(body or Body.load(), FRAMES)
    write_amass(tmp_path / "motion.npz", motion)
    loaded = read_amass(tmp_path / "motion.npz", body)
    assert loaded.body is motion.body and (loaded.fps, loaded.prompt) == (25, "she sways")
    np.testing.assert_allclose(loaded.joints, motion.joints, atol=1e-4)
    kept = slice(1, 22 if body is None or kind == "smpl" else None)
    np.testing.assert_allclose(loaded.poses[:, kept], motion.poses[:, kept], atol=1e-6)
    np.testing.assert_allclose(loaded.betas, motion.betas, atol=1e-6)


@pytest.mark.parametrize("write", [write_old, write_new])
@pytest.mark.parametrize("kind", ["smplh", "smpl"])
def test_files_of_amass(write, kind, tmp_path):
    take = recording(30)
    write(tmp_path / "walk.npz", **take)
    np.savez(tmp_path / "model.npz", **body_arrays(kind))
    motion = read_amass(tmp_path / "walk.npz", Body.load(tmp_path / "model.npz"))
    expected = slow_joints(body_arrays(kind), take["poses"][:, :66], take["trans"], take["betas"])
    np.testing.assert_allclose(motion.joints, expected[..., [0, 2, 1]] * (-1, 1, 1), atol=1e-4)
    assert motion.fps == 120
    assert motion.poses[:, 22:].any() == (write is write_old and kind == "smplh")


def test_other_bodies_are_asked_for(tmp_path):
    write_old(tmp_path / "walk.npz", **recording(30))
    with pytest.raises(ValueError, match=r"a body of SMPLH, which does not ship.*--smpl-model"):
        read_amass(tmp_path / "walk.npz")
    smplx = Body.load(write_body(tmp_path / "model.npz", "smplx"))
    with pytest.raises(ValueError, match="model.npz cannot take; give a model file of SMPLH"):
        read_amass(tmp_path / "walk.npz", smplx)
    write_amass(tmp_path / "walk.npz", swaying(smplx))
    with pytest.raises(ValueError, match=r"poses of the SMPLX body of model\.npz, which does not"):
        read_amass(tmp_path / "walk.npz")


def _save(path, **changes):
    write_old(path, **recording(30) | changes)


BAD = {
    "no .npz file": lambda path: path.write_bytes(b"some text"),
    "cut short": lambda path: (_save(path), path.write_bytes(path.read_bytes()[:-500])),
    "its betas is a pickle": lambda path: _save(path, betas=np.array([print], dtype=object)),
    "NaN": lambda path: _save(path, trans=np.full((30, 3), np.nan)),
    r"poses \(30, 156\) and trans \(29, 3\)": lambda path: _save(path, trans=np.zeros((29, 3))),
    r"poses \(0, 156\)": lambda path: _save(path, poses=np.zeros((0, 156)), trans=np.zeros((0, 3))),
    r"poses \(30, 9\)": lambda path: _save(path, poses=np.zeros((30, 9))),
    r"wrong frame rate: \[0\.0\]": lambda path: _save(path, fps=0.0),
    "it has no poses": lambda path: np.savez(path, joints=np.zeros((5, 22, 3))),
    r"its poses claims 3 GB": lambda path: _save(path),
}


@pytest.mark.parametrize("reason", BAD)
def test_bad_files_are_refused(reason, tmp_path, monkeypatch):
    path = tmp_path / "walk.npz"
    BAD[reason](path)
    if "claims" in reason:
        monkeypatch.setattr(amass, "MOST_BYTES", 30 * 156 * 8)
        reason = "its poses claims"
    body = Body.load(write_body(tmp_path / "model.npz", "smplh"))
    with pytest.raises(ValueError, match=reason) as error:
        read_amass(path, body)
    assert "walk.npz is no motion" in str(error.value) and "\n" not in str(error.value)


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full_disk(self, content):
        self.touch()
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_amass(tmp_path / "motion.npz", swaying(Body.load()))
    assert os.listdir(tmp_path) == []
