import re
from collections import defaultdict

import numpy as np
import pytest
from bandai_files import gesture, write_takes

from motionmamba.data.making.more import MadeCounts
from motionmamba.data.sources.bandai import prepare_bandai, read_take
from motionmamba.data.text.captions import Action
from motionmamba.motion.joint_map import load_joint_map
from motionmamba.motion.skeleton import HUMANML3D, mirror_joints

LEFT, RIGHT = 20, 21
MORE = MadeCounts(joined=12, warped=4, overlaid=4, held_out=2)


def _take(text: str, name="dataset-2_raise-up-left-hand_normal_001.bvh"):
    return read_take(name, text.encode(), load_joint_map("bandai"))


def _action(text: str, name="dataset-2_raise-up-left-hand_normal_001.bvh") -> Action:
    return Action(**_take(text, name).info)


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
    return prepare_bandai(source[0], MORE, seed=0, workers=1)


def test_broken_files_are_dropped_with_a_reason(source, prepared):
    assert set(prepared.dropped) == source[1]
    assert all(name in reason for name, reason in prepared.dropped.items())
    assert len(prepared.inputs) == 25 + len(source[1])
    assert len({s.take for s in prepared.samples if not s.made}) == 25


def test_clips_are_within_limits_and_finite(prepared):
    for sample in prepared.samples:
        assert 16 < len(sample.joints) <= 197
        assert sample.joints.shape[1:] == (22, 3) and np.isfinite(sample.joints).all()
        for captions in (sample.captions, sample.mirrored_captions):
            assert len(set(captions)) == len(captions) > 10


def test_all_clips_of_a_take_are_in_its_split(prepared):
    splits, windows = defaultdict(set), defaultdict(int)
    for sample in prepared.samples:
        splits[sample.take].add(sample.split)
        windows[sample.take] += not sample.made
    assert all(len(found - {"held_out"}) <= 1 for found in splits.values())
    assert windows["dataset-1_walk_old_001"] == 2  # 16 s
    assert {"train", "test", "val"} <= {s for found in splits.values() for s in found}


def test_made_clips_are_of_takes_of_their_split(prepared):
    splits = {s.take: s.split for s in prepared.samples if not s.made}
    made = [s for s in prepared.samples if s.made]
    assert len(made) >= 4
    for sample in made:
        assert splits[sample.take] == {"held_out": "test"}.get(sample.split, sample.split)
        takes = re.findall(r"dataset-\d_[\w-]+?_[\w-]+?_\d+", sample.made)
        assert takes and {splits[take] for take in takes} == {splits[sample.take]}


def test_captions_name_the_hand_that_goes_up(prepared):
    seen = set()
    for sample in prepared.samples:
        if sample.made or "raise" not in sample.take:
            continue
        mirrored = mirror_joints(sample.joints)
        for joints, captions in (
            (sample.joints, sample.captions),
            (mirrored, sample.mirrored_captions),
        ):
            above = (joints[:, (LEFT, RIGHT), 1] > joints[:, [15], 1]).any(0)
            up, down = ("left", "right") if above[0] else ("right", "left")
            assert above.sum() == 1
            words = [set(re.findall("[a-z]+", text.lower())) for text in captions]
            assert not any(down in w for w in words)
            assert sum(up in w for w in words) > len(words) / 2
            seen.add((up, joints is mirrored))
    assert len(seen) == 4


def test_seed_repeats(source, prepared):
    again = prepare_bandai(source[0], MORE, seed=0, workers=1)
    assert (again.dropped, again.inputs) == (prepared.dropped, prepared.inputs)
    for a, b in zip(prepared.samples, again.samples, strict=True):
        assert (a.name, a.split, a.captions, a.made) == (b.name, b.split, b.captions, b.made)
        np.testing.assert_array_equal(a.joints, b.joints)


def test_a_source_without_takes_is_an_error(tmp_path):
    (tmp_path / "dataset-1_walk_normal_001.bvh").write_text("no BVH")
    with pytest.raises(ValueError, match="no usable take: 1 of 1"):
        prepare_bandai(tmp_path, MORE)


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


def test_description_measures_reach_and_pace():
    assert _action(gesture(60, degrees=165)).extent == "high"
    assert _action(gesture(60, degrees=80)).extent == "low"
    assert _action(gesture(240, degrees=165)).pace == "slow"
    walk = "dataset-1_walk_sad_001.bvh"
    assert _action(gesture(60, degrees=0, speed=0.4), walk) == Action(
        "walk", "", "sad", pace="slow"
    )
    assert _action(gesture(60, degrees=0, speed=1.8), walk).pace == "fast"


def test_turns_are_measured_not_believed():
    name = "dataset-2_walk-turn-left_normal_001.bvh"
    for angle, kind, side in ((90, "turn", "left"), (-90, "turn", "right"), (180, "uturn", "left")):
        action = _action(gesture(90, degrees=5, speed=0.5, turn=angle), name)
        assert (action.kind, action.side) == (kind, side)
    with pytest.raises(ValueError, match=f"{name} turns by"):
        _take(gesture(90, degrees=5, speed=0.5, turn=20), name)
