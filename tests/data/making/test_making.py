import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from procedural_takes import assert_bones_are_uniform, takes

from motionmamba.data.making.join import Made
from motionmamba.data.making.more import MadeCounts, make_more, to_samples
from motionmamba.data.making.overlay import HELD_OUT, combination
from motionmamba.data.text.captions import Action

COUNTS = MadeCounts(joined=40, warped=20, overlaid=40, held_out=10)
SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def splits():
    names = [take.name for take in takes(each=9)]
    return {name: SPLITS[(i // 10) % 3] for i, name in enumerate(names)}


@pytest.fixture(scope="module")
def clips(splits):
    shelf = [replace(take, joints=take.joints * 1.3 + 0.5) for take in takes(each=9)]
    return list(make_more(shelf, splits, COUNTS, np.random.default_rng(0)))


def test_clips_are_made_of_takes_of_their_own_split(splits, clips):
    for clip in clips:
        named = re.findall(r"[a-z]+-(?:normal|sad)-\d", clip.made)
        assert named and clip.take in named
        expected = {"held_out": "test"}.get(clip.split, clip.split)
        assert {splits[name] for name in named} == {expected}


def test_held_out_combinations_are_in_no_other_split(clips):
    found = Counter()
    for clip in clips:
        if clip.arms is not None:
            for legs, arms in (
                (clip.actions[0], clip.arms),
                (clip.actions[0].mirrored(), clip.arms.mirrored()),
            ):
                held_out = combination(legs, arms) in HELD_OUT
                assert held_out == (clip.split == "held_out")
        found[clip.split] += 1
    assert min(found[split] for split in (*SPLITS, "held_out")) > 5
    assert len({clip.name for clip in clips}) == len(clips)


def test_all_kinds_are_made_on_the_uniform_skeleton(clips):
    kinds = Counter(clip.name.split("_")[0] for clip in clips)
    assert kinds["warped"] == 20 and kinds["joined"] > 30 and kinds["overlaid"] > 30
    for clip in clips:
        assert len(clip.joints) <= 197
        assert_bones_are_uniform(clip.joints)


def test_no_count_has_a_say_in_the_other_clips(splits, clips):
    counts = MadeCounts(warped=20, held_out=10)
    again = list(make_more(takes(each=9), splits, counts, np.random.default_rng(0)))
    before = {clip.name: clip for clip in clips}
    assert len(again) == 30
    for clip in again:
        assert clip.made == before[clip.name].made
        np.testing.assert_allclose(clip.joints, before[clip.name].joints, atol=1e-3)


def test_flawed_takes_and_no_takes():
    shelf = takes(each=2)
    flawed = replace(shelf[0], name="flawed", joints=np.full_like(shelf[0].joints, np.nan))
    flat = replace(shelf[0], name="flat", joints=np.zeros_like(shelf[0].joints))
    splits = dict.fromkeys([take.name for take in shelf] + ["flawed", "flat"], "train")
    counts = MadeCounts(joined=5, warped=5, overlaid=5, held_out=5)
    clips = list(make_more([flawed, flat, *shelf], splits, counts, np.random.default_rng(0)))
    assert len(clips) > 9 and {clip.split for clip in clips} == {"train"}
    assert not any("fla" in clip.made for clip in clips)
    rng = np.random.default_rng(0)
    assert list(make_more([], {}, counts, rng)) == []
    assert list(make_more(shelf, splits, MadeCounts(), rng)) == []


def test_samples_tell_what_is_seen_and_what_the_mirror_shows(clips):
    samples = to_samples(clips, np.random.default_rng(1), "bandai")
    other = {"left": "right", "right": "left"}
    for clip, sample in zip(clips, samples, strict=True):
        assert (sample.name, sample.take, sample.split) == (clip.name, clip.take, clip.split)
        assert sample.joints is clip.joints and sample.made == clip.made
        assert sample.source == "bandai" and len(sample.captions) > 5
        sides = {a.side for a in (*clip.actions, clip.arms) if a} - {""}
        if len(sides) == 1 and sides <= set(other):
            [side] = sides
            for wrong, texts in (
                (other[side], sample.captions + [text for text, *_ in sample.parts]),
                (side, sample.mirrored_captions + [text for text, *_ in sample.mirrored_parts]),
            ):
                words = [set(re.findall("[a-z]+", text.lower())) for text in texts]
                assert not any(wrong in w for w in words)
                assert any(other[wrong] in w for w in words)
        assert len(sample.parts) == len(sample.mirrored_parts)
        for text, start, end in (*sample.parts, *sample.mirrored_parts):
            assert text and 0 <= start < end <= (len(clip.joints) - 1) / 20 + 1e-9
        if len(set(clip.actions)) > 1:
            assert len(sample.parts) == len(clip.spans) > 1
        if clip.paced:
            slow, fast = ("slow|hurr|low speed|snail", "quick|rapid|swift|brisk|fast|high speed")
            told = slow if clip.actions[0].pace == "slow" else fast
            share = np.mean([bool(re.search(told, t.lower())) for t in sample.captions])
            assert share > 0.5


def test_wordings_of_training_are_kept_from_the_other_splits():
    joints = np.zeros((60, 22, 3), np.float32)
    made = [
        Made(f"{split}{i}", "take", split, joints, (Action("wave", "left"),))
        for split in ("train", "val", "test", "held_out")
        for i in range(3)
    ]
    texts = {"train": set(), "other": set()}
    for sample in to_samples(made, np.random.default_rng(0)):
        found = {text.lower().strip(".") for text in sample.captions}
        texts["train" if sample.split == "train" else "other"] |= found
    assert not texts["train"] & texts["other"]


def test_one_seed_gives_one_result(clips):
    first, second = (to_samples(clips[:20], np.random.default_rng(3)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert (a.captions, a.parts) == (b.captions, b.parts)
        assert (a.mirrored_captions, a.mirrored_parts) == (b.mirrored_captions, b.mirrored_parts)
