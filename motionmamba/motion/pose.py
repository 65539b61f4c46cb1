"""Joint positions to local rotations of a rest skeleton, in closed form, and back."""

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
BRANCHES = {0: (1, 2, 3), 9: (13, 14, 12)}
_CHILD = {
    parent: child for child, parent in enumerate(PARENTS) if parent >= 0 and parent not in BRANCHES
}
# The order in which joints turn, those that do not depend on each other at once.
_ORDER = ((0,), (1, 2, 3), (4, 5, 6), (7, 8), (9,), (12, 13, 14), (16, 17), (18, 19))
# Axes of flexion at rest of the knee below each hip and the elbow below each shoulder.
_FLEXION = {1: LEFT, 2: LEFT, 16: DOWN, 17: UP}
_SPINE = (3, 6, 9)
_NECK, _COLLARS = 12, {13, 14}
# Of its length, how far a collar may start from where it should before it is kept from turning.
_SURE = 0.2

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
        return self.transforms()[0].astype(np.float32)

    def transforms(self) -> tuple[np.ndarray, np.ndarray]:
        """Joint positions (T, J, 3), metres, and rotations (T, J, 3, 3) from rest to the world."""
        positions = np.empty(self.rotations.shape[:-1])
        world = np.empty_like(self.rotations)
        for joint, parent in enumerate(PARENTS):
            if parent < 0:
                positions[:, joint], world[:, joint] = self.root, self.rotations[:, joint]
                continue
            world[:, joint] = world[:, parent] @ self.rotations[:, joint]
            positions[:, joint] = positions[:, parent] + world[:, parent] @ self.offsets[joint]
        return positions, world


def fit_pose(joints: np.ndarray, rest: np.ndarray | None = None) -> Pose:
    """Rotations of a rest skeleton to joints (T, 22, 3), T >= 1, metres, Y up, of any body.

    KIT-ML's (T, 21, 3) are taken for the places of those 22 on them.

    Pelvis and spine3 turn by the least squares of Kabsch (1976) on their three children; other
    joints swing the shortest way; hips and shoulders also twist to the plane in which knee and
    elbow bend, and the spine shares the twist between pelvis and spine3; head, wrists and feet,
    whose turning joints do not show, keep that of their parent. `Pose.joints` gives the joints
    back where bones and branches are rigid and as they are at rest.

    Args:
        joints: of the motion.
        rest: (22, 3) metres, joints in a T-pose that faces Z+; by default bones of the motion's
            median length.

    Raises ValueError for another shape.
    """
    joints = humanml3d_joints(np.asarray(joints, dtype=np.float64))
    if joints.shape[1:] != _REST.shape or len(joints) == 0:
        raise ValueError(
            f"Joints have shape {joints.shape}, expected (T, 22, 3) with T >= 1; "
            "pass one motion on the HumanML3D skeleton."
        )
    offsets = rest_offsets(joints) if rest is None else rest - rest[list(PARENTS)]
    offsets[0] = 0
    world = np.tile(np.eye(3), (*joints.shape[:2], 1, 1))
    placed = joints.copy()  # aiming from where a bone starts, not where it should, stops drift
    for group in _ORDER:
        if group[0] in BRANCHES:
            _turn_branch(group[0], offsets, joints, placed, world)
        else:
            _turn_bones(group, offsets, joints, placed, world)
        children = [child for child, parent in enumerate(PARENTS) if parent in group]
        parents = [PARENTS[child] for child in children]
        placed[:, children] = placed[:, parents] + rotated(world[:, parents], offsets[children])
        world[:, children] = world[:, parents]
    _share_twist(placed, world)
    return Pose(offsets, local_rotations(world), placed[:, 0].copy())


def local_rotations(world: np.ndarray) -> np.ndarray:
    """Rotations (T, J, 3, 3) relative to each parent of those relative to the world."""
    local = world.copy()
    local[:, 1:] = inverse(world[:, PARENTS[1:]]) @ world[:, 1:]
    return local


def rest_offsets(joints: np.ndarray) -> np.ndarray:
    """Bones (J, 3) of median length: in T-pose, and at branches as they stand to each other."""
    bones = joints - joints[:, PARENTS]
    bones[:, 0] = 0
    directions = unit(_REST)
    for left, right, up in BRANCHES.values():
        frame = _frame(bones[:, left] - bones[:, right], bones[:, up])
        for child in (left, right, up):
            directions[child] = unit(np.median(_into(frame, bones[:, child]), axis=0))
    return directions * np.median(np.linalg.norm(bones, axis=-1), axis=0)[:, None]


