"""Motions made ready to be drawn: checked, given a body, and at the frame rate of the film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from motionmamba.motion.skeleton import humanml3d_joints

from .bodies import Mannequin, Skin
from .figure import mannequin

if TYPE_CHECKING:
    from motionmamba.motion.body import Body, BodyMotion


@dataclass(frozen=True)
class Clip:
    """A motion to draw: T frames of a figure, its joints (T, 22, 3) in metres, and a caption."""

    joints: np.ndarray
    fps: float
    prompt: str
    figure: Mannequin


def make_clips(
    motions: Sequence, skins: bool, model: Body | None, fps: float | None = None
) -> list[Clip]:
    """A clip of each motion, in a skin or as a mannequin, at `fps` or at its own frame rate."""
    return [_clip(motion, skins, model, fps) for motion in motions]


def check_motions(motions: Sequence) -> list:
    """The motions as a list; ValueError for none, or one that cannot be drawn."""
    motions = list(motions)
    if not motions:
        raise ValueError("No motions to render were given; give at least one.")
    for number, motion in enumerate(motions, 1):
        _check(motion, number)
    return motions


def check_fps(fps: float, what: str) -> float:
    if not 0 < fps < float("inf"):
        raise ValueError(f"{what} is {fps}; give a positive number of frames per second.")
    return float(fps)


def _check(motion, number: int) -> None:
    joints = humanml3d_joints(np.asarray(motion.joints))
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
    check_fps(motion.fps, f"motion {number}'s fps")


def _clip(motion, skin: bool, model: Body | None, fps: float | None) -> Clip:
    if skin:
        motion = _fitted(motion, model)
    joints = humanml3d_joints(np.asarray(motion.joints, np.float64))
    fps = fps or float(motion.fps)
    moments = _moments(len(joints), float(motion.fps), fps)
    joints = _between(joints, moments)
    solids = mannequin(joints)
    figure = Skin(motion, solids, moments) if skin else Mannequin(solids)
    return Clip(joints, fps, motion.prompt or "", figure)


def _fitted(motion, model: Body | None) -> BodyMotion:
    from motionmamba.motion.body import BodyMotion
    from motionmamba.motion.fitting import fit_body
    from motionmamba.motion.motion import Motion

    if isinstance(motion, BodyMotion):
        return motion
    joints = np.asarray(motion.joints, np.float32)
    return fit_body(Motion(joints=joints, fps=motion.fps, prompt=motion.prompt), model)


def _moments(frames: int, source: float, fps: float) -> np.ndarray:
    """The film's frames as places between the frames of the source, (T,)."""
    last = frames - 1
    count = int(last / source * fps + 1e-6) + 1
    return np.minimum(np.arange(count) * source / fps, last)


def _between(joints: np.ndarray, moments: np.ndarray) -> np.ndarray:
    before = moments.astype(int)
    after = np.minimum(before + 1, len(joints) - 1)
    share = (moments - before)[:, None, None]
    return (1 - share) * joints[before] + share * joints[after]
