"""Pictures drawn by OpenGL through moderngl on EGL: no window, and no graphics card needed."""

from __future__ import annotations

import numpy as np

from ..bodies import Pose, Skin
from ..camera import View
from ..raster import BACKGROUND, FADE, LIGHT, SHADOW, TILE, TILES
from ..trail import Trail
from . import shaders
from .base import finished

_SAMPLES = 4
_LIGHT_PIXELS, _BELOW_PIXELS = 512, 64
_PAPER = tuple((BACKGROUND / 255).tolist())
_UP = np.array((0.0, 1.0, 0.0))
# The floor reaches this many metres around the point looked at; it has faded away long before.
_FLOOR = 40.0
# Heights in metres up to which shadows get softer, and up to which bodies darken the floor below.
_SHADOW_REACH, _CONTACT_REACH = 2.5, 0.35
_CONTACT = 0.45
# How far from a point the light may be blocked, on bodies, and the steps of a map's size, metres.
_BLUR, _STEP = 0.009, 0.25
# Along the camera's right, up and forward, from the side that the key light leaves dark.
_FILL = np.array((0.8, 0.25, -0.55)) / np.linalg.norm((0.8, 0.25, -0.55))


class ModernGLRenderer:
    """Shadows and light by shaders, with four samples a pixel; a context of its own."""

    name = "moderngl"
    draws_skins = True

    def __init__(self):
        import moderngl

        names = dict(libgl="libGL.so.1", libegl="libEGL.so.1")
        context = moderngl.create_standalone_context(require=330, backend="egl", **names)
        self.context = context
        self.device = context.info["GL_RENDERER"]
        self._meshes: dict[tuple[int, int], _Mesh] = {}
        self._targets: dict[tuple[int, int], _Target] = {}
        with context:
            self.solid = self._program(shaders.SOLID_VERTEX, shaders.SOLID_FRAGMENT)
            self.light = self._program(shaders.SOLID_VERTEX, shaders.LIGHT_FRAGMENT)
            self.below = self._program(shaders.SOLID_VERTEX, shaders.BELOW_FRAGMENT)
            self.floor = self._program(shaders.FLOOR_VERTEX, shaders.FLOOR_FRAGMENT)
            self.shadow = self._program(shaders.FLOOR_VERTEX, shaders.SHADOW_FRAGMENT)
            self.contact = self._program(shaders.FLOOR_VERTEX, shaders.CONTACT_FRAGMENT)
            self.trail = self._program(shaders.TRAIL_VERTEX, shaders.TRAIL_FRAGMENT)
            self.light_map = _Map(context, _LIGHT_PIXELS)
            self.below_map = _Map(context, _BELOW_PIXELS)

    def stage(self, view: View) -> ModernGLStage:
        return ModernGLStage(self, view)

    def close(self) -> None:
        self.context.release()

    def _program(self, vertex: str, fragment: str):
        return self.context.program(vertex_shader=vertex, fragment_shader=fragment)

    def mesh(self, figure: Skin, slot: int) -> _Mesh:
        """Buffers of the figure that stands in this place of a picture."""
        key = id(figure), slot
        if key not in self._meshes:
            self._meshes[key] = _Mesh(self, figure)
        return self._meshes[key]

    def target(self, size: tuple[int, int]) -> _Target:
        if size not in self._targets:
            self._targets[size] = _Target(self.context, size)
        return self._targets[size]


