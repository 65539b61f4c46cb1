"""Joint trees of HumanML3D (the first 22 SMPL joints) and KIT-ML (21 joints)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Joints = TypeVar("Joints", np.ndarray, "Tensor")

LEFT, RIGHT = (1.0, 0.0, 0.0), (-1.0, 0.0, 0.0)
UP, DOWN = (0.0, 1.0, 0.0), (0.0, -1.0, 0.0)
FORWARD, ROOT = (0.0, 0.0, 1.0), (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Skeleton:
    """A tree of J joints, root first and parents before children, Y up and facing Z+ at rest.

    chains are root-to-tip runs of joint indices; left and right stand for the person's own sides.
    bone_directions are the unit rest directions from each parent, bone_lengths (None where not
    public) the target lengths in metres of HumanML3D's uniform skeleton. feet are the left, then
    the right (ankle, toe); face_joints the right and left hip, right and left shoulder; leg the
    two joints whose bones make the leg length. unit is that of the data set in metres, and
    contact_threshold a squared displacement per frame, in squared units.
    """

    name: str
    joint_names: tuple[str, ...]
    chains: tuple[tuple[int, ...], ...]
    bone_directions: tuple[tuple[float, float, float], ...]
    bone_lengths: tuple[float, ...] | None
    fps: float
    feet: tuple[tuple[int, int], tuple[int, int]]
    face_joints: tuple[int, int, int, int]
    leg: tuple[int, int]
    unit: float
    contact_threshold: float

    @property
    def num_joints(self) -> int:
        return len(self.joint_names)

    @property
    def num_features(self) -> int:
        """Root 4, positions 3 (J - 1), rotations 6 (J - 1), velocities 3 J, contacts 4."""
        return 12 * self.num_joints - 1

    @cached_property
    def parents(self) -> tuple[int, ...]:
        """Index of each joint's parent, -1 for the root."""
        parents = [-1] * self.num_joints
        for chain in self.chains:
            for parent, joint in pairwise(chain):
                parents[joint] = parent
        return tuple(parents)

    @cached_property
    def mirror(self) -> tuple[int, ...]:
        """Permutation that exchanges the left and right joints."""
        other = {"left": "right", "right": "left"}
        swapped = ("_".join(other.get(w, w) for w in n.split("_")) for n in self.joint_names)
        return tuple(map(self.joint_names.index, swapped))

    @property
    def offsets(self) -> np.ndarray:
        """Rest offsets from each parent on the uniform skeleton: (J, 3) float64, metres.

        Raises ValueError where the uniform skeleton is not public.
        """
        if self.bone_lengths is None:
            raise ValueError(
                f"The uniform target skeleton of '{self.name}' is not public, so joints cannot be "
                "retargeted to it; pass retarget=False with joints that already have it."
            )
        return np.asarray(self.bone_directions) * np.asarray(self.bone_lengths)[:, None]


# Bone lengths of the original's target skeleton, the first frame of its clip 000021.
HUMANML3D = Skeleton(
    name="humanml3d",
    joint_names=(
        *("pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2"),
        *("left_ankle", "right_ankle", "spine3", "left_foot", "right_foot", "neck"),
        *("left_collar", "right_collar", "head", "left_shoulder", "right_shoulder"),
        *("left_elbow", "right_elbow", "left_wrist", "right_wrist"),
    ),
    chains=(
        (0, 2, 5, 8, 11),
        (0, 1, 4, 7, 10),
        (0, 3, 6, 9, 12, 15),
        (9, 14, 17, 19, 21),
        (9, 13, 16, 18, 20),
    ),
    bone_directions=(
        *(ROOT, LEFT, RIGHT, UP, DOWN, DOWN, UP, DOWN, DOWN, UP, FORWARD, FORWARD, UP),
        *(LEFT, RIGHT, FORWARD, DOWN, DOWN, DOWN, DOWN, DOWN, DOWN),
    ),
    bone_lengths=(
        *(0.0, 0.103073968, 0.109883368, 0.131568243, 0.393623201, 0.390188226, 0.143190215),
        *(0.432433081, 0.425643345, 0.057364735, 0.143381819, 0.149419073, 0.219360053),
        *(0.137486768, 0.143382833, 0.103039219, 0.131614046, 0.122984378, 0.256840005),
        *(0.263091744, 0.266011722, 0.269876403),
    ),
    fps=20.0,
    feet=((7, 10), (8, 11)),
    face_joints=(2, 1, 17, 16),
    leg=(5, 8),
    unit=1.0,
    contact_threshold=0.002,
)

