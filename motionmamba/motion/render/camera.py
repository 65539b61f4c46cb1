"""A perspective camera that follows a figure without ever turning or zooming."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .bodies import Mannequin
from .figure import facing

_FIELD_OF_VIEW = np.radians(30.0)
_AZIMUTH, _PITCH = np.radians(-36.0), np.radians(13.0)
# A figure whose root stays within this many metres is watched by a camera that stands still.
_ROOM = 0.9
_SMOOTHING_SECONDS = 0.6
_STANDING_HEIGHT = 1.75
# Nothing is drawn so many metres behind the point looked at.
_SIGHT = 60.0
_ROUNDS = 8


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

    @property
    def near_far(self) -> tuple[float, float]:
        """Least and greatest depth in metres at which something is drawn by OpenGL."""
        return 0.05 * self.distance, self.distance + _SIGHT

    def position(self, frame: int) -> np.ndarray:
        """Where the camera stands, (3,)."""
        return self.targets[frame] - self.distance * self.basis[2]

    def clip_space(self, frame: int, size: tuple[int, int]) -> np.ndarray:
        """Matrix (4, 4) from points in one frame to OpenGL's clip space, the top row first."""
        (width, height), (near, far), eye = size, self.near_far, self.position(frame)
        to_view = np.eye(4)
        to_view[:3, :3], to_view[:3, 3] = self.basis, -self.basis @ eye
        lens = np.zeros((4, 4))
        lens[0, [0, 2]] = 2 * self.focal / width, 2 * self.centre[0] / width - 1
        lens[1, [1, 2]] = -2 * self.focal / height, 2 * self.centre[1] / height - 1
        lens[2, [2, 3]] = (far + near) / (far - near), -2 * far * near / (far - near)
        lens[3, 2] = 1
        return lens @ to_view

    def project(self, points: np.ndarray, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Points (..., 3) in one frame to pixels (..., 2), x right and y down, and depth (...)."""
        view = (points - self.position(frame)) @ self.basis.T
        depth = view[..., 2]
        pixels = view[..., :2] / depth[..., None] * (self.focal, -self.focal) + self.centre
        return pixels, depth


@dataclass(frozen=True)
class View:
    """What `camera` sees on `size` pixels (width, height) of the ground at `floor` metres.

    Where it is `transparent`, nothing but bodies, shadows and trails is drawn.
    """

    camera: Camera
    size: tuple[int, int]
    floor: float
    transparent: bool = False


def shoot(
    joints: np.ndarray,
    figure: Mannequin,
    fps: float,
    size: tuple[int, int],
    safe: tuple[float, float, float, float],
) -> Camera:
    """Camera on joints (T, 22, 3) that keeps the figure within the `safe` box of the picture.

    `size` (width, height) and `safe` (left, top, right, bottom) are in pixels.
    """
    left, top, right, bottom = safe
    focal = float(0.5 * size[1] / np.tan(0.5 * _FIELD_OF_VIEW))
    view = (0.5 * (right - left) / focal, 0.5 * (bottom - top) / focal)
    standing = figure.floor + _STANDING_HEIGHT * figure.solids.scale
    basis = _basis(three_quarter_heading(joints[0]))
    targets = _follow(joints[:, 0], _SMOOTHING_SECONDS * fps)
    targets[:, 1] = 0.5 * (figure.floor + max(joints[..., 1].max(), standing))
    distance = _least_distance(basis, targets, figure, standing, view)
    return Camera(basis, targets, distance, (0.5 * (left + right), 0.5 * (top + bottom)), focal)


def survey(
    balls: np.ndarray,
    radii: np.ndarray,
    heading: float,
    size: tuple[int, int],
    safe: tuple[float, float, float, float],
) -> Camera:
    """Camera of one frame that sees all balls (N, K, 3), radii (K,), within the `safe` box.

    `heading` is the angle about the vertical, from Z+ towards X+, at which it stands.
    """
    left, top, right, bottom = safe
    focal = float(0.5 * size[1] / np.tan(0.5 * _FIELD_OF_VIEW))
    view = np.array((0.5 * (right - left) / focal, 0.5 * (bottom - top) / focal))
    basis = _basis(heading)
    radii = np.tile(radii, len(balls))
    seen = balls.reshape(-1, 3) @ basis.T
    target = 0.5 * ((seen - radii[:, None]).min(0) + (seen + radii[:, None]).max(0))
    for _ in range(_ROUNDS):
        offset = seen - target
        needed = (np.abs(offset[:, :2]) + radii[:, None]) / view + (radii - offset[:, 2])[:, None]
        distance = needed.max()
        # What is near takes more room, so the middle is not that of the metres.
        scale = distance + offset[:, 2:] - radii[:, None]
        low = ((offset[:, :2] - radii[:, None]) / scale).min(0)
        high = ((offset[:, :2] + radii[:, None]) / scale).max(0)
        target[:2] += 0.5 * (low + high) * distance
    centre = (0.5 * (left + right), 0.5 * (top + bottom))
    return Camera(basis, (target @ basis)[None], float(distance), centre, focal)


def three_quarter_heading(joints: np.ndarray) -> float:
    """Heading of a camera that sees joints (22, 3) from the front, their right side nearer."""
    front = facing(joints)
    return float(np.arctan2(front[0], front[2]) + _AZIMUTH)


def _basis(heading: float) -> np.ndarray:
    """Camera basis (3, 3) that looks from `heading` towards the middle and a little down."""
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
    figure: Mannequin,
    standing: float,
    view: tuple[float, float],
) -> float:
    """Least distance that keeps the figure, and a standing body's height, within `view`.

    `view` holds half the width and height in sight one metre away, in metres.
    """
    balls, radii = figure.bounds()
    column = np.repeat(targets[:, None], 2, 1)
    column[:, :, 1] = figure.floor, standing
    points = np.concatenate([balls, column], 1) - targets[:, None]
    radii = np.append(radii, (0.0, 0.0))
    x, y, depth = np.moveaxis(points @ basis.T, -1, 0)
    needed = np.maximum((np.abs(x) + radii) / view[0], (np.abs(y) + radii) / view[1])
    return float((needed + radii - depth).max())
