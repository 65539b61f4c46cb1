"""BVH motion files, which Blender and other animation software open, written and read back."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from motionmamba.motion.bvh import parse_bvh
from motionmamba.motion.files import read_whole, write_whole
from motionmamba.motion.joint_guess import guess_joint_map
from motionmamba.motion.motion import Motion
from motionmamba.motion.pose import PARENTS, Pose, fit_pose
from motionmamba.motion.skeleton import HUMANML3D

if TYPE_CHECKING:
    from motionmamba.motion.body import BodyMotion

_CENTIMETRES = 100.0
_TIP = 0.5  # length of a last bone, which no joint ends, to the bone before it


def write_bvh(path: str | os.PathLike, motion: Motion | BodyMotion) -> None:
    """Write a motion as BVH: the 22 joints by their HumanML3D names, centimetres, Y up.

    The rest pose is a T-pose that faces Z+: that of the body or, for joints alone, of `fit_pose`.
    The root has six channels; rotations are in the order Z, X, Y, which MotionBuilder writes, and
    go on over 360 degrees rather than jump. The file appears only once it is complete.

    Raises OSError where it cannot be written.
    """
    pose = fit_pose(motion.joints) if isinstance(motion, Motion) else _body_pose(motion)
    order = list(_depth_first(0))
    angles = unwrapped_euler(pose.rotations[:, order])
    values = np.concatenate(
        [pose.root * _CENTIMETRES, angles.reshape(len(angles), -1)], axis=1
    ).tolist()
    lines = [
        "HIERARCHY",
        *_joint_lines(0, pose.offsets * _CENTIMETRES, ""),
        "MOTION",
        f"Frames: {len(values)}",
        f"Frame Time: {1 / motion.fps:.10g}",
        *(" ".join(f"{value:.6f}" for value in frame) for frame in values),
    ]
    write_whole(path, "\n".join([*lines, ""]).encode("ascii"))


def load_bvh(path: str | os.PathLike) -> Motion:
    """Read the joints of a human body in any BVH file; those of `write_bvh` by their names.

    On other skeletons they are found as `guess_joint_map` does.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no BVH file or its joints cannot be told.
    """
    bvh = parse_bvh(read_whole(path), str(path), end_sites=True)
    positions = bvh.positions()
    if set(HUMANML3D.joint_names) <= set(bvh.joint_names):
        order = [bvh.joint_names.index(name) for name in HUMANML3D.joint_names]
        joints = positions[:, order] / _CENTIMETRES
    else:
        try:
            joint_map = guess_joint_map(bvh.joint_names, bvh.parents, positions)
            joints = joint_map.apply(bvh.joint_names, positions, "it")
        except ValueError as error:
            raise ValueError(
                f"{path} has a skeleton whose joints cannot be told ({error}); pass one of a whole "
                "human body that stands upright at some time."
            ) from error
    # frame times are written with few digits: 30 rather than 30.00003 frames per second
    return Motion(joints=joints, fps=round(bvh.fps, 3))


def unwrapped_euler(rotations: np.ndarray) -> np.ndarray:
    """Intrinsic Z, X, Y angles (T, J, 3) in degrees of rotations (T, J, 3, 3), steady over time.

    Of the two triples that make each rotation, and of whole turns, each frame takes those nearest
    to the frame before.
    """
    with warnings.catch_warnings():
        # In gimbal lock one of the angles is free; any triple still makes the rotation.
        warnings.filterwarnings("ignore", "Gimbal lock", UserWarning)
        first = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_euler("ZXY", degrees=True)
    first = first.reshape(rotations.shape[:-1])
    other = first * (1, -1, 1) + 180
    angles = first.copy()
    for frame in range(1, len(angles)):
        before = angles[frame - 1]
        one, two = (
            before + (choice[frame] - before + 180) % 360 - 180 for choice in (first, other)
        )
        nearer = np.abs(one - before).sum(-1) <= np.abs(two - before).sum(-1)
        angles[frame] = np.where(nearer[:, None], one, two)
    return angles


def _body_pose(motion: BodyMotion) -> Pose:
    frames, joints = len(motion), len(PARENTS)
    rest = motion.body.rest(motion.betas)[1][:joints].astype(np.float64)
    offsets = rest - rest[list(PARENTS)]
    offsets[0] = 0
    turns = Rotation.from_rotvec(motion.poses[:, :joints].reshape(-1, 3)).as_matrix()
    return Pose(offsets, turns.reshape(frames, joints, 3, 3), rest[0] + motion.trans)


def _children(joint: int) -> list[int]:
    return [child for child, parent in enumerate(PARENTS) if parent == joint]


def _depth_first(joint: int) -> Iterator[int]:
    """The order in which BVH lists joints and their channels."""
    yield joint
    for child in _children(joint):
        yield from _depth_first(child)


def _joint_lines(joint: int, offsets: np.ndarray, indent: str) -> Iterator[str]:
    root = PARENTS[joint] < 0
    position = "6 Xposition Yposition Zposition" if root else "3"
    yield f"{indent}{'ROOT' if root else 'JOINT'} {HUMANML3D.joint_names[joint]}"
    yield f"{indent}{{"
    yield f"{indent}\t{_offset(offsets[joint])}"
    yield f"{indent}\tCHANNELS {position} Zrotation Xrotation Yrotation"
    for child in _children(joint):
        yield from _joint_lines(child, offsets, indent + "\t")
    if not _children(joint):
        tip = _offset(_TIP * offsets[joint])
        yield from (f"{indent}\tEnd Site", f"{indent}\t{{", f"{indent}\t\t{tip}", f"{indent}\t}}")
    yield f"{indent}}}"


def _offset(vector: np.ndarray) -> str:
    x, y, z = vector
    return f"OFFSET {x:.6f} {y:.6f} {z:.6f}"
