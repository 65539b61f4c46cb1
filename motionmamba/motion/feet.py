"""Feet that stand: when they do, and legs that keep them there.

Feet are left, then right, as in `HUMANML3D.feet`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import label, maximum_filter1d, uniform_filter1d

from motionmamba.motion.pose import (
    Pose,
    about,
    inverse,
    local_rotations,
    rotated,
    swings,
    unit,
)
from motionmamba.motion.skeleton import HUMANML3D

ANKLES, TOES = (list(joints) for joints in zip(*HUMANML3D.feet, strict=True))
KNEES = [HUMANML3D.parents[joint] for joint in ANKLES]
HIPS = [HUMANML3D.parents[joint] for joint in KNEES]

# What a foot does that begins to stand, and what one may do that goes on: metres over where feet
# stand, metres per second.
_BEGIN, _GO_ON = (0.025, 0.3), (0.035, 0.6)
_HEEL = 0.45  # of these heights count for heels, which rise while toes stand
_NEAR_LOWEST = 0.03  # metres over the lowest toes that still tell where they stand
_PITCHED = 0.12  # radians from how feet stand, about a centimetre and a half of a heel
_STANCE = 0.1  # seconds, at least
_DRIFT = 0.02  # metres that a foot which stands may seem to be off
_BLEND = 0.2  # seconds from a foot's own way to where it stands
_TOLERANCE = 0.02  # metres between a floor at y = 0 and soles that are taken to stand on it
_SINK = 0.1  # metres at most that the pelvis does
_REACH = 0.999  # of the length of a leg, lest knees snap
_LYING = (0.05, 0.17)  # radians of pitch up to which a foot that stands is flat, and is not at all
_TOE_BEND = 1.0  # radians at most
# Directions in which soles are felt for: down, and a bit to all sides.
_FEELERS = np.array([(x, -2.0, z) for x in (-1, 0, 1) for z in (-1, 0, 1)])
_UP, _SIDE, _AHEAD = np.array([0.0, 1.0, 0.0]), np.array([1.0, 0, 0]), np.array([0, 0, 1.0])


@dataclass(frozen=True)
class Sole:
    """What of two feet touches the floor, at rest, in metres.

    ankle, toe: heights (2,) of the joints over the floor; heel (2, K, 3) points that turn with the
    ankle, as seen from it, tip (2, K, 3) with the toes, from their joint.
    """

    ankle: np.ndarray
    toe: np.ndarray
    heel: np.ndarray
    tip: np.ndarray

    @classmethod
    def of(cls, vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray) -> Sole:
        """Of a body's vertices (V, 3), joints (J, 3) and skinning weights (V, J)."""
        owner = weights.argmax(1)
        heel, tip = (
            np.stack([_lowest(vertices[owner == joint] - joints[joint]) for joint in part])
            for part in (ANKLES, TOES)
        )
        floor = np.minimum(
            joints[ANKLES, 1] + heel[..., 1].min(1), joints[TOES, 1] + tip[..., 1].min(1)
        )
        return cls(joints[ANKLES, 1] - floor, joints[TOES, 1] - floor, heel, tip)


@dataclass(frozen=True)
class Contacts:
    """When feet stand.

    ankle, toe: (T, 2) bool, what of them does; stances: (foot, start, stop) of the frames in which
    a foot stands at one place; ankle_height, toe_height: metres where both stand lowest.
    """

    ankle: np.ndarray
    toe: np.ndarray
    stances: tuple[tuple[int, int, int], ...]
    ankle_height: float
    toe_height: float
    fps: float