class ModernGLStage:
    def __init__(self, renderer: ModernGLRenderer, view: View):
        self.renderer, self.view = renderer, view
        self._key, self._fill = LIGHT @ view.camera.basis, _FILL @ view.camera.basis

    def draw(self, frame: int, poses: list[Pose], trail: Trail | None = None) -> np.ndarray:
        renderer, view = self.renderer, self.view
        with renderer.context:
            places = [pose.vertices() for pose in poses]
            meshes = []
            for slot, (pose, vertices) in enumerate(zip(poses, places, strict=True)):
                meshes.append(renderer.mesh(pose.figure, slot))
                meshes[-1].write(vertices)
            light, below = self._draw_maps(meshes, np.concatenate(places))
            target = renderer.target(view.size)
            target.clear(None if view.transparent else _PAPER)
            matrix = _columns(view.camera.clip_space(frame, view.size))
            self._draw_bodies(frame, matrix, poses, meshes, light)
            self._draw_floor(frame, matrix, light, below)
            if trail is not None and len(trail.polygons):
                self._draw_trail(matrix, trail)
            return target.read(view.transparent)

    def _draw_maps(self, meshes: list[_Mesh], places: np.ndarray) -> tuple[_Box, _Box]:
        """The bodies as the key light sees them, and how near they come to the floor from below."""
        renderer = self.renderer
        light, below = _Box(places, -self._key, 0.12), _Box(places, _UP, 0.2)
        for program, reach in ((renderer.light, _SHADOW_REACH), (renderer.below, _CONTACT_REACH)):
            program["ground"], program["reach"] = self.view.floor, reach
        renderer.light_map.draw(renderer.light, light, [mesh.light for mesh in meshes])
        renderer.below_map.draw(renderer.below, below, [mesh.below for mesh in meshes])
        return light, below

    def _draw_bodies(self, frame, matrix, poses, meshes, light) -> None:
        import moderngl

        renderer, program = self.renderer, self.renderer.solid
        renderer.context.enable_only(moderngl.DEPTH_TEST | moderngl.CULL_FACE)
        renderer.context.cull_face = "front"
        program["view"].write(matrix)
        program["light_view"].write(_columns(light.matrix))
        program["eye"] = tuple(self.view.camera.position(frame))
        program["key"], program["fill"] = tuple(self._key), tuple(self._fill)
        program["paper"], program["ground"] = _PAPER, self.view.floor
        program["texel"] = _BLUR * 0.5 / light.half
        renderer.light_map.sampler.use(0)
        for pose, mesh in zip(poses, meshes, strict=True):
            program["fade"] = pose.fade
            mesh.solid.render()
        renderer.light_map.sampler.clear(0)

    def _draw_floor(self, frame: int, matrix: bytes, light: _Box, below: _Box) -> None:
        renderer, view = self.renderer, self.view
        # What lies on the floor is hidden by bodies, not by each other.
        renderer.target(view.size).samples.depth_mask = False
        if not view.transparent:
            program = renderer.floor
            program["eye"], program["paper"] = tuple(view.camera.position(frame)), _PAPER
            program["tones"], program["tile"], program["fade"] = TILES, TILE, FADE
            program["distance_to"] = view.camera.distance
            x, _, z = view.camera.targets[frame]
            corners = [
                (x + i, view.floor, z + j) for i in (-_FLOOR, _FLOOR) for j in (-_FLOOR, _FLOOR)
            ]
            self._draw_ground(program, matrix, np.array(corners))
        _blend(renderer.context)
        renderer.shadow["reach"] = _SHADOW_REACH
        passes = (
            (renderer.shadow, renderer.light_map, light, SHADOW),
            (renderer.contact, renderer.below_map, below, _CONTACT),
        )
        for program, side, box, strength in passes:
            program["strength"] = strength
            program["texels_per_metre"] = 0.5 / box.half * side.cover.width
            program["light_view"].write(_columns(box.matrix))
            side.cover.use(0)
            self._draw_ground(program, matrix, box.footprint(view.floor))

    def _draw_ground(self, program, matrix: bytes, corners: np.ndarray) -> None:
        """A quad (4, 3) on the floor."""
        import moderngl

        program["view"].write(matrix)
        buffer = self.renderer.context.buffer(corners.astype("f4"))
        array = self.renderer.context.vertex_array(program, buffer, "in_place")
        array.render(moderngl.TRIANGLE_STRIP)
        array.release()
        buffer.release()

    def _draw_trail(self, matrix: bytes, trail: Trail) -> None:
        context, program = self.renderer.context, self.renderer.trail
        program["view"].write(matrix)
        corners, strengths = trail.triangles()
        data = np.column_stack([corners.reshape(-1, 3), np.repeat(strengths, 3)]).astype("f4")
        buffer = context.buffer(data)
        array = context.vertex_array(program, buffer, "in_place", "in_strength")
        array.render()
        array.release()
        buffer.release()


class _Mesh:
    """A figure's buffers, and how the passes read them."""

    def __init__(self, renderer: ModernGLRenderer, figure: Skin):
        context, count = renderer.context, len(figure.colors)
        self.figure = figure
        self.buffer = context.buffer(reserve=count * 24, dynamic=True)
        colours = context.buffer(np.ascontiguousarray(figure.colors))
        indices = context.buffer(np.ascontiguousarray(figure.faces, np.int32))
        full = [
            (self.buffer, "3f4 3f4", "in_place", "in_normal"),
            (colours, "3f1", "in_colour"),
        ]
        place = [(self.buffer, "3f4 12x", "in_place")]
        self.solid = context.vertex_array(renderer.solid, full, indices)
        self.light = context.vertex_array(renderer.light, place, indices)
        self.below = context.vertex_array(renderer.below, place, indices)

    def write(self, places: np.ndarray) -> None:
        normals = self.figure.normals(places)
        self.buffer.write(np.concatenate([places, normals], 1).astype("f4"))


