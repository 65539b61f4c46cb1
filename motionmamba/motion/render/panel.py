"""One motion in its own rectangle: the scene, a caption above it, a clock and a legend below."""

from __future__ import annotations

import dataclasses
from bisect import bisect_right

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .camera import Camera, shoot
from .figure import LEFT_COLOUR, RIGHT_COLOUR, Solids, mannequin
from .raster import Floor, draw_shadow, draw_solids, draw_trail, shadow_outlines

_INK, _FAINT_INK = (44, 46, 56), (120, 122, 132)
_CAPTION_LINES = 3


@dataclasses.dataclass(frozen=True)
class Clip:
    """A motion to draw: joints (T, 22, 3) in metres, frames per second, and its caption."""

    joints: np.ndarray
    fps: float
    prompt: str


class Lettering:
    """Fonts and margins, in pixels, for a picture of the given height."""

    def __init__(self, height: int):
        self.margin = max(8, height // 36)
        self.caption, self.small = _font(max(13, height / 28)), _font(max(11, height / 40))
        self.line, self.small_line = round(self.caption.size * 1.3), round(self.small.size * 1.3)

    def wrap(self, text: str, width: int) -> list[str]:
        """`text` as caption lines no wider than `width`, cut short with an ellipsis."""
        rest = " ".join(text.encode("utf-8", "replace").decode().split())
        lines = []
        while rest and len(lines) < _CAPTION_LINES:
            end = self._fitting(rest, width)
            if end < len(rest):
                if len(lines) == _CAPTION_LINES - 1:
                    return [*lines, rest[: self._fitting(rest, width, "…")].rstrip() + "…"]
                end = max(rest.rfind(" ", 0, end + 1), 0) or end
            lines.append(rest[:end])
            rest = rest[end:].lstrip()
        return lines

    def write(self, draw: ImageDraw.ImageDraw, lines: list[str]) -> None:
        """Write caption lines from the upper left corner down."""
        for row, line in enumerate(lines):
            place = (self.margin, self.margin // 2 + row * self.line)
            draw.text(place, line, fill=_INK, font=self.caption)

    def _fitting(self, text: str, width: int, ending: str = "") -> int:
        """How many leading characters of `text` fit, at least one."""
        counts = range(1, min(len(text), width) + 1)
        fits = bisect_right(counts, width, key=lambda n: self.caption.getlength(text[:n] + ending))
        return max(fits, 1)


class Panel:
    """Draws any frame of one clip on a picture of `size` pixels (width, height)."""

    def __init__(
        self,
        clip: Clip,
        solids: Solids,
        camera: Camera,
        size: tuple[int, int],
        lettering: Lettering,
        lines: list[str],
    ):
        self.clip, self.solids, self.camera, self.size = clip, solids, camera, size
        self.lettering, self.lines = lettering, lines
        self._floor = Floor(camera, size, solids.floor)
        self._shadows = shadow_outlines(solids, camera)
        self._trail = clip.joints[:, 0] * (1, 0, 1) + (0, solids.floor, 0)

    def draw(self, frame: int, legend: bool = True) -> Image.Image:
        """One frame; frames after the last repeat it."""
        frame = min(frame, len(self.clip.joints) - 1)
        picture = self._floor.draw(frame)
        if self.camera.moves:
            draw_trail(picture, self._trail[: frame + 1], self.clip.fps, self.camera, frame)
        draw_shadow(picture, self._shadows[frame], self.camera, frame)
        draw_solids(picture, self.solids, self.camera, frame)
        image = Image.fromarray((picture + 0.5).astype(np.uint8))
        self._write(ImageDraw.Draw(image), frame / self.clip.fps, legend)
        return image

    def _write(self, draw: ImageDraw.ImageDraw, seconds: float, legend: bool) -> None:
        style = self.lettering
        style.write(draw, self.lines)
        bottom = self.size[1] - style.margin // 2 - style.small_line
        draw.text((style.margin, bottom), f"{seconds:.1f} s", fill=_FAINT_INK, font=style.small)
        if legend:
            self._write_legend(draw, bottom)

    def _write_legend(self, draw: ImageDraw.ImageDraw, top: int) -> None:
        style = self.lettering
        right = self.size[0] - style.margin
        dot = style.small.size * 0.7
        middle = top + style.small.size * 0.58
        for label, colour in (("right", RIGHT_COLOUR), ("left", LEFT_COLOUR)):
            right -= style.small.getlength(label)
            draw.text((right, top), label, fill=_FAINT_INK, font=style.small)
            right -= 1.5 * dot
            draw.ellipse((right, middle - dot / 2, right + dot, middle + dot / 2), fill=colour)
            right -= 1.2 * dot


def make_panels(clips: list[Clip], size: tuple[int, int], captions: bool = True) -> list[Panel]:
    """A panel for each clip, all seen from the same distance."""
    lettering = Lettering(size[1])
    margin = lettering.margin
    lines = [
        lettering.wrap(clip.prompt, size[0] - 2 * margin) if captions else [] for clip in clips
    ]
    top = margin + lettering.line * max(map(len, lines))
    safe = (margin, top, size[0] - margin, size[1] - margin - lettering.small_line)
    solids = [mannequin(clip.joints) for clip in clips]
    cameras = [
        shoot(clip.joints, body, clip.fps, size, safe)
        for clip, body in zip(clips, solids, strict=True)
    ]
    distance = max(camera.distance for camera in cameras)
    return [
        Panel(clip, body, dataclasses.replace(camera, distance=distance), size, lettering, text)
        for clip, body, camera, text in zip(clips, solids, cameras, lines, strict=True)
    ]


def _font(size: float) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which knows many alphabets, where it is installed, or else Pillow's own."""
    try:
        return ImageFont.truetype("DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default(size)
