"""Corrections of linear blend skinning where it pinches: shoulders, hips, elbows and knees.

Each is learned from the mesh itself: posed vertices are smoothed and get back the small forms that
smoothing took at rest, as Delta Mush does (Mancewicz et al., DigiPro 2014). What this changes is
regressed on the joint's rotation, in the manner of SMPL's pose blend shapes.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

# Axis-angle radians of left joints, least and most about X, Y and Z; right ones are mirrored.
RANGES = {
    "left_shoulder": ((-1.2, -1.7, -1.5), (1.2, 0.6, 1.3)),
    "left_elbow": ((-1.0, -2.4, -0.2), (1.0, 0.1, 0.2)),
    "left_hip": ((-2.0, -0.6, -0.5), (0.7, 0.6, 0.8)),
    "left_knee": ((-0.1, -0.2, -0.1), (2.3, 0.2, 0.1)),
}
SAMPLES = 60
STEPS = 16  # of smoothing
RIDGE = 0.3
LEAST = 4e-4  # metres for each unit of a rotation matrix's entry


def pose_directions(vertices, joints, weights, average, names, parents) -> np.ndarray:
    """Corrections (V, 3, 9 (J - 1)) float16 of vertices (V, 3) at rest, metres."""
    random = np.random.default_rng(0)
    found = np.zeros((*vertices.shape, 9 * (len(names) - 1)), np.float16)
    form = vertices - _smooth(vertices, average)
    for name, (low, high) in RANGES.items():
        turns = random.uniform(low, high, (SAMPLES, 3))
        for side, mirror in (("left", (1, 1, 1)), ("right", (1, -1, -1))):
            joint = names.index(name.replace("left", side))
            moved = hanging_on(joint, parents)
            share = weights[:, moved].sum(1)
            rotations = Rotation.from_rotvec(turns * mirror).as_matrix()
            features = (rotations - np.eye(3)).reshape(SAMPLES, 9)
            corrections = np.stack(
                [_correction(vertices, joints[joint], share, r, form, average) for r in rotations]
            )
            near = np.flatnonzero(np.abs(corrections).max((0, 2)) > LEAST)
            gram = features.T @ features + RIDGE * np.eye(9)
            solved = np.linalg.solve(gram, features.T @ corrections[:, near].reshape(SAMPLES, -1))
            solved[np.abs(solved) < LEAST] = 0
            first = 9 * (joint - 1)
            found[near, :, first : first + 9] = np.moveaxis(solved.reshape(9, -1, 3), 0, -1)
    return found


def _correction(vertices, pivot, share, rotation, form, average) -> np.ndarray:
    """What a mesh (V, 3) needs at rest when one joint turns what hangs on it, by its shares."""
    turned = np.eye(3) + share[:, None, None] * (rotation - np.eye(3))
    posed = pivot + np.einsum("vij,vj->vi", turned, vertices - pivot)
    u, _, vt = np.linalg.svd(turned)
    wanted = _smooth(posed, average) + np.einsum("vij,vj->vi", u @ vt, form)
    # where a half-turned vertex falls together, it cannot be moved from its rest
    inverse = np.linalg.inv(turned + 0.05 * np.eye(3))
    return np.einsum("vij,vj->vi", inverse, wanted - posed)


def _smooth(vertices: np.ndarray, average) -> np.ndarray:
    for _ in range(STEPS):
        vertices = vertices + 0.7 * (average @ vertices - vertices)
    return vertices


def hanging_on(joint: int, parents) -> list[int]:
    """The joint and all below it."""
    below = [joint]
    for child, parent in enumerate(parents):
        if parent in below:
            below.append(child)
    return below
