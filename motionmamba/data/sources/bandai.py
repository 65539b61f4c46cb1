"""The Bandai-Namco Research Motiondataset 1 and 2 (CC BY-NC 4.0) as training clips.

Kobayashi et al., arXiv 2306.08861. One skeleton, centimetres, 30 fps; a take's file name tells
its content and style: `dataset-2_wave-left-hand_elderly_007.bvh`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from motionmamba.data.making.join import Made, Take, turned
from motionmamba.data.making.more import MadeCounts, make_more, to_samples
from motionmamba.data.making.overlay import REACHES
from motionmamba.data.making.warp import GAIT_SPEEDS, HAND_SPEEDS
from motionmamba.data.packed import Prepared, Source
from motionmamba.data.progress import Progress, no_progress
from motionmamba.data.sources.recordings import (
    MIN_FRAMES,
    Recording,
    assign_splits,
    iter_files,
    read_recordings,
    resample,
    windows,
)
from motionmamba.data.text.captions import Action
from motionmamba.data.text.vocabulary import STYLES
from motionmamba.motion.bvh import parse_bvh
from motionmamba.motion.joint_map import JointMap, load_joint_map
from motionmamba.motion.skeleton import HUMANML3D

LICENCE = "CC BY-NC 4.0"
TITLE = "Bandai-Namco Research Motiondataset 1 and 2 (arXiv 2306.08861)"
STATEMENT = (
    "Captions are templated: a grammar wrote them from the content and style in the file names "
    "and from measured height and speed; nobody described the recordings."
)
# contents to actions and sides; sides were read off the recordings where names do not tell
ACTIONS = {
    "walk": ("walk", ""),
    "run": ("run", ""),
    "dash": ("sprint", ""),
    "walk-back": ("back", ""),
    "walk-left": ("diagonal", "left"),
    "walk-right": ("diagonal", "right"),
    "walk-turn-left": ("turn", "left"),
    "walk-turn-right": ("turn", "right"),
    "raise-up-left-hand": ("raise", "left"),
    "raise-up-right-hand": ("raise", "right"),
    "raise-up-both-hands": ("raise", "both"),
    "wave-left-hand": ("wave", "left"),
    "wave-right-hand": ("wave", "right"),
    "wave-both-hands": ("wave", "both"),
    "bye": ("wave", "right"),
    "byebye": ("wave", "both"),
    "respond": ("raise", "left"),
    "guide": ("guide", "right"),
    "bow": ("bow", ""),
    "call": ("call", ""),
    "kick": ("kick", "right"),
    "punch": ("punch", ""),  # measured
    "slash": ("slash", ""),
    "dance-short": ("dance", ""),
    "dance-long": ("dance", ""),
}

PELVIS, HEAD, NECK, WRISTS = 0, 15, 12, (20, 21)
TURNS = {"turn": (55, 130), "uturn": (150, 220)}  # degrees
TURNED_BACK = 30
BOWS = (0.1, 0.2)  # metres that the head sinks: slight, ordinary, deep


def prepare_bandai(
    source: Path,
    more: MadeCounts,
    seed: int = 0,
    *,
    work: Path | None = None,
    progress: Progress = no_progress,
    workers: int | None = None,
) -> Prepared:
    """Reads the recordings in a folder or archive and makes clips of them, mirrored ones too.

    Args:
        source: folder, .zip or .tar(.xz, .gz) with files `dataset-N_content_style_id.bvh`.
        more: how many clips to make of several takes, at another pace, of two takes at once.
        work, progress, workers: as for `read_recordings`.

    Raises:
        ValueError: when the source holds no usable take.
    """
    joint_map = load_joint_map("bandai")
    files = ((n, c) for n, c in iter_files(source, (".bvh",)) if _stem(n).startswith("dataset-"))
    recordings, dropped, inputs = read_recordings(
        files,
        partial(read_take, joint_map=joint_map),
        work=work,
        settings=repr(joint_map),
        progress=progress,
        workers=workers,
    )
    if not recordings:
        reasons = f", the first one because {next(iter(dropped.values()))}" if dropped else ""
        raise ValueError(
            f"{source} holds no usable take: {len(dropped)} of {len(dropped)} BVH files named "
            f"dataset-N_content_style_id.bvh were dropped{reasons}"
        )
    takes = [Take(r.name, r.joints, Action(**r.info)) for r in recordings]
    splits = assign_splits({take.name: take.name.split("_")[1] for take in takes})
    rng = np.random.default_rng(seed)
    recorded = [made for take in takes for made in _windows(take, splits[take.name])]
    samples = to_samples([*recorded, *make_more(takes, splits, more, rng, progress)], rng)
    return Prepared(
        samples,
        {"bandai": Source(TITLE, LICENCE, STATEMENT)},
        dropped,
        inputs,
        {"seed": seed, **asdict(more)},
    )


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def read_take(name: str, content: bytes, joint_map: JointMap) -> Recording:
    """A take from the file `name`; raises ValueError with the reason where it cannot be used."""
    parts = _stem(name).split("_")
    if len(parts) != 4 or parts[1] not in ACTIONS or parts[2] not in STYLES:
        raise ValueError(f"{name} names no known content and style")
    bvh = parse_bvh(content, name)
    joints = joint_map.apply(bvh.joint_names, bvh.positions(), name)
    frames = int((len(joints) - 1) / bvh.fps * HUMANML3D.fps + 1e-6) + 1
    if frames <= MIN_FRAMES:
        raise ValueError(f"{name} is shorter than {MIN_FRAMES + 1} frames at 20 fps")
    joints = resample(joints, bvh.fps, HUMANML3D.fps)
    action = Action(*ACTIONS[parts[1]], parts[2])
    if action.kind == "turn":
        action = _measure_turn(joints, action, name)
    return Recording(_stem(name), joints, asdict(describe(joints, action)))


def _measure_turn(joints: np.ndarray, action: Action, name: str) -> Action:
    """The turn that is made: a few takes turn to the other side than their name says, or back."""
    angles = turned(joints)
    side = "left" if angles[-1] > 0 else "right"
    back = -angles.min() if side == "left" else angles.max()
    for kind, (least, most) in TURNS.items():
        if least < abs(angles[-1]) < most and back < TURNED_BACK:
            return replace(action, kind=kind, side=side)
    raise ValueError(
        f"{name} turns by {angles.min():.0f} to {angles.max():.0f} degrees, which is no plain turn"
    )


def describe(joints: np.ndarray, action: Action) -> Action:
    """The action with the pace and extent that its joints (T, 22, 3) at 20 fps show."""
    if action.kind in GAIT_SPEEDS:
        speed = np.linalg.norm(np.diff(joints[:, PELVIS, ::2], axis=0), axis=-1).mean()
        limits = GAIT_SPEEDS[action.kind][1:3]
        return replace(action, pace=_band(speed * HUMANML3D.fps, limits, _PACES))
    if action.kind in ("raise", "wave"):
        hands = {"left": [WRISTS[0]], "right": [WRISTS[1]]}.get(action.side, list(WRISTS))
        reach = (joints[:, hands, 1] - joints[:, [HEAD], 1]).max(0).min()
        speed = np.linalg.norm(np.diff(joints[:, hands], axis=0), axis=-1).max() * HUMANML3D.fps
        extent = _band(reach, REACHES, ("low", "head", "high"))
        return replace(action, pace=_band(speed, HAND_SPEEDS[1:3], _PACES), extent=extent)
    if action.kind == "punch":
        travel = [np.linalg.norm(np.ptp(joints[:, w] - joints[:, NECK], axis=0)) for w in WRISTS]
        return replace(action, side=("left", "right")[int(np.argmax(travel))])
    if action.kind == "bow":
        depth = joints[0, HEAD, 1] - joints[:, HEAD, 1].min()
        return replace(action, extent=_band(depth, BOWS, ("slight", "", "deep")))
    return action


_PACES = ("slow", "", "fast")


def _band(value: float, limits: tuple[float, float], names: tuple[str, str, str]) -> str:
    return names[int(np.searchsorted(limits, value))]


def _windows(take: Take, split: str) -> Iterator[Made]:
    """The whole take, or evenly spread windows of it."""
    spans = windows(len(take.joints))
    for i, (start, end) in enumerate(spans):
        name = take.name if len(spans) == 1 else f"{take.name}.{i}"
        joints = take.joints[start:end]
        yield Made(name, take.name, split, joints, (describe(joints, take.action),))
