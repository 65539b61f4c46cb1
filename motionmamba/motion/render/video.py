"""Motions as films, contact sheets and single pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from .backends import Renderer, open_renderer
from .clips import Clip, check_fps, check_motions, make_clips
from .panel import Lettering, Panel, make_panels
from .raster import BACKGROUND
from .writers import (
    FILMS,
    check_path,
    complete_or_absent,
    find_ffmpeg,
    is_numbered,
    new_folder,
    write_film,
    write_gif,
)

if TYPE_CHECKING:
    from motionmamba.motion.body import Body

_COLUMNS = 4
_GAP = 2
_PAPER = tuple(BACKGROUND.astype(int).tolist())


def render_video(
    motions: Sequence,
    path: str | os.PathLike,
    *,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    caption: bool = True,
    progress: Callable[[int, int], None] | None = None,
    body: str = "smpl",
    model: Body | None = None,
    renderer: str = "auto",
    transparent: bool = False,
) -> Path:
    """Film of motions side by side, up to four in a row, all seen from the same distance.

    A motion is a BodyMotion or anything with `joints` (T, 22, 3), or KIT-ML's (T, 21, 3), in
    metres, Y up, `fps` and `prompt`; the shorter ones hold their last frame. The file, or the
    folder of numbered pictures, appears only once it is complete.

    Args:
        path: its suffix chooses H.264 (.mp4), VP9 (.webm) or .gif; a name such as
            frames/%04d.png stands for a picture per frame, from 0, in a new folder.
        size: (width, height) of one panel in pixels, rounded up to even numbers; None: 720 x 540,
            or 560 x 640 for several.
        fps: that of the film; None: that of the first motion.
        progress: called with (done, total) after each frame.
        body: "smpl" draws a human, fitted to what is not a BodyMotion; "skeleton" a mannequin with
            the left side orange and the right one blue.
        model: the human; None: the one shipped with this package.
        renderer: "moderngl", "pyrender", "software", which draws mannequins in any case, or "auto",
            the first of them that works here.
        transparent: leave out all but bodies, shadows, trails and writing; .webm and .png only.

    Raises:
        ValueError: for no motions, bad joints, another suffix, a path that cannot be written, a
            renderer that cannot run here, or no ffmpeg.
    """
    numbered = is_numbered(path)
    path = check_path(path, (".png",) if numbered else FILMS, transparent)
    motions = check_motions(motions)
    size = checked_size(size or ((720, 540) if len(motions) == 1 else (560, 640)))
    fps = check_fps(motions[0].fps if fps is None else fps, "the film's fps")
    if path.suffix.lower() in (".mp4", ".webm"):
        find_ffmpeg()
    place = new_folder(path.parent) if numbered else complete_or_absent(path)
    with place as part, closing(open_renderer(renderer, body)) as drawing:
        clips = make_clips(motions, drawing.draws_skins, model, fps)
        total = max(len(clip.joints) for clip in clips)
        panels = make_panels(clips, size, drawing, caption, transparent)
        frames = _counted((_picture(panels, index) for index in range(total)), total, progress)
        if numbered:
            for index, frame in enumerate(frames):
                frame.save(part / (path.name % index), compress_level=4)
        elif path.suffix.lower() == ".gif":
            samples = [_picture(panels, index) for index in (0, total // 2, total - 1)]
            write_gif(part, frames, total, fps, _stacked(samples, 0).quantize(256))
        else:
            write_film(part, frames, fps)
    return path


def render_strip(
    motions: Sequence,
    path: str | os.PathLike,
    *,
    frames: int = 8,
    size: tuple[int, int] = (240, 300),
    caption: bool = True,
    body: str = "smpl",
    model: Body | None = None,
    renderer: str = "auto",
    transparent: bool = False,
) -> Path:
    """Contact sheet (.png): a row for each motion, `frames` moments of it from left to right.

    `size` (width, height) is that of one picture in pixels; the rest and errors are as for
    `render_video`.
    """
    path = check_path(path, (".png",), transparent)
    if frames < 1:
        raise ValueError(f"A strip of {frames} frames was asked for; give 1 or more.")
    motions = check_motions(motions)
    size = checked_size(size)
    with complete_or_absent(path) as part, closing(open_renderer(renderer, body)) as drawing:
        clips = make_clips(motions, drawing.draws_skins, model)
        rows = [_row(clip, size, frames, caption, drawing, transparent) for clip in clips]
        _stacked(rows, 1).save(part)
    return path


def render_frame(
    motion,
    index: int,
    *,
    size: tuple[int, int] = (720, 540),
    caption: bool = True,
    body: str = "smpl",
    model: Body | None = None,
    renderer: str = "auto",
    transparent: bool = False,
) -> Image.Image:
    """One frame of a motion as `render_video` shows it; a negative index counts from the end."""
    count = len(check_motions([motion])[0].joints)
    if not -count <= index < count:
        raise ValueError(f"Frame {index} was asked for; the motion has {count} frames.")
    size = checked_size(size)
    with closing(open_renderer(renderer, body)) as drawing:
        clips = make_clips([motion], drawing.draws_skins, model)
        return make_panels(clips, size, drawing, caption, transparent)[0].draw(index % count)


def _picture(panels: list[Panel], index: int) -> Image.Image:
    pictures = [panel.draw(index, legend=panel is panels[-1]) for panel in panels]
    rows = [pictures[i : i + _COLUMNS] for i in range(0, len(pictures), _COLUMNS)]
    return _stacked([_stacked(row, 0) for row in rows], 1)


def _row(
    clip: Clip,
    size: tuple[int, int],
    frames: int,
    caption: bool,
    renderer: Renderer,
    transparent: bool,
) -> Image.Image:
    panel = make_panels([clip], size, renderer, captions=False, transparent=transparent)[0]
    moments = np.linspace(0, len(clip.joints) - 1, frames).round().astype(int).tolist()
    drawn = [panel.draw(index, legend=False) for index in moments[:-1]]
    pictures = _stacked([*drawn, panel.draw(moments[-1])], 0)
    return with_heading(pictures, clip.prompt, round(1.6 * size[1])) if caption else pictures


def with_heading(picture: Image.Image, text: str, height: int) -> Image.Image:
    """The picture with `text` above it, lettered as in a picture of `height` pixels."""
    style = Lettering(height)
    lines = style.wrap(text, picture.width - 2 * style.margin)
    paper = (0, 0, 0, 0) if picture.mode == "RGBA" else _PAPER
    size = picture.width, style.margin + len(lines) * style.line
    heading = Image.new(picture.mode, size, paper)
    style.write(ImageDraw.Draw(heading), lines)
    return _stacked([heading, picture], 1, gap=0)


def _stacked(pictures: list[Image.Image], axis: int, gap: int = _GAP) -> Image.Image:
    """Pictures from left to right (axis 0) or from top to bottom (axis 1), a thin line between."""
    if len(pictures) == 1:
        return pictures[0]
    sizes = np.array([picture.size for picture in pictures])
    starts = np.cumsum(sizes[:, axis] + gap) - sizes[:, axis] - gap
    extent = sizes.max(0)
    extent[axis] = starts[-1] + sizes[-1, axis]
    mode = pictures[0].mode
    sheet = Image.new(mode, tuple(extent.tolist()), (0, 0, 0, 0) if mode == "RGBA" else "white")
    for picture, start in zip(pictures, starts.tolist(), strict=True):
        sheet.paste(picture, (start, 0) if axis == 0 else (0, start))
    return sheet


def _counted(
    frames: Iterator[Image.Image], total: int, progress: Callable[[int, int], None] | None
) -> Iterator[Image.Image]:
    for done, frame in enumerate(frames, 1):
        yield frame
        if progress is not None:
            progress(done, total)


def checked_size(size: tuple[int, int]) -> tuple[int, int]:
    width, height = size
    if min(width, height) < 64:
        raise ValueError(f"A picture of {width} x {height} pixels was asked for; give 64 or more.")
    return width + width % 2, height + height % 2
