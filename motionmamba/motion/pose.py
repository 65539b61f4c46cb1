"""Joint positions to a rest skeleton and local rotations, in closed form, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solveh_banded

from motionmamba.motion.skeleton import DOWN, HUMANML3D, LEFT, RIGHT, ROOT, UP, humanml3d_joints

PARENTS = HUMANML3D.parents

# A T-pose, arms out to the sides; head and feet as far forward and down as those of a person who
# stands and looks ahead.
_HEAD, _FOOT = (0.0, 0.85, 0.5), (0.0, -0.35, 1.0)
_REST = np.array(
    [
        *(ROOT, LEFT, RIGHT, UP, DOWN, DOWN, UP, DOWN, DOWN, UP, _FOOT, _FOOT, UP),
        *(LEFT, RIGHT, _HEAD, LEFT, RIGHT, LEFT, RIGHT, LEFT, RIGHT),
    ]
)

# Joints with three children, which fix all of their rotation: left, right, up.
_BRANCHES = {0: (1, 2, 3), 9: (13, 14, 12)}
_CHILD = {
    parent: child for child, parent in enumerate(PARENTS) if parent >= 0 and parent not in _BRANCHES
}
# Axes of flexion at rest of the knee below each hip and the elbow below each shoulder.
_FLEXION = {1: LEFT, 2: LEFT, 16: DOWN, 17: UP}

# The bend plane's direction is as uncertain as the bend's sine is small, so the squared sine is
# its weight in the twist; a limb bent by less than some ten degrees is pulled to its swing alone.
_STRAIGHT = 0.03
_STIFFNESS = 1.0  # of the twist over time, against the bend plane of a right angle


@dataclass(frozen=True)
class Pose:
    """A motion of T frames as rotations of a rest skeleton with the J = 22 joints of HumanML3D.

    offsets (J, 3) metres from each parent in a T-pose that faces Z+, Y up; rotations
    (T, J, 3, 3) of each joint relative to its parent; root (T, 3) position of the pelvis, metres.
    """

    offsets: np.ndarray
    rotations: np.ndarray
    root: np.ndarray

    def joints(self) -> np.ndarray:
        """Joint positions (T, J, 3) float32, metres, by forward kinematics."""
        positions = np.empty(self.rotations.shape[:-1])
        world = np.empty_like(self.rotations)
        for joint, parent in enumerate(PARENTS):
            if parent < 0:
                positions[:, joint], world[:, joint] = self.root, self.rotations[:, joint]
                continue
            world[:, joint] = world[:, parent] @ self.rotations[:, joint]
            positions[:, joint] = positions[:, parent] + world[:, parent] @ self.offsets[joint]
        return positions.astype(np.float32)


def fit_pose(joints: np.ndarray) -> Pose:
    """Rest skeleton and rotations of joints (T, 22, 3), T >= 1, metres, Y up, of any body.

    KIT-ML's (T, 21, 3) are taken for the places of those 22 on them.

    Bones take their median length. Pelvis and spine3 turn by the least squares of Kabsch (1976)
    on their three children; other joints swing the shortest way; hips and shoulders also twist to
    the plane in which knee and elbow bend; head, wrists and feet, whose turning joints do not
    show, keep that of their parent. `Pose.joints` gives the joints back where bones and branches
    are rigid.

    Raises ValueError for another shape.
    """
    joints = humanml3d_joints(np.asarray(joints, dtype=np.float64))
    if joints.shape[1:] != _REST.shape or len(joints) == 0:
        raise ValueError(
            f"Joints have shape {joints.shape}, expected (T, 22, 3) with T >= 1; "
            "pass one motion on the HumanML3D skeleton."
        )
    offsets = _rest_offsets(joints)
    rotations = np.tile(np.eye(3), (*joints.shape[:2], 1, 1))
    world = rotations.copy()
    placed = joints.copy()  # aiming from where a bone starts, not where it should, stops drift
    for joint, parent in enumerate(PARENTS):
        above = np.eye(3)
        if parent >= 0:
            above = world[:, parent]
            placed[:, joint] = placed[:, parent] + above @ offsets[joint]
        if joint in _BRANCHES:
            children = list(_BRANCHES[joint])
            bones = (joints[:, children] - placed[:, joint, None]) @ above
            rotations[:, joint] = _kabsch(offsets[children], bones)
        elif joint in _CHILD:
            child = _CHILD[joint]
            along = _unit(_into(above, joints[:, child] - placed[:, joint]))
            local = _swing(_unit(offsets[child]), along)
            if joint in _FLEXION:
                below = _into(above, joints[:, _CHILD[child]] - joints[:, child])
                axis = np.array(_FLEXION[joint])
                local = _about(along, _twist(local, along, below, axis)) @ local
            rotations[:, joint] = local
        world[:, joint] = above @ rotations[:, joint]
    return Pose(offsets, rotations, joints[:, 0].copy())


def _rest_offsets(joints: np.ndarray) -> np.ndarray:
    """Bones (J, 3) of median length: in T-pose, and at branches as they stand to each other."""
    bones = joints - joints[:, PARENTS]
    bones[:, 0] = 0
    directions = _unit(_REST)
    for left, right, up in _BRANCHES.values():
        frame = _frame(bones[:, left] - bones[:, right], bones[:, up])
        for child in (left, right, up):
            directions[child] = _unit(np.median(_into(frame, bones[:, child]), axis=0))
    return directions * np.median(np.linalg.norm(bones, axis=-1), axis=0)[:, None]


def _frame(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Rotations (T, 3, 3) whose first column is along x, the second as near to y as it can."""
    x = _unit(x)
    y = _unit(y - _dot(x, y) * x)
    return np.stack([x, y, np.cross(x, y)], axis=-1)


