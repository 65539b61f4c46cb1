import numpy as np
import pytest

from motionmamba.data.sources.procedural import MAKERS, pose
from motionmamba.evaluation.kinematics import (
    CHECKS,
    OPPOSITE,
    heading,
    longest,
    passes,
    reversals,
    speed,
    speed_gain,
    travel,
    travel_angle,
    turn,
    wrong_side,
)
from motionmamba.motion.skeleton import KIT, mirror_joints

FPS = 20.0
FRAMES = 100


def ramp(start=0.25, end=0.75):
    """From 0 to 1 between two shares of the motion (T,)."""
    return np.clip((np.linspace(0, 1, FRAMES) - start) / (end - start), 0, 1)


def controls(kind, side="", seed=0):
    return MAKERS[kind](np.random.default_rng(seed), FRAMES, side)


def make(kind, side="", seed=0):
    return pose(controls(kind, side, seed))


def standing():
    c = controls("squat")
    c.height[:], c.lean[:], c.arms[..., 2] = c.height.max(), 0.03, 0.0
    return c


def going(angle, speed=1.0):
    """Gliding over the floor in a direction (degrees, left positive) without turning."""
    c = standing()
    way = np.radians(angle)
    c.path[:] = np.arange(FRAMES)[:, None] / FPS * speed * np.array([np.sin(way), np.cos(way)])
    return pose(c)


def circling(sign, turns=1.0, radius=0.8):
    c = standing()
    c.heading = 2 * np.pi * sign * turns * np.linspace(0, 1, FRAMES)
    step = radius * np.gradient(np.abs(c.heading))
    c.path = np.cumsum(step[:, None] * np.stack([np.sin(c.heading), np.cos(c.heading)], -1), 0)
    return pose(c)


def turning(degrees):
    c = standing()
    c.heading = np.radians(degrees) * ramp()
    return pose(c)


def sinking(depth, ahead=0.0, again=True):
    """The hips go down by so many metres, with the feet so far ahead, and come up `again`."""
    c = standing()
    level = ramp(0.1, 0.3) - again * ramp(0.35, 0.55)
    c.height -= depth * level
    c.feet[..., 2] += ahead * level
    return pose(c)


def bowing(radians, again=True):
    c = standing()
    c.lean += radians * (ramp(0.1, 0.4) - again * ramp(0.6, 0.9))
    return pose(c)


