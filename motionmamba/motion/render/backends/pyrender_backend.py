"""Pictures drawn by OpenGL through pyrender, on EGL or OSMesa: no window is needed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import numpy as np
from PIL import Image

from ..bodies import Pose
from ..camera import View
from ..raster import BACKGROUND, LIGHT, SHADOW, Floor, darken, draw_trail, empty_scene
from ..trail import Trail
from .base import finished

PLATFORMS = {"egl": "EGL", "osmesa": "OSMesa"}
_FILL = np.array((2.6, 1.2, -1.6))


class PyrenderRenderer:
    """Draws bodies that shade themselves; floor and shadows below them are as in numpy's pictures.

    `platform` is that of PyOpenGL, "egl" or "osmesa"; it stays that of the whole process.
    """

    name = "pyrender"
    draws_skins = True

    def __init__(self, platform: str):
        self.platform, self.device = platform, f"pyrender on {PLATFORMS[platform]}"
        with _headless(platform):
            import pyrender

            self.library = pyrender
            self._canvas = pyrender.OffscreenRenderer(64, 64)

    def render(self, scene, size: tuple[int, int], flags: int):
        self._canvas.viewport_width, self._canvas.viewport_height = size
        with _headless(self.platform):
            return self._canvas.render(scene, flags)

    def stage(self, view: View) -> PyrenderStage:
        return PyrenderStage(self, view)

    def close(self) -> None:
        self._canvas.delete()


class PyrenderStage:
    def __init__(self, renderer: PyrenderRenderer, view: View):
        self.renderer, self.view = renderer, view
        self._key = LIGHT @ view.camera.basis
        self._floor = None if view.transparent else Floor(view.camera, view.size, view.floor)

    def draw(self, frame: int, poses: list[Pose], trail: Trail | None = None) -> np.ndarray:
        places = [pose.vertices() for pose in poses]
        picture = empty_scene(self.view, self._floor, frame)
        if trail is not None:
            draw_trail(picture, trail, self.view.camera, frame)
        shadow = Image.fromarray(self._shadow(frame, poses, places))
        darken(picture, shadow, SHADOW, blur=picture.shape[0] / 160)
        bodies = self._bodies(frame, poses, places).astype(np.float32)
        picture *= 1 - bodies[..., 3:] / 255
        picture += bodies[..., : picture.shape[-1]]
        return finished(picture)

    def _bodies(self, frame: int, poses: list[Pose], places: list[np.ndarray]) -> np.ndarray:
        """(H, W, 4) uint8, premultiplied."""
        library, basis = self.renderer.library, self.view.camera.basis
        scene = self._scene(frame, ambient=0.42)
        for pose, vertices in zip(poses, places, strict=True):
            scene.add(self._mesh(pose, vertices))
        key = library.DirectionalLight(color=(1.0, 0.975, 0.94), intensity=2.0)
        scene.add(key, pose=_looking(-self._key))
        fill = library.PointLight(color=(0.9, 0.95, 1.0), intensity=7.0)
        pose = np.eye(4)
        pose[:3, 3] = self.view.camera.targets[frame] + _FILL @ basis
        scene.add(fill, pose=pose)
        flags = library.RenderFlags.RGBA | library.RenderFlags.SHADOWS_DIRECTIONAL
        colours, depth = self.renderer.render(scene, self.view.size, flags)
        if colours.shape[-1] == 4:
            return colours
        # OSMesa gives no alpha; it draws with one sample a pixel, so that depth tells as much
        return np.dstack([colours, np.uint8(255) * (depth > 0)])

    def _shadow(self, frame: int, poses: list[Pose], places: list[np.ndarray]) -> np.ndarray:
        """Where bodies flattened along the light onto the floor are seen, (H, W) uint8."""
        scene = self._scene(frame)
        for pose, vertices in zip(poses, places, strict=True):
            height = vertices[:, 1:2] - self.view.floor
            scene.add(self._mesh(pose, vertices - height * self._key / self._key[1]))
        flags = self.renderer.library.RenderFlags.DEPTH_ONLY
        depth = self.renderer.render(scene, self.view.size, flags)
        return np.where(depth > 0, np.uint8(255), np.uint8(0))

    def _scene(self, frame: int, ambient: float = 0.0):
        library, camera = self.renderer.library, self.view.camera
        scene = library.Scene(bg_color=np.zeros(4), ambient_light=np.full(3, ambient))
        focal = camera.focal, camera.focal
        lens = library.IntrinsicsCamera(*focal, *camera.centre, *camera.near_far)
        pose = np.eye(4)
        pose[:3, :3] = (camera.basis * ((1,), (1,), (-1,))).T
        pose[:3, 3] = camera.position(frame)
        scene.add(lens, pose=pose)
        return scene

    def _mesh(self, pose: Pose, vertices: np.ndarray):
        library, figure = self.renderer.library, pose.figure
        normals = figure.normals(vertices)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        colours = (1 - pose.fade) * figure.colors + pose.fade * BACKGROUND
        primitive = library.Primitive(
            positions=vertices.astype(np.float32),
            normals=normals.astype(np.float32),
            color_0=((colours / 255) ** 2.2).astype(np.float32),
            indices=figure.faces,
            material=library.MetallicRoughnessMaterial(metallicFactor=0.0, roughnessFactor=0.75),
        )
        return library.Mesh([primitive])


@contextmanager
def _headless(platform: str) -> Iterator[None]:
    """What pyrender 0.1.45 needs without a screen and on numpy 2, taken back afterwards.

    Its viewer wants a window system, and it says `np.infty`, which numpy 2 calls `np.inf`.
    """
    viewer = ModuleType("pyrender.viewer")
    viewer.Viewer = None
    before = os.environ.get("PYOPENGL_PLATFORM")
    os.environ["PYOPENGL_PLATFORM"] = platform
    added = "infty" not in vars(np)
    sys.modules.setdefault("pyrender.viewer", viewer)
    if added:
        np.infty = np.inf  # noqa: NPY201
    try:
        yield
    finally:
        if added:
            del np.infty  # noqa: NPY201
        if sys.modules.get("pyrender.viewer") is viewer:
            del sys.modules["pyrender.viewer"]
        if before is None:
            del os.environ["PYOPENGL_PLATFORM"]
        else:
            os.environ["PYOPENGL_PLATFORM"] = before


def _looking(forward: np.ndarray) -> np.ndarray:
    """Pose (4, 4) of what looks along -z, turned to `forward`."""
    right = np.cross(forward, (0.0, 1.0, 0.0))
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(right, forward), -forward], 1)
    return pose
