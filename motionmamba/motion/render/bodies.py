"""What stands in a picture: a mannequin or a skinned body, read a few frames at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from motionmamba.motion.skeleton import HUMANML3D

from .figure import Solids

if TYPE_CHECKING:
    from motionmamba.motion.body import BodyMotion

_CHUNK = 32
# How much farther than the mannequin's its hands, hair and clothes may reach, in metres.
_MARGIN = 0.05
_FEET = [i for i, name in enumerate(HUMANML3D.joint_names) if "ankle" in name or "foot" in name]
_REACH = 0.25  # metres that hands may be under the floor: recorded wrists are at ease there


class Mannequin:
    """T frames of `solids` that stand on the ground at `floor` metres."""

    def __init__(self, solids: Solids):
        self.solids, self.floor = solids, solids.floor

    def __len__(self) -> int:
        return len(self.solids.ends)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Balls that contain the body: centres (T, N, 3) and radii (N,)."""
        return self.solids.bounds()


class Skin(Mannequin):
    """A BodyMotion of V vertices at T `moments`, in frames of it; `solids` are like it."""

    def __init__(self, motion: BodyMotion, solids: Solids, moments: np.ndarray):
        self.motion, self.solids, self.moments = motion, solids, moments
        self.faces, self.colors = motion.body.faces, motion.body.colors
        self._start, self._chunk = -1, ()
        self.floor = self._floor()
        # Triangles are drawn from outside only, and not everybody's bodies are wound alike.
        vertices = self.vertices(0)
        corners = (vertices - vertices.mean(0))[self.faces]
        if (corners[:, 0] * np.cross(corners[:, 1], corners[:, 2])).sum() < 0:
            self.faces = self.faces[:, ::-1]

    def _floor(self) -> float:
        """Under the feet, though hands may reach deeper, or where they never stand, the body."""
        feet = self.motion.body.weights[:, _FEET].sum(1) > 0.5
        some = np.unique(np.linspace(0, len(self) - 1, _CHUNK).astype(int))
        heights = np.concatenate([self._read(frame, frame + 1) for frame in some])[..., 1]
        # Not the minimum: one frame of a foot through the floor must not make the rest hover.
        under, soles = (float(np.percentile(h.min(1), 5)) for h in (heights, heights[:, feet]))
        return soles if soles - under < _REACH else under

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        centres, radii = self.solids.bounds()
        return centres, radii + _MARGIN * self.solids.scale

    def vertices(self, frame: int) -> np.ndarray:
        """Vertices (V, 3) of one frame. Frames asked for in turn are read in chunks."""
        stop = self._start + len(self._chunk)
        if not self._start <= frame < stop:
            count = _CHUNK if frame == stop else 1
            self._start, self._chunk = frame, self._read(frame, min(frame + count, len(self)))
        return self._chunk[frame - self._start]

    def normals(self, vertices: np.ndarray) -> np.ndarray:
        """Directions (V, 3), of any length, in which the mesh with these vertices faces."""
        a, b, c = (vertices[corners] for corners in self.faces.T)
        return self._faces_around @ np.cross(b - a, c - a)

    @cached_property
    def _faces_around(self):
        from scipy.sparse import csr_array

        corners, owners = self.faces.ravel(), np.repeat(np.arange(len(self.faces)), 3)
        ones = np.ones(len(corners), np.float32)
        return csr_array((ones, (corners, owners)), (len(self.colors), len(self.faces)))

    def _read(self, start: int, stop: int) -> np.ndarray:
        wanted = self.moments[start:stop]
        first = int(wanted[0])
        source = self.motion.vertices(first, int(np.ceil(wanted[-1])) + 1)
        before = wanted.astype(int) - first
        share = (wanted - before - first).astype(np.float32)[:, None, None]
        if not share.any():
            return source[before]
        after = np.minimum(before + 1, len(source) - 1)
        return (1 - share) * source[before] + share * source[after]


@dataclass(frozen=True)
class Pose:
    """One frame of a figure, moved by `offset` (3,) metres, `fade` of the way to paper's colour."""

    figure: Mannequin | Skin
    frame: int
    offset: np.ndarray = field(default_factory=lambda: np.zeros(3))
    fade: float = 0.0

    def vertices(self) -> np.ndarray:
        """(V, 3), where the figure has a skin."""
        return self.figure.vertices(self.frame) + self.offset.astype(np.float32)

    def solids(self) -> Solids:
        return self.figure.solids.at(self.frame, self.offset)
