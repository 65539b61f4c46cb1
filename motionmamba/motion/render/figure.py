"""From joints to the solids of a mannequin: tapered capsules and ellipsoids, in metres."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

TORSO, LEFT, RIGHT, HEAD, FACE = range(5)
LEFT_COLOUR, RIGHT_COLOUR = (240, 132, 40), (44, 118, 206)
PALETTE = np.array(
    [(178, 182, 192), LEFT_COLOUR, RIGHT_COLOUR, (226, 208, 190), (52, 54, 66)], np.float32
)

PELVIS, SPINE3, NECK, HEAD_JOINT = 0, 9, 12, 15
HIPS, KNEES, ANKLES, TOES = (1, 2), (4, 5), (7, 8), (10, 11)
SHOULDERS, ELBOWS, WRISTS = (16, 17), (18, 19), (20, 21)

# The radii below suit a thigh and shin of this length together, that of the HumanML3D skeleton.
_LEG = 0.82
_SOLE = 0.036


@dataclass(frozen=True)
class Solids:
    """T frames of P capsules (hulls of two balls) and E ellipsoids.

    `ends` (T, P, 2, 3) and `radii` (P, 2) of the capsules' balls; `centres` (T, E, 3) and `axes`
    (T, E, 3, 3) of the ellipsoids, the semi-axes in rows; palette rows in `capsule_tones` (P,) and
    `ellipsoid_tones` (E,); `scale` is the body's size relative to the HumanML3D skeleton and
    `floor` the height of the ground.
    """

    ends: np.ndarray
    radii: np.ndarray
    capsule_tones: np.ndarray
    centres: np.ndarray
    axes: np.ndarray
    ellipsoid_tones: np.ndarray
    scale: float
    floor: float

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Balls that contain every solid: centres (T, N, 3) and radii (N,)."""
        frames = len(self.ends)
        centres = np.concatenate([self.ends.reshape(frames, -1, 3), self.centres], 1)
        return centres, np.concatenate([self.radii.ravel(), _norm(self.axes).max((0, 2, 3))])

    def at(self, frame: int, offset: np.ndarray) -> Solids:
        """One frame alone, moved by `offset` (3,) metres."""
        part = slice(frame, frame + 1)
        ends, centres = self.ends[part] + offset, self.centres[part] + offset
        return replace(self, ends=ends, centres=centres, axes=self.axes[part])


def mannequin(joints: np.ndarray) -> Solids:
    """Solids of a HumanML3D body, joints (T, 22, 3) in metres."""
    leg = _norm(joints[:, HIPS] - joints[:, KNEES]) + _norm(joints[:, KNEES] - joints[:, ANKLES])
    scale = max(float(np.median(leg)) / _LEG, 0.05)
    chest, pelvis, head = _frames(joints)
    capsules = [*_limbs(joints, scale), *_shoulders(joints)]
    ellipsoids = [*_torso(joints, chest, pelvis, scale), *_head(joints, head, scale)]
    ends, radii, capsule_tones = zip(*capsules, strict=True)
    centres, axes, ellipsoid_tones = zip(*ellipsoids, strict=True)
    return Solids(
        np.stack([np.stack(pair, 1) for pair in ends], 1),
        np.array(radii) * scale,
        np.array(capsule_tones),
        np.stack(centres, 1),
        np.stack(axes, 1),
        np.array(ellipsoid_tones),
        scale,
        # Not the minimum: one frame of a foot through the floor must not make the rest hover.
        float(np.percentile(joints[..., 1].min(1), 5)) - _SOLE * scale,
    )


def facing(joints: np.ndarray) -> np.ndarray:
    """Where joints (..., 22, 3) face by hips and shoulders: horizontal unit vectors (..., 3)."""
    across = joints[..., 1, :] - joints[..., 2, :] + joints[..., 16, :] - joints[..., 17, :]
    return _unit(np.cross(across, [0.0, 1.0, 0.0]), (0.0, 0.0, 1.0))


