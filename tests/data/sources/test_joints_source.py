import io

import numpy as np
import pytest
from bodies import HIK, walk

from motionmamba.data.packed import write_dataset
from motionmamba.data.sources.joints import prepare_joints
from motionmamba.motion.joint_map import UPRIGHT, load_joint_map

ABOUT = {"licence": "CC0", "title": "Mine", "workers": 1}
NAMES, _, _POSITIONS = walk(HIK, 300)
WALK = load_joint_map("mixamo").apply(NAMES, _POSITIONS, "walk").astype(np.float32)
LINES = "walks left#walk/VERB left/ADV#0#0\nstops##1#2.5\n"


def _write(folder, arrays: dict, lines: str = LINES):
    folder.mkdir(exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
        (folder / f"{name}.txt").write_text(lines)
    return folder


def test_joints_come_as_they_are(tmp_path):
    folder = _write(tmp_path, {"a": WALK[:100], "b": WALK.astype(np.float64)})
    prepared = prepare_joints(folder, **ABOUT)
    samples = {sample.name: sample for sample in prepared.samples}
    assert set(samples) == {"a", "b.0", "b.1", "b.part0"} and not prepared.dropped
    np.testing.assert_array_equal(samples["a"].joints, WALK[:100])
    assert samples["a"].captions == [("walks left", "walk/VERB left/ADV")]
    assert samples["a"].mirrored_captions == ["walks right"]
    assert list(samples["a"].parts) == [("stops", 1.0, 2.5)]
    np.testing.assert_array_equal(samples["b.part0"].joints, WALK[20:51])
    assert set(prepared.inputs) == {"a.npy", "a.txt", "b.npy", "b.txt"}
    dataset = write_dataset(tmp_path / "set", prepared, "mine")
    assert len(dataset.clips) == 8 and dataset.info["settings"] == {"fps": 20.0}


def test_other_rates_are_resampled(tmp_path):
    folder = _write(tmp_path, {"a": WALK[:181]}, "walks##0#0\n")
    prepared = prepare_joints(folder, fps=60, **ABOUT)
    np.testing.assert_allclose(prepared.samples[0].joints, WALK[:181:3], atol=1e-5)
    for fps in (0, -20.0, float("nan")):
        with pytest.raises(ValueError, match="fps is"):
            prepare_joints(folder, fps=fps, **ABOUT)


def test_mirrored_copies_are_made_anew(tmp_path):
    folder = _write(tmp_path, {"012": WALK[:60], "M012": WALK[:60], "M7": WALK[:60]})
    (folder / "train.txt").write_text("012\nM012\nM7\n")
    prepared = prepare_joints(folder, splits=folder, **ABOUT)
    assert {sample.name for sample in prepared.samples} == {"012", "M7"}
    assert prepared.dropped == {"M012.npy": "the mirror image of 012.npy, which is made anew"}


def _lying() -> np.ndarray:
    """A body that slides on its back: no mistake of axes."""
    joints = np.repeat(WALK[:1, :, [0, 2, 1]] * np.float32([1, 1, -1]), 60, axis=0)
    joints[..., 1] -= joints[..., 1].min()
    joints[..., 2] += 0.1 * np.sin(np.arange(60) / 5)[:, None]
    return joints


def test_flawed_joints_are_dropped_with_a_reason(tmp_path):
    hole = WALK[:60].copy()
    hole[7, 3, 1] = np.nan
    collapsed = WALK[:60].copy()
    collapsed[5, 20] = collapsed[5, 18]
    flawed = {
        "centimetres": (WALK[:60] * 100, "m tall, as if in centimetres"),
        "millimetres": (WALK[:60] * 1000, "as if in millimetres"),
        "hole": (hole, "NaN or infinite values in 1 of 60 frames"),
        "nothing": (WALK[:60] * 0, "lie on one another"),
        "collapsed": (collapsed, "lie on one another, at the left_wrist"),
        "short": (WALK[:16], "shorter than 17 frames"),
        "mirrored": (WALK[:60] * np.float32([-1, 1, 1]), "feet that point backwards"),
        "smpl": (np.zeros((60, 24, 3), np.float32), r"shape (60, 24, 3)"),
        "flat": (WALK[:60].reshape(60, 66), "shape (60, 66)"),
        "whole": (np.zeros((60, 22, 3), np.int64), "int64"),
        "empty": (WALK[:0], "shape (0, 22, 3)"),
    }
    for axis, told in (("z", "Z"), ("-z", "minus Z"), ("x", "X"), ("-y", "minus Y")):
        turned = WALK[:60] @ np.array(UPRIGHT[axis], np.float32)
        flawed[axis] = (turned, f"has {told} up, expected Y up")
    folder = _write(tmp_path, {name: array for name, (array, _) in flawed.items()})
    _write(folder, {"good": WALK[:60], "lying": _lying()})
    with (folder / "pickle.npy").open("wb") as file:
        np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (folder / "pickle.txt").write_text(LINES)
    content = io.BytesIO()
    np.save(content, WALK[:60])
    (folder / "cut.npy").write_bytes(content.getvalue()[:-9])
    (folder / "cut.txt").write_text(LINES)
    (folder / "silent.npy").write_bytes(content.getvalue())
    prepared = prepare_joints(folder, **ABOUT)
    assert {sample.take for sample in prepared.samples} == {"good", "lying"}
    reasons = {f"{name}.npy": words for name, (_, words) in flawed.items()} | {
        "pickle.npy": "no plain .npy array",
        "cut.npy": "cut short",
        "silent.npy": "no caption",
    }
    assert set(prepared.dropped) == set(reasons)
    for name, words in reasons.items():
        assert words in prepared.dropped[name], (name, prepared.dropped[name])


def test_unusable_sources_are_errors(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        prepare_joints(tmp_path / "none", **ABOUT)
    with pytest.raises(ValueError, match="holds no .npy file"):
        prepare_joints(tmp_path, **ABOUT)
    _write(tmp_path, {"a": WALK[:60] * 100})
    with pytest.raises(ValueError, match="no clip for training of 1 .npy files .*centimetres"):
        prepare_joints(tmp_path, **ABOUT)


def test_published_joints_are_taken(tmp_path, shared_data):
    joints = np.load(shared_data / "humanml3d" / "new_joints" / "012314.npy")
    prepared = prepare_joints(_write(tmp_path, {"012314": joints}, "dances##0#0\n"), **ABOUT)
    np.testing.assert_array_equal(prepared.samples[0].joints, joints)
