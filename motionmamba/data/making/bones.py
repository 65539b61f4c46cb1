"""Joints of HumanML3D's uniform skeleton as bones of fixed length, and legs that reach the ground.

Joints are (T, 22, 3) in metres, Y up.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from motionmamba.motion.skeleton import HUMANML3D

REACH = 0.999  # of a straight leg
MOVED = 5e-4  # metres beyond which a foot is put elsewhere
MAX_SINK = 0.08  # metres that the body is lowered for the feet to reach the ground
LENGTHS = np.linalg.norm(HUMANML3D.offsets, axis=-1)
PARENTS = HUMANML3D.parents
FEET = np.array(HUMANML3D.feet)  # left and right: ankle, toes
LEGS = ((1, 4, *HUMANML3D.feet[0]), (2, 5, *HUMANML3D.feet[1]))  # hip, knee, ankle, toes


def bone_directions(joints: np.ndarray) -> np.ndarray:
    """Unit vectors (T, 21, 3) along the bones of joints (T, 22, 3)."""
    return unit(joints[:, 1:] - joints[:, PARENTS[1:]])


def with_bones(root: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Joints (T, 22, 3) of a root (T, 3) and bones along directions (T, 21, 3)."""
    bones = directions * LENGTHS[1:, None]
    joints = np.empty((len(root), len(PARENTS), 3))
    joints[:, 0] = root
    for joint in range(1, len(PARENTS)):
        joints[:, joint] = joints[:, PARENTS[joint]] + bones[:, joint - 1]
    return joints


def between(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Rotation vectors (..., 3), in radians, that take unit vectors to others the shortest way."""
    axis = np.cross(source, target)
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    angle = np.arctan2(sine, (source * target).sum(-1, keepdims=True))
    return axis * angle / np.maximum(sine, 1e-9)


def rotated(vectors: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) turned by rotation vectors in radians (Rodrigues)."""
    angle = np.linalg.norm(turns, axis=-1, keepdims=True)
    axis = turns / np.maximum(angle, 1e-9)
    cos, sin = np.cos(angle), np.sin(angle)
    along = (axis * vectors).sum(-1, keepdims=True) * (1 - cos)
    return vectors * cos + np.cross(axis, vectors) * sin + axis * along


def place_feet(joints: np.ndarray, feet: np.ndarray) -> bool:
    """Moves the legs of joints (T, 22, 3), in place, so that ankles and toes are at `feet`
    (T, 2, 2, 3); the body sinks where a leg is too short. False where it would sink too far.
    """
    ankles, toes = feet[:, :, 0], feet[:, :, 1]
    moved = (np.abs(feet - joints[:, FEET]) > MOVED).any((1, 2, 3))
    sink = np.zeros(len(joints))
    for side, (hip, knee, ankle, toe) in enumerate(LEGS):
        ankles[:, side] = toes[:, side] + LENGTHS[toe] * unit(ankles[:, side] - toes[:, side])
        reach = REACH * (LENGTHS[knee] + LENGTHS[ankle])
        away = ankles[:, side] - joints[:, hip]
        height = np.sqrt(np.maximum(reach**2 - (away[:, ::2] ** 2).sum(-1), 0))
        sink = np.maximum(sink, moved * (-away[:, 1] - height))
    if sink.max() > MAX_SINK:
        return False
    if sink.any():
        sink = gaussian_filter1d(maximum_filter1d(sink, 9), 2, mode="nearest")
        joints[..., 1] -= sink[:, None]
    moved |= sink > 1e-6
    for side, (_, knee, ankle, toe) in enumerate(LEGS):
        joints[moved, knee] = _knees(joints[moved], side, ankles[moved, side])
        joints[moved, ankle], joints[moved, toe] = ankles[moved, side], toes[moved, side]
    return True


def _knees(joints: np.ndarray, side: int, ankles: np.ndarray) -> np.ndarray:
    """Knees (T, 3) of legs to the ankles, bent as the old ones were about the way to the ankle."""
    hip, knee, ankle, toe = LEGS[side]
    hips = joints[:, hip]
    upper, lower = LENGTHS[knee], LENGTHS[ankle]
    old, axis = unit(joints[:, ankle] - hips), unit(ankles - hips)
    # a straight leg tells no plane: knees bend to where the toes point
    bend = joints[:, knee] - hips + 0.005 * unit(joints[:, toe] - joints[:, ankle])
    bend -= (bend * old).sum(-1, keepdims=True) * old
    middle = old + axis
    bend -= 2 * (bend * middle).sum(-1, keepdims=True) / (middle**2).sum(-1, keepdims=True) * middle
    distance = np.linalg.norm(ankles - hips, axis=-1, keepdims=True)
    distance = np.clip(distance, abs(upper - lower) + 1e-3, upper + lower)
    share = (upper**2 - lower**2 + distance**2) / (2 * distance)
    return hips + share * axis + np.sqrt(np.maximum(upper**2 - share**2, 0)) * unit(bend)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
