"""Does a motion do what its sentence says? Plain measurements of joints, no learned evaluator.

Every check takes joints (T, 22, 3) in metres, Y up, and frames per second. Left is +X at frame 0.
"""

from collections.abc import Callable

import numpy as np

PELVIS, HEAD = 0, 15
HIPS, SHOULDERS, WRISTS = (1, 2), (16, 17), (20, 21)  # left, right
LEFT, RIGHT = 0, 1


def speed(joints: np.ndarray, fps: float) -> float:
    """Mean speed of the pelvis over the ground, m/s."""
    return float(np.linalg.norm(np.diff(joints[:, PELVIS, ::2], axis=0), axis=-1).mean() * fps)


def heading(joints: np.ndarray) -> np.ndarray:
    """Direction that the hips face in each frame (T,), radians, unwrapped, to the left positive."""
    across = joints[:, HIPS[LEFT]] - joints[:, HIPS[RIGHT]]
    return np.unwrap(np.arctan2(-across[:, 2], across[:, 0]))


def turn(joints: np.ndarray) -> float:
    """Degrees turned from the first to the last quarter second, to the left positive."""
    angle = heading(joints)
    return float(np.degrees(angle[-5:].mean() - angle[:5].mean()))


def displacement(joints: np.ndarray) -> np.ndarray:
    """Where the pelvis ends, (left, forward) metres, seen from how it stood at frame 0."""
    path = joints[-1, PELVIS] - joints[0, PELVIS]
    angle = heading(joints)[0]
    left = np.array([np.cos(angle), 0.0, -np.sin(angle)])
    forward = np.array([np.sin(angle), 0.0, np.cos(angle)])
    return np.array([path @ left, path @ forward])


def raised(joints: np.ndarray, side: int) -> np.ndarray:
    """Frames (T,) in which a wrist is higher than its shoulder."""
    return joints[:, WRISTS[side], 1] > joints[:, SHOULDERS[side], 1]


def reversals(joints: np.ndarray, side: int, least: float = 0.05) -> int:
    """How often a raised hand changes direction, counting swings of at least `least` metres."""
    arm = joints[:, WRISTS[side]] - joints[:, SHOULDERS[side]]
    arm = arm[raised(joints, side)]
    if len(arm) < 4:
        return 0
    # the hand moves most where it goes up and down, and swings along another direction
    centred = arm - arm.mean(0)
    swings = centred @ np.linalg.svd(centred, full_matrices=False)[2].T
    return max(_reversals(swing, least) for swing in swings.T)


def _reversals(values: np.ndarray, least: float) -> int:
    """Turning points of a sequence (T,) that lie at least `least` apart."""
    count, extreme, direction = 0, values[0], 0
    for value in values[1:]:
        moved = value - extreme
        if direction * moved >= 0:
            if direction or abs(moved) >= least:
                extreme, direction = value, direction or int(np.sign(moved))
        elif abs(moved) >= least:
            count, extreme, direction = count + 1, value, -direction
    return count


def _hands_up(left: bool, right: bool, joints) -> bool:
    up = [raised(joints, side).mean() > 0.1 for side in (LEFT, RIGHT)]
    return up == [left, right]


def _waves(left: bool, right: bool, joints) -> bool:
    # an arm that goes up in an arc and comes down again turns up to three times
    waving = [reversals(joints, side) >= 4 for side in (LEFT, RIGHT)]
    return waving == [left, right]


CHECKS: dict[str, Callable[[np.ndarray, float], bool]] = {
    "stands": lambda j, fps: speed(j, fps) < 0.3,
    "walks": lambda j, fps: 0.3 < speed(j, fps) < 2.0,
    "walks slowly": lambda j, fps: 0.2 < speed(j, fps) < 0.9,
    "runs": lambda j, fps: speed(j, fps) > 1.8,
    "goes forward": lambda j, fps: displacement(j)[1] > 0.5,
    "goes backward": lambda j, fps: displacement(j)[1] < -0.5,
    "turns left": lambda j, fps: turn(j) > 40,
    "turns right": lambda j, fps: turn(j) < -40,
    "left hand up": lambda j, fps: _hands_up(True, False, j),
    "right hand up": lambda j, fps: _hands_up(False, True, j),
    "both hands up": lambda j, fps: _hands_up(True, True, j),
    "left hand waves": lambda j, fps: _waves(True, False, j),
    "right hand waves": lambda j, fps: _waves(False, True, j),
    "both hands wave": lambda j, fps: _waves(True, True, j),
}
SIDES = {
    "turns left": "turns right",
    "left hand up": "right hand up",
    "left hand waves": "right hand waves",
}
OPPOSITE = SIDES | {right: left for left, right in SIDES.items()}


def passes(check: str, joints: np.ndarray, fps: float) -> bool:
    """Whether a motion passes the check of that name in `CHECKS`."""
    return bool(CHECKS[check](joints, fps))


def wrong_side(check: str, joints: np.ndarray, fps: float) -> bool:
    """Whether a motion does on the other side what the check asks for."""
    return check in OPPOSITE and passes(OPPOSITE[check], joints, fps)
