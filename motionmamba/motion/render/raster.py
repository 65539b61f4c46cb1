"""Drawing one frame with numpy: a fading checkered floor, soft shadows and smoothly lit solids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .camera import Camera, View
from .figure import PALETTE, Solids
from .trail import Trail

BACKGROUND = np.array((247, 246, 243), np.float32)
# Towards the light, along the camera's right, up and forward: upper left, behind the viewer.
LIGHT = np.array((-0.42, 0.86, -0.3)) / np.linalg.norm((-0.42, 0.86, -0.3))
# Side of a floor tile in metres, darkness of both kinds, and metres until the floor fades away.
TILE, TILES, FADE = 0.5, (0.075, 0.135), 6.5
SHADOW = 0.42
# A trail that comes nearer to the camera than this, in metres, is not drawn.
_NEAR = 0.5
_SUPERSAMPLING = 2
# Solids of one colour flow into each other over this depth, in metres.
_SEAM = 0.05


class Floor:
    """The ground at `height` metres as `camera` sees it on `size` pixels (width, height)."""

    def __init__(self, camera: Camera, size: tuple[int, int], height: float):
        self.camera, self.size = camera, size
        columns, rows = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
        right = ((columns - camera.centre[0]) / camera.focal)[None, :, None]
        up = (-(rows - camera.centre[1]) / camera.focal)[:, None, None]
        rays = right * camera.basis[0] + up * camera.basis[1] + camera.basis[2]
        self.horizon = int(np.count_nonzero(rays[:, 0, 1] > -0.02))
        rays = rays[self.horizon :].astype(np.float32)
        rays *= (camera.position(0)[1] - height) / -rays[..., 1:2]
        beyond = np.hypot(rays[..., 0], rays[..., 2]) - camera.distance
        strength = np.exp(-(np.maximum(beyond / FADE + 0.25, 0) ** 2))
        # The camera only ever shifts, so these are the ground's coordinates up to that shift.
        self.x, self.z = rays[..., 0] / TILE, rays[..., 2] / TILE
        slopes = [np.abs(np.gradient(axis)).max(0) for axis in (self.x, self.z)]
        self.pixels_per_tile = 1 / np.maximum(*slopes)
        self.tone = np.float32(0.5 * sum(TILES)) * strength
        self.contrast = 0.5 * (TILES[1] - TILES[0]) * strength
        self.contrast *= np.clip(self.pixels_per_tile - 1, 0, 1)

    def draw(self, frame: int) -> np.ndarray:
        """The empty scene, (height, width, 3) float32."""
        shift = self.camera.position(frame) / TILE % 2
        checks = self._stripes(self.x + np.float32(shift[0]))
        checks *= self._stripes(self.z + np.float32(shift[2]))
        picture = np.empty((self.size[1], self.size[0], 3), np.float32)
        picture[: self.horizon] = BACKGROUND
        tone = 1 - self.tone - self.contrast * checks
        np.multiply(tone[..., None], BACKGROUND, out=picture[self.horizon :])
        return picture

    def _stripes(self, position: np.ndarray) -> np.ndarray:
        """Square wave of period 2 between -1 and 1, its edges one pixel soft."""
        position -= 2 * np.floor(0.5 * position)
        return np.clip(2 * (0.5 - np.abs(position - 1)) * self.pixels_per_tile, -1, 1)


def empty_scene(view: View, floor: Floor | None, frame: int) -> np.ndarray:
    """(height, width, 3) float32 with a floor, or (height, width, 4) that is clear without."""
    if floor is not None:
        return floor.draw(frame)
    return np.zeros((*view.size[::-1], 4), np.float32)


def draw_trail(picture: np.ndarray, trail: Trail, camera: Camera, frame: int) -> None:
    """Darken the way so far on the floor."""
    scale = _SUPERSAMPLING
    mask = Image.new("L", (picture.shape[1] * scale, picture.shape[0] * scale))
    draw = ImageDraw.Draw(mask)
    pixels, depth = camera.project(trail.polygons, frame)
    seen = np.flatnonzero(depth.min(1) > _NEAR)
    for polygon, strength in zip(pixels[seen] * scale, trail.strengths[seen], strict=True):
        draw.polygon(polygon.ravel().tolist(), fill=round(255 * strength))
    darken(picture, mask.reduce(scale), 1.0)


def shadow_outlines(solids: Solids, camera: Camera) -> np.ndarray:
    """Shadow of each solid on the floor as a convex polygon, (T, P + E, K, 3) in metres."""
    light = LIGHT @ camera.basis
    to_floor = np.array([[1, 0], [-light[0] / light[1], -light[2] / light[1]], [0, 1]])
    angle = np.linspace(0, np.pi, 9)
    half_circle = np.stack([np.cos(angle), np.sin(angle)], -1)

    ends = (solids.ends - (0, solids.floor, 0)) @ to_floor
    along = ends[..., 1, :] - ends[..., 0, :]
    along /= np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
    arc = half_circle @ np.stack([along[..., ::-1] * (1, -1), along], -2)
    radii = solids.radii[:, :, None, None]
    first = ends[..., 0, None, :] - radii[:, 0] * arc
    second = ends[..., 1, None, :] + radii[:, 1] * arc

    circle = np.concatenate([half_circle, -half_circle])
    axes = solids.axes @ to_floor
    ellipse = circle @ np.swapaxes(np.linalg.cholesky(np.swapaxes(axes, -1, -2) @ axes), -1, -2)
    centres = (solids.centres - (0, solids.floor, 0)) @ to_floor

    capsules = np.concatenate([first, second], -2)
    outlines = np.concatenate([capsules, centres[..., None, :] + ellipse], 1)
    return np.insert(outlines, 1, solids.floor, axis=-1)


def draw_shadow(picture: np.ndarray, outlines: np.ndarray, camera: Camera, frame: int) -> None:
    """Darken `picture` by one frame's shadow outlines (N, K, 3)."""
    mask = Image.new("L", picture.shape[1::-1])
    draw = ImageDraw.Draw(mask)
    for polygon in camera.project(outlines, frame)[0]:
        draw.polygon(polygon.ravel().tolist(), fill=255)
    darken(picture, mask, SHADOW, blur=picture.shape[0] / 160)