def _frames(joints: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Orthonormal rows left, up, forward (T, 3, 3) of chest, pelvis and head."""
    hips, shoulders = joints[:, HIPS].mean(1), joints[:, SHOULDERS].mean(1)
    chest_across = joints[:, 16] - joints[:, 17]
    return (
        _basis(chest_across, shoulders - joints[:, 3]),
        _basis(joints[:, 1] - joints[:, 2], joints[:, 6] - hips),
        # The head joint's offset from the neck differs between sources; from the spine it does not.
        _basis(chest_across, joints[:, HEAD_JOINT] - joints[:, SPINE3]),
    )


def _limbs(joints: np.ndarray, scale: float) -> list[tuple]:
    solids = []
    for side, tone in enumerate((LEFT, RIGHT)):
        hip, knee, ankle, toe, shoulder, elbow, wrist = (
            joints[:, pair[side]] for pair in (HIPS, KNEES, ANKLES, TOES, SHOULDERS, ELBOWS, WRISTS)
        )
        sole = _unit(toe - ankle, (0.0, 0.0, 1.0)) * scale
        shin = _unit(ankle - knee, (0.0, -1.0, 0.0)) * scale
        heel = ankle + 0.04 * shin - 0.035 * sole
        hand = _unit(wrist - elbow, (0.0, -1.0, 0.0)) * scale
        solids += [
            ((hip, knee), (0.082, 0.053), tone),
            ((knee, ankle), (0.053, 0.035), tone),
            ((heel, toe), (_SOLE, _SOLE), tone),
            ((toe, toe + 0.05 * sole), (_SOLE, 0.027), tone),
            ((shoulder, elbow), (0.052, 0.038), tone),
            ((elbow, wrist), (0.039, 0.027), tone),
            ((wrist + 0.035 * hand, wrist + 0.11 * hand), (0.037, 0.028), tone),
        ]
    return solids


def _shoulders(joints: np.ndarray) -> list[tuple]:
    neck, chest = joints[:, NECK], joints[:, SPINE3]
    solids = [((neck, joints[:, HEAD_JOINT]), (0.052, 0.05), HEAD)]
    for shoulder in (joints[:, joint] for joint in SHOULDERS):
        inner = shoulder + 0.18 * (chest - shoulder)
        solids += [((neck, inner), (0.046, 0.05), TORSO), ((inner, chest), (0.058, 0.1), TORSO)]
    return solids


def _torso(joints: np.ndarray, chest: np.ndarray, pelvis: np.ndarray, scale: float) -> list[tuple]:
    hips, shoulders = joints[:, HIPS].mean(1), joints[:, SHOULDERS].mean(1)
    rib_cage = 0.4 * joints[:, SPINE3] + 0.45 * shoulders + 0.15 * joints[:, 3]
    width = np.clip(np.median(_norm(joints[:, 16] - joints[:, 17])) / (0.4 * scale), 0.5, 1.5)
    belly = 0.5 * (rib_cage + hips)
    length = 0.5 * np.median(_norm(rib_cage - hips)) / scale + 0.07
    spine = _basis(joints[:, 1] - joints[:, 2], rib_cage - hips)
    return [
        (rib_cage, _axes(chest, (0.158 * width, 0.185, 0.112), scale), TORSO),
        (belly, _axes(spine, (0.127, length, 0.1), scale), TORSO),
        (hips + 0.03 * scale * pelvis[:, 1], _axes(pelvis, (0.14, 0.115, 0.108), scale), TORSO),
    ]


def _head(joints: np.ndarray, head: np.ndarray, scale: float) -> list[tuple]:
    def at(left: float, up: float, forward: float) -> np.ndarray:
        offset = np.array([left, up, forward]) * scale
        return joints[:, HEAD_JOINT] + np.einsum("tij,i->tj", head, offset)

    skull = (at(0, 0.08, 0.01), _axes(head, (0.083, 0.122, 0.1), scale), HEAD)
    nose = (at(0, 0.065, 0.112), _axes(head, (0.014, 0.022, 0.022), scale), HEAD)
    eyes = [
        (at(x, 0.095, 0.094), _axes(head, (0.015, 0.02, 0.013), scale), FACE)
        for x in (-0.034, 0.034)
    ]
    return [skull, nose, *eyes]


def _axes(basis: np.ndarray, lengths: tuple[float, float, float], scale: float) -> np.ndarray:
    return basis * (np.array(lengths) * scale)[:, None]


def _basis(left: np.ndarray, up: np.ndarray) -> np.ndarray:
    left = _unit(left, (1.0, 0.0, 0.0))
    forward = _unit(np.cross(left, up), (0.0, 0.0, 1.0))
    return np.stack([left, _unit(np.cross(forward, left), (0.0, 1.0, 0.0)), forward], 1)


def _norm(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors, axis=-1, keepdims=True)


def _unit(vectors: np.ndarray, fallback: tuple[float, float, float]) -> np.ndarray:
    """Vectors of length 1; a vector too short to have a direction becomes `fallback`."""
    length = _norm(vectors)
    return np.where(length > 1e-6, vectors / np.maximum(length, 1e-6), fallback)