# KIT-ML data is in millimetres. Sides are those of the original feature code, which takes the
# joints that the recordings call left for right ones; hence right limbs that rest towards LEFT.
KIT = Skeleton(
    name="kit",
    joint_names=(
        *("root", "pelvis", "thorax", "lower_neck", "upper_neck"),
        *("right_shoulder", "right_elbow", "right_wrist"),
        *("left_shoulder", "left_elbow", "left_wrist"),
        *("right_hip", "right_knee", "right_ankle", "right_midfoot", "right_foot"),
        *("left_hip", "left_knee", "left_ankle", "left_midfoot", "left_foot"),
    ),
    chains=(
        (0, 11, 12, 13, 14, 15),
        (0, 16, 17, 18, 19, 20),
        (0, 1, 2, 3, 4),
        (3, 5, 6, 7),
        (3, 8, 9, 10),
    ),
    bone_directions=(
        *(ROOT, UP, UP, UP, UP, LEFT, DOWN, DOWN, RIGHT, DOWN, DOWN),
        *(LEFT, DOWN, DOWN, FORWARD, FORWARD, RIGHT, DOWN, DOWN, FORWARD, FORWARD),
    ),
    bone_lengths=None,
    fps=12.5,
    feet=((19, 20), (14, 15)),
    face_joints=(11, 16, 5, 8),
    leg=(17, 18),
    unit=0.001,
    contact_threshold=0.05,
)

SKELETONS = (HUMANML3D, KIT)
# Where HumanML3D's joints are on a KIT body: a joint, or so far from the first to the second.
_HUMANML3D_ON_KIT: tuple[tuple[str, str, float] | tuple[str], ...] = (
    *(("root",), ("left_hip",), ("right_hip",), ("pelvis",), ("left_knee",), ("right_knee",)),
    *(("pelvis", "thorax", 0.5), ("left_ankle",), ("right_ankle",), ("thorax",)),
    *(("left_midfoot",), ("right_midfoot",), ("lower_neck",)),
    *(("lower_neck", "left_shoulder", 0.4), ("lower_neck", "right_shoulder", 0.4)),
    *(("upper_neck",), ("left_shoulder",), ("right_shoulder",)),
    *(("left_elbow",), ("right_elbow",), ("left_wrist",), ("right_wrist",)),
)


def get_skeleton(name: str) -> Skeleton:
    """The skeleton of a dataset, "humanml3d" or "kit"; ValueError for any other name."""
    for skeleton in SKELETONS:
        if skeleton.name == name:
            return skeleton
    known = " or ".join(repr(skeleton.name) for skeleton in SKELETONS)
    raise ValueError(f"Unknown dataset {name!r}; pass {known}.")


def skeleton_of(count: int) -> Skeleton:
    """The skeleton with that many joints, or that many features; ValueError where none has."""
    for skeleton in SKELETONS:
        if count in (skeleton.num_joints, skeleton.num_features):
            return skeleton
    known = " or ".join(f"{s.num_joints} and {s.num_features}" for s in SKELETONS)
    raise ValueError(f"No skeleton has {count} joints or features; expected {known}.")


def humanml3d_joints(joints: np.ndarray) -> np.ndarray:
    """HumanML3D's joints (T, 22, 3) of a KIT body (T, 21, 3), for pictures and other software.

    Joints of any other shape are given back as they are.
    """
    if joints.shape[1:] != (KIT.num_joints, 3):
        return joints
    weights = np.zeros((HUMANML3D.num_joints, KIT.num_joints))
    for row, (first, *rest) in zip(weights, _HUMANML3D_ON_KIT, strict=True):
        second, share = rest or (first, 0.0)
        row[KIT.joint_names.index(first)] += 1 - share
        row[KIT.joint_names.index(second)] += share
    return weights @ joints


def mirror_joints(joints: Joints, skeleton: Skeleton = HUMANML3D) -> Joints:
    """Reflect joints (..., J, 3) in the YZ plane: x negated, left and right joints exchanged.

    Raises ValueError when the joints are not those of the skeleton.
    """
    if tuple(joints.shape[-2:]) != (skeleton.num_joints, 3):
        raise ValueError(
            f"Joints have shape {tuple(joints.shape)}, expected (..., {skeleton.num_joints}, 3); "
            f"pass the skeleton that they belong to instead of '{skeleton.name}'."
        )
    mirrored = joints[..., list(skeleton.mirror), :]
    mirrored[..., 0] *= -1
    return mirrored