def draw_solids(
    picture: np.ndarray, solids: Solids, camera: Camera, frame: int, fade: float = 0.0
) -> None:
    """Draw the solids of one frame over `picture`, hidden parts removed pixel by pixel.

    Their colours are `fade` of the way to the background's.
    """
    canvas = _Canvas(solids, camera, frame, picture.shape[1::-1])
    if canvas.depth.size:
        canvas.blend(picture, (1 - fade) * PALETTE + fade * BACKGROUND)


def darken(picture: np.ndarray, mask: Image.Image, strength: float, blur: float = 0) -> None:
    """Lay black over `picture` where `mask`, softened by `blur` pixels, is white."""
    box = mask.getbbox()
    if box is None:
        return
    edge = int(3 * blur)
    left, top = max(box[0] - edge, 0), max(box[1] - edge, 0)
    right, bottom = min(box[2] + edge, mask.width), min(box[3] + edge, mask.height)
    cover = mask.crop((left, top, right, bottom)).filter(ImageFilter.GaussianBlur(blur))
    cover = np.asarray(cover, np.float32) * np.float32(strength / 255)
    window = picture[top:bottom, left:right]
    window *= (1 - cover)[..., None]
    window[..., 3:] += 255 * cover[..., None]


class _Canvas:
    """Depth, normal and tone of every supersampled pixel around one figure.

    Points are held as x, y and depth in pixels, each solid scaled by its own distance: the
    perspective stays, yet rays of sight are parallel, which makes the intersections simple.
    """

    def __init__(self, solids: Solids, camera: Camera, frame: int, size: tuple[int, int]):
        self.focal = camera.focal * _SUPERSAMPLING
        self.unit = self.focal / camera.distance
        ends, end_scales = self._in_pixels(solids.ends[0], camera, frame)
        centres, centre_scales = self._in_pixels(solids.centres[0], camera, frame)
        radii = solids.radii * end_scales
        axes = solids.axes[0] @ camera.basis.T * (1, -1, 1) * centre_scales[:, None, None]

        pad, extent = radii[..., None], np.sqrt((axes**2).sum(1))[:, :2]
        low = np.concatenate([(ends[..., :2] - pad).min(1), centres[:, :2] - extent])
        high = np.concatenate([(ends[..., :2] + pad).max(1), centres[:, :2] + extent])
        boxes = np.stack([np.floor(low), np.ceil(high)], 1)
        boxes = np.clip(boxes, 0, np.array(size) * _SUPERSAMPLING).astype(int)
        self.low = boxes[:, 0].min(0) // _SUPERSAMPLING * _SUPERSAMPLING
        high = -(-boxes[:, 1].max(0) // _SUPERSAMPLING) * _SUPERSAMPLING

        shape = tuple((high - self.low)[::-1])
        self.depth = np.full(shape, np.inf, np.float32)
        self.normal = np.zeros((3, *shape), np.float32)
        self.tone = np.zeros(shape, np.int8)
        for solid in zip(boxes, ends, radii, solids.capsule_tones, strict=False):
            self._capsule(*solid)
        for solid in zip(boxes[len(ends) :], centres, axes, solids.ellipsoid_tones, strict=True):
            self._ellipsoid(*solid)

    def _in_pixels(
        self, points: np.ndarray, camera: Camera, frame: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Points (..., 3) in pixels and the pixels (...) that a metre measures there."""
        pixels, depth = camera.project(points, frame)
        depth_in_pixels = (depth - camera.distance) * self.unit
        points = np.concatenate([pixels * _SUPERSAMPLING, depth_in_pixels[..., None]], -1)
        return points, self.focal / depth

    def _capsule(self, box: np.ndarray, ends: np.ndarray, radii: np.ndarray, tone: int) -> None:
        """Hull of two balls: along each ray the nearest of the balls (1 - s) a + s b, 0 <= s <= 1.

        A ball's front is convex in s, so that its unbounded minimum may be clipped to 0..1.
        """
        x, y = _offsets(box, ends[0])
        dx, dy, dz = (ends[1] - ends[0]).tolist()
        radius, growth = float(radii[0]), float(radii[1] - radii[0])
        # Seen along the axis one ball covers the other and there is no hull: taper it less.
        limit = 0.95 * np.hypot(dx, dy)
        growth = min(max(growth, -limit), limit)
        # The squared half thickness of ball s along the ray is a s^2 + 2 b s + c.
        a = min(growth**2 - dx**2 - dy**2, -1e-3)
        b = radius * growth + dx * x + dy * y
        c = radius**2 - x**2 - y**2
        widest = np.maximum(c - b * b / a, 0)
        s = np.clip(dz / a * np.sqrt(a / (a - dz * dz) * widest) - b / a, 0, 1)
        square = c + s * (2 * b + a * s)
        rise = np.sqrt(np.maximum(square, 0))
        scale = 1 / (radius + s * growth)
        normal = (x - s * dx) * scale, (y - s * dy) * scale, -rise * scale
        self._write(box, square > 0, ends[0, 2] + s * dz - rise, normal, tone)

    def _ellipsoid(self, box: np.ndarray, centre: np.ndarray, axes: np.ndarray, tone: int) -> None:
        """Points p with p M p = 1, M being the inverse of the sum of the axes' outer products."""
        x, y = _offsets(box, centre)
        m = np.linalg.inv(axes.T @ axes).astype(np.float32)
        half = (m[0, 2] * x + m[1, 2] * y) / m[2, 2]
        rest = (m[0, 0] * x * x + 2 * m[0, 1] * x * y + m[1, 1] * y * y - 1) / m[2, 2]
        square = half * half - rest
        z = -half - np.sqrt(np.maximum(square, 0))
        normal = [m[row, 0] * x + m[row, 1] * y + m[row, 2] * z for row in range(3)]
        scale = 1 / np.sqrt(sum(part * part for part in normal))
        self._write(box, square > 0, centre[2] + z, [part * scale for part in normal], tone)

    def _write(
        self,
        box: np.ndarray,
        inside: np.ndarray,
        depth: np.ndarray,
        normal: Sequence[np.ndarray],
        tone: int,
    ) -> None:
        """Keep what is nearer; where surfaces of one tone all but meet, mix their normals."""
        (left, top), (right, bottom) = box - self.low
        window = np.s_[top:bottom, left:right]
        lead = (self.depth[window] - depth) / (_SEAM * self.unit)
        nearer = inside & (lead > 0)
        meeting = inside & (np.abs(lead) < 1) & (self.tone[window] == tone)
        share = 0.5 + 0.5 * lead[meeting]
        for kept, new in zip(self.normal, normal, strict=True):
            mixed = share * new[meeting] + (1 - share) * kept[window][meeting]
            np.copyto(kept[window], new, where=nearer)
            kept[window][meeting] = mixed
        np.copyto(self.depth[window], depth, where=nearer)
        self.tone[window][nearer] = tone

    def blend(self, picture: np.ndarray, palette: np.ndarray) -> None:
        """Light the pixels, average them to the picture's resolution and lay them over it."""
        covered = np.flatnonzero(np.isfinite(self.depth))
        normal = self.normal.reshape(3, -1).take(covered, 1)
        normal /= np.sqrt((normal**2).sum(0))
        lambert = np.tensordot((LIGHT * (1, -1, 1)).astype(np.float32), normal, 1)
        light = 0.6 + 0.55 * (0.5 + 0.5 * lambert) ** 2
        light *= (1 - 0.35 * (1 + normal[2]) ** 3) * self._openness(covered)
        gleam = 26 * np.maximum(lambert, 0) ** 8
        colour = palette.take(self.tone.ravel()[covered], 0) * light[:, None] + gleam[:, None]

        layer = np.zeros((*self.depth.shape, 4), np.float32)
        layer.reshape(-1, 4)[covered, :3] = np.minimum(colour, 255)
        layer.reshape(-1, 4)[covered, 3] = 255
        step = _SUPERSAMPLING
        layer = sum(layer[i::step, j::step] for i in range(step) for j in range(step)) / step**2
        left, top = self.low // step
        window = picture[top : top + layer.shape[0], left : left + layer.shape[1]]
        window *= 1 - layer[..., 3:] / 255
        window += layer[..., : window.shape[-1]]

    def _openness(self, covered: np.ndarray) -> np.ndarray:
        """Less than 1 on what lies behind its neighbourhood, so that limbs stand off the body."""
        levels_per_metre = 180
        levels = np.full(self.depth.size, 255, np.uint8)
        heights = 128 + levels_per_metre / self.unit * self.depth.ravel()[covered]
        levels[covered] = np.clip(heights, 0, 255)
        image = Image.fromarray(levels.reshape(self.depth.shape))
        blurred = np.asarray(image.filter(ImageFilter.BoxBlur(0.045 * self.unit))).ravel()
        behind = (levels[covered].astype(np.float32) - blurred[covered]) / levels_per_metre
        return 1 - 0.4 * np.clip(behind / 0.1, 0, 1)


def _offsets(box: np.ndarray, origin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres of the pixels in `box` as seen from `origin`: a row of x and a column of y."""
    (left, top), (right, bottom) = box
    x = np.arange(left, right, dtype=np.float32) + np.float32(0.5 - origin[0])
    y = np.arange(top, bottom, dtype=np.float32) + np.float32(0.5 - origin[1])
    return x[None, :], y[:, None]
