"""The way that a root has gone, as a ribbon and dots on the floor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STRENGTH, SECONDS = 0.5, 6.0
_WIDTH, _DOT = 0.0065, 0.019
_CORNERS = 12


@dataclass(frozen=True)
class Trail:
    """Convex polygons (N, K, 3) in metres, corner after corner, and how dark each is, (N,)."""

    polygons: np.ndarray
    strengths: np.ndarray

    def triangles(self) -> tuple[np.ndarray, np.ndarray]:
        """The polygons cut into fans: (M, 3, 3), and how dark each triangle is, (M,)."""
        first = self.polygons[:, 0]
        pairs = np.stack([self.polygons[:, 1:-1], self.polygons[:, 2:]], 2)
        fans = np.concatenate(
            [np.broadcast_to(first[:, None, None], (*pairs.shape[:2], 1, 3)), pairs], 2
        )
        return fans.reshape(-1, 3, 3), np.repeat(self.strengths, pairs.shape[1])


class Path:
    """A root's places (T, 2), x and z, on the floor at `height` metres."""

    def __init__(self, places: np.ndarray, height: float, fps: float):
        self.fps = fps
        self._dots = np.diff(np.floor(2 * np.arange(len(places)) / fps), prepend=0) > 0
        step = np.gradient(places, axis=0) if len(places) > 1 else np.zeros_like(places)
        length = np.linalg.norm(step, axis=1, keepdims=True)
        across = step[:, ::-1] * (1, -1) / np.maximum(length, 1e-9)
        edges = np.stack([places + _WIDTH * across, places - _WIDTH * across], 1)
        quads = np.concatenate([edges[:-1], edges[1:, ::-1]], 1)
        angle = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
        circle = _DOT * np.stack([np.cos(angle), np.sin(angle)], -1)
        # A quad is a polygon whose last corner comes again and again.
        self._ribbon = np.insert(quads[:, [0, 1, 2, *[3] * (_CORNERS - 3)]], 1, height, -1)
        self._circles = np.insert(places[:, None] + circle, 1, height, -1)

    def until(self, frame: int, seconds: float | None = SECONDS) -> Trail:
        """The way up to `frame`, fading with age within `seconds`; None: all of it, no fading."""
        first = 0 if seconds is None else max(frame + 1 - int(seconds * self.fps), 0)
        dots = first + np.flatnonzero(self._dots[first : frame + 1])
        ages = (frame - np.concatenate([np.arange(first + 1, frame + 1), dots])) / self.fps
        strengths = np.full(len(ages), 0.8) if seconds is None else 1 - ages / seconds
        shapes = [self._ribbon[first:frame], self._circles[dots]]
        return Trail(np.concatenate(shapes), STRENGTH * strengths)