def _turn_branch(joint: int, offsets, joints, placed, world):
    """Turns a joint, and puts the root, as near as its children can be to where they should."""
    children = list(BRANCHES[joint])
    if joint:
        world[:, joint] = kabsch(offsets[children], joints[:, children] - placed[:, [joint]])
        return
    rest, there = offsets[[0, *children]], joints[:, [0, *children]]
    centre = there.mean(1)
    world[:, 0] = kabsch(rest - rest.mean(0), there - centre[:, None])
    placed[:, 0] = centre - rotated(world[:, 0], rest.mean(0))


def _turn_bones(group: tuple[int, ...], offsets, joints, placed, world):
    """Turns joints so that each one's bone points to where it should end."""
    group = list(group)
    children = [_CHILD[joint] for joint in group]
    above, starts = world[:, group], placed[:, group]
    if _NECK in group:  # heads are to face where they do more than to be where they are
        starts[:, group.index(_NECK)] = joints[:, _NECK]
    along = unit(_into(above, joints[:, children] - starts))
    if _COLLARS <= set(group):
        off = np.linalg.norm(starts - joints[:, group], axis=-1)
        length = np.linalg.norm(joints[:, children] - joints[:, group], axis=-1)
        doubt = np.maximum(np.median(off / np.maximum(length, 1e-6), axis=0) - _SURE, 0)
        along = unit(along + doubt[:, None] * unit(offsets[children]))
    local = _swing(unit(offsets[children]), along)
    if hinged := sum(joint in _FLEXION for joint in group):  # they come first
        ends = [_CHILD[child] for child in children[:hinged]]
        below = joints[:, ends] - joints[:, children[:hinged]]
        below = unit(_into(above[:, :hinged], below))
        axes = np.array([_FLEXION[joint] for joint in group[:hinged]])
        rest = (unit(offsets[children[:hinged]]), unit(offsets[ends]), axes)
        bones = local[:, :hinged], along[:, :hinged]
        local[:, :hinged] = about(bones[1], _twist(*bones, below, *rest)) @ bones[0]
    world[:, group] = above @ local


def _share_twist(placed: np.ndarray, world: np.ndarray):
    """Spreads the twist of spine3 over the spine, which moves no joint."""
    lower, middle, upper = _SPINE
    along = unit(placed[:, [middle, upper]] - placed[:, [lower, middle]])
    turn = world[:, upper] @ inverse(world[:, middle])
    vector = np.stack(
        [
            turn[:, 2, 1] - turn[:, 1, 2],
            turn[:, 0, 2] - turn[:, 2, 0],
            turn[:, 1, 0] - turn[:, 0, 1],
        ],
        -1,
    )
    twist = 2 * np.arctan2(_dot(vector, along[:, 1])[:, 0], 1 + np.trace(turn, axis1=1, axis2=2))
    shares = about(along, twist[:, None] * (1 / 3, 2 / 3))
    world[:, [lower, middle]] = shares @ world[:, [lower, middle]]