def changing_pace(first, last):
    c = standing()
    pace = np.where(np.arange(FRAMES) < FRAMES // 2, first, last)
    c.path[:, 1] = np.cumsum(pace) / FPS
    return pose(c)


DOES = {
    "stands": lambda: pose(standing()),
    "walks": lambda: make("walk"),
    "walks slowly": lambda: going(0, 0.6),
    "walks briskly": lambda: going(0, 1.5),
    "runs": lambda: make("run"),
    "speeds up": lambda: changing_pace(0.8, 2.0),
    "slows down": lambda: changing_pace(2.0, 0.8),
    "goes forward": lambda: going(10),
    "goes backward": lambda: going(180),
    "turns around": lambda: turning(-175),
    "circles": lambda: circling(-1),
    "both hands up": lambda: make("raise", "both"),
    "both hands wave": lambda: make("wave", "both"),
    "sits": lambda: sinking(0.4, ahead=0.4, again=False),
    "jumps": lambda: make("jump", seed=2),
    "crouches": lambda: sinking(0.4),
    "squats": lambda: sinking(0.4),
    "bows": lambda: bowing(0.7),
    "turns left": lambda: turning(90),
    "turns around to the left": lambda: turning(175),
    "circles to the left": lambda: circling(1),
    "steps to the left": lambda: going(80),
    "goes diagonally left": lambda: going(40),
    "left hand up": lambda: make("raise", "left"),
    "left hand waves": lambda: make("wave", "left"),
    "left leg kicks": lambda: make("kick", "left", seed=1),
}
NEARLY = {
    "stands": lambda: going(0, 0.5),
    "walks": lambda: make("run"),
    "walks slowly": lambda: going(0, 1.2),
    "walks briskly": lambda: going(0, 0.8),
    "runs": lambda: make("walk"),
    "speeds up": lambda: going(0, 2.0),
    "slows down": lambda: changing_pace(0.8, 2.0),
    "goes forward": lambda: going(60),
    "goes backward": lambda: going(90),
    "turns around": lambda: turning(90),
    "circles": lambda: turning(360),
    "both hands up": lambda: make("raise", "left"),
    "both hands wave": lambda: make("raise", "both"),
    "sits": lambda: sinking(0.4),
    "jumps": lambda: make("run"),
    "crouches": lambda: sinking(0.1),
    "squats": lambda: sinking(0.4, again=False),
    "bows": lambda: bowing(0.7, again=False),
    "turns left": lambda: turning(15),
    "turns around to the left": lambda: turning(90),
    "circles to the left": lambda: circling(1, turns=0.5),
    "steps to the left": lambda: going(20),
    "goes diagonally left": lambda: going(90),
    "left hand up": lambda: make("raise", "both"),
    "left hand waves": lambda: make("raise", "left"),
    "left leg kicks": lambda: make("run"),
}


def test_every_check_is_tried_here():
    assert set(DOES) == set(NEARLY) == {c for c in CHECKS if "right" not in c}


@pytest.mark.parametrize("check", DOES)
def test_a_check_passes_who_does_it_and_fails_who_nearly_does(check):
    assert passes(check, DOES[check](), FPS)
    assert not passes(check, NEARLY[check](), FPS)


@pytest.mark.parametrize("check", [check for check in DOES if check in OPPOSITE])
def test_sides_are_told_apart(check):
    joints = DOES[check]()
    other = mirror_joints(joints)
    assert not passes(check, other, FPS) and wrong_side(check, other, FPS)
    assert passes(OPPOSITE[check], other, FPS) and not wrong_side(check, joints, FPS)
    neither = NEARLY["walks"]() if "hand" in check else pose(standing())
    assert not wrong_side(check, neither, FPS)


@pytest.mark.parametrize("check", DOES)
def test_checks_do_not_depend_on_place_facing_height_and_frame_rate(check):
    for joints in (DOES[check](), NEARLY[check]()):
        told = passes(check, joints, FPS)
        assert passes(check, turned(joints, 130) + (3.0, 0.4, -2.0), FPS) == told
        assert passes(check, resampled(joints, 2), 2 * FPS) == told


def turned(joints, degrees):
    angle = np.radians(degrees)
    out = joints.copy()
    out[..., 0] = np.cos(angle) * joints[..., 0] + np.sin(angle) * joints[..., 2]
    out[..., 2] = np.cos(angle) * joints[..., 2] - np.sin(angle) * joints[..., 0]
    return out


def resampled(joints, times):
    new = np.arange(times * (len(joints) - 1) + 1) / times
    flat = joints.reshape(len(joints), -1)
    columns = [np.interp(new, np.arange(len(joints)), column) for column in flat.T]
    return np.stack(columns, -1).reshape(len(new), *joints.shape[1:])


@pytest.mark.parametrize("side", ["left", "right", "both"])
@pytest.mark.parametrize("seed", range(3))
def test_made_gestures_pass_whatever_their_size(side, seed):
    hands = {"both": "both hands", "left": "left hand", "right": "right hand"}[side]
    assert passes(f"{hands} up", make("raise", side, seed), FPS)
    assert passes(f"{hands} wave" + "s" * (side != "both"), make("wave", side, seed), FPS)


@pytest.mark.parametrize("degrees", [0, 70, -110, 180])
def test_measurements_do_not_depend_on_where_the_body_stands_and_faces(degrees):
    joints = make("turn", "left")
    moved = turned(joints, degrees) + (3.0, 0.0, -2.0)
    assert speed(moved, FPS) == pytest.approx(speed(joints, FPS))
    assert turn(moved, FPS) == pytest.approx(turn(joints, FPS))
    np.testing.assert_allclose(travel(moved), travel(joints), atol=1e-9)
    difference = np.degrees(heading(moved) - heading(joints))
    np.testing.assert_allclose((difference - degrees + 180) % 360 - 180, 0, atol=1e-6)


@pytest.mark.parametrize("angle", [0, 45, 90, -90, 170, -135])
def test_the_way_gone_is_that_which_the_body_was_steered(angle):
    joints = turned(going(angle, 1.2), 77)
    assert travel_angle(joints) == pytest.approx(angle, abs=1e-6)
    assert np.hypot(*travel(joints)) == pytest.approx(1.2 * (FRAMES - 1) / FPS)


@pytest.mark.parametrize("degrees", [-300, -90, 20, 200, 400])
def test_turns_are_counted_beyond_half_a_circle(degrees):
    assert turn(turning(degrees), FPS) == pytest.approx(degrees, abs=1e-6)


def test_steps_are_seen_from_where_the_body_faces_at_the_time():
    left, forward = travel(circling(1))
    assert forward == pytest.approx(2 * np.pi * 0.8, rel=0.05) and abs(left) < 0.2


def test_speed_gain_is_that_of_the_ends():
    assert speed_gain(changing_pace(0.5, 2.5), FPS) == pytest.approx(2.0, abs=0.05)
    assert abs(speed_gain(going(0, 2.0), FPS)) < 1e-9


@pytest.mark.parametrize("seed", range(20))
def test_longest_run_agrees_with_counting(seed):
    mask = np.random.default_rng(seed).random(30) < 0.6
    count = most = 0
    for holds in mask:
        count = count + 1 if holds else 0
        most = max(most, count)
    assert longest(mask, 10.0) == most / 10


@pytest.mark.parametrize("swings", [2, 4, 7])
def test_reversals_are_those_of_a_raised_hand(swings):
    joints = pose(standing())
    wrist = joints[:, 20]
    wrist[:, 1] = joints[:, 16, 1] + 0.3
    wrist[:, 0] += 0.2 * np.cos(np.pi * swings * np.linspace(0, 1, FRAMES))
    assert reversals(joints, 0) == swings - 1
    assert reversals(joints, 1) == 0
    wrist[:, 1] -= 0.6
    assert reversals(joints, 0) == 0


def test_the_way_is_measured_on_kit_bodies_too():
    joints = np.zeros((FRAMES, KIT.num_joints, 3))
    right, left = KIT.face_joints[:2]
    joints[:, left, 0], joints[:, right, 0] = 0.1, -0.1
    joints[..., 2] += np.linspace(0, 3, FRAMES)[:, None]
    assert travel_angle(joints) == pytest.approx(0) and turn(joints, KIT.fps) == pytest.approx(0)
    assert travel(joints)[1] == pytest.approx(3)
