"""Frames to files: H.264, VP9 and GIF films and numbered PNGs, each complete or absent."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from uuid import uuid4

import numpy as np
from PIL import Image

_CODECS = {
    ".mp4": "libx264 -preset veryfast -crf 19 -movflags +faststart",
    ".webm": "libvpx-vp9 -deadline realtime -cpu-used 6 -crf 28 -b:v 0",
}
FILMS = (*_CODECS, ".gif")
_CLEAR = (".webm", ".png")
# Without the matrix named, players guess by the picture's size; without exact rounding, grey tints.
_COLOURS = "-vf scale=out_color_matrix=bt709:flags=accurate_rnd+full_chroma_int -colorspace bt709"


def check_path(path: str | os.PathLike, suffixes: Sequence[str], transparent: bool) -> Path:
    """`path` as a Path; ValueError where it cannot hold what is asked for."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in suffixes or path.is_dir():
        raise ValueError(f"{path} is no file name that ends in {' or '.join(suffixes)}; give one.")
    if transparent and suffix not in _CLEAR:
        raise ValueError(
            f"{path} cannot be transparent, as {suffix} has no such films; give a name that ends "
            "in .webm, or numbered pictures such as frames/%04d.png."
        )
    return path


def is_numbered(path: str | os.PathLike) -> bool:
    """Whether `path` stands for a picture per frame, as frames/%04d.png does."""
    path = Path(path)
    return path.suffix.lower() == ".png" and bool(re.fullmatch(r"[^%]*%\d*d[^%]*", path.name))


def find_ffmpeg() -> str:
    """The program that encodes films; ValueError where there is none."""
    import imageio_ffmpeg  # training does without it

    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise ValueError(
            "Films need ffmpeg, which was not found; `pip install imageio-ffmpeg` brings it, or "
            "give a path that ends in .gif."
        ) from error


def write_film(path: Path, frames: Iterator[Image.Image], fps: float) -> None:
    """The encoder works beside the drawing, so that no more than a frame is held."""
    first = next(frames)
    clear = first.mode == "RGBA"
    pixels = "rgba" if clear else "rgb24"
    source = f"-f rawvideo -pix_fmt {pixels} -s {first.width}x{first.height} -r {fps:.6g} -i -"
    codec = f"{_COLOURS} -c:v {_CODECS[path.suffix.lower()]}"
    codec += " -pix_fmt yuva420p -auto-alt-ref 0" if clear else " -pix_fmt yuv420p"
    command = [find_ffmpeg(), "-y", "-v", "error", *source.split()]
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


def write_gif(
    path: Path, frames: Iterator[Image.Image], total: int, fps: float, palette: Image.Image
) -> None:
    """Looping GIF; its delays are multiples of 10 ms that add up to the right time."""
    ticks = np.round(np.arange(total + 1) * 100 / fps).astype(int)
    flat = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames)
    durations = np.maximum(10 * np.diff(ticks), 10).tolist()
    options = dict(save_all=True, append_images=flat, duration=durations, loop=0)
    with path.open("wb") as file:
        next(flat).save(file, format="GIF", **options)


@contextmanager
def complete_or_absent(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to, moved onto it on success and removed on failure."""
    part = path.with_name(f".{uuid4().hex}{path.suffix}")
    try:
        part.touch(exist_ok=False)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` to write to, which takes its name on success and goes on failure.

    Raises ValueError where there is a folder of that name with files in it already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty; give numbered pictures a folder of their own.")
    part = folder.with_name(f".{uuid4().hex}")
    try:
        part.mkdir()
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        yield part
        os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _unwritable(path: Path, error: OSError) -> ValueError:
    return ValueError(
        f"{path} cannot be written ({error.strerror}); choose a folder that exists and is writable."
    )