class _Box:
    """A box along a direction around places (N, 3) metres, and a square picture of it from there.

    The picture's size goes in steps, so that what is drawn of it does not shimmer as a body moves.
    """

    def __init__(self, places: np.ndarray, forward: np.ndarray, margin: float):
        self.basis = _looking(forward)
        seen = places @ self.basis.T.astype(np.float32)
        low, high = seen.min(0) - margin, seen.max(0) + margin
        self.low, self.high = low, high
        self.half = float(_STEP * np.ceil(0.5 * (high - low)[:2].max() / _STEP))
        scale = 1 / np.array((self.half, self.half, 0.5 * (high - low)[2]))
        self.matrix = np.eye(4)
        self.matrix[:3, :3] = self.basis * scale[:, None]
        self.matrix[:3, 3] = -0.5 * (low + high) * scale

    def footprint(self, height: float) -> np.ndarray:
        """Where the box goes on to meet the floor: corners of a strip, (4, 3)."""
        right, up, forward = self.basis
        sides = ((x, y) for x in (self.low[0], self.high[0]) for y in (self.low[1], self.high[1]))
        corners = np.array([x * right + y * up for x, y in sides])
        return corners + np.outer((height - corners[:, 1]) / forward[1], forward)


class _Map:
    """A square picture of the bodies from one side: two channels with mipmaps, and depth."""

    def __init__(self, context, pixels: int):
        import moderngl

        self.cover = context.texture((pixels, pixels), 2)
        self.cover.filter = moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR
        self.cover.repeat_x = self.cover.repeat_y = False
        self.depth = context.depth_texture((pixels, pixels))
        self.sampler = context.sampler(texture=self.depth, compare_func="<=")
        self.sampler.filter = moderngl.LINEAR, moderngl.LINEAR
        self.frame = context.framebuffer([self.cover], self.depth)
        self.context = context

    def draw(self, program, box: _Box, arrays: list) -> None:
        import moderngl

        self.frame.use()
        self.context.clear()
        self.context.enable_only(moderngl.DEPTH_TEST)
        program["view"].write(_columns(box.matrix))
        for array in arrays:
            array.render()
        self.cover.build_mipmaps()


class _Target:
    """Pixels of one size: drawn with several samples each, then averaged and read."""

    def __init__(self, context, size: tuple[int, int]):
        self.context, self.size = context, size
        samples = min(_SAMPLES, context.max_samples)
        self.samples = context.framebuffer(
            context.renderbuffer(size, 4, samples=samples),
            context.depth_renderbuffer(size, samples=samples),
        )
        self.plain = context.framebuffer(context.renderbuffer(size, 4))

    def clear(self, paper: tuple[float, float, float] | None) -> None:
        self.samples.use()
        self.samples.depth_mask = True
        self.context.clear(*((0.0,) * 4 if paper is None else (*paper, 1.0)))

    def read(self, transparent: bool) -> np.ndarray:
        self.context.copy_framebuffer(self.plain, self.samples)
        count = 4 if transparent else 3
        data = self.plain.read(components=count, alignment=1)
        pixels = np.frombuffer(data, np.uint8).reshape(*self.size[::-1], count)
        return finished(pixels) if transparent else pixels


def _blend(context) -> None:
    """What is drawn next covers what is there by its alpha, colours premultiplied."""
    import moderngl

    context.enable_only(moderngl.DEPTH_TEST | moderngl.BLEND)
    context.blend_func = moderngl.ONE, moderngl.ONE_MINUS_SRC_ALPHA


def _looking(forward: np.ndarray) -> np.ndarray:
    """Orthonormal rows (3, 3), the last along `forward`."""
    if abs(forward[1]) > 0.999:
        return np.array([(1.0, 0, 0), (0, 0, 1.0), forward])
    right = np.cross((0.0, 1.0, 0.0), forward)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward])


def _columns(matrix: np.ndarray) -> bytes:
    return matrix.T.astype("f4").tobytes()
