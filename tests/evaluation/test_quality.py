import numpy as np
import pytest

from motionmamba.data.sources.procedural import MAKERS, pose
from motionmamba.data.text.captions import Action, write_captions
from motionmamba.evaluation.quality import (
    Direction,
    direction_error,
    foot_skate_ratio,
    length_histogram,
    mean_jerk,
    nearest_distance,
    path_error,
    stated_direction,
)
from motionmamba.motion.skeleton import HUMANML3D, KIT, mirror_joints

FPS = 20.0
FORWARD, BACKWARD = Direction(False, 0.0, 0.0), Direction(False, 180.0, 180.0)
LEFTWARD, RIGHTWARD = Direction(False, 90.0, 90.0), Direction(False, -90.0, -90.0)


def make(kind, side="", seed=0, frames=80):
    return pose(MAKERS[kind](np.random.default_rng(seed), frames, side))


def turned(joints, degrees):
    angle = np.radians(degrees)
    out = joints.copy()
    out[..., 0] = np.cos(angle) * joints[..., 0] + np.sin(angle) * joints[..., 2]
    out[..., 2] = np.cos(angle) * joints[..., 2] - np.sin(angle) * joints[..., 0]
    return out


def standing(frames=80, skeleton=HUMANML3D):
    """A body that does not move, feet on the floor."""
    joints = np.zeros((frames, skeleton.num_joints, 3))
    right, left = skeleton.face_joints[:2]
    joints[..., 1] = 1.0
    joints[:, left, 0], joints[:, right, 0] = 0.1, -0.1
    for ankle, toe in skeleton.feet:
        joints[:, ankle, 1], joints[:, toe, 1] = 0.09, 0.02
    return joints


def sliding(speed, fps=FPS, height=0.0, seconds=4.0, skeleton=HUMANML3D):
    """Drawn forward (m/s), its feet so high over the floor but for the first frame."""
    joints = standing(round(seconds * fps), skeleton)
    joints[..., 2] += np.arange(len(joints))[:, None] / fps * speed
    joints[1:, :, 1] += height
    return joints


