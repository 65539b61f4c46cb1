"""One motion in its own rectangle: the scene, a caption above it, a clock and a legend below."""

from __future__ import annotations

import dataclasses
from bisect import bisect_right

from PIL import Image, ImageDraw, ImageFont

from .backends import Renderer
from .bodies import Pose, Skin
from .camera import View, shoot
from .clips import Clip
from .figure import LEFT_COLOUR, RIGHT_COLOUR
from .trail import Path

_INK, _FAINT_INK = (44, 46, 56), (120, 122, 132)
_CAPTION_LINES = 3


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
    """Draws any frame of one clip on a picture of the view's size."""

    def __init__(
        self, clip: Clip, view: View, renderer: Renderer, lettering: Lettering, lines: list[str]
    ):
        self.clip, self.view, self.camera, self.size = clip, view, view.camera, view.size
        self.lettering, self.lines = lettering, lines
        self._stage = renderer.stage(view)
        self._path = Path(clip.joints[:, 0, [0, 2]], view.floor, clip.fps)

    def draw(self, frame: int, legend: bool = True) -> Image.Image:
        """One frame; frames after the last repeat it."""
        frame = min(frame, len(self.clip.joints) - 1)
        trail = self._path.until(frame) if self.camera.moves else None
        image = Image.fromarray(self._stage.draw(frame, [Pose(self.clip.figure, frame)], trail))
        self._write(ImageDraw.Draw(image), frame / self.clip.fps, legend)
        return image

    def _write(self, draw: ImageDraw.ImageDraw, seconds: float, legend: bool) -> None:
        style = self.lettering
        style.write(draw, self.lines)
        bottom = self.size[1] - style.margin // 2 - style.small_line
        draw.text((style.margin, bottom), f"{seconds:.1f} s", fill=_FAINT_INK, font=style.small)
        if legend and not isinstance(self.clip.figure, Skin):
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


def make_panels(
    clips: list[Clip],
    size: tuple[int, int],
    renderer: Renderer,
    captions: bool = True,
    transparent: bool = False,
) -> list[Panel]:
    """A panel for each clip, all seen from the same distance."""
    lettering = Lettering(size[1])
    margin = lettering.margin
    lines = [
        lettering.wrap(clip.prompt, size[0] - 2 * margin) if captions else [] for clip in clips
    ]
    top = margin + lettering.line * max(map(len, lines))
    safe = (margin, top, size[0] - margin, size[1] - margin - lettering.small_line)
    cameras = [shoot(clip.joints, clip.figure, clip.fps, size, safe) for clip in clips]
    distance = max(camera.distance for camera in cameras)
    panels = []
    for clip, camera, text in zip(clips, cameras, lines, strict=True):
        camera = dataclasses.replace(camera, distance=distance)
        view = View(camera, size, clip.figure.floor, transparent)
        panels.append(Panel(clip, view, renderer, lettering, text))
    return panels


def _font(size: float) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which knows many alphabets, where it is installed, or else Pillow's own."""
    try:
        return ImageFont.truetype("DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default(size)
