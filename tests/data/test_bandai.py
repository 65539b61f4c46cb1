import re
import tarfile
import zipfile
from collections import defaultdict

import numpy as np
import pytest
from bandai_files import gesture, write_takes

from motionmamba.data import bandai
from motionmamba.data.captions import Action
from motionmamba.motion.features import features_to_joints
from motionmamba.motion.skeleton import HUMANML3D

LEFT, RIGHT = 20, 21


def _take(text: str, name="dataset-2_raise-up-left-hand_normal_001.bvh"):
    return bandai._parse_take(name, text.encode())


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("takes")
    write_takes(folder)
    good = gesture(60)
    broken = {
        "raise-up-left-hand_normal_901": good[: len(good) // 2],
        "raise-up-left-hand_normal_902": good.replace("JOINT Spine", "JOINT Back"),
        "raise-up-left-hand_normal_903": good.replace("\n0.000000 0", "\nnan 0", 1),
        "raise-up-left-hand_normal_904": gesture(12),
        "somersault_normal_001": good,
        "raise-up-left-hand_sneaky_001": good,
        "raise-up-left-hand_normal_905": good.replace("HIERARCHY", "HIERARCHIE"),
    }
    for name, text in broken.items():
        (folder / f"dataset-2_{name}.bvh").write_text(text)
    return folder, {f"dataset-2_{name}.bvh" for name in broken}


@pytest.fixture(scope="module")
def prepared(source):
    return bandai.bandai_samples(source[0], joined=12, seed=0, workers=1)


def test_broken_files_are_skipped_with_a_reason(source, prepared):
    samples, skipped = prepared
    assert set(skipped) == source[1]
    assert all(name in reason for name, reason in skipped.items())
    assert len({s.take for s in samples if not s.joined}) == 25


def test_clips_are_within_limits_and_finite(prepared):
    for sample in prepared[0]:
        assert bandai.MIN_FRAMES <= len(sample.features) <= bandai.WINDOW
        assert sample.features.shape[1] == 263 and np.isfinite(sample.features).all()
        assert len(set(sample.captions)) == len(sample.captions) > 10


def test_windows_and_mirrored_copies_stay_in_the_split_of_their_take(prepared):
    splits, copies = defaultdict(set), defaultdict(list)
    for sample in prepared[0]:
        splits[sample.take].add(sample.split)
        copies[sample.take].append(sample.mirrored)
    assert all(len(found) == 1 for found in splits.values())
    assert all(sum(m) * 2 == len(m) for m in copies.values())
    assert len(copies["dataset-1_walk_old_001"]) == 4  # 16 s are two windows, and mirrored
    assert {"train", "test", "val"} == {s for found in splits.values() for s in found}


def test_joined_clips_are_for_training_and_of_training_takes(prepared):
    splits = {s.take: s.split for s in prepared[0] if not s.joined}
    joined = [s for s in prepared[0] if s.joined]
    assert 4 <= len(joined) <= 24  # as many as fit together, and mirrored
    for sample in joined:
        assert sample.split == "train"
        parts = sample.name.split("_", 2)[2].split("+")
        assert all(splits[part] == "train" for part in parts)


def test_captions_name_the_hand_that_goes_up(prepared):
    seen = set()
    for sample in prepared[0]:
        if sample.joined or "raise" not in sample.take:
            continue
        joints = features_to_joints(sample.features)
        above = (joints[:, (LEFT, RIGHT), 1] > joints[:, [15], 1]).any(0)
        up, down = ("left", "right") if above[0] else ("right", "left")
        assert above.sum() == 1
        words = [set(re.findall("[a-z]+", text.lower())) for text in sample.captions]
        assert not any(down in w for w in words)
        assert sum(up in w for w in words) > len(words) / 2
        seen.add((up, sample.mirrored))
    assert len(seen) == 4


def test_seed_repeats(source, prepared):
    again, _ = bandai.bandai_samples(source[0], joined=12, seed=0, workers=1)
    for a, b in zip(prepared[0], again, strict=True):
        assert (a.name, a.split, a.captions) == (b.name, b.split, b.captions)
        np.testing.assert_array_equal(a.features, b.features)


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.xz"])
def test_archives_give_what_folders_give(source, tmp_path, suffix):
    from concurrent.futures import ThreadPoolExecutor

    archive = tmp_path / f"takes.{suffix}"
    files = sorted(source[0].iterdir())[:6]
    if suffix == "zip":
        with zipfile.ZipFile(archive, "w") as out:
            for file in files:
                out.write(file, f"../data/{file.name}")
    else:
        with tarfile.open(archive, "w:xz" if suffix == "tar.xz" else "w") as out:
            for file in files:
                out.add(file, f"../data/{file.name}")
    before = set(tmp_path.parent.rglob("*.bvh"))
    with ThreadPoolExecutor(1) as pool:
        takes, _ = bandai.read_takes(archive, pool)
    assert before == set(tmp_path.parent.rglob("*.bvh"))
    names = {f.stem for f in files if f.name not in source[1]}
    assert {t.name for t in takes} == names


def test_unusable_sources_are_errors(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        bandai.bandai_samples(tmp_path / "none")
    with pytest.raises(ValueError, match="no usable take"):
        bandai.bandai_samples(tmp_path)
    (tmp_path / "takes.tar.xz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="no readable"):
        bandai.bandai_samples(tmp_path / "takes.tar.xz")


def test_splits_have_their_shares_and_do_not_move():
    names = [
        f"dataset-2_{content}_normal_{i:03d}" for content in ("walk", "run") for i in range(40)
    ]
    splits = bandai.assign_splits(names)
    for content in ("walk", "run"):
        found = [splits[n] for n in names if content in n]
        assert (found.count("test"), found.count("val")) == (4, 2)
    assert bandai.assign_splits(names[::-1]) == splits
    assert bandai.assign_splits(["dataset-1_kick_normal_001"]) == {
        "dataset-1_kick_normal_001": "train"
    }


def test_joints_are_metres_upright_and_face_forward():
    take = _take(gesture(60))
    joints = take.joints[0]
    height = dict(zip(HUMANML3D.joint_names, joints[:, 1], strict=True))
    assert 1.2 < height["head"] < 1.6
    assert height["pelvis"] > height["left_hip"] > height["left_knee"] > height["left_foot"]
    assert height["pelvis"] < height["spine1"] < height["spine2"] < height["spine3"]
    assert joints[16, 0] > 0 > joints[17, 0]  # left is +x of a body that faces +z
    assert joints[10, 2] > joints[7, 2] and joints[15, 2] > joints[12, 2]
    # hips are as steep under the pelvis, feet as flat, as on the target skeleton
    hip, foot = joints[1] - joints[0], joints[10] - joints[7]
    assert 0.5 < abs(hip[0] / hip[1]) < 0.9
    assert 0.2 < -foot[1] / np.linalg.norm(foot) < 0.5
    assert np.linalg.norm(foot) == pytest.approx(np.hypot(0.075, 0.09), rel=1e-3)


def test_resampling_follows_time_and_drops_no_frames():
    times = np.arange(60) / 30
    joints = np.sin(2 * np.pi * 1.5 * times)[:, None, None] * np.ones((1, 22, 3))
    resampled = bandai.resample(joints, 30.0, 20.0)
    expected = np.sin(2 * np.pi * 1.5 * np.arange(len(resampled)) / 20)
    assert len(resampled) == 40
    np.testing.assert_allclose(resampled[:, 3, 1], expected, atol=5e-3)


def test_description_measures_reach_and_pace():
    assert _take(gesture(60, degrees=165)).action.extent == "high"
    assert _take(gesture(60, degrees=80)).action.extent == "low"
    assert _take(gesture(240, degrees=165)).action.pace == "slow"
    walk = "dataset-1_walk_sad_001.bvh"
    assert _take(gesture(60, degrees=0, speed=0.4), walk).action == Action(
        "walk", "", "sad", pace="slow"
    )
    assert _take(gesture(60, degrees=0, speed=1.8), walk).action.pace == "fast"


def test_turns_are_measured_not_believed():
    name = "dataset-2_walk-turn-left_normal_001.bvh"
    for angle, kind, side in ((90, "turn", "left"), (-90, "turn", "right"), (180, "uturn", "left")):
        action = _take(gesture(90, degrees=5, speed=0.5, turn=angle), name).action
        assert (action.kind, action.side) == (kind, side)
    with pytest.raises(ValueError, match=f"{name} turns by"):
        _take(gesture(90, degrees=5, speed=0.5, turn=20), name)


def test_heading_that_passes_behind_does_not_fold():
    take = _take(gesture(90))
    angle = np.linspace(0, 2 * np.pi, len(take.joints))
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    x, z = take.joints[..., 0] + 1.0, take.joints[..., 2]
    joints = np.stack([cos * x + sin * z, take.joints[..., 1], cos * z - sin * x], axis=-1)
    yaw = bandai._features(joints)[5:-5, 0]
    assert (yaw > 0).all() or (yaw < 0).all()
