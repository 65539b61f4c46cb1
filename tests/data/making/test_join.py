import re

import numpy as np
import pytest
from procedural_takes import assert_bones_are_uniform, takes

from motionmamba.data.making.join import join_takes

FRAMES = 160


@pytest.fixture(scope="module")
def shelf():
    return {take.name: take for take in takes()}


@pytest.fixture(scope="module")
def clips(shelf):
    return list(join_takes(list(shelf.values()), 60, FRAMES, np.random.default_rng(0)))


def test_joined_takes_keep_limits_style_and_labels(shelf, clips):
    assert len(clips) > 40
    assert len({clip.name for clip in clips}) == len(clips)
    for clip in clips:
        assert clip.joints.shape[1:] == (22, 3) and 40 <= len(clip.joints) <= FRAMES
        assert_bones_are_uniform(clip.joints)
        parts = [shelf[part] for part in clip.name.split("_", 2)[2].split("+")]
        assert clip.take == parts[0].name and clip.arms is None
        assert {p.action.style for p in parts} == {a.style for a in clip.actions}
        if clip.actions[0].kind not in ("stand", "circle", "uturn"):
            assert [(a.kind, a.side) for a in clip.actions] == [
                (p.action.kind, p.action.side) for p in parts
            ]


def test_spans_cover_the_clip_without_a_gap(clips):
    several = [clip for clip in clips if len(set(clip.actions)) > 1]
    assert several
    for clip in several:
        times = np.array(clip.spans)
        runs = 1 + sum(a != b for a, b in zip(clip.actions, clip.actions[1:], strict=False))
        assert len(times) == runs
        assert times[0, 0] == 0 and times[-1, 1] == pytest.approx((len(clip.joints) - 1) / 20)
        np.testing.assert_array_equal(times[1:, 0], times[:-1, 1])
        assert (times[:, 1] - times[:, 0] > 0.5).all()
    assert all(not clip.spans for clip in clips if len(set(clip.actions)) == 1)


def test_the_recipe_says_which_frames_are_seen(shelf, clips):
    for clip in clips:
        if clip.actions[0].kind == "stand":
            continue
        stretches = re.findall(r"(\S+) (\d+):(\d+)", clip.made)
        assert clip.made.startswith("joined of ") and len(stretches) == len(clip.name.split("+"))
        first, start, _ = stretches[0]
        last, _, end = stretches[-1]
        joints = shelf[first].joints
        np.testing.assert_allclose(clip.joints[0, :, 1], joints[int(start), :, 1], atol=1e-4)
        joints = shelf[last].joints  # whose feet may have been held, but not its hands
        np.testing.assert_allclose(clip.joints[-1, 15:, 1], joints[int(end) - 1, 15:, 1], atol=0.02)


def test_one_seed_gives_one_result(shelf):
    first, second = (
        list(join_takes(list(shelf.values()), 8, FRAMES, np.random.default_rng(7)))
        for _ in range(2)
    )
    for a, b in zip(first, second, strict=True):
        assert (a.name, a.actions, a.spans, a.made) == (b.name, b.actions, b.spans, b.made)
        np.testing.assert_array_equal(a.joints, b.joints)


def test_nothing_to_join(shelf):
    rng = np.random.default_rng(0)
    some = list(shelf.values())
    assert list(join_takes([], 5, FRAMES, rng)) == []
    assert list(join_takes(some[:1], 5, FRAMES, rng)) == []
    assert list(join_takes(some, 0, FRAMES, rng)) == []