def _kabsch(rest: np.ndarray, bones: np.ndarray) -> np.ndarray:
    """Rotations (T, 3, 3) that carry rest (n, 3) nearest to bones (T, n, 3)."""
    u, _, vt = np.linalg.svd(np.swapaxes(bones, 1, 2) @ rest)
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
    return u @ vt


def _swing(rest: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Shortest rotations (T, 3, 3) of a unit vector (3,) to unit vectors (T, 3)."""
    axis = np.cross(rest, along)
    scale = 1 + along @ rest
    opposite = scale < 1e-9
    if opposite.any():  # every half turn is as short: take one that does not depend on noise
        axis[opposite] = np.cross(rest, np.roll(rest, 1))
        scale[opposite] = 0
    return _matrices(axis, scale)


def _about(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Rotations (T, 3, 3) about unit vectors (T, 3) by radians (T,)."""
    return _matrices(axis * np.sin(angle / 2)[:, None], np.cos(angle / 2))


def _matrices(vector: np.ndarray, scalar: np.ndarray) -> np.ndarray:
    """Rotations (T, 3, 3) of quaternions of any length."""
    norm = np.sqrt(_dot(vector, vector)[:, 0] + scalar**2)
    (x, y, z), w = vector.T / norm, scalar / norm
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def _twist(
    swing: np.ndarray, along: np.ndarray, below: np.ndarray, flexion: np.ndarray
) -> np.ndarray:
    """Angles (T,) about the limb, after its swing, that put the flexion axis on the bend plane.

    The angles are those of complex numbers y that minimise, over all frames at once, the weighted
    squares of y - bend plane, y - no twist, and the change of y in time. Change is counted from
    the axis carried along with the limb without spin, as swings alone spin near their antipode.
    """
    axis = swing @ flexion
    normal = np.cross(along, _unit(below))
    bend = _angle(axis, normal, along)
    carried = (_swings(along[:-1], along[1:]) @ axis[:-1, :, None])[..., 0]
    phase = np.append(0, np.cumsum(_angle(axis[1:], carried, along[1:])))
    # Knees and elbows do not bend backwards: where they seem to, the plane says nothing.
    weight = _dot(normal, normal)[:, 0] * (1 + np.cos(bend)) / 2
    target = weight * np.exp(1j * (bend - phase)) + _STRAIGHT * np.exp(-1j * phase)
    neighbours = np.full(len(along), 2.0)
    neighbours[0] -= 1
    neighbours[-1] -= 1
    diagonal = weight + _STRAIGHT + _STIFFNESS * neighbours
    if len(along) > 1:
        target = solveh_banded([np.full_like(diagonal, -_STIFFNESS), diagonal], target)
    return np.angle(target) + phase


def _swings(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Shortest rotations (T, 3, 3) between unit vectors (T, 3) that are not opposite."""
    return _matrices(np.cross(start, end), 1 + _dot(start, end)[:, 0] + 1e-12)


def _angle(start: np.ndarray, end: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Signed angles (T,) about axes (T, 3) from start to end (T, 3)."""
    return np.arctan2(_dot(np.cross(start, end), axis)[:, 0], _dot(start, end)[:, 0])


def _into(frames: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """World vectors (T, 3) as seen from frames (T, 3, 3)."""
    return (np.swapaxes(frames, -1, -2) @ vectors[..., None])[..., 0]


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(axis=-1, keepdims=True)


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)
