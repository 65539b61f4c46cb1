"""One motion that goes on as another: the body glides over, the feet stand or step.

What differs at the seam dies away after it in position and velocity (inertialization, Bollo, GDC
2018), and bones keep their lengths. A foot on the ground stays where it is: its difference dies
away while it is in the air, or in a step that is made up, and the legs follow by inverse
kinematics (as in Kovar et al., Footskate Cleanup, SCA 2002).

Joints are (T, 22, 3) in metres on HumanML3D's uniform skeleton, on the floor y = 0, at 20 fps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline

from motionmamba.data.making.bones import (
    FEET,
    between,
    bone_directions,
    place_feet,
    rotated,
    with_bones,
)
from motionmamba.data.making.footing import BLEND, fade, feet_off, planted

EASE = 12  # frames in which a gait sets out or comes to rest
SLOWEST = 0.4  # share of its pace to which a gait slows down to begin or end
ARMS = (18, 19, 20, 21)
FOOT, ARM, STANDING = 3.0, 0.3, 6.0  # weights of joints at a seam, where others have 1
NOW = 0.3  # weight of where joints are, where that of where they will be is 1


class Seam(NamedTuple):
    """Where a motion is left and another entered.

    The root mean square `error` in metres a joint; the frames `end` and `start`; which feet stand
    on the ground in both, (left, right); and the shares of their `paces` to which both slow down.
    """

    error: float
    end: int
    start: int
    stands: tuple[bool, bool] = (False, False)
    paces: tuple[float, float] = (1.0, 1.0)


def best_seam(
    first: np.ndarray, tail: int, second: np.ndarray, lead: int, changes: bool = False
) -> Seam:
    """The seam in the last `tail` frames and the first `lead` frames of two motions at which they
    agree best in pose and movement; of infinite error where they are too short.

    Where the gait `changes`, the faster one slows down towards the other.
    """
    ends = np.arange(max(len(first) - 1 - tail, 1), len(first) - 1)
    starts = np.arange(1, min(lead, len(second) - BLEND - 2))
    if not len(ends) or not len(starts):
        return Seam(np.inf, 0, 0)
    paces = (1.0, 1.0)
    if changes:
        speed, next_speed = _speed(first[ends]), _speed(second[starts])
        paces = max(min(next_speed / speed, 1), SLOWEST), max(min(speed / next_speed, 1), SLOWEST)
    a, b = _states(first, ends, paces[0]), _states(second, starts, paces[1])
    both = planted(first[ends[0] - 1 :])[1:-1, None] & planted(second[: starts[-1] + 3])[starts]
    squares = np.empty(both.shape[:2])
    for stands in np.ndindex(2, 2):
        chosen = (both == stands).all(-1)
        if chosen.any():
            squares[chosen] = _squares(a, b, _WEIGHTS[stands])[chosen]
    i, j = np.unravel_index(squares.argmin(), squares.shape)
    error = float(np.sqrt(max(squares[i, j], 0.0)))
    return Seam(error, int(ends[i]), int(starts[j]), tuple(both[i, j].tolist()), paces)


def connect(first: np.ndarray, second: np.ndarray, seam: Seam) -> tuple[np.ndarray, int] | None:
    """The first motion up to a seam, gone on by the second, and the frame in which that begins.

    The second is moved over the ground and turned about the vertical so that both agree best at
    the seam. None where legs would not reach.
    """
    end, start = seam.end, seam.start
    if seam.paces[0] < 1:
        first = _eased(first[::-1], len(first) - 1 - end, seam.paces[0])[::-1]
        end = len(first) - 2
    if seam.paces[1] < 1:
        second, start = _eased(second, start, seam.paces[1]), 1

    target, source = (to_ground(_ahead(*at)) for at in ((first, end), (second, start)))
    turn, shift = aligned(source, target, _WEIGHTS[tuple(map(int, seam.stands))])
    second = second[start - 1 :].astype(np.float64)
    ground = turn * to_ground(second) + shift
    second[..., 0], second[..., 2] = ground.real, ground.imag

    around, rest = first[end - 1 : end + 2], second[2:]
    before = planted(first[max(end - 2, 0) : end + 3])[min(end, 2)]
    feet = rest[:, FEET] + feet_off(around[:, FEET], second[:, FEET], before, planted(second)[1:])
    feet[..., 1] = np.maximum(feet[..., 1], 0)
    rest[:BLEND] = _glide(around, second[:3], rest[:BLEND])
    joined = np.concatenate([first[: end + 1], rest])
    feet = np.concatenate([joined[: end + 1, FEET], feet])
    return (joined.astype(np.float32), end + 1) if place_feet(joined, feet) else None


def _glide(around: np.ndarray, seam: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Joints after a seam, made to go on from the first motion in place and direction of bones.

    `around` and `seam` (3, 22, 3) are the first and the second motion about the seam.
    """
    frames = len(joints)
    gap = around[:, :1] - seam[:, :1]
    root = joints[:, :1] + fade(gap[1], (gap[2] - gap[0]) / 2, 0, BLEND, frames)
    turns = between(bone_directions(seam), bone_directions(around))
    turns = fade(turns[1], (turns[2] - turns[0]) / 2, 0, BLEND, frames)
    return with_bones(root[:, 0], rotated(bone_directions(joints), turns))


