"""Takes at another pace, so that "slowly" and "quickly" are seen on everything that is done.

A take is played slower or faster only where a person could have moved so: nothing that flies is
slowed, since gravity would be, and no gait becomes slower or faster than people go.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from motionmamba.data.making.bones import bone_directions, with_bones
from motionmamba.data.making.footing import planted
from motionmamba.data.making.join import Made, Take
from motionmamba.data.sources.recordings import resample
from motionmamba.motion.skeleton import HUMANML3D

FACTORS = (1.25, 1.6)  # least and most change of pace
# Speeds in m/s: the slowest that looks natural, slow below, fast above, the fastest that people
# go. Of gaits it is the mean of the root, of raised hands the highest of the wrists.
GAIT_SPEEDS = {
    "walk": (0.35, 0.8, 1.4, 2.2),
    "turn": (0.35, 0.8, 1.35, 2.0),
    "uturn": (0.35, 0.8, 1.35, 2.0),
    "diagonal": (0.35, 0.7, 1.3, 2.0),
    "back": (0.25, 0.6, 1.0, 1.6),
    "run": (1.4, 1.8, 3.3, 5.5),
}
HAND_SPEEDS = (0.4, 1.0, 4.5, 8.0)
UNMEASURED = ("bow", "guide")  # done at any speed: by how much it changes alone
CLEAR = 1.4  # times the pace that is slow or fast by itself
# styles that contradict a pace
SLUGGISH = ("elderly", "old", "exhausted", "tired", "sad", "not-confident", "giant")
LIVELY = ("active", "youthful", "happy", "angry", "childish")
AIRBORNE, FASTEST_AIRBORNE = 0.1, 1.35  # share of frames in the air; most change of pace there
MIN_FRAMES = 30
WRISTS = {"left": [20], "right": [21]}


@dataclass
class _Option:
    """A take with the paces, as shares of its own, between which it is slow or fast."""

    take: Take
    pace: str
    low: float
    high: float


def warp_takes(
    takes: Sequence[Take], count: int, max_frames: int, rng: np.random.Generator
) -> Iterator[Made]:
    """Yields up to `count` clips of at most `max_frames` frames, each a take at another pace.

    The takes' joints are on HumanML3D's uniform skeleton, on the floor y = 0.
    """
    groups = defaultdict(list)
    for take in takes:
        for option in _options(take, max_frames):
            groups[take.action.kind, option.pace].append(option)
    if not groups:
        return
    options = list(groups.values())
    sizes = np.sqrt([len(group) for group in options])  # rare contents more often
    for number, index in enumerate(rng.choice(len(options), size=count, p=sizes / sizes.sum())):
        group = options[index]
        option = group[rng.integers(len(group))]
        yield _warped(option, rng.uniform(option.low, option.high), number, max_frames, rng)


def _options(take: Take, max_frames: int) -> Iterator[_Option]:
    action, frames = take.action, len(take.joints)
    speed, limits = _speed(take)
    if limits is None:
        return
    in_air = 1 - planted(take.joints).any(1).mean() > AIRBORNE
    slowest, slow, fast, fastest = limits
    least, most = FACTORS
    # a gait may be cut to size, all else has to be seen whole
    shortest = 0.0 if _endless(take) else frames / max_frames
    if "fast" not in action.pace and action.style not in LIVELY and not in_air:
        low, high = max(1 / most, slowest / speed, shortest), min(1 / least, slow / speed)
        if low < high:
            yield _Option(take, "slow", low, high)
    if "slow" not in action.pace and action.style not in SLUGGISH:
        most = FASTEST_AIRBORNE if in_air else most
        low = max(least, fast / speed)
        high = min(most, fastest / speed, frames / MIN_FRAMES)
        if low < high:
            yield _Option(take, "fast", max(low, shortest), high)


def _speed(take: Take) -> tuple[float, tuple[float, float, float, float] | None]:
    """The speed that makes an action slow or fast, and its limits."""
    kind, joints = take.action.kind, take.joints
    if kind in GAIT_SPEEDS:
        return _gait_speed(joints), GAIT_SPEEDS[kind]
    if kind in ("raise", "wave"):
        hands = joints[:, WRISTS.get(take.action.side, [20, 21])]
        steps = np.linalg.norm(np.diff(hands, axis=0), axis=-1)
        return float(steps.max()) * HUMANML3D.fps, HAND_SPEEDS
    if kind in UNMEASURED:
        return 1.0, (1 / FACTORS[1], 1 / CLEAR, CLEAR, FACTORS[1])
    return 1.0, None


def _gait_speed(joints: np.ndarray) -> float:
    steps = np.linalg.norm(np.diff(joints[:, 0, ::2], axis=0), axis=-1)
    return float(steps.mean()) * HUMANML3D.fps + 1e-3


def _endless(take: Take) -> bool:
    return take.action.kind in ("walk", "run", "back", "diagonal")


def _warped(
    option: _Option, factor: float, number: int, max_frames: int, rng: np.random.Generator
) -> Made:
    take = option.take
    joints = resample(take.joints, HUMANML3D.fps * factor, HUMANML3D.fps)
    joints = with_bones(joints[:, 0], bone_directions(joints)).astype(np.float32)
    first = int(rng.integers(max(len(joints) - max_frames, 0) + 1))
    return Made(
        name=f"warped_{number:05d}_{take.name}",
        take=take.name,
        split="",
        joints=joints[first : first + max_frames],
        actions=(replace(take.action, pace=option.pace),),
        made=f"{take.name} at {factor:.2f} times the pace",
        paced=True,
    )
