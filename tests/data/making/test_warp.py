from dataclasses import replace

import numpy as np
import pytest
from procedural_takes import assert_bones_are_uniform, motion, takes

from motionmamba.data.making.join import Take
from motionmamba.data.making.warp import FACTORS, GAIT_SPEEDS, warp_takes
from motionmamba.data.text.captions import Action

FRAMES = 160


def _warped(take: Take, count: int = 12):
    return list(warp_takes([take], count, FRAMES, np.random.default_rng(0)))


def _speed(joints: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(joints[:, 0, ::2], axis=0), axis=-1).mean() * 20)


def _walk(speed: float, frames: int = 70) -> Take:
    """A walk as fast as that."""
    joints = motion("walk", 1, frames=frames)
    factor = speed / _speed(joints)
    return Take("walk", joints * (factor, 1, factor), Action("walk"))


def test_clips_are_slow_or_fast_as_they_are_said_to_be():
    shelf = {take.name: take for take in takes()}
    clips = list(warp_takes(list(shelf.values()), 80, FRAMES, np.random.default_rng(0)))
    assert len(clips) == 80 and len({clip.name for clip in clips}) == 80
    assert {clip.actions[0].pace for clip in clips} == {"slow", "fast"}
    for clip in clips:
        take = shelf[clip.take]
        assert clip.paced and clip.made.startswith(f"{take.name} at ")
        factor = float(clip.made.split()[2])
        [action] = clip.actions
        assert action == replace(take.action, pace=action.pace)
        assert (factor < 1) == (action.pace == "slow")
        assert FACTORS[0] - 0.01 < max(factor, 1 / factor) < FACTORS[1] + 0.01
        assert 30 <= len(clip.joints) <= FRAMES
        assert_bones_are_uniform(clip.joints)
        if action.kind in GAIT_SPEEDS:
            _, slow, fast, fastest = GAIT_SPEEDS[action.kind]
            speed = _speed(clip.joints)
            low, high = (0, slow) if action.pace == "slow" else (fast, fastest)
            assert 0.9 * low < speed < 1.1 * high


def test_the_motion_is_the_same_but_for_its_pace():
    take = _walk(1.1)
    for clip in _warped(take):
        factor = float(clip.made.split()[2])
        at = np.arange(len(clip.joints)) * factor
        expected = np.interp(at, np.arange(len(take.joints)), take.joints[:, 0, 2])
        np.testing.assert_allclose(clip.joints[:, 0, 2], expected, atol=0.02)


@pytest.mark.parametrize(
    ("pace", "made"), [("", {"slow", "fast"}), ("fast", {"fast"}), ("slow", {"slow"})]
)
def test_nothing_is_called_the_opposite_of_what_it_was(pace, made):
    take = _walk(1.1)
    take.action = replace(take.action, pace=pace)
    assert {clip.actions[0].pace for clip in _warped(take)} == made


@pytest.mark.parametrize(("style", "made"), [("exhausted", {"slow"}), ("active", {"fast"})])
def test_no_style_contradicts_its_pace(style, made):
    take = _walk(1.1)
    take.action = replace(take.action, style=style)
    assert {clip.actions[0].pace for clip in _warped(take)} == made


def test_what_flies_is_not_slowed():
    jumps = motion("jump", 1)
    jumps[..., 2] += np.arange(len(jumps))[:, None] * 1.1 / 20
    clips = _warped(Take("jumps", jumps, Action("walk")))
    assert {clip.actions[0].pace for clip in clips} == {"fast"}


@pytest.mark.parametrize("speed", [0.3, 2.3])
def test_nobody_goes_slower_or_faster_than_people_do(speed):
    named = "slow" if speed < 1 else "fast"
    take = _walk(speed)
    take.action = replace(take.action, pace=named)
    assert _warped(take) == []


def test_gaits_are_cut_to_size_and_gestures_are_not():
    assert any(len(clip.joints) == FRAMES for clip in _warped(_walk(1.1, frames=150), 30))
    wave = Take("wave", motion("wave", 1, "left", 150), Action("wave", "left"))
    for clip in _warped(wave, 30):
        assert abs(len(clip.joints) * float(clip.made.split()[2]) - 150) < 2


def test_unknown_contents_are_left_alone():
    take = Take("kick", motion("kick", 1, "left"), Action("kick", "left"))
    assert _warped(take) == []
    assert list(warp_takes([], 3, FRAMES, np.random.default_rng(0))) == []