def _eased(joints: np.ndarray, frame: int, pace: float) -> np.ndarray:
    """Joints from the frame before `frame` on, which set out at a share of their pace."""
    frames = min(EASE, len(joints) - 1 - frame)
    longer = round(2 * frames / (1 + pace))
    pace = 2 * frames / longer - 1
    time = np.arange(1, longer + 1)
    times = np.concatenate([[-pace, 0.0], pace * time + (1 - pace) * time**2 / (2 * longer)])
    slow = CubicSpline(np.arange(-1, frames + 1), joints[frame - 1 : frame + frames + 1])(times)
    slow = with_bones(slow[:, 0], bone_directions(slow))
    return np.concatenate([slow, joints[frame + frames + 1 :]]).astype(joints.dtype)


def to_ground(joints: np.ndarray) -> np.ndarray:
    """Places on the ground as complex numbers."""
    return joints[..., 0] + 1j * joints[..., 2]


def aligned(ground: np.ndarray, target: np.ndarray, weights: np.ndarray) -> tuple[complex, complex]:
    """Turn and shift that bring points of the ground (n,), complex numbers, nearest to a target."""
    weights = weights / weights.sum()
    centre, aim = ground @ weights, target @ weights
    turn = np.exp(1j * np.angle(((target - aim) * weights) @ (ground - centre).conj()))
    return turn, aim - turn * centre


def _weights(left: int, right: int) -> np.ndarray:
    """Weights (44,) of joints as they will be when half of the blend is over, and as they are."""
    ahead = np.ones(22)
    ahead[list(ARMS)], ahead[FEET] = ARM, FOOT
    now = NOW * ahead
    for stands, foot in zip((left, right), FEET, strict=True):
        if stands:  # in both motions: it cannot go anywhere
            now[foot] = STANDING
    weights = np.concatenate([ahead, now])
    return weights / weights.sum()


_WEIGHTS = np.array([[_weights(left, right) for right in (0, 1)] for left in (0, 1)])


def _speed(joints: np.ndarray) -> float:
    return np.linalg.norm(joints[-1, 0, ::2] - joints[0, 0, ::2]) / len(joints) + 1e-3


def _ahead(joints: np.ndarray, frame: int) -> np.ndarray:
    velocity = (joints[frame + 1] - joints[frame - 1]) / 2
    return np.concatenate([joints[frame] + velocity * BLEND / 2, joints[frame]])


def _states(joints: np.ndarray, frames: np.ndarray, pace: float) -> tuple[np.ndarray, np.ndarray]:
    """Pose and movement of frames: places on the ground and heights (n, 44) each."""
    velocity = (joints[frames + 1] - joints[frames - 1]) / 2
    ahead = joints[frames] + pace * velocity * BLEND / 2
    both = np.concatenate([ahead, joints[frames]], axis=1).astype(np.float64)
    return to_ground(both), both[..., 1]


def _squares(a, b, weights: np.ndarray) -> np.ndarray:
    """Weighted mean squares between states a and b, each b turned and moved to each a: (n, m)."""
    (a, a_height), (b, b_height) = a, b
    a, b = a - (a @ weights)[:, None], b - (b @ weights)[:, None]
    squares = (np.abs(a) ** 2 @ weights)[:, None] + np.abs(b) ** 2 @ weights
    squares -= 2 * np.abs((a * weights) @ b.conj().T)
    squares += (a_height**2 @ weights)[:, None] + b_height**2 @ weights
    return squares - 2 * (a_height * weights) @ b_height.T
