"""A perspective camera that follows a figure without ever turning or zooming."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .figure import Solids, facing

_FIELD_OF_VIEW = np.radians(30.0)
_AZIMUTH, _PITCH = np.radians(-36.0), np.radians(13.0)
# A figure whose root stays within this many metres is watched by a camera that stands still.
_ROOM = 0.9
_SMOOTHING_SECONDS = 0.6
_STANDING_HEIGHT = 1.75


@dataclass(frozen=True)
class Camera:
    """Pinhole camera over T frames.

    `basis` (3, 3) holds right, up and forward in rows; `targets` (T, 3) are looked at from
    `distance` metres and appear at `centre` pixels; `focal` is in pixels.
    """

    basis: np.ndarray
    targets: np.ndarray
    distance: float
    centre: tuple[float, float]
    focal: float

    @property
    def moves(self) -> bool:
        return bool(np.ptp(self.targets, 0).any())

    def position(self, frame: int) -> np.ndarray:
        """Where the camera stands, (3,)."""
        return self.targets[frame] - self.distance * self.basis[2]

    def project(self, points: np.ndarray, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Points (..., 3) in one frame to pixels (..., 2), x right and y down, and depth (...)."""
        view = (points - self.position(frame)) @ self.basis.T
        depth = view[..., 2]
        pixels = view[..., :2] / depth[..., None] * (self.focal, -self.focal) + self.centre
        return pixels, depth


def shoot(
    joints: np.ndarray,
    solids: Solids,
    fps: float,
    size: tuple[int, int],
    safe: tuple[float, float, float, float],
) -> Camera:
    """Camera on joints (T, 22, 3) that keeps every solid within the `safe` box of the picture.

    `size` (width, height) and `safe` (left, top, right, bottom) are in pixels.
    """
    left, top, right, bottom = safe
    focal = float(0.5 * size[1] / np.tan(0.5 * _FIELD_OF_VIEW))
    view = (0.5 * (right - left) / focal, 0.5 * (bottom - top) / focal)
    standing = solids.floor + _STANDING_HEIGHT * solids.scale
    basis = _three_quarter_view(joints)
    targets = _follow(joints[:, 0], _SMOOTHING_SECONDS * fps)
    targets[:, 1] = 0.5 * (solids.floor + max(joints[..., 1].max(), standing))
    distance = _least_distance(basis, targets, solids, standing, view)
    return Camera(basis, targets, distance, (0.5 * (left + right), 0.5 * (top + bottom)), focal)


def _three_quarter_view(joints: np.ndarray) -> np.ndarray:
    """Camera basis (3, 3) that sees the body of frame 0 from the front, its right side nearer."""
    front = facing(joints[0])
    heading = np.arctan2(front[0], front[2]) + _AZIMUTH
    sin, cos = np.sin(heading), np.cos(heading)
    forward = np.array([-sin * np.cos(_PITCH), -np.sin(_PITCH), -cos * np.cos(_PITCH)])
    right = np.array([cos, 0.0, -sin])
    return np.stack([right, np.cross(right, forward), forward])


def _follow(root: np.ndarray, sigma: float) -> np.ndarray:
    """Low-passed root (T, 3), or its middle throughout where it stays in place.

    The odd reflection keeps a straight walk straight up to its ends.
    """
    low, high = root.min(0), root.max(0)
    if np.hypot(*(high - low)[[0, 2]]) < _ROOM:
        return np.tile(0.5 * (low + high), (len(root), 1))
    span = int(np.ceil(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-span, span + 1) / sigma) ** 2)
    padded = np.pad(root, ((span, span), (0, 0)), mode="reflect", reflect_type="odd")
    columns = [np.convolve(column, kernel / kernel.sum(), mode="valid") for column in padded.T]
    return np.stack(columns, 1)


def _least_distance(
    basis: np.ndarray,
    targets: np.ndarray,
    solids: Solids,
    standing: float,
    view: tuple[float, float],
) -> float:
    """Least distance that keeps all solids, and a standing body's height, within `view`.

    `view` holds half the width and height in sight one metre away, in metres.
    """
    balls, radii = solids.bounds()
    column = np.repeat(targets[:, None], 2, 1)
    column[:, :, 1] = solids.floor, standing
    points = np.concatenate([balls, column], 1) - targets[:, None]
    radii = np.append(radii, (0.0, 0.0))
    x, y, depth = np.moveaxis(points @ basis.T, -1, 0)
    needed = np.maximum((np.abs(x) + radii) / view[0], (np.abs(y) + radii) / view[1])
    return float((needed + radii - depth).max())
