"""Longer training clips: two takes of one body, one continued by the other where they agree."""

from collections.abc import Iterator

import numpy as np

BLEND = 8  # frames over which the difference between the poses at the seam dies away
SEARCH = 12  # frames at the end of the first and the start of the second to look for a seam
MAX_DISTANCE = 0.06  # metres, mean over joints, of pose and of a quarter second's movement
HIPS = (1, 2)
ATTEMPTS = 60  # for each clip wanted, before giving up


def join(
    takes: list, count: int, max_frames: int, rng: np.random.Generator
) -> Iterator[tuple[object, object, np.ndarray]]:
    """Yields up to `count` times two takes and their joints as one motion.

    Only takes of one style are joined, and only where pose and movement agree, so that a run
    goes on as a run and a raised hand follows when the other one is down.
    """
    by_style: dict[str, list] = {}
    for take in takes:
        if len(take.joints) < max_frames - 2 * SEARCH:
            by_style.setdefault(take.action.style, []).append(take)
    groups = [g for g in by_style.values() if len(g) > 1]
    if not groups:
        return
    shares = np.array([len(g) for g in groups]) / sum(map(len, groups))
    found = 0
    for _ in range(count * ATTEMPTS):
        if found == count:
            return
        group = groups[rng.choice(len(groups), p=shares)]
        first = group[rng.integers(len(group))]
        second = group[rng.integers(len(group))]
        if len(first.joints) + len(second.joints) > max_frames:
            continue
        joints = _join(first.joints, second.joints)
        if joints is not None:
            found += 1
            yield first, second, joints


def _join(first: np.ndarray, second: np.ndarray) -> np.ndarray | None:
    """Both motions as one, or None where no seam is smooth enough. Joints (T, J, 3)."""
    ends = range(len(first) - SEARCH, len(first) - 1)
    starts = range(1, min(SEARCH, len(second) - BLEND))
    a = np.stack([_state(first, i) for i in ends])
    b = np.stack([_state(second, j) for j in starts])
    distance = np.linalg.norm(a[:, None] - b[None], axis=-1).mean((-1, -2))
    i, j = np.unravel_index(distance.argmin(), distance.shape)
    if distance[i, j] > MAX_DISTANCE:
        return None
    end, start = ends[i], starts[j]
    rest = _place(second[start:], first[end])
    fade = np.cos(np.linspace(0, np.pi, BLEND)) * 0.5 + 0.5
    rest[:BLEND] += fade[:, None, None] * (first[end] - rest[0])
    return np.concatenate([first[:end], rest]).astype(np.float32)


def _state(joints: np.ndarray, frame: int) -> np.ndarray:
    """Pose and movement in a frame, seen from where the body stands and faces: (2, J, 3)."""
    turn = _rotation(-_heading(joints[frame]))
    centre = joints[frame, 0] * (1, 0, 1)
    move = (joints[frame + 1] - joints[frame - 1]) * 2.5
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
