"""Longer training clips: several takes of one style, each going on where the last one leaves off.

Users ask for motions of several seconds and several actions; recordings of a raised hand or of a
run last three seconds and show one. A seam is put where pose and movement agree best.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.interpolate import CubicSpline

from motionmamba.data.making.bones import FEET, bone_directions, place_feet, with_bones
from motionmamba.data.making.footing import BLEND
from motionmamba.data.making.transition import aligned, best_seam, connect, to_ground
from motionmamba.data.text.captions import Action
from motionmamba.data.text.vocabulary import GAITS, STANDING
from motionmamba.motion.skeleton import HUMANML3D

SEARCH = 20  # frames at the end of one and the start of the other to look for a seam: a stride
REST = 8  # the same around gestures, so that none is cut off
CHOICES = 6  # takes tried for each next part; the best seam wins
MAX_ERROR = 0.075  # metres a joint, root mean square, of pose and movement at a seam
MAX_CHANGE = 0.26  # the same where a gait ends, begins or changes: a step is made up there
MAX_SHIFT = 0.04  # metres between the feet of poses that pass for standing still
ATTEMPTS = 40  # for each clip wanted, before giving up
MIN_PART = 45  # frames of a gait within a sequence
MIN_REST = 24  # frames of the last part when a clip is cut
HIPS = (1, 2)
SAME_STYLE = {"old": "elderly", "tired": "exhausted", "masculinity": "masculine"}


@dataclass
class Take:
    """A recording: joints (T, 22, 3) in metres at 20 fps, and what it shows."""

    name: str
    joints: np.ndarray
    action: Action


@dataclass
class Made:
    """A clip on its way to become samples, made of takes or a stretch of one.

    `actions` are done one after the other, and `spans` tell when each run of equal ones begins and
    ends in seconds, empty where there is one. With `arms` the legs do the first action while the
    arms do that. `take` names the take, or the first of several, and `made` says how the clip was
    made. Captions of a `paced` clip tell its pace.
    """

    name: str
    take: str
    split: str
    joints: np.ndarray
    actions: tuple[Action, ...]
    arms: Action | None = None
    spans: tuple[tuple[float, float], ...] = ()
    made: str = ""
    paced: bool = False


@dataclass
class _Part:
    """Frames of a take from `first` on; seams may lie in its first `lead` and last `tail` ones."""

    take: Take
    joints: np.ndarray
    lead: int
    tail: int
    first: int = 0


@dataclass
class _Stretch:
    """Frames of a take, and the frame of the clip in which they begin."""

    take: Take
    begin: int
    first: int
    last: int


def join_takes(
    takes: Sequence[Take], count: int, max_frames: int, rng: np.random.Generator
) -> Iterator[Made]:
    """Yields up to `count` clips of at most `max_frames` frames, each of several takes.

    The takes' joints are on HumanML3D's uniform skeleton, on the floor y = 0.
    """
    choices = [shelf for shelf in shelves(takes) if shelf.size > 1]
    if not choices:
        return
    sizes = np.array([shelf.size for shelf in choices], dtype=float)
    recipes, weights = zip(*RECIPES, strict=True)
    chosen = rng.choice(len(recipes), size=count, p=np.array(weights) / sum(weights))
    for number, recipe in enumerate(chosen):
        for _ in range(ATTEMPTS):
            shelf = choices[rng.choice(len(choices), p=sizes / sizes.sum())]
            if (clip := recipes[recipe](shelf, max_frames, rng)) is not None:
                yield replace(clip, name=f"joined_{number:05d}_{clip.name}")
                break


class Shelf:
    """The takes of one style by kind and side."""

    def __init__(self, style: str):
        self.style = style
        self.takes: dict[tuple[str, str], list[Take]] = defaultdict(list)

    @property
    def size(self) -> int:
        return sum(map(len, self.takes.values()))

    def of(self, kinds: Sequence[str]) -> list[list[Take]]:
        """The takes of each kind and side that is there."""
        return [takes for (kind, _), takes in self.takes.items() if kind in kinds]

    def draw(self, kind: str, side: str, rng: np.random.Generator) -> Take | None:
        takes = self.takes.get((kind, side))
        return takes[rng.integers(len(takes))] if takes else None

    def pick(self, kinds: Sequence[str], rng: np.random.Generator) -> tuple[str, str] | None:
        """A kind and side that is there."""
        keys = [key for key in self.takes if key[0] in kinds]
        return keys[rng.integers(len(keys))] if keys else None


def shelves(takes: Sequence[Take]) -> list[Shelf]:
    """Takes sorted by style; names of one style are one."""
    found: dict[str, Shelf] = {}
    for take in takes:
        style = SAME_STYLE.get(take.action.style, take.action.style)
        shelf = found.setdefault(style, Shelf(style))
        shelf.takes[take.action.kind, take.action.side].append(take)
    return list(found.values())


def _repeat(shelf: Shelf, max_frames: int, rng: np.random.Generator):
    """One gesture two to five times."""
    key = shelf.pick(("raise",), rng)
    return key and _chain(shelf, [key] * int(rng.integers(2, 6)), max_frames, rng)


def _gestures(shelf: Shelf, max_frames: int, rng: np.random.Generator):
    """Two or three different gestures."""
    keys = [shelf.pick(STANDING, rng) for _ in range(2 + (rng.random() < 0.25))]
    if None in keys or any(a == b for a, b in pairwise(keys)):
        return None
    return _chain(shelf, keys, max_frames, rng)


def _same_gait(shelf: Shelf, max_frames: int, rng: np.random.Generator):
    """A run or walk that goes on."""
    key = ("run", "") if rng.random() < 0.75 else ("walk", "")
    return _chain(shelf, [key] * int(rng.integers(2, 4)), max_frames, rng)


def _stop_or_go(shelf: Shelf, max_frames: int, rng: np.random.Generator):
    """A walk that ends in a gesture, or the reverse."""
    keys = [("walk", ""), shelf.pick(STANDING, rng)]
    if keys[1] is None:
        return None
    return _chain(shelf, keys if rng.random() < 0.6 else keys[::-1], max_frames, rng)


def _walk_and_turn(shelf: Shelf, max_frames: int, rng: np.random.Generator):
    """A walk before or after a turn, or a turn to each side."""
    side, other = ("left", "right") if rng.random() < 0.5 else ("right", "left")
    orders = (
        [("walk", ""), ("turn", side)],
        [("turn", side), ("walk", "")],
        [("turn", side), ("turn", other)],
    )
    return _chain(shelf, orders[rng.integers(3)], max_frames, rng)


def _change_gait(shelf: Shelf, max_frames: int, rng: np.random.Generator):
    """A walk that becomes a run, or the reverse."""
    keys = [("walk", ""), ("run", "")]
    return _chain(shelf, keys if rng.random() < 0.5 else keys[::-1], max_frames, rng)


def _circle(shelf: Shelf, max_frames: int, rng: np.random.Generator):
    """Turns to one side, one after another: half a circle or a whole one."""
    side, times = ("left", "right")[rng.integers(2)], (2, 4, 5)[rng.integers(3)]
    clip = _chain(shelf, [("turn", side)] * times, max_frames, rng, tight=True)
    if clip is None:
        return None
    angle = abs(turned(clip.joints)[-1])
    if not (150 < angle < 210 or 300 < angle):
        return None
    kind = "circle" if angle > 300 else "uturn"
    return replace(clip, actions=(Action(kind, side, shelf.style),))


def _stand(shelf: Shelf, max_frames: int, rng: np.random.Generator):
    """Standing: slow movement between the poses in which takes of a gesture begin."""
    key = shelf.pick(("raise", "wave"), rng)
    if key is None:
        return None
    takes = [shelf.draw(*key, rng) for _ in range(CHOICES)]
    feet = FEET.ravel()
    poses = np.stack([take.joints[0] for take in takes]).astype(np.float64)
    ground = to_ground(poses)
    for pose in ground[1:]:
        turn, shift = aligned(pose[feet], ground[0, feet], np.ones(len(feet)))
        pose[:] = turn * pose + shift
    poses[..., 0], poses[..., 2] = ground.real, ground.imag
    if np.abs(poses - poses[0])[:, feet].max() > MAX_SHIFT:
        return None
    frames = int(rng.integers(max_frames // 4, max_frames))
    knots = np.cumsum([0, *rng.integers(20, 50, size=frames // 20 + 1)])
    spline = CubicSpline(knots, poses[rng.integers(CHOICES, size=len(knots))])
    joints = spline(np.arange(frames))
    joints = with_bones(joints[:, 0], bone_directions(joints))
    if not place_feet(joints, np.tile(poses[0, FEET], (frames, 1, 1, 1))):
        return None
    names = list(dict.fromkeys(take.name for take in takes))
    made = f"standing between the first poses of {', '.join(names)}"
    action = Action("stand", "", shelf.style)
    return _made(names, joints.astype(np.float32), (action,), made)


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
    shelf: Shelf,
    keys: Sequence[tuple[str, str]],
    max_frames: int,
    rng: np.random.Generator,
    tight: bool = False,
) -> Made | None:
    """Takes of the given kinds and sides one after the other, or None where they do not fit."""
    first = shelf.draw(*keys[0], rng)
    if first is None:
        return None
    mixed = len(set(keys)) > 1
    part = _part(first, mixed, tight, rng)
    joints = part.joints
    stretches = [_Stretch(part.take, 0, part.first, part.first + len(joints))]
    for key in keys[1:]:
        takes = [shelf.draw(*key, rng) for _ in range(CHOICES)]
        if None in takes:
            return None
        changes = _going(key[0]) != _going(part.take.action.kind)
        options = [_part(take, mixed, tight, rng) for take in takes]
        seams = [best_seam(joints, part.tail, o.joints, o.lead, changes) for o in options]
        seam, part = min(zip(seams, options, strict=True), key=lambda pair: pair[0].error)
        if seam.error > (MAX_CHANGE if changes else MAX_ERROR):
            return None
        stretches[-1].last -= len(joints) - 1 - seam.end
        connected = connect(joints, part.joints, seam)
        if connected is None:
            return None
        joints, begin = connected
        if len(joints) > max_frames and key[0] not in GAITS:
            return None
        end = part.first + len(part.joints)
        stretches.append(_Stretch(part.take, begin, part.first + seam.start + 1, end))
    stretches[-1].last -= max(len(joints) - max_frames, 0)
    joints = joints[:max_frames]
    if len(joints) < max(max_frames // 4, stretches[-1].begin + MIN_REST):
        return None
    actions = _actions(stretches, shelf.style)
    names = [s.take.name for s in stretches]
    made = ", ".join(f"{s.take.name} {s.first}:{s.last}" for s in stretches)
    clip = _made(names, joints, actions, f"joined of {made}")
    return replace(clip, spans=_spans(actions, [s.begin for s in stretches], len(joints)))


def _made(names: Sequence[str], joints: np.ndarray, actions: tuple[Action, ...], made: str) -> Made:
    return Made("+".join(names), names[0], "", joints, actions, made=made)


def _spans(
    actions: Sequence[Action], begins: Sequence[int], frames: int
) -> tuple[tuple[float, float], ...]:
    """Seconds in which each run of equal actions begins and ends, if there are several."""
    starts = [b for i, b in enumerate(begins) if i == 0 or actions[i] != actions[i - 1]]
    if len(starts) == 1:
        return ()
    # features have a frame less than joints; a part begins in the middle of its blend
    last = frames - 1
    times = [0, *(min(start + BLEND // 2, last) for start in starts[1:]), last]
    return tuple((a / HUMANML3D.fps, b / HUMANML3D.fps) for a, b in pairwise(times))


def _going(kind: str) -> str:
    """How the body gets on: actions that share it follow each other without a change of gait."""
    return {"turn": "walk", "diagonal": "walk"}.get(kind, kind if kind in GAITS else "standing")


def _actions(parts: Sequence[_Stretch], style: str) -> tuple[Action, ...]:
    """What the parts show, without what only some parts of a kind show."""
    actions = [replace(part.take.action, style=style) for part in parts]
    if len({(a.kind, a.side) for a in actions}) > 1:
        return tuple(replace(a, pace="", extent="") for a in actions)
    pace = actions[0].pace if len({a.pace for a in actions}) == 1 else ""
    extent = actions[0].extent if len({a.extent for a in actions}) == 1 else ""
    return tuple(replace(a, pace=pace, extent=extent) for a in actions)


def _part(take: Take, mixed: bool, tight: bool, rng: np.random.Generator) -> _Part:
    kind, frames = take.action.kind, len(take.joints)
    if kind in STANDING:
        return _Part(take, take.joints, REST, REST)
    first, last = 0, frames
    if kind == "turn":
        angles = np.abs(turned(take.joints))
        done = angles / angles[-1]
        margin = SEARCH // 2 + (0 if tight else SEARCH)
        first = max(int(np.argmax(done > 0.12)) - margin, 0)
        last = min(int(np.argmax(done > 0.88)) + margin, frames)
    elif mixed and frames > MIN_PART + 2 * SEARCH:
        length = int(rng.integers(MIN_PART, min(frames - SEARCH, 110)))
        first = int(rng.integers(frames - length))
        last = first + length
    return _Part(take, take.joints[first:last], SEARCH, SEARCH, first)


def turned(joints: np.ndarray) -> np.ndarray:
    """Degrees that the walking body has turned since frame 0 (T,), to the left positive."""
    across = joints[:, HIPS[0]] - joints[:, HIPS[1]]
    angle = np.unwrap(np.arctan2(-across[:, 2], across[:, 0]))
    kernel = np.ones(11) / 11
    smooth = np.convolve(np.pad(angle, 5, mode="edge"), kernel, mode="valid")
    return np.degrees(smooth - smooth[0])
