"""Pictures of mannequins by numpy and Pillow alone, for machines without OpenGL."""

from __future__ import annotations

import numpy as np

from ..bodies import Pose
from ..camera import View
from ..raster import Floor, draw_shadow, draw_solids, draw_trail, empty_scene, shadow_outlines
from ..trail import Trail
from .base import finished


class SoftwareRenderer:
    name = "software"
    device = "numpy"
    draws_skins = False

    def stage(self, view: View) -> SoftwareStage:
        return SoftwareStage(view)

    def close(self) -> None:
        pass


class SoftwareStage:
    def __init__(self, view: View):
        self.view = view
        self._floor = None if view.transparent else Floor(view.camera, view.size, view.floor)

    def draw(self, frame: int, poses: list[Pose], trail: Trail | None = None) -> np.ndarray:
        camera = self.view.camera
        picture = empty_scene(self.view, self._floor, frame)
        if trail is not None:
            draw_trail(picture, trail, camera, frame)
        solids = [pose.solids() for pose in poses]
        shadows = [shadow_outlines(body, camera)[0] for body in solids]
        draw_shadow(picture, np.concatenate(shadows), camera, frame)
        for pose, body in zip(poses, solids, strict=True):
            draw_solids(picture, body, camera, frame, pose.fade)
        return finished(picture)
