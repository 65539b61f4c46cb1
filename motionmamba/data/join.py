"""Longer training clips: several takes of one style, each going on where the last one leaves off.

Users ask for motions of several seconds and several actions; recordings of a raised hand or of a
run last three seconds and show one. A seam is put where pose and movement agree best, and what
difference is left dies away after it, in position and velocity (inertialization, Bollo, GDC 2018).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import CubicSpline

from motionmamba.data.captions import Action
from motionmamba.data.vocabulary import GAITS, STANDING

BLEND = 14  # frames over which the difference at a seam dies away
SEARCH = 20  # frames at the end of one and the start of the other to look for a seam: a stride
REST = 8  # the same around gestures, so that none is cut off
CHOICES = 6  # takes tried for each next part; the best seam wins
MAX_ERROR = 0.075  # metres a joint, root mean square, of pose and movement at a seam
MAX_CHANGE = 0.26  # the same where a gait ends, begins or changes: a step is made up there
STEP_HEIGHT, HIGHEST_STEP = 0.25, 0.1  # of such a step, over its length, and at most in metres
MAX_SHIFT = 0.04  # metres between the feet of poses that pass for standing still
ATTEMPTS = 40  # for each clip wanted, before giving up
MIN_PART = 45  # frames of a gait within a sequence
FEET, ARMS = (7, 8, 10, 11), (18, 19, 20, 21)
HIPS, PELVIS = (1, 2), 0
SAME_STYLE = {"old": "elderly", "tired": "exhausted", "masculinity": "masculine"}


@dataclass
class Take:
    """A recording: joints (T, 22, 3) in metres at 20 fps, and what it shows."""

    name: str
    joints: np.ndarray
    action: Action


@dataclass
class _Part:
    """A stretch of a take; seams may lie in its first `lead` and its last `tail` frames."""

    take: Take
    joints: np.ndarray
    lead: int
    tail: int


Joined = tuple[str, np.ndarray, tuple[Action, ...]]


def join_takes(
    takes: Sequence[Take], count: int, max_frames: int, rng: np.random.Generator
) -> Iterator[Joined]:
    """Yields up to `count` joined clips: a name, joints (T, 22, 3), and what is done in turn."""
    shelves = [s for s in _shelves(takes) if s.size > 1]
    if not shelves:
        return
    styles = np.array([s.size for s in shelves], dtype=float)
    recipes, weights = zip(*RECIPES, strict=True)
    chosen = rng.choice(len(recipes), size=count, p=np.array(weights) / sum(weights))
    for number, recipe in enumerate(chosen):
        for _ in range(ATTEMPTS):
            shelf = shelves[rng.choice(len(shelves), p=styles / styles.sum())]
            if (clip := recipes[recipe](shelf, max_frames, rng)) is not None:
                joints, actions, names = clip
                yield f"joined_{number:05d}_{'+'.join(names)}", joints, actions
                break


class _Shelf:
    """The takes of one style by kind and side."""

    def __init__(self, style: str):
        self.style = style
        self.takes: dict[tuple[str, str], list[Take]] = defaultdict(list)

    @property
    def size(self) -> int:
        return sum(map(len, self.takes.values()))

    def draw(self, kind: str, side: str, rng: np.random.Generator) -> Take | None:
        takes = self.takes.get((kind, side))
        return takes[rng.integers(len(takes))] if takes else None

    def pick(self, kinds: Sequence[str], rng: np.random.Generator) -> tuple[str, str] | None:
        """A kind and side that is there."""
        keys = [key for key in self.takes if key[0] in kinds]
        return keys[rng.integers(len(keys))] if keys else None


def _shelves(takes: Sequence[Take]) -> list[_Shelf]:
    shelves: dict[str, _Shelf] = {}
    for take in takes:
        style = SAME_STYLE.get(take.action.style, take.action.style)
        shelf = shelves.setdefault(style, _Shelf(style))
        shelf.takes[take.action.kind, take.action.side].append(take)
    return list(shelves.values())


def _repeat(shelf: _Shelf, max_frames: int, rng: np.random.Generator):
    """One gesture two to five times."""
    key = shelf.pick(("raise",), rng)
    return key and _chain(shelf, [key] * int(rng.integers(2, 6)), max_frames, rng)


def _gestures(shelf: _Shelf, max_frames: int, rng: np.random.Generator):
    """Two or three different gestures."""
    keys = [shelf.pick(STANDING, rng) for _ in range(2 + (rng.random() < 0.25))]
    if None in keys or any(a == b for a, b in zip(keys, keys[1:], strict=False)):
        return None
    return _chain(shelf, keys, max_frames, rng)


def _same_gait(shelf: _Shelf, max_frames: int, rng: np.random.Generator):
    """A run or walk that goes on."""
    key = ("run", "") if rng.random() < 0.75 else ("walk", "")
    return _chain(shelf, [key] * int(rng.integers(2, 4)), max_frames, rng)


def _stop_or_go(shelf: _Shelf, max_frames: int, rng: np.random.Generator):
    """A walk that ends in a gesture, or the reverse."""
    keys = [("walk", ""), shelf.pick(STANDING, rng)]
    if keys[1] is None:
        return None
    return _chain(shelf, keys if rng.random() < 0.6 else keys[::-1], max_frames, rng)


def _walk_and_turn(shelf: _Shelf, max_frames: int, rng: np.random.Generator):
    """A walk before or after a turn, or a turn to each side."""
    side, other = ("left", "right") if rng.random() < 0.5 else ("right", "left")
    orders = (
        [("walk", ""), ("turn", side)],
        [("turn", side), ("walk", "")],
        [("turn", side), ("turn", other)],
    )
    return _chain(shelf, orders[rng.integers(3)], max_frames, rng)


def _change_gait(shelf: _Shelf, max_frames: int, rng: np.random.Generator):
    """A walk that becomes a run, or the reverse."""
    keys = [("walk", ""), ("run", "")]
    return _chain(shelf, keys if rng.random() < 0.5 else keys[::-1], max_frames, rng)


def _circle(shelf: _Shelf, max_frames: int, rng: np.random.Generator):
    """Turns to one side, one after another: half a circle or a whole one."""
    side, times = ("left", "right")[rng.integers(2)], (2, 4, 5)[rng.integers(3)]
    clip = _chain(shelf, [("turn", side)] * times, max_frames, rng, tight=True)
    if clip is None:
        return None
    joints, _, names = clip
    angle = abs(turned(joints)[-1])
    if not (150 < angle < 210 or 300 < angle):
        return None
    kind = "circle" if angle > 300 else "uturn"
    return joints, (Action(kind, side, shelf.style),), names


def _stand(shelf: _Shelf, max_frames: int, rng: np.random.Generator):
    """Standing: slow movement between the poses in which takes of a gesture begin."""
    key = shelf.pick(("raise", "wave"), rng)
    if key is None:
        return None
    takes = [shelf.draw(*key, rng) for _ in range(CHOICES)]
    poses = np.stack([take.joints[0] for take in takes]).astype(np.float64)
    ground = _ground(poses)
    ground -= ground[:, FEET].mean(1, keepdims=True)
    turns = np.angle((ground[:1] * ground.conj())[:, FEET].sum(1, keepdims=True))
    ground *= np.exp(1j * turns)
    poses = np.stack([ground.real, poses[..., 1], ground.imag], axis=-1)
    if np.abs(poses - poses[0])[:, FEET].max() > MAX_SHIFT:
        return None
    poses[:, FEET] = poses[0, FEET]
    frames = int(rng.integers(max_frames // 4, max_frames))
    knots = np.cumsum([0, *rng.integers(20, 50, size=frames // 20 + 1)])
    spline = CubicSpline(knots, poses[rng.integers(CHOICES, size=len(knots))])
    joints = spline(np.arange(frames)).astype(np.float32)
    return joints, (Action("stand", "", shelf.style),), [take.name for take in takes]


RECIPES = (
    (_repeat, 0.22),
    (_gestures, 0.16),
    (_same_gait, 0.18),
    (_stop_or_go, 0.14),
    (_walk_and_turn, 0.10),
    (_change_gait, 0.06),
    (_circle, 0.10),
    (_stand, 0.04),
)


def _chain(
    shelf: _Shelf,
    keys: Sequence[tuple[str, str]],
    max_frames: int,
    rng: np.random.Generator,
    tight: bool = False,
):
    """Takes of the given kinds and sides one after the other, or None where they do not fit."""
    first = shelf.draw(*keys[0], rng)
    if first is None:
        return None
    mixed = len(set(keys)) > 1
    parts = [_part(first, mixed, tight, rng)]
    joints = parts[0].joints
    for key in keys[1:]:
        takes = [shelf.draw(*key, rng) for _ in range(CHOICES)]
        if None in takes:
            return None
        seams = []
        for take in takes:
            part = _part(take, mixed, tight, rng)
            seams.append((*_seam(joints, parts[-1].tail, part), part))
        error, end, start, part = min(seams, key=lambda seam: seam[0])
        changes = _going(key[0]) != _going(parts[-1].take.action.kind)
        if error > (MAX_CHANGE if changes else MAX_ERROR):
            return None
        joints = connect(joints, end, part.joints, start)
        parts.append(part)
        if len(joints) > max_frames and key[0] not in GAITS:
            return None
    if len(joints) < max_frames // 4:
        return None
    return joints[:max_frames], _actions(parts, shelf.style), [p.take.name for p in parts]


def _going(kind: str) -> str:
    """How the body gets on: actions that share it follow each other without a change of gait."""
    return {"turn": "walk", "diagonal": "walk"}.get(kind, kind if kind in GAITS else "standing")


def _actions(parts: Sequence[_Part], style: str) -> tuple[Action, ...]:
    """What the parts show, without what only some parts of a kind show."""
    actions = [replace(part.take.action, style=style) for part in parts]
    if len({(a.kind, a.side) for a in actions}) > 1:
        return tuple(replace(a, pace="", extent="") for a in actions)
    pace = actions[0].pace if len({a.pace for a in actions}) == 1 else ""
    extent = actions[0].extent if len({a.extent for a in actions}) == 1 else ""
    return tuple(replace(a, pace=pace, extent=extent) for a in actions)


def _part(take: Take, mixed: bool, tight: bool, rng: np.random.Generator) -> _Part:
    joints, kind = take.joints, take.action.kind
    if kind in STANDING:
        return _Part(take, joints, REST, REST)
    if kind == "turn":
        angles = np.abs(turned(joints))
        done = angles / angles[-1]
        margin = 0 if tight else SEARCH
        first = max(int(np.argmax(done > 0.12)) - margin, 0)
        last = min(int(np.argmax(done > 0.88)) + margin, len(joints))
        joints = joints[max(first - SEARCH // 2, 0) : last + SEARCH // 2]
        return _Part(take, joints, SEARCH, SEARCH)
    if mixed and len(joints) > MIN_PART + 2 * SEARCH:
        frames = int(rng.integers(MIN_PART, min(len(joints) - SEARCH, 110)))
        first = int(rng.integers(len(joints) - frames))
        joints = joints[first : first + frames]
    return _Part(take, joints, SEARCH, SEARCH)


def turned(joints: np.ndarray) -> np.ndarray:
    """Degrees that the walking body has turned since frame 0 (T,), to the left positive."""
    across = joints[:, HIPS[0]] - joints[:, HIPS[1]]
    angle = np.unwrap(np.arctan2(-across[:, 2], across[:, 0]))
    kernel = np.ones(11) / 11
    smooth = np.convolve(np.pad(angle, 5, mode="edge"), kernel, mode="valid")
    return np.degrees(smooth - smooth[0])


def _seam(joints: np.ndarray, tail: int, part: _Part) -> tuple[float, int, int]:
    """The error of the best seam, its frame in `joints` and its frame in the part."""
    ends = np.arange(max(len(joints) - 1 - tail, 1), len(joints) - 1)
    starts = np.arange(1, min(part.lead, len(part.joints) - BLEND - 2))
    if not len(ends) or not len(starts):
        return np.inf, 0, 0
    (a, a_height), (b, b_height) = _states(joints, ends), _states(part.joints, starts)
    cross = np.abs((a * _WEIGHTS) @ b.conj().T)
    squares = (np.abs(a) ** 2 @ _WEIGHTS)[:, None] + (np.abs(b) ** 2 @ _WEIGHTS) - 2 * cross
    squares += (a_height**2 @ _WEIGHTS)[:, None] + b_height**2 @ _WEIGHTS
    squares -= 2 * (a_height * _WEIGHTS) @ b_height.T
    i, j = np.unravel_index(squares.argmin(), squares.shape)
    return float(np.sqrt(max(squares[i, j], 0.0))), int(ends[i]), int(starts[j])


_JOINT_WEIGHTS = np.ones(22)
_JOINT_WEIGHTS[list(FEET)] = 3.0  # feet slide where they do not agree
_JOINT_WEIGHTS[list(ARMS)] = 0.3
# where the joints will be when half of the blend is over, and where they are
_WEIGHTS = np.concatenate([_JOINT_WEIGHTS, 0.3 * _JOINT_WEIGHTS])
_WEIGHTS /= _WEIGHTS.sum()


def _states(joints: np.ndarray, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pose and movement of frames: places on the ground, about their mean, and heights (n, 44)."""
    velocity = (joints[frames + 1] - joints[frames - 1]) / 2
    ahead = joints[frames] + velocity * BLEND / 2
    both = np.concatenate([ahead, joints[frames]], axis=1).astype(np.float64)
    ground = _ground(both)
    return ground - (ground @ _WEIGHTS)[:, None], both[..., 1]