def find_contacts(joints: np.ndarray, fps: float) -> Contacts:
    """When the feet of joints (T, 22, 3), metres, Y up, stand on the floor.

    They do while low and slow, and go on for as long as they are nearly so. The floor is where
    slow toes are lowest.
    """
    toes, ankles = joints[:, TOES], joints[:, ANKLES]
    toe_speed, ankle_speed = (_speed(part, fps) for part in (toes, ankles))
    slow = toe_speed < _BEGIN[1]
    heights = toes[..., 1][slow] if slow.any() else toes[..., 1].ravel()
    lowest = np.percentile(heights, 2)
    toe_height = float(np.median(heights[heights < lowest + _NEAR_LOWEST]))
    toe = _hysteresis(toes[..., 1] - toe_height, toe_speed, fps)
    both = toe & (ankle_speed < _BEGIN[1])
    heights = ankles[..., 1][both] if both.any() else ankles[..., 1].ravel()
    ankle_height = float(np.percentile(heights, 25 if both.any() else 2))
    ankle = _hysteresis((ankles[..., 1] - ankle_height) / _HEEL, ankle_speed, fps)
    bone = ankles - toes
    pitch = np.arcsin(bone[..., 1] / np.maximum(np.linalg.norm(bone, axis=-1), 1e-9))
    both = ankle & toe
    if both.any():  # a foot that is not flat stands on its toes or on its heel
        pitch -= np.median(pitch[both])
        ankle &= ~(both & (pitch > _PITCHED))
        toe &= ~(both & (pitch < -_PITCHED))
    stances = _stances(joints, ankle, toe)
    within = np.zeros_like(toe)
    for foot, start, stop in stances:
        within[start:stop, foot] = True
    return Contacts(ankle & within, toe & within, stances, ankle_height, toe_height, fps)


def floor_height(contacts: Contacts, sole: Sole) -> float:
    """Where the floor is under joints whose feet stand so: y = 0 wherever it can be."""
    under = contacts.toe_height - sole.toe.mean()
    return 0.0 if under - _TOLERANCE <= 0 <= contacts.toe_height + _TOLERANCE else under


def plant_feet(pose: Pose, contacts: Contacts, sole: Sole, floor: float) -> Pose:
    """The pose with feet that stand where they do, flat where heels do, and none in the floor.

    Feet blend in and out of their stances; legs follow as two bones that bend in the plane in
    which they did; the pelvis sinks where they do not reach.
    """
    joints, world = pose.transforms()
    feet = _flat_feet(world[:, ANKLES], contacts)
    bones = pose.offsets[TOES]
    ankles = joints[:, ANKLES]
    toes = ankles + rotated(feet, bones)
    wanted = np.full_like(ankles, np.nan)
    for foot, start, stop in contacts.stances:
        part = slice(start, stop)
        wanted[part, foot] = _standing(foot, part, feet, ankles, toes, bones, contacts, sole, floor)
    ankles = ankles + _blended(wanted - ankles, contacts.fps)
    below = rotated(feet, bones)[..., 1]
    toe_turns = _toes_up(feet, ankles[..., 1] + below - floor, sole)
    lowest = np.minimum(_depth(feet, sole.heel), _depth(toe_turns, sole.tip) + below)
    ankles[..., 1] += np.maximum(floor - ankles[..., 1] - lowest, 0)

    standing = np.isfinite(wanted[..., 0])
    drop = _drop(joints[:, HIPS], ankles, standing, pose.offsets, contacts.fps)
    root = pose.root - drop[:, None] * _UP
    joints = joints - drop[:, None, None] * _UP
    world = world.copy()
    _reach(joints, world, ankles, pose.offsets)
    world[:, ANKLES], world[:, TOES] = feet, toe_turns
    return replace(pose, rotations=local_rotations(world), root=root)


def _toes_up(feet: np.ndarray, height: np.ndarray, sole: Sole) -> np.ndarray:
    """Rotations (T, 2, 3, 3) of toes, bent up as the floor under their joint makes them."""
    pitch = np.arcsin(np.clip(-(feet @ _AHEAD)[..., 1], -1, 1))
    room = np.arcsin(np.clip((height - sole.toe) / sole.tip[..., 2].max(1), 0, 1))
    return feet @ about(_SIDE, -np.clip(pitch - room, 0, _TOE_BEND))


def _lowest(points: np.ndarray) -> np.ndarray:
    """Those (K, 3) of points (N, 3) that may touch the floor; the joint where a body has none."""
    points = np.concatenate([points, np.zeros((1, 3))])
    return points[(points @ _FEELERS.T).argmax(0)]


