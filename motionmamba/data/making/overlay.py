"""Two takes at once: the arms of a gesture on the legs of a gait, "walks while raising a hand".

Arms move with the chest, so they keep their directions in its frame: on a body that turns and
leans they turn and lean along. Nothing else of the gait is touched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from motionmamba.data.making.bones import between, bone_directions, rotated, unit, with_bones
from motionmamba.data.making.join import Made, Take, shelves
from motionmamba.data.text.captions import Action
from motionmamba.motion.skeleton import HUMANML3D

LEGS = ("walk", "run", "sprint", "back", "turn", "uturn", "diagonal")
ARMS = ("raise", "wave", "guide", "call")
# What legs and arms do, and with which side. No such clip is made but for the split that measures
# how combinations generalise; each part of them occurs in others. Sides are told by how they stand
# to each other, so that the mirror image of a combination is held out where it is.
HELD_OUT = (
    ("run", "wave", "one"),
    ("back", "raise", "both"),
    ("walk", "wave", "both"),
    ("turn", "raise", "other"),
    ("diagonal", "wave", "same"),
)
BLEND = 10  # frames in which arms go over to the gesture, and back
MARGIN = 24  # most frames of a gait before and after the gesture
MIN_FRAMES, MIN_GESTURE = 40, 16
CUT = 10  # frames that a gesture may lose to fit a short gait
ATTEMPTS = 20  # for each clip wanted, before giving up
SPINE3, NECK, HEAD = 9, 12, 15
CHAINS = {"left": (13, 16, 18, 20), "right": (14, 17, 19, 21)}  # collar, shoulder, elbow, wrist
# bones that arms must not go through, and how near they may come, in metres
BODY = ((0, SPINE3, 0.12), (SPINE3, NECK, 0.1), (NECK, HEAD, 0.1), (1, 4, 0.07), (2, 5, 0.07))
SLACK = 0.02  # metres that they may come nearer than they did in either take
REACHES = (-0.08, 0.1)  # metres of a wrist over the head joint: low, about the head, high
FASTER, UNHURRIED = 1.15, 0.06  # times as fast as in either take; metres a frame that are not fast


def combination(legs: Action, arms: Action) -> tuple[str, str, str]:
    """What legs and arms do, and whether with "both" arms, "one", that of the "same" side as the
    legs or the "other" one. A combination has the name of its mirror image."""
    if arms.side not in CHAINS:
        return legs.kind, arms.kind, "both"
    if not legs.side:
        return legs.kind, arms.kind, "one"
    return legs.kind, arms.kind, "same" if legs.side == arms.side else "other"


def overlay_takes(
    takes: Sequence[Take],
    count: int,
    max_frames: int,
    rng: np.random.Generator,
    held_out: bool = False,
) -> Iterator[Made]:
    """Yields up to `count` clips of at most `max_frames` frames, of two takes of one style each.

    Either of the combinations that are HELD_OUT, or of all others. The takes' joints are on
    HumanML3D's uniform skeleton, on the floor y = 0.
    """
    pairs = defaultdict(list)
    for shelf in shelves(takes):
        for legs in shelf.of(LEGS):
            for arms in shelf.of(ARMS):
                name = combination(legs[0].action, arms[0].action)
                if (name in HELD_OUT) == held_out:
                    pairs[name].append((shelf.style, legs, arms))
    if not pairs:
        return
    names = list(pairs)
    sizes = [sum(len(legs) * len(arms) for _, legs, arms in pairs[name]) for name in names]
    shares = np.sqrt(sizes)  # rare contents more often
    for number, index in enumerate(rng.choice(len(names), size=count, p=shares / shares.sum())):
        for _ in range(ATTEMPTS):
            options = pairs[names[index]]
            style, legs, arms = options[rng.integers(len(options))]
            pair = (group[rng.integers(len(group))] for group in (legs, arms))
            if (clip := _overlaid(*pair, style, max_frames, rng)) is not None:
                kind = "held_out" if held_out else "overlaid"
                yield replace(clip, name=f"{kind}_{number:05d}_{clip.name}")
                break


def _overlaid(
    legs: Take, arms: Take, style: str, max_frames: int, rng: np.random.Generator
) -> Made | None:
    """The arms of one take on the legs of another, or None where they do not fit."""
    fit = _fit(legs, arms, max_frames, rng)
    if fit is None:
        return None
    (first, last), (begin, end), start = fit
    base, gesture = legs.joints[first:last], arms.joints[begin:end]
    sides = [arms.action.side] if arms.action.side in CHAINS else list(CHAINS)
    joints = overlaid(base, gesture, start, sides)
    if not believable(joints, base, gesture, sides):
        return None
    acting = joints[start : start + end - begin]
    if any(_raised(acting, side) for side in CHAINS if side not in sides):
        return None  # both arms would be up
    pace = legs.action.pace if last - first == len(legs.joints) else ""
    extent = arms.action.extent
    if arms.action.kind in ("raise", "wave") and extent:  # heads are held otherwise
        reach = min(_reach(acting, side) for side in sides)
        extent = ("low", "head", "high")[np.searchsorted(REACHES, reach)]
    fps = HUMANML3D.fps
    return Made(
        name=f"{legs.name}+{arms.name}",
        take=legs.name,
        split="",
        joints=joints,
        actions=(replace(legs.action, style=style, pace=pace),),
        arms=replace(arms.action, style=style, extent=extent),
        spans=((start / fps, min(start + end - begin, len(base) - 1) / fps),),
        made=f"arms of {arms.name} {begin}:{end} on {legs.name} {first}:{last}",
    )


def _fit(legs: Take, arms: Take, max_frames: int, rng: np.random.Generator):
    """Frames of the legs, frames of the gesture, and where it begins on them."""
    frames, gesture = min(len(legs.joints), max_frames), len(arms.joints)
    if frames < MIN_FRAMES or gesture < MIN_GESTURE:
        return None
    turns = bool(legs.action.side) and legs.action.kind != "diagonal"
    if turns and frames < len(legs.joints):
        return None
    if gesture > frames:
        if arms.action.kind != "wave" and gesture > frames + CUT:
            return None
        first = int(rng.integers(len(legs.joints) - frames + 1))
        begin = (gesture - frames) // 2
        return (first, first + frames), (begin, begin + frames), 0
    if turns:  # which has to be seen whole; the gesture is made in the midst of it
        room = frames - gesture
        start = int(rng.integers(room // 4, room - room // 4 + 1))
        return (0, frames), (0, gesture), start
    before, after = rng.integers(MARGIN + 1, size=2)
    length = max(min(gesture + before + after, frames), MIN_FRAMES)
    first = int(rng.integers(len(legs.joints) - length + 1))
    start = min(int(before), length - gesture)
    return (first, first + length), (0, gesture), start


def overlaid(base: np.ndarray, gesture: np.ndarray, start: int, sides: Sequence[str]) -> np.ndarray:
    """Joints (T, 22, 3) of a motion with arms that make a gesture (n, 22, 3) from a frame on.

    The arms of the `sides` ("left", "right") go over to it smoothly where it begins or ends within
    the motion.
    """
    end = start + len(gesture)
    time = np.arange(start, end)
    near = np.ones(len(gesture))
    if start > 0:
        near = np.minimum(near, (time - start + 1) / (BLEND + 1))
    if end < len(base):
        near = np.minimum(near, (end - time) / (BLEND + 1))
    share = (near**2 * (3 - 2 * near))[:, None, None]

    arm = [joint - 1 for side in sides for joint in CHAINS[side]]
    chest, other = _chest(base[start:end]), _chest(gesture)
    directions = bone_directions(base.astype(np.float64))
    own = directions[start:end, arm] @ chest
    wanted = bone_directions(gesture.astype(np.float64))[:, arm] @ other
    blended = rotated(own, share * between(own, wanted))
    directions[start:end, arm] = blended @ np.swapaxes(chest, 1, 2)
    return with_bones(base[:, 0].astype(np.float64), directions).astype(np.float32)


def _chest(joints: np.ndarray) -> np.ndarray:
    """Frames (T, 3, 3) of the chest, columns to its left, up along the spine, and forward."""
    joints = joints.astype(np.float64)
    up = unit(joints[:, NECK] - joints[:, SPINE3])  # collars move with raised arms, the neck not
    left = joints[:, CHAINS["left"][0]] - joints[:, CHAINS["right"][0]]
    left = unit(left - (left * up).sum(-1, keepdims=True) * up)
    return np.stack([left, up, np.cross(left, up)], axis=-1)


def believable(
    joints: np.ndarray, base: np.ndarray, gesture: np.ndarray, sides: Sequence[str]
) -> bool:
    """Whether arms go through nothing and move no faster than they did in the takes."""
    for side in sides:
        chain = CHAINS[side]
        usual = max(_speed(base, chain), _speed(gesture, chain))
        if _speed(joints, chain) > max(FASTER * usual, UNHURRIED):
            return False
        limits = np.minimum(_clearance(base, chain), _clearance(gesture, chain)) - SLACK
        limits = np.minimum(limits, [radius for *_, radius in BODY])
        if (_clearance(joints, chain) < limits).any():
            return False
    return True


def _raised(joints: np.ndarray, side: str) -> bool:
    """Whether a wrist is higher than its shoulder for a while."""
    _, shoulder, _, wrist = CHAINS[side]
    return bool((joints[:, wrist, 1] > joints[:, shoulder, 1]).mean() > 0.1)


def _reach(joints: np.ndarray, side: str) -> float:
    """Metres that a wrist rises over the head at most."""
    return float((joints[:, CHAINS[side][3], 1] - joints[:, HEAD, 1]).max())


def _speed(joints: np.ndarray, chain: Sequence[int]) -> float:
    """Metres a frame that a wrist moves at most, as seen from the chest."""
    arm = (joints[:, chain[-1]] - joints[:, SPINE3])[:, None].astype(np.float64) @ _chest(joints)
    return float(np.linalg.norm(np.diff(arm[:, 0], axis=0), axis=-1).max())


def _clearance(joints: np.ndarray, chain: Sequence[int]) -> np.ndarray:
    """Least distance in metres of a forearm to each bone of BODY."""
    elbow, wrist = joints[:, chain[2]], joints[:, chain[3]]
    points = np.stack([elbow, (elbow + wrist) / 2, wrist], axis=1)[:, :, None]
    starts = joints[:, [bone[0] for bone in BODY]][:, None]
    bones = joints[:, [bone[1] for bone in BODY]][:, None] - starts
    share = ((points - starts) * bones).sum(-1) / (bones**2).sum(-1)
    gaps = points - starts - np.clip(share, 0, 1)[..., None] * bones
    return np.sqrt((gaps**2).sum(-1).min((0, 1)))
