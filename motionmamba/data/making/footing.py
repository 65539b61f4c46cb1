"""Feet in a transition: they stand where they are, and get to where they should be in the air."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from motionmamba.data.making.bones import FEET

BLEND = 14  # frames over which a difference dies away
LAND = 6  # fewest frames of a foot's way through the air
HOLD = 0.05  # metres that a standing foot may be off to the end of a motion
WAIT = 16  # frames that a standing foot may be off by more than that
STEP_FRAMES, FRAMES_PER_METRE = 5, 6  # of a step from rest
STEP_HEIGHT, LOWEST_STEP = 0.15, 0.03  # of a made-up step, over its length, and at least in metres
LIFT = 0.01  # metres that a foot is lifted for each frame that it comes down later
DOWN = (0.11, 0.05)  # metres over the floor below which ankle and toes may stand on it
STILL = 0.025  # metres a frame that a foot on the ground moves at most


def planted(joints: np.ndarray) -> np.ndarray:
    """Whether the left and the right foot stand on the ground: (T, 2) bool, T >= 2."""
    feet = joints[:, FEET]
    steps = feet[1:, ..., ::2] - feet[:-1, ..., ::2]
    velocity = np.concatenate([steps[:1], (steps[1:] + steps[:-1]) / 2, steps[-1:]])
    still = velocity[..., 0] ** 2 + velocity[..., 1] ** 2 < STILL**2
    down = (still & (feet[..., 1] < DOWN)).any(-1)
    down[1:-1] |= down[:-2] & down[2:]  # a gap of one frame is noise
    return down


def feet_off(
    around: np.ndarray, feet: np.ndarray, before: np.ndarray, after: np.ndarray
) -> np.ndarray:
    """How far ankle and toes of both feet are off after the seam: (T, 2, 2, 3).

    The first motion has them at `around` (3, 2, 2, 3) about the seam, the second at `feet`
    (T + 2, 2, 2, 3) from the frame before it. `before` (2,) and `after` (T + 1, 2) say which feet
    stand in the first at the seam and in the second from there on.
    """
    frames = len(after) - 1
    gap, drift = around[1] - feet[1], (around[2] - around[0] - feet[2] + feet[0]) / 2
    plans = [
        _plan(before[side], after[:, side], feet[1:, side, 1, ::2], gap[side, 1, ::2])
        for side in (0, 1)
    ]
    offsets = np.empty((frames, 2, 2, 3))
    for side in sorted((0, 1), key=lambda side: plans[side].begin is None):
        begin, end, lift, settle = plans[side]
        if begin is None:  # a step is made at once, or when the other foot has come down
            other = plans[1 - side]
            begin = other.end - 1 if other.begin is not None and other.begin < end else 0
            end += begin
            plans[side] = _Plan(begin, end, lift)
        offset = fade(gap[side], 0.0, begin, end, frames)
        offset += fade(0 * gap[side], drift[side], 0, settle, frames)
        if before[side] and not after[0, side]:  # it leaves the ground from where it stands
            share = fade(np.ones((1, 1)), 0.0, begin, end, frames)[..., 0]
            offset[..., 1] = (around[1, side, :, 1] - feet[2:, side, :, 1]) * share
        else:
            down = BLEND if before[side] else max(settle, LAND)
            offset[..., 1] = fade(gap[side], drift[side], 0, down, frames)[..., 1]
        time = np.clip((np.arange(1, frames + 1) - begin) / (end - begin), 0, 1)
        offset[..., 1] += lift * np.sin(np.pi * time)[:, None]
        offsets[:, side] = offset
    return offsets


class _Plan(NamedTuple):
    """Between which frames after the seam a foot loses its difference, and how high it is lifted.

    With begin None it makes a step of `end` frames. Its speed is the second's after `settle`.
    """

    begin: int | None
    end: int
    lift: float = 0.0
    settle: int = LAND


def _plan(before: bool, after: np.ndarray, places: np.ndarray, gap: np.ndarray) -> _Plan:
    """For a foot that stands at the seam in the first motion or not (`before`).

    `after` (T,) says whether it stands in the second, where it is at `places` (T, 2) of the ground;
    `gap` (2,) is the difference at the seam.
    """
    small = np.linalg.norm(gap) < HOLD
    lifts, lands = _flight(after, 0)
    if lifts == 0 and not before and (lands >= LAND or not small):
        return _Plan(0, max(lands, LAND), settle=max(lands, LAND))
    if lifts == 0 and not before:  # it comes down too soon: the difference stays until it lifts
        settle = lands
        lifts, lands = _flight(after, lands)
        return _Plan(lifts - 1, max(lands, lifts + LAND), settle=max(settle, 2))
    if not before and not small:
        return _Plan(0, LAND)
    if lifts > WAIT and not small:
        way = np.linalg.norm(gap)
        return _Plan(None, _step_frames(way), max(STEP_HEIGHT * way, LOWEST_STEP))
    way = np.linalg.norm(places[min(lands, len(places) - 1)] - places[0] - gap)
    begin = max(lifts - 1, 0)
    end = begin + _step_frames(way)
    settle = max(lands, end) if lifts == 0 else LAND
    return _Plan(begin, max(lands, end), LIFT * max(end - lands, 0), settle)


def _flight(stands: np.ndarray, start: int) -> tuple[int, int]:
    """From when to when a foot is in the air first, from the frame `start` on."""
    lifts = start + int(np.argmin(stands[start:])) if not stands[start:].all() else len(stands)
    lands = np.flatnonzero(stands[lifts:])
    return lifts, lifts + (int(lands[0]) if len(lands) else BLEND)


def _step_frames(way: float) -> int:
    return STEP_FRAMES + round(FRAMES_PER_METRE * way)


def fade(gap, drift, begin: int, end: int, frames: int) -> np.ndarray:
    """A difference (n, 3) and its rate, held to the frame `begin`, gone at `end`: (T, n, 3)."""
    time = np.clip((np.arange(1, frames + 1) - begin) / (end - begin), 0, 1)[:, None, None]
    return (gap * (1 + 2 * time) + drift * (end - begin) * time) * (1 - time) ** 2