def _depth(turns: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How far over the joint (T, 2) the lowest of its points (2, K, 3) is."""
    return np.einsum("tfc,fkc->tfk", turns[..., 1, :], points).min(-1)


def _speed(places: np.ndarray, fps: float) -> np.ndarray:
    """Speeds (T, 2) in metres per second, of the slower of the steps to and from each frame."""
    if len(places) == 1:
        return np.zeros(places.shape[:2])
    steps = np.linalg.norm(np.diff(places, axis=0), axis=-1) * fps
    return np.minimum(np.concatenate([steps[:1], steps]), np.concatenate([steps, steps[-1:]]))


def _hysteresis(height: np.ndarray, speed: np.ndarray, fps: float) -> np.ndarray:
    begin = (height < _BEGIN[0]) & (speed < _BEGIN[1])
    runs, count = label((height < _GO_ON[0]) & (speed < _GO_ON[1]), [[0, 1, 0]] * 3)
    kept = np.zeros(count + 1, bool)
    kept[runs[begin]] = True
    kept &= np.bincount(runs.ravel(), minlength=count + 1) >= min(_STANCE * fps, len(height))
    kept[0] = False
    return kept[runs]


def _stances(joints: np.ndarray, ankle: np.ndarray, toe: np.ndarray) -> tuple:
    stances = []
    for foot, (heel, tip) in enumerate(HUMANML3D.feet):
        stands = ankle[:, foot] | toe[:, foot]
        edges = np.flatnonzero(np.diff(stands, prepend=False, append=False))
        for start, stop in edges.reshape(-1, 2):
            joint = tip if toe[start:stop, foot].any() else heel
            stances += [(foot, *part) for part in _still(joints[:, joint, ::2], start, stop)]
    return tuple(stances)


def _still(place: np.ndarray, start: int, stop: int) -> list[tuple[int, int]]:
    """Parts of a stance in which the foot, at places (T, 2), does not move away."""
    found, left = [], [(start, stop)]
    while left:
        start, stop = left.pop()
        part = place[start:stop]
        near = np.linalg.norm(part - np.median(part, axis=0), axis=-1) < _DRIFT
        edges = np.flatnonzero(np.diff(near, prepend=False, append=False)).reshape(-1, 2) + start
        first, last = max(
            edges.tolist(), key=lambda edge: edge[1] - edge[0], default=(start, start)
        )
        if last - first >= min(2, stop - start):
            found.append((first, last))
            # a frame between two places is on the way
            left += [end for end in ((start, first - 1), (last + 1, stop)) if end[1] - end[0] > 2]
    return sorted(found)


def _flat_feet(feet: np.ndarray, contacts: Contacts) -> np.ndarray:
    """Rotations (T, 2, 3, 3) of feet, flat and straight where they stand on all of the sole."""
    flat = contacts.ankle & contacts.toe
    if flat.any():  # how the bone of the recorded foot is pitched is not how the body's is
        up = np.swapaxes(feet, -1, -2)[flat] @ _UP
        feet = feet @ about(_SIDE, np.median(np.arctan2(up[:, 2], up[:, 1])))
    ahead = feet @ _AHEAD
    yaw = np.arctan2(ahead[..., 0], ahead[..., 2])
    pitch = np.arcsin(np.clip(-ahead[..., 1], -1, 1))
    level = about(_UP, yaw) @ about(_SIDE, pitch)
    across = inverse(level) @ feet
    roll = np.arctan2(across[..., 1, 0], across[..., 0, 0])
    kept = np.full_like(yaw, np.nan)
    for foot, start, stop in contacts.stances:
        part = slice(start, stop)
        if (on := flat[part, foot]).any():
            turn = np.exp(1j * yaw[part, foot])
            kept[part, foot] = np.angle(turn / turn[on].mean())
    frames = contacts.fps * _BLEND
    # yaw is of no foot that points up or down
    sure = _step((1.2 - np.abs(pitch)) / 0.4)
    yaw = yaw - _blended(kept[..., None], contacts.fps)[..., 0] * sure
    standing = _near(contacts.toe | contacts.ankle, frames) * sure
    lying = standing * _step((_LYING[1] - np.abs(pitch)) / (_LYING[1] - _LYING[0]))
    turn = about(_UP, yaw) @ about(_SIDE, pitch * (1 - lying))
    return turn @ about(_AHEAD, roll * (1 - standing))


def _standing(foot, part, feet, ankles, toes, bones, contacts, sole, floor) -> np.ndarray:
    """Where the ankle (n, 3) of a foot that stands is to be."""
    toe, ankle = contacts.toe[part, foot], contacts.ankle[part, foot]
    reach = rotated(feet[part, foot], bones[foot])
    sure = toe & ankle if (toe & ankle).any() else toe
    places = np.empty((len(toe), 3))
    if sure.any():
        toe_place = np.median(toes[part, foot][sure], axis=0)
        places[:] = toe_place - reach
        heel_place = np.median(places[sure], axis=0)
    else:
        heel_place = np.median(ankles[part, foot], axis=0)
    places[~toe] = heel_place
    places[:, 1] = floor + np.where(
        toe, sole.toe[foot] - reach[:, 1], -_depth(feet[part], sole.heel)[:, foot]
    )
    return places


def _blended(known: np.ndarray, fps: float) -> np.ndarray:
    """Values (T, 2, C) that are known in some frames, NaN elsewhere, made to come and go softly."""
    frames = np.arange(len(known))
    values = np.nan_to_num(known)
    for foot in range(2):
        at = np.flatnonzero(np.isfinite(known[:, foot, 0]))
        if not len(at):
            continue
        after = np.searchsorted(at, frames)
        last, following = at[np.maximum(after - 1, 0)], at[np.minimum(after, len(at) - 1)]
        gap = np.where((after == 0) | (after == len(at)), np.inf, following - last)
        blend = np.minimum(gap, max(fps * _BLEND, 1))
        blended = sum(
            _step(1 - np.abs(frames - near) / blend)[:, None] * known[near, foot]
            for near in (last, following)
        )
        missing = ~np.isfinite(known[:, foot, 0])
        ends = missing & ((after == 0) | (after == len(at)))
        values[missing, foot] = blended[missing]
        values[ends, foot] = blended[ends] / 2  # both neighbours are one there
    return values


def _near(mask: np.ndarray, frames: float) -> np.ndarray:
    """(T, 2): 1 where the mask is, softly down to 0 so many frames away."""
    known = np.where(mask, 1.0, np.nan)[..., None]
    return np.minimum(_blended(known, frames / _BLEND)[..., 0], 1)


def _step(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _lengths(offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.linalg.norm(offsets[KNEES], axis=-1), np.linalg.norm(offsets[ANKLES], axis=-1)


def _drop(hips, ankles, standing, offsets, fps) -> np.ndarray:
    """Metres (T,) by which the pelvis sinks so that legs that stand reach their feet."""
    away = hips - ankles
    most = _REACH * sum(_lengths(offsets))
    level = np.hypot(away[..., 0], away[..., 2])
    drop = away[..., 1] - np.sqrt(np.maximum(most**2 - level**2, 0))
    drop = np.clip(np.where(standing, drop, 0), 0, _SINK).max(1)
    return _hull(drop, max(round(fps * _BLEND), 1))


def _hull(values: np.ndarray, frames: int) -> np.ndarray:
    """A smooth curve (T,) that is over the values and 0 far from them."""
    curve = maximum_filter1d(values, 2 * frames + 1, mode="nearest")
    for _ in range(2):
        curve = uniform_filter1d(curve, frames | 1, mode="nearest")
    return curve


def _reach(joints: np.ndarray, world: np.ndarray, ankles: np.ndarray, offsets: np.ndarray):
    """Turns thighs and shins so that ankles (T, 2, 3) are where they should."""
    thigh, shin = _lengths(offsets)
    hips = joints[:, HIPS]
    line = ankles - hips
    far = np.linalg.norm(line, axis=-1)
    far = np.clip(far, np.abs(thigh - shin) + 1e-3, _REACH * (thigh + shin))
    line = unit(line)
    # the knee stays on its side of the leg; a straight one is ahead
    knees = joints[:, KNEES] - hips
    pole = knees + 0.02 * (world[:, HIPS] @ _AHEAD)
    pole = unit(pole - (pole * line).sum(-1, keepdims=True) * line)
    cosine = np.clip((thigh**2 + far**2 - shin**2) / (2 * thigh * far), -1, 1)
    sine = np.sqrt(1 - cosine**2)
    placed = thigh[:, None] * (cosine[..., None] * line + sine[..., None] * pole)
    for joint, old, new in (
        (HIPS, knees, placed),
        (KNEES, joints[:, ANKLES] - joints[:, KNEES], far[..., None] * line - placed),
    ):
        world[:, joint] = swings(unit(old), unit(new)) @ world[:, joint]
