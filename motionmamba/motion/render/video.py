"""Motions as films, contact sheets and single pictures."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from uuid import uuid4

import numpy as np
from PIL import Image, ImageDraw

from motionmamba.motion.skeleton import humanml3d_joints

from .panel import Clip, Lettering, Panel, make_panels
from .raster import BACKGROUND

_COLUMNS = 4
_GAP = 2
_PAPER = tuple(BACKGROUND.astype(int).tolist())
_CODECS = {
    ".mp4": "libx264 -preset veryfast -crf 19 -movflags +faststart",
    ".webm": "libvpx-vp9 -deadline realtime -cpu-used 6 -crf 28 -b:v 0",
}

# Without the matrix named, players guess by the picture's size; without exact rounding, grey tints.
_COLOURS = "-vf scale=out_color_matrix=bt709:flags=accurate_rnd+full_chroma_int -colorspace bt709"


def render_video(
    motions: Sequence,
    path: str | os.PathLike,
    *,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    caption: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Film of motions side by side, up to four in a row, all seen from the same distance.

    A motion is anything with `joints` (T, 22, 3), or KIT-ML's (T, 21, 3), in metres, Y up, `fps`
    and `prompt`; the shorter ones hold their last frame. The suffix of `path` chooses H.264 (.mp4),
    VP9 (.webm) or .gif. `size` (width, height) of one panel in pixels is rounded up to even
    numbers; None: 720 x 540, or 560 x 640 for several. `fps` of the film; None: that of the first
    motion. `progress(done, total)` is called after each frame. The file appears only once it is
    complete.

    Raises ValueError for no motions, bad joints, another suffix or a path that cannot be written.
    """
    path = _checked_path(path, (*_CODECS, ".gif"))
    clips = _clips(motions)
    size = _checked_size(size or ((720, 540) if len(clips) == 1 else (560, 640)))
    fps = _checked_fps(clips[0].fps if fps is None else fps, "the film's fps")
    clips = [_resampled(clip, fps) for clip in clips]
    total = max(len(clip.joints) for clip in clips)
    with _complete_or_absent(path) as part:
        panels = make_panels(clips, size, caption)
        frames = _counted((_picture(panels, index) for index in range(total)), total, progress)
        if path.suffix.lower() == ".gif":
            samples = [_picture(panels, index) for index in (0, total // 2, total - 1)]
            _write_gif(part, frames, total, fps, _stacked(samples, 0).quantize(256))
        else:
            _write_film(part, frames, fps)
    return path


def render_strip(
    motions: Sequence,
    path: str | os.PathLike,
    *,
    frames: int = 8,
    size: tuple[int, int] = (240, 300),
    caption: bool = True,
) -> Path:
    """Contact sheet (.png): a row for each motion, `frames` moments of it from left to right.

    `size` (width, height) is that of one picture in pixels; `motions` and errors are as for
    `render_video`.
    """
    path = _checked_path(path, (".png",))
    if frames < 1:
        raise ValueError(f"A strip of {frames} frames was asked for; give 1 or more.")
    clips = _clips(motions)
    size = _checked_size(size)
    with _complete_or_absent(path) as part:
        rows = [_row(clip, size, frames, caption) for clip in clips]
        _stacked(rows, 1).save(part)
    return path


def render_frame(
    motion, index: int, *, size: tuple[int, int] = (720, 540), caption: bool = True
) -> Image.Image:
    """One frame of a motion as `render_video` shows it; a negative index counts from the end."""
    clip = _clips([motion])[0]
    count = len(clip.joints)
    if not -count <= index < count:
        raise ValueError(f"Frame {index} was asked for; the motion has {count} frames.")
    return make_panels([clip], _checked_size(size), caption)[0].draw(index % count)


def _picture(panels: list[Panel], index: int) -> Image.Image:
    pictures = [panel.draw(index, legend=panel is panels[-1]) for panel in panels]
    rows = [pictures[i : i + _COLUMNS] for i in range(0, len(pictures), _COLUMNS)]
    return _stacked([_stacked(row, 0) for row in rows], 1)


def _row(clip: Clip, size: tuple[int, int], frames: int, caption: bool) -> Image.Image:
    panel = make_panels([clip], size, captions=False)[0]
    moments = np.linspace(0, len(clip.joints) - 1, frames).round().astype(int).tolist()
    drawn = [panel.draw(index, legend=False) for index in moments[:-1]]
    pictures = _stacked([*drawn, panel.draw(moments[-1])], 0)
    if not caption:
        return pictures
    style = Lettering(round(1.6 * size[1]))
    lines = style.wrap(clip.prompt, pictures.width - 2 * style.margin)
    heading = Image.new("RGB", (pictures.width, style.margin + len(lines) * style.line), _PAPER)
    style.write(ImageDraw.Draw(heading), lines)
    return _stacked([heading, pictures], 1, gap=0)


def _stacked(pictures: list[Image.Image], axis: int, gap: int = _GAP) -> Image.Image:
    """Pictures from left to right (axis 0) or from top to bottom (axis 1), a thin line between."""
    if len(pictures) == 1:
        return pictures[0]
    sizes = np.array([picture.size for picture in pictures])
    starts = np.cumsum(sizes[:, axis] + gap) - sizes[:, axis] - gap
    extent = sizes.max(0)
    extent[axis] = starts[-1] + sizes[-1, axis]
    sheet = Image.new("RGB", tuple(extent.tolist()), "white")
    for picture, start in zip(pictures, starts.tolist(), strict=True):
        sheet.paste(picture, (start, 0) if axis == 0 else (0, start))
    return sheet


def _write_film(path: Path, frames: Iterator[Image.Image], fps: float) -> None:
    import imageio_ffmpeg  # training does without it

    first = next(frames)
    source = f"-f rawvideo -pix_fmt rgb24 -s {first.width}x{first.height} -r {fps:.6g} -i -"
    codec = f"{_COLOURS} -c:v {_CODECS[path.suffix.lower()]} -pix_fmt yuv420p"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", *source.split()]
    encoder = subprocess.Popen(
        [*command, *codec.split(), f"file:{path}"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        # An encoder that gives up says why itself.
        with suppress(BrokenPipeError):
            for frame in chain([first], frames):
                encoder.stdin.write(frame.tobytes())
    except BaseException:
        encoder.kill()
        raise
    finally:
        message = encoder.communicate()[1].decode(errors="replace").strip()
    if encoder.returncode:
        raise RuntimeError(f"ffmpeg could not encode the film: {message}")


def _write_gif(
    path: Path, frames: Iterator[Image.Image], total: int, fps: float, palette: Image.Image
) -> None:
    """Looping GIF; its delays are multiples of 10 ms that add up to the right time."""
    ticks = np.round(np.arange(total + 1) * 100 / fps).astype(int)
    flat = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames)
    durations = np.maximum(10 * np.diff(ticks), 10).tolist()
    options = dict(save_all=True, append_images=flat, duration=durations, loop=0)
    with path.open("wb") as file:
        next(flat).save(file, format="GIF", **options)


def _counted(
    frames: Iterator[Image.Image], total: int, progress: Callable[[int, int], None] | None
) -> Iterator[Image.Image]:
    for done, frame in enumerate(frames, 1):
        yield frame
        if progress is not None:
            progress(done, total)


@contextmanager
def _complete_or_absent(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to, moved onto it on success and removed on failure."""
    part = path.with_name(f".{uuid4().hex}{path.suffix}")
    try:
        part.touch(exist_ok=False)
    except OSError as error:
        raise ValueError(
            f"{path} cannot be written ({error.strerror}); choose a folder that exists and is "
            "writable."
        ) from error
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _clips(motions: Sequence) -> list[Clip]:
    motions = list(motions)
    if not motions:
        raise ValueError("No motions to render were given; give at least one.")
    return [_clip(motion, number) for number, motion in enumerate(motions, 1)]


def _clip(motion, number: int) -> Clip:
    joints = humanml3d_joints(np.asarray(motion.joints, np.float64))
    if joints.ndim != 3 or joints.shape[1:] != (22, 3) or not len(joints):
        raise ValueError(
            f"Motion {number} has joints of shape {joints.shape}; give (T, 22, 3) with T of 1 or "
            "more."
        )
    broken = np.count_nonzero(~np.isfinite(joints).all((1, 2)))
    if broken:
        raise ValueError(
            f"Motion {number} has joints that are not finite in {broken} of {len(joints)} frames; "
            "give finite positions in metres."
        )
    return Clip(joints, _checked_fps(motion.fps, f"motion {number}'s fps"), motion.prompt or "")


def _resampled(clip: Clip, fps: float) -> Clip:
    """The clip at another frame rate, joints interpolated linearly."""
    if fps == clip.fps:
        return clip
    last = len(clip.joints) - 1
    moments = np.arange(int(last / clip.fps * fps + 1e-6) + 1) * clip.fps / fps
    before = np.minimum(moments.astype(int), last)
    after = np.minimum(before + 1, last)
    share = (moments - before)[:, None, None]
    return Clip((1 - share) * clip.joints[before] + share * clip.joints[after], fps, clip.prompt)


def _checked_fps(fps: float, what: str) -> float:
    if not 0 < fps < float("inf"):
        raise ValueError(f"{what} is {fps}; give a positive number of frames per second.")
    return float(fps)


def _checked_path(path: str | os.PathLike, suffixes: Sequence[str]) -> Path:
    path = Path(path)
    if path.suffix.lower() not in suffixes or path.is_dir():
        raise ValueError(f"{path} is no file name that ends in {' or '.join(suffixes)}; give one.")
    return path


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    width, height = size
    if min(width, height) < 64:
        raise ValueError(f"A picture of {width} x {height} pixels was asked for; give 64 or more.")
    return width + width % 2, height + height % 2
