import itertools
import re

import numpy as np
import pytest
from procedural_takes import assert_bones_are_uniform, motion, takes

from motionmamba.data.making.overlay import (
    ARMS,
    BLEND,
    CHAINS,
    HELD_OUT,
    LEGS,
    believable,
    combination,
    overlaid,
    overlay_takes,
)
from motionmamba.data.text.captions import Action

BELOW = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15]


@pytest.fixture(scope="module")
def shelf():
    return {take.name: take for take in takes()}


@pytest.mark.parametrize("side", ["left", "right"])
def test_only_the_arm_of_the_gesture_changes(side):
    other = {"left": "right", "right": "left"}[side]
    base, gesture = motion("walk", 1, frames=80), motion("raise", 2, side, frames=50)
    joints = overlaid(base, gesture, 15, [side])
    np.testing.assert_allclose(joints[:, BELOW], base[:, BELOW], atol=1e-5)
    np.testing.assert_allclose(joints[:, CHAINS[other]], base[:, CHAINS[other]], atol=1e-5)
    np.testing.assert_allclose(joints[:15], base[:15], atol=1e-5)
    np.testing.assert_allclose(joints[65:], base[65:], atol=1e-5)
    wrist = CHAINS[side][-1]
    assert (joints[35:45, wrist, 1] > joints[35:45, 15, 1]).all()
    assert_bones_are_uniform(joints)


def test_arms_keep_their_place_at_the_chest_wherever_it_turns():
    base, gesture = motion("turn", 1, "left", 80), motion("wave", 2, "both", 80)
    joints = overlaid(base, gesture, 0, list(CHAINS))

    def of_wrists(joints):
        chest = joints[:, [9]]
        return np.linalg.norm(joints[:, [20, 21, 16, 17]] - chest, axis=-1)

    np.testing.assert_allclose(of_wrists(joints), of_wrists(gesture), atol=1e-4)
    # the left hand is still on the left of a body that has turned by a quarter
    across = joints[:, 1] - joints[:, 2]
    assert (((joints[:, 20] - joints[:, 21]) * across).sum(-1) > 0).all()


def test_arms_go_over_smoothly():
    base, gesture = motion("run", 1, frames=80), motion("raise", 2, "both", frames=50)
    joints = overlaid(base, gesture, 15, list(CHAINS))
    steps = np.linalg.norm(np.diff(joints, 2, axis=0), axis=-1)[:, [20, 21]]
    sources = (np.linalg.norm(np.diff(m, 2, axis=0), axis=-1) for m in (base, gesture))
    usual = max(source[:, [20, 21]].max() for source in sources)
    assert steps[10 : 15 + 2 * BLEND].max() < 1.6 * usual


def test_clips_do_what_they_are_said_to(shelf):
    clips = list(overlay_takes(list(shelf.values()), 60, 160, np.random.default_rng(0)))
    assert len(clips) > 40 and len({clip.name for clip in clips}) == len(clips)
    for clip in clips:
        arms, begin, end, legs, first, last = re.fullmatch(
            r"arms of (\S+) (\d+):(\d+) on (\S+) (\d+):(\d+)", clip.made
        ).groups()
        base, gesture = shelf[legs], shelf[arms]
        [action] = clip.actions
        assert (action.kind, action.side) == (base.action.kind, base.action.side)
        assert (clip.arms.kind, clip.arms.side) == (gesture.action.kind, gesture.action.side)
        assert action.style == clip.arms.style == base.action.style == gesture.action.style
        rows = base.joints[int(first) : int(last)]
        np.testing.assert_allclose(clip.joints[:, BELOW], rows[:, BELOW], atol=1e-5)
        [(start, stop)] = clip.spans
        assert 0 <= start < stop <= (len(clip.joints) - 1) / 20
        wanted = {"left": [20], "right": [21], "both": [20, 21]}[clip.arms.side]
        up = (clip.joints[:, [20, 21], 1] > clip.joints[:, [16, 17], 1]).any(0)
        assert set(20 + np.flatnonzero(up)) == set(wanted)
        if action.kind == "turn":
            assert len(rows) == len(base.joints)


def test_held_out_combinations_are_made_only_when_asked_for(shelf):
    rng = np.random.default_rng(0)
    some = list(shelf.values())
    for held_out in (False, True):
        clips = list(overlay_takes(some, 40, 160, rng, held_out=held_out))
        assert len(clips) > 20
        for clip in clips:
            names = {
                combination(clip.actions[0], clip.arms),
                combination(clip.actions[0].mirrored(), clip.arms.mirrored()),
            }
            assert all((name in HELD_OUT) == held_out for name in names)


def test_a_combination_is_held_out_with_its_mirror_image():
    sides = ("", "left", "right", "both")
    for legs, arms, one, two in itertools.product(LEGS, ARMS, sides[:3], sides):
        actions = Action(legs, one), Action(arms, two)
        assert combination(*actions) == combination(*(a.mirrored() for a in actions))


def test_each_half_of_a_held_out_combination_is_seen_in_others():
    for legs, arms, sides in HELD_OUT:
        assert legs in LEGS and arms in ARMS
        others = [(a, s) for a in ARMS for s in (sides, "both") if (legs, a, s) not in HELD_OUT]
        assert others
        assert any((leg, arms, "one") not in HELD_OUT for leg in LEGS if leg != legs)


def test_arms_that_go_through_the_body_or_flash_by_are_refused(shelf):
    walk = shelf["walk-normal-0"].joints
    assert believable(walk, walk, walk, ["right"])
    inside = walk.copy()
    inside[:, 21] = inside[:, 6]
    assert not believable(inside, walk, walk, ["right"])
    fast = walk.copy()
    fast[30, 21] += (0, 0.4, 0.4)
    assert not believable(fast, walk, walk, ["right"])


def test_nothing_to_overlay(shelf):
    rng = np.random.default_rng(0)
    walks = [take for take in shelf.values() if take.action.kind == "walk"]
    assert list(overlay_takes([], 5, 160, rng)) == []
    assert list(overlay_takes(walks, 5, 160, rng)) == []
    assert list(overlay_takes(list(shelf.values()), 0, 160, rng)) == []