def _frame(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Rotations (T, 3, 3) whose first column is along x, the second as near to y as it can."""
    x = unit(x)
    y = unit(y - _dot(x, y) * x)
    return np.stack([x, y, cross(x, y)], axis=-1)


def kabsch(rest: np.ndarray, bones: np.ndarray) -> np.ndarray:
    """Rotations (T, 3, 3) that carry rest (n, 3) nearest to bones (T, n, 3)."""
    u, _, vt = np.linalg.svd(np.swapaxes(bones, 1, 2) @ rest)
    turned = u @ vt
    mirrored = _dot(cross(turned[:, 0], turned[:, 1]), turned[:, 2])[:, 0] < 0
    if mirrored.any():
        u[mirrored, :, 2] *= -1
        turned[mirrored] = u[mirrored] @ vt[mirrored]
    return turned


def _swing(rest: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Shortest rotations (T, n, 3, 3) of unit vectors (n, 3) to unit vectors (T, n, 3)."""
    axis = cross(rest, along)
    scale = 1 + _dot(along, rest)[..., 0]
    opposite = scale < 1e-9
    if opposite.any():  # every half turn is as short: take one that does not depend on noise
        axis[opposite] = np.broadcast_to(cross(rest, np.roll(rest, 1, -1)), axis.shape)[opposite]
        scale[opposite] = 0
    return matrices(axis, scale)


def about(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) about unit vectors (..., 3) by radians (...)."""
    return matrices(axis * np.sin(angle / 2)[..., None], np.cos(angle / 2))


def matrices(vector: np.ndarray, scalar: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) of quaternions of any length."""
    norm = np.sqrt(_dot(vector, vector)[..., 0] + scalar**2)
    (x, y, z), w = np.moveaxis(vector, -1, 0) / norm, scalar / norm
    rows = np.empty((*norm.shape, 3, 3))
    rows[..., 0, 0] = 1 - 2 * (y * y + z * z)
    rows[..., 0, 1] = 2 * (x * y - z * w)
    rows[..., 0, 2] = 2 * (x * z + y * w)
    rows[..., 1, 0] = 2 * (x * y + z * w)
    rows[..., 1, 1] = 1 - 2 * (x * x + z * z)
    rows[..., 1, 2] = 2 * (y * z - x * w)
    rows[..., 2, 0] = 2 * (x * z - y * w)
    rows[..., 2, 1] = 2 * (y * z + x * w)
    rows[..., 2, 2] = 1 - 2 * (x * x + y * y)
    return rows


def _twist(
    swing: np.ndarray,
    along: np.ndarray,
    below: np.ndarray,
    rest_along: np.ndarray,
    rest_below: np.ndarray,
    flexion: np.ndarray,
) -> np.ndarray:
    """Angles (T, n) about the limb, after its swing, that put the flexion axis on the bend plane.

    Flexion keeps the angle between the bone below and the axis, which is that at rest; a leg that
    is bent sideways at rest thus need not twist to be so.

    The angles are those of complex numbers y that minimise, over all frames at once, the weighted
    squares of y - bend plane, y - no twist, and the change of y in time. Change is counted from
    the axis carried along with the limb without spin, as swings alone spin near their antipode.
    """
    axis = rotated(swing, flexion)
    normal = cross(along, below)
    sine = _dot(normal, normal)[..., 0]
    aslant = _dot(rest_along, flexion)[..., 0]
    missing = _dot(rest_below, flexion)[..., 0] - aslant * _dot(along, below)[..., 0]
    missing = missing / np.sqrt(1 - aslant**2)
    lean = np.arcsin(np.clip(missing / np.sqrt(np.maximum(sine, 1e-12)), -1, 1))
    bend = _angle(axis, normal, along) - lean
    carried = rotated(swings(along[:-1], along[1:]), axis[:-1])
    phase = np.zeros_like(bend)
    phase[1:] = np.cumsum(_angle(axis[1:], carried, along[1:]), axis=0)
    # Knees and elbows do not bend backwards: where they seem to, the plane says nothing.
    weight = np.maximum(sine - missing**2, 0) * (1 + np.cos(bend)) / 2
    target = weight * np.exp(1j * (bend - phase)) + _STRAIGHT * np.exp(-1j * phase)
    diagonal = weight + _STRAIGHT
    if len(along) > 1:
        diagonal += 2 * _STIFFNESS
        diagonal[[0, -1]] -= _STIFFNESS
        for limb in range(target.shape[1]):
            bands = [np.full(len(along), -_STIFFNESS), diagonal[:, limb]]
            target[:, limb] = solveh_banded(bands, target[:, limb], check_finite=False)
    return np.angle(target) + phase


def swings(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Shortest rotations (..., 3, 3) between unit vectors (..., 3) that are not opposite."""
    return matrices(cross(start, end), 1 + _dot(start, end)[..., 0] + 1e-12)


def _angle(start: np.ndarray, end: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Signed angles (...) about axes (..., 3) from start to end (..., 3)."""
    return np.arctan2(_dot(cross(start, end), axis)[..., 0], _dot(start, end)[..., 0])


def rotated(rotations: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) turned by rotations (..., 3, 3)."""
    return (rotations @ vectors[..., None])[..., 0]


def inverse(rotations: np.ndarray) -> np.ndarray:
    return np.swapaxes(rotations, -1, -2)


def _into(frames: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """World vectors (..., 3) as seen from frames (..., 3, 3)."""
    return rotated(inverse(frames), vectors)


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross products of vectors (..., 3); NumPy's takes longer to start than this to end."""
    (ax, ay, az), (bx, by, bz) = np.moveaxis(a, -1, 0), np.moveaxis(b, -1, 0)
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(axis=-1, keepdims=True)


def unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)
