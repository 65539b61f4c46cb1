"""Pose-dependent corrections of a body's mesh as a few shapes that come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

if TYPE_CHECKING:
    from motionmamba.motion.body import BodyMotion

LEAST = 5e-4  # metres: what moves no vertex so far is left out
MOST = 64  # shapes


class Corrective(NamedTuple):
    """A shape: offsets (n, 3) in metres of some vertices (n,) at rest, times weights (T,).

    Weights are from 0 to 1, as Blender 4.2 cuts off others when it imports them.
    """

    vertices: np.ndarray
    offsets: np.ndarray
    weights: np.ndarray


def correctives(motion: BodyMotion) -> list[Corrective]:
    """The shapes whose sum is the correction of every frame within about 1 mm.

    SMPL's corrections (Loper et al., SIGGRAPH Asia 2015) are linear in the rotation matrices of all
    joints. Those of each joint are replaced by their principal components over this motion, which
    are fewer, as joints do not turn every way in it. The first shape stays all the time, the others
    follow, the strongest first.
    """
    joints = motion.body.num_joints - 1
    directions = motion.body.pose_directions.numpy().reshape(joints, 9, -1, 3)
    turns = Rotation.from_rotvec(motion.poses[:, 1:].reshape(-1, 3)).as_matrix()
    turns = (turns - np.eye(3)).reshape(len(motion), joints, 9)
    middle = turns.mean(axis=0)
    found = []
    for joint, turn in enumerate(np.moveaxis(turns - middle, 1, 0)):
        found += _components(turn, directions[joint])
    found.sort(key=lambda component: -np.abs(component[1]).max())
    lasting = np.einsum("jk,jkvc->vc", middle, directions)
    moving = []
    for vertices, offsets, weights in found[: MOST - 1]:
        low, high = weights.min(), weights.max()
        lasting[vertices] += low * offsets
        moving.append(Corrective(vertices, (high - low) * offsets, (weights - low) / (high - low)))
    near = np.flatnonzero(np.linalg.norm(lasting, axis=-1) > LEAST / 4)
    return [Corrective(near, lasting[near], np.ones(len(motion))), *moving] if near.size else moving


def _components(turns: np.ndarray, directions: np.ndarray) -> list[Corrective]:
    """Of a joint's rotations (T, 9) times directions (9, V, 3); weights are up to ±1."""
    vertices = np.flatnonzero(directions.any(axis=(0, 2)))
    basis, sizes, shapes = np.linalg.svd(
        directions[:, vertices].reshape(9, -1), full_matrices=False
    )
    courses, strengths, mix = np.linalg.svd(turns @ (basis * sizes), full_matrices=False)
    peaks = np.abs(courses).max(axis=0)
    offsets = ((peaks * strengths)[:, None] * mix @ shapes).reshape(len(mix), len(vertices), 3)
    moved = np.linalg.norm(offsets, axis=-1)
    return [
        Corrective(vertices[move > LEAST / 4], offset[move > LEAST / 4], course / peak)
        for offset, course, peak, move in zip(offsets, courses.T, peaks, moved, strict=True)
        if move.max(initial=0) > LEAST
    ]
