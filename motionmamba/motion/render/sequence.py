"""The picture that papers show: key frames of one motion side by side in one scene."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from .backends import open_renderer
from .bodies import Pose
from .camera import View, survey, three_quarter_heading
from .clips import Clip, check_motions, make_clips
from .panel import Lettering
from .trail import Path
from .video import checked_size, with_heading
from .writers import check_path, complete_or_absent

if TYPE_CHECKING:
    from motionmamba.motion.body import Body

# How much paler than the last body the first one is.
_FADE = 0.62
# Bodies are set apart where their places are nearer to each other than this, in metres.
_NEAR, _GAP = 0.4, 0.12
# The camera looks across the way, and a little against it, so that faces are seen.
_ACROSS = np.radians(68.0)


def render_sequence(
    motion,
    path: str | os.PathLike,
    *,
    frames: int = 6,
    size: tuple[int, int] = (1600, 560),
    caption: bool = False,
    body: str = "smpl",
    model: Body | None = None,
    renderer: str = "auto",
    transparent: bool = False,
) -> FilePath:
    """One wide picture (.png) of `frames` moments of a motion, from pale to full colour.

    Bodies stand where they are on the way, with the root's trail on the floor; a motion that
    hardly leaves its place is laid out from left to right. `motion`, the rest and errors are as
    for `render_video`.
    """
    path = check_path(path, (".png",), transparent)
    if frames < 1:
        raise ValueError(f"A sequence of {frames} frames was asked for; give 1 or more.")
    motions, size = check_motions([motion]), checked_size(size)
    with complete_or_absent(path) as part, closing(open_renderer(renderer, body)) as drawing:
        clip = make_clips(motions, drawing.draws_skins, model)[0]
        last = len(clip.joints) - 1
        moments = np.unique(np.linspace(0, last, frames).round().astype(int)).tolist()
        heading, offsets = _layout(clip, moments)
        balls, radii = clip.figure.bounds()
        balls = balls[moments] + offsets[:, None]
        margin = Lettering(size[1]).margin
        safe = (margin, margin, size[0] - margin, size[1] - margin)
        camera = survey(balls, radii, heading, size, safe)
        fades = np.linspace(_FADE if len(moments) > 1 else 0, 0, len(moments))
        far_first = np.argsort(-(clip.joints[moments, 0] + offsets) @ camera.basis[2])
        poses = [Pose(clip.figure, moments[i], offsets[i], fades[i]) for i in far_first]
        trail = None
        if not offsets.any():
            way = Path(clip.joints[:, 0, [0, 2]], clip.figure.floor, clip.fps)
            trail = way.until(last, seconds=None)
        stage = drawing.stage(View(camera, size, clip.figure.floor, transparent))
        picture = Image.fromarray(stage.draw(0, poses, trail))
        (with_heading(picture, clip.prompt, size[1]) if caption else picture).save(part)
    return path


def _layout(clip: Clip, moments: Sequence[int]) -> tuple[float, np.ndarray]:
    """Where the camera stands, as an angle about the vertical, and how bodies are moved (N, 3)."""
    root = clip.joints[moments, 0] * (1, 0, 1)
    if len(root) > 1 and np.median(np.linalg.norm(np.diff(root, axis=0), axis=1)) >= _NEAR:
        way = np.linalg.svd(root - root.mean(0))[2][0]
        way *= 1 if way @ (root[-1] - root[0]) >= 0 else -1
        return float(np.arctan2(way[0], way[2]) - _ACROSS), np.zeros_like(root)
    heading = three_quarter_heading(clip.joints[moments[0]])
    right = np.array((np.cos(heading), 0.0, -np.sin(heading)))
    balls, radii = clip.figure.bounds()
    along = balls[moments] @ right
    low, high = (along - radii).min(1), (along + radii).max(1)
    starts = np.cumsum(high - low + _GAP) - (high - low)
    return heading, (starts - low + root @ right)[:, None] * right - root
