"""Longer training clips: two takes of one body, one continued by the other where they agree."""

from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np

BLEND = 8  # frames over which the difference between the poses at the seam dies away
SEARCH = 12  # frames at the end of the first and the start of the second to look for a seam
MAX_DISTANCE = 0.06  # metres, mean over joints of the pose and of a tenth second's movement
HIPS = (1, 2)
CANDIDATES = 8  # to go on with, of which the best is taken
ATTEMPTS = 8  # for each clip wanted, before giving up
RARE = 20  # takes; an action with fewer is not repeated more often for it


def join(
    takes: list, count: int, max_frames: int, rng: np.random.Generator
) -> Iterator[tuple[object, object, np.ndarray]]:
    """Yields up to `count` times two takes and their joints as one motion.

    Only takes of one style are joined, and only where pose and movement agree, so that a run
    goes on as a run and a raised hand follows when the other one is down. Every kind of action
    comes first about as often as any other.
    """
    by_style = defaultdict(list)
    for take in takes:
        by_style[take.action.style].append(take)
    firsts = [t for t in takes if len(t.joints) < max_frames - 2 * SEARCH]
    if not firsts:
        return
    kinds = Counter(t.action.kind for t in firsts)
    weights = np.array([1 / max(kinds[t.action.kind], RARE) for t in firsts])
    found = 0
    for index in rng.choice(len(firsts), size=count * ATTEMPTS, p=weights / weights.sum()):
        if found == count:
            return
        first = firsts[index]
        others = by_style[first.action.style]
        others = [others[k] for k in rng.integers(len(others), size=CANDIDATES)]
        room = max_frames - len(first.joints)
        seams = [(*_seam(first.joints, t.joints), t) for t in others if len(t.joints) <= room]
        distance, end, start, second = min(seams, key=lambda s: s[0], default=(np.inf,) * 4)
        if distance <= MAX_DISTANCE:
            found += 1
            yield first, second, _connect(first.joints[: end + 1], second.joints[start:])


def _seam(first: np.ndarray, second: np.ndarray) -> tuple[float, int, int]:
    """Where two motions (T, J, 3) agree best: distance, frame of the first, of the second."""
    ends = range(len(first) - SEARCH, len(first) - 1)
    starts = range(1, min(SEARCH, len(second) - BLEND))
    a = np.stack([_state(first, i) for i in ends])
    b = np.stack([_state(second, j) for j in starts])
    distance = np.linalg.norm(a[:, None] - b[None], axis=-1).mean((-1, -2))
    i, j = np.unravel_index(distance.argmin(), distance.shape)
    return float(distance[i, j]), ends[i], starts[j]


def _connect(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The first motion, whose last frame becomes the first one of the second."""
    second = _place(second, first[-1])
    fade = np.cos(np.linspace(0, np.pi, BLEND)) * 0.5 + 0.5
    second[:BLEND] += fade[:, None, None] * (first[-1] - second[0])
    return np.concatenate([first[:-1], second]).astype(np.float32)


def _state(joints: np.ndarray, frame: int) -> np.ndarray:
    """Pose and movement in a frame, seen from where the body stands and faces: (2, J, 3)."""
    turn = _rotation(-_heading(joints[frame]))
    centre = joints[frame, 0] * (1, 0, 1)
    move = joints[frame + 1] - joints[frame - 1]
    return np.stack([(joints[frame] - centre) @ turn.T, move @ turn.T])


def _place(joints: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Joints moved and turned about the vertical, so that frame 0 stands and faces like `pose`."""
    turn = _rotation(_heading(pose) - _heading(joints[0]))
    ground = np.array([1, 0, 1])
    return (joints - joints[0, 0] * ground) @ turn.T + pose[0] * ground


def _heading(pose: np.ndarray) -> float:
    across = pose[HIPS[0]] - pose[HIPS[1]]
    return float(np.arctan2(-across[2], across[0]))


def _rotation(angle: float) -> np.ndarray:
    """Rotation about Y that adds `angle` to a heading."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