def _ground(joints: np.ndarray) -> np.ndarray:
    return joints[..., 0] + 1j * joints[..., 2]


def connect(first: np.ndarray, end: int, second: np.ndarray, start: int) -> np.ndarray:
    """`first` up to the frame `end`, gone on by `second` after its frame `start`.

    The second motion is moved over the ground and turned about the vertical so that both agree
    best; what remains of the difference at the seam dies away over BLEND frames.
    """
    (a, _), (b, _) = _states(first, np.array([end])), _states(second, np.array([start]))
    turn = np.exp(1j * np.angle((a[0] * _WEIGHTS) @ b[0].conj()))
    place = _ground(first[end]) - a[0, 22:] - turn * (_ground(second[start]) - b[0, 22:])
    ground = turn * _ground(second) + place.mean()
    second = np.stack([ground.real, second[..., 1], ground.imag], axis=-1)

    gap = first[end] - second[start]
    drift = (first[end + 1] - first[end - 1] - second[start + 1] + second[start - 1]) / 2
    time = np.arange(1, BLEND + 1)[:, None, None] / BLEND
    fade = (1 - time) ** 2
    rest = second[start + 1 :]
    rest[:BLEND] += gap * (1 + 2 * time) * fade + drift * BLEND * time * fade
    steps = np.linalg.norm(gap[FEET, ::2], axis=-1)
    lift = np.minimum(STEP_HEIGHT * np.maximum(steps - 0.05, 0), HIGHEST_STEP)
    rest[:BLEND, FEET, 1] += lift * np.sin(np.pi * time[..., 0])
    return np.concatenate([first[: end + 1], rest]).astype(np.float32)