def slow_skate(joints, fps, toes=(10, 11)):
    """The same ratio step by step."""
    floor = min(frame[toe][1] for frame in joints for toe in toes)
    steps, window = len(joints) - 1, max(round(0.25 * fps), 1)
    pace = {
        (i, toe): np.hypot(*(joints[i + 1, toe] - joints[i, toe])[[0, 2]]) * fps
        for i in range(steps)
        for toe in toes
    }
    count = 0
    for i in range(steps):
        slides = False
        for toe in toes:
            low = all(joints[i + k, toe, 1] < floor + 0.05 for k in (0, 1))
            about = range(i - window // 2, i - window // 2 + window)
            mean = np.mean([pace[min(max(k, 0), steps - 1), toe] for k in about])
            slides = slides or (low and pace[i, toe] > 0.5 and mean > 0.5)
        count += slides
    return count / steps


@pytest.mark.parametrize("kind", ["walk", "run", "kick", "jump"])
@pytest.mark.parametrize("fps", [10.0, 20.0, 24.0, 60.0])
def test_foot_skate_agrees_with_counting(kind, fps):
    joints = make(kind, "left")
    joints[..., 0] += 0.01 * np.random.default_rng(0).standard_normal(joints.shape[:2]).cumsum(0)
    assert foot_skate_ratio(joints, fps) == pytest.approx(slow_skate(joints, fps))


@pytest.mark.parametrize("fps", [12.5, 20.0, 60.0])
@pytest.mark.parametrize("skeleton", [HUMANML3D, KIT])
def test_who_is_drawn_over_the_floor_skates_at_any_frame_rate(fps, skeleton):
    assert foot_skate_ratio(sliding(0.6, fps, skeleton=skeleton), fps) == 1
    assert foot_skate_ratio(sliding(0.4, fps, skeleton=skeleton), fps) == 0
    assert foot_skate_ratio(sliding(0.6, fps, height=0.08, skeleton=skeleton), fps) == 0
    assert foot_skate_ratio(sliding(0.6, fps, skeleton=skeleton) - (0, 3.0, 0), fps) == 1


def test_one_sliding_foot_is_enough():
    joints = standing()
    joints[40:, 11, 2] += np.arange(40) / FPS
    assert 0.45 < foot_skate_ratio(joints, FPS) < 0.55


def test_jerk_of_a_known_curve_at_any_frame_rate():
    for fps in (20.0, 50.0):
        t = np.arange(60) / fps
        joints = np.zeros((60, 22, 3))
        joints[..., 0] = 2 * t[:, None] ** 3  # third derivative 12
        assert mean_jerk(joints, fps) == pytest.approx(12.0)
    assert mean_jerk(sliding(1.0), FPS) == pytest.approx(0, abs=1e-6)


def test_noise_raises_jerk_and_a_blur_lowers_it():
    joints = make("walk")
    noise = 0.005 * np.random.default_rng(0).standard_normal(joints.shape)
    blurred = (joints[:-2] + joints[1:-1] + joints[2:]) / 3
    assert mean_jerk(blurred, FPS) < mean_jerk(joints, FPS) < mean_jerk(joints + noise, FPS)


@pytest.mark.parametrize("degrees", [0, 90, -140])
def test_path_error_takes_no_account_of_place_and_facing(degrees):
    joints = make("turn", "left")
    moved = turned(joints, degrees) + (3.0, 1.0, -2.0)
    assert path_error(joints, moved) == pytest.approx(0, abs=1e-9)
    assert path_error(joints, make("walk")) > 0.3
    assert path_error(moved, mirror_joints(joints)) == pytest.approx(
        path_error(joints, mirror_joints(moved))
    )


def test_path_error_of_known_paths():
    # one goes 1 m/s forward and the other stands: on average half of the way, 79 steps of 5 cm
    assert path_error(sliding(1.0), sliding(0.0)) == pytest.approx(79 * 0.05 / 2)
    assert path_error(sliding(1.0), turned(sliding(1.0), 180)) == pytest.approx(0, abs=1e-9)


def going(angle):
    joints = sliding(1.0)
    way = np.radians(angle)
    z = joints[..., 2].copy()
    joints[..., 0] += z * np.sin(way)
    joints[..., 2] = z * np.cos(way)
    return joints


@pytest.mark.parametrize(
    ("angle", "direction", "expected"),
    [
        *((0, FORWARD, 0), (30, FORWARD, 30), (180, FORWARD, 180), (-170, BACKWARD, 10)),
        *((90, LEFTWARD, 0), (90, RIGHTWARD, 180), (-60, RIGHTWARD, 30), (170, BACKWARD, 10)),
    ],
)
def test_direction_error_of_ways(angle, direction, expected):
    for facing in (0, 100):
        joints = turned(going(angle), facing)
        assert direction_error(joints, direction, FPS) == pytest.approx(expected, abs=1e-6)


def test_who_stays_has_no_direction():
    for direction in (FORWARD, BACKWARD, LEFTWARD):
        assert direction_error(standing(), direction, FPS) == 90


@pytest.mark.parametrize(
    ("degrees", "direction", "expected"),
    [
        *((90, Direction(True, 30, 150), 0), (200, Direction(True, 30, 150), 50)),
        *((-90, Direction(True, 30, 150), 120), (-90, Direction(True, -150, -30), 0)),
        *((-180, Direction(True, 135, 225, True), 0), (180, Direction(True, 135, 225, True), 0)),
        *((90, Direction(True, 135, 225, True), 45), (500, Direction(True, 240, np.inf), 0)),
    ],
)
def test_direction_error_of_turns(degrees, direction, expected):
    joints, angles = standing(), np.radians(degrees) * np.clip(np.linspace(-0.5, 1.5, 80), 0, 1)
    for frame, angle in zip(joints, angles, strict=True):
        frame[:] = turned(frame[None], np.degrees(angle))[0]
    assert direction_error(joints, direction, FPS) == pytest.approx(expected, abs=1e-6)


TURN_LEFT, TURN_RIGHT = Direction(True, 30, 150), Direction(True, -150, -30)
AROUND = Direction(True, 135, 225, True)
STATED = {
    "a person walks forward": FORWARD,
    "A man runs straight ahead.": FORWARD,
    "a person takes a few steps forward and stops": FORWARD,
    "the figure jumps forward": FORWARD,
    "someone walks forward waving the left hand": FORWARD,
    "a person walks backwards slowly": BACKWARD,
    "the man is backing away": BACKWARD,
    "a person sidesteps to the left": LEFTWARD,
    "the person walks sideways to their right": RIGHTWARD,
    "someone walks diagonally to the left": Direction(False, 45, 45),
    "a man turns left": TURN_LEFT,
    "a man walks and then turns to his right": TURN_RIGHT,
    "a person turns around": AROUND,
    "the person turns around to the right": Direction(True, -225, -135),
    "a person turns 90 degrees to the left": Direction(True, 45, 135),
    "walks in a counterclockwise circle": Direction(True, 240, np.inf),
    "a person walks in a clockwise circle": Direction(True, -np.inf, -240),
    "a person walks a half circle to the left": Direction(True, 135, 225),
    "walking in a curve to the right": Direction(True, -150, -10),
}
UNSTATED = [
    "a person walks",
    "a man waves his left hand",
    "a man kicks with the right leg",
    "he raises the left arm straight up",
    "a woman bends forward",
    "he proceeds to dip forward",
    "go ahead and raise the right arm",
    "a man is going to wave ahead",
    "a man walks around, turning left",
    "a man leans forward while walking",
    "a person walks forward and then backward",
    "a person walks forward, turns around and walks back",
    "the man turns left and then right",
    "someone turns left, then turns left again",
    "a person walks to the left",
    "he turns his head to the left",
    "the person is about to sit down",
    "a man walks, then jogs forward",
    "a person stands right there",
    "a man walks around the room",
    "a woman sidesteps left and sidesteps right",
]


@pytest.mark.parametrize("text", STATED)
def test_directions_that_captions_state(text):
    assert stated_direction(text) == STATED[text]


@pytest.mark.parametrize("text", UNSTATED)
def test_captions_that_leave_it_open(text):
    assert stated_direction(text) is None


ALLOWED = {  # what captions of the grammar may be read as: turn or way, about so many degrees
    ("walk", ""): {FORWARD},
    ("run", ""): {FORWARD},
    ("back", ""): {BACKWARD},
    ("side_steps", "left"): {LEFTWARD},
    ("side_steps", "right"): {RIGHTWARD},
    ("diagonal", "left"): {Direction(False, 45, 45), Direction(True, 10, 150)},
    ("turn", "left"): {TURN_LEFT, Direction(True, 10, 150), Direction(True, 45, 135)},
    ("uturn", "left"): {Direction(True, 135, 225), AROUND, Direction(True, 10, 150), TURN_LEFT},
    ("raise", "left"): set(),
    ("kick", "right"): set(),
    ("bow", ""): set(),
    ("stand", ""): set(),
}


@pytest.mark.parametrize(("kind", "side"), ALLOWED)
@pytest.mark.parametrize("forms", ["train", "held_out"])
def test_captions_of_the_grammar_are_not_misread(kind, side, forms):
    rng = np.random.default_rng(0)
    texts = write_captions(Action(kind, side), rng, 150, forms)
    found = {text: stated_direction(text) for text in texts}
    assert {d for d in found.values() if d} <= ALLOWED[kind, side]
    if ALLOWED[kind, side] and forms == "train":
        assert sum(d is not None for d in found.values()) > len(texts) / 8


def test_nearest_distance_agrees_with_all_differences():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((7, 5)), rng.standard_normal((20, 5))
    y[3] = x[2] = 1e3 * x[2]
    slow = [min(np.linalg.norm(a - b) for b in y) for a in x]
    np.testing.assert_allclose(nearest_distance(x, y), slow)
    assert nearest_distance(x, y)[2] == 0


def test_length_histogram_counts_every_motion_once():
    bins = length_histogram([1, 19, 20, 39, 45, 100], 20.0)
    assert [b["count"] for b in bins] == [2, 2, 1, 0, 0, 1]
    assert [b["seconds"] for b in bins] == list(range(6))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda j: foot_skate_ratio(j[:1], FPS), "at least 2 frames"),
        (lambda j: mean_jerk(j[:3], FPS), "at least 4 frames"),
        (lambda j: mean_jerk(np.where(j > 1, np.nan, j), FPS), "NaN"),
        (lambda j: mean_jerk(j[..., :2], FPS), r"\(T, J, 3\)"),
        (lambda j: foot_skate_ratio(j[:, :5], FPS), "No skeleton has 5"),
        (lambda j: path_error(j, j[:-1]), "79"),
        (lambda j: nearest_distance(np.ones((2, 3)), np.ones((2, 4))), "3 wide and training 4"),
        (lambda j: nearest_distance(np.ones((0, 3)), np.ones((2, 3))), "non-empty"),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call(make("walk"))
