"""Motions computed by rule on the HumanML3D skeleton: data with no licence and no download.

They are plain, but feet stay where they stand, bones keep their length, and left is not right:
enough to try the whole path and to test it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from motionmamba.data.packed import Prepared, Sample, Source
from motionmamba.data.progress import Progress, no_progress
from motionmamba.data.text.captions import Action, write_captions
from motionmamba.motion.skeleton import HUMANML3D

TITLE = "procedural motions of motionmamba.data.sources.procedural"
LICENCE = "CC0 1.0"
STATEMENT = "Motions are computed by rule, and their captions are templated."
CAPTIONS = 12
FPS = HUMANML3D.fps
FRAMES = (40, 120)
REST = HUMANML3D.offsets  # arms and legs hang down
LENGTH = np.linalg.norm(REST, axis=-1)
LEFT, RIGHT = 0, 1
SIDE = {"left": LEFT, "right": RIGHT}
HIP, KNEE, ANKLE, FOOT = (1, 2), (4, 5), (7, 8), (10, 11)
COLLAR, SHOULDER, ELBOW, WRIST = (13, 14), (16, 17), (18, 19), (20, 21)
ANKLE_HEIGHT = 0.08
STANDING = LENGTH[KNEE[0]] + LENGTH[ANKLE[0]] + ANKLE_HEIGHT - 0.02  # pelvis over floor, m
OUTWARD = (1.0, -1.0)  # x of each side


@dataclass
class Controls:
    """What a motion is steered by, over T frames; lengths in metres, angles in radians.

    Directions and feet are seen from the body: x to its left, y up, z forward. Sides come first
    in arrays, left then right.
    """

    path: np.ndarray  # (T, 2) root on the floor, x and z
    heading: np.ndarray  # (T,)
    height: np.ndarray  # (T,) pelvis
    feet: np.ndarray  # (2, T, 3) ankles, y over the floor
    arms: np.ndarray  # (2, T, 2, 3) directions of upper and lower arm
    lean: np.ndarray  # (T,) of the trunk, forward


def prepare_procedural(count: int, seed: int, progress: Progress = no_progress) -> Prepared:
    """`count` clips and their mirrored copies, with captions; each tenth is for test, for val."""
    rng = np.random.default_rng(seed)
    samples = []
    for i in range(count):
        joints, action = make_motion(rng)
        split = {0: "test", 1: "val"}.get(i % 10, "train")
        forms = "train" if split == "train" else "held_out"
        captions, mirrored = (
            write_captions(shown, rng, CAPTIONS, forms) for shown in (action, action.mirrored())
        )
        name = f"{i:05d}_{action.kind}"
        samples.append(Sample(name, name, split, captions, joints, mirrored_captions=mirrored))
        progress("making motions", i + 1, count)
    source = Source(TITLE, LICENCE, STATEMENT)
    return Prepared(samples, {"procedural": source}, settings={"clips": count, "seed": seed})


def make_motion(rng: np.random.Generator) -> tuple[np.ndarray, Action]:
    """One motion (T, 22, 3) in metres at 20 fps, and what it shows."""
    kind = list(MAKERS)[rng.integers(len(MAKERS))]
    frames = int(rng.integers(*FRAMES))
    sides = ("left", "right", "both") if kind in ("raise", "wave") else ("left", "right")
    side = sides[rng.integers(len(sides))] if kind in SIDED else ""
    controls = MAKERS[kind](rng, frames, side)
    return pose(controls).astype(np.float32), Action(kind, side)


def pose(c: Controls) -> np.ndarray:
    """Joints (T, 22, 3) of a body that is steered so."""
    frames = len(c.heading)
    joints = np.zeros((frames, HUMANML3D.num_joints, 3))
    joints[:, 0, 1] = c.height
    up = np.stack([np.zeros(frames), np.cos(c.lean), np.sin(c.lean)], -1)
    for joint, parent in ((3, 0), (6, 3), (9, 6), (12, 9)):
        joints[:, joint] = joints[:, parent] + up * LENGTH[joint]
    joints[:, 15] = joints[:, 12] + _unit(up + (0, 0, 0.3)) * LENGTH[15]
    for side in (LEFT, RIGHT):
        out = np.array([OUTWARD[side], 0.0, 0.0])
        joints[:, HIP[side]] = joints[:, 0] + out * LENGTH[HIP[side]]
        joints[:, COLLAR[side]] = joints[:, 9] + _unit(up + out) * LENGTH[COLLAR[side]]
        joints[:, SHOULDER[side]] = joints[:, COLLAR[side]] + out * LENGTH[SHOULDER[side]]
        for joint, parent, part in ((ELBOW, SHOULDER, 0), (WRIST, ELBOW, 1)):
            step = _unit(c.arms[side][:, part]) * LENGTH[joint[side]]
            joints[:, joint[side]] = joints[:, parent[side]] + step
        _leg(joints, side, c.feet[side])
    cos, sin = np.cos(c.heading)[:, None], np.sin(c.heading)[:, None]
    x, z = joints[..., 0].copy(), joints[..., 2].copy()
    joints[..., 0] = cos * x + sin * z + c.path[:, :1]
    joints[..., 2] = -sin * x + cos * z + c.path[:, 1:]
    return joints


def _leg(joints: np.ndarray, side: int, ankle: np.ndarray):
    """Two-bone inverse kinematics: the knee bends forward, the ankle goes where it is told."""
    hip = joints[:, HIP[side]]
    thigh, shin = LENGTH[KNEE[side]], LENGTH[ANKLE[side]]
    reach = ankle - hip
    distance = np.linalg.norm(reach, axis=-1).clip(abs(thigh - shin) + 1e-3, thigh + shin - 1e-3)
    along = _unit(reach)
    cos = (thigh**2 + distance**2 - shin**2) / (2 * thigh * distance)
    forward = np.array([0.0, 0.0, 1.0]) - along * along[:, 2:]
    bend = _unit(forward) * np.sqrt(1 - cos**2)[:, None]
    joints[:, KNEE[side]] = hip + thigh * (along * cos[:, None] + bend)
    joints[:, ANKLE[side]] = hip + along * distance[:, None]
    toe = _unit(np.array([0.05 * OUTWARD[side], -0.35, 1.0])) * LENGTH[FOOT[side]]
    joints[:, FOOT[side]] = joints[:, ANKLE[side]] + toe


def _stand(frames: int) -> Controls:
    """Standing still, arms hanging down."""
    feet = np.zeros((2, frames, 3))
    feet[:, :, 0] = np.array(OUTWARD)[:, None] * 0.11
    feet[:, :, 1] = ANKLE_HEIGHT
    arms = np.zeros((2, frames, 2, 3))
    arms[..., 0] = np.array(OUTWARD)[:, None, None] * 0.12
    arms[..., 1] = -1.0
    return Controls(
        path=np.zeros((frames, 2)),
        heading=np.zeros(frames),
        height=np.full(frames, STANDING),
        feet=feet,
        arms=arms,
        lean=np.full(frames, 0.03),
    )


def _gait(rng, frames: int, speed: float, period: float, lift: float, turn: float) -> Controls:
    """Going at `speed` (m/s), a double step each `period` s, turning by `turn` over the motion."""
    c = _stand(frames)
    phase = np.arange(frames) / (FPS * period) + rng.random()
    c.heading = turn * _smooth(np.linspace(-0.3, 1.3, frames))
    step = speed / FPS * np.stack([np.sin(c.heading), np.cos(c.heading)], -1)
    c.path = np.cumsum(step, axis=0) - step[0]
    half = speed * period / 4  # the standing foot goes back as fast as the body goes forward
    for side in (LEFT, RIGHT):
        p = (phase + 0.5 * side) % 1.0
        swing = np.clip(2 * p - 1, 0, 1)
        c.feet[side][:, 2] = np.where(
            p < 0.5, half - 4 * half * p, -half + 2 * half * _smooth(swing)
        )
        c.feet[side][:, 1] += lift * np.sin(np.pi * swing)
        sway = np.sin(2 * np.pi * (p + 0.25)) * min(0.25 + 0.2 * speed, 0.8)
        c.arms[1 - side][:, :, 2] = sway[:, None]
        c.arms[1 - side][:, 1, 2] += 0.3 * speed
    c.height = STANDING - 0.02 - half**2 * 0.35 + 0.02 * np.cos(4 * np.pi * phase)
    c.lean[:] = 0.03 + 0.04 * speed
    return c


def _walk(rng, frames, side) -> Controls:
    return _gait(rng, frames, rng.uniform(0.7, 1.3), rng.uniform(1.0, 1.3), 0.1, 0.0)


def _run(rng, frames, side) -> Controls:
    return _gait(rng, frames, rng.uniform(2.0, 2.8), rng.uniform(0.65, 0.75), 0.25, 0.0)


def _turn(rng, frames, side) -> Controls:
    angle = rng.uniform(1.2, 1.9) * OUTWARD[SIDE[side]]
    return _gait(rng, frames, rng.uniform(0.7, 1.1), rng.uniform(1.0, 1.3), 0.1, angle)


def _raise(rng, frames, side) -> Controls:
    c = _stand(frames)
    level = _bump(rng, frames)[:, None]
    for s in _sides(side):
        up = np.array([OUTWARD[s] * rng.uniform(0.1, 0.4), 1.0, rng.uniform(0.1, 0.4)])
        c.arms[s] = _swing(c.arms[s], up, level)
    return c


def _wave(rng, frames, side) -> Controls:
    c = _raise(rng, frames, side)
    level = _bump(rng, frames)
    rate, width = rng.uniform(1.2, 2.0), rng.uniform(0.5, 0.9)
    for s in _sides(side):
        c.arms[s][:, 1, 0] += level * width * np.sin(2 * np.pi * rate * np.arange(frames) / FPS)
    return c


def _kick(rng, frames, side) -> Controls:
    c = _stand(frames)
    foot = c.feet[SIDE[side]]
    level = _smooth(np.abs((np.arange(frames) / FPS / rng.uniform(1.2, 1.8) % 1.0) - 0.5) * 2)
    foot[:, 2] += (1 - level) * rng.uniform(0.5, 0.7)
    foot[:, 1] += (1 - level) * rng.uniform(0.35, 0.6)
    return c


def _squat(rng, frames, side) -> Controls:
    c = _stand(frames)
    depth = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frames) / FPS / rng.uniform(1.8, 2.6))
    c.height -= depth * rng.uniform(0.25, 0.4)
    c.lean += 0.4 * depth
    c.arms[:, :, :, 2] = 1.2 * depth[None, :, None]
    return c


def _jump(rng, frames, side) -> Controls:
    c = _stand(frames)
    wave = np.sin(2 * np.pi * np.arange(frames) / FPS / rng.uniform(0.9, 1.3) - np.pi / 2)
    air, crouch = np.clip(wave, 0, None), np.clip(-wave, 0, None)
    height = rng.uniform(0.15, 0.35)
    c.height += air * height - crouch * 0.15
    c.feet[:, :, 1] += air * height
    c.arms[:, :, :, 2] = 0.8 * air[None, :, None]
    return c


MAKERS: dict[str, Callable[[np.random.Generator, int, str], Controls]] = {
    "walk": _walk,
    "run": _run,
    "turn": _turn,
    "raise": _raise,
    "wave": _wave,
    "kick": _kick,
    "squat": _squat,
    "jump": _jump,
}
SIDED = ("turn", "raise", "wave", "kick")


def _sides(side: str) -> tuple[int, ...]:
    return (LEFT, RIGHT) if side == "both" else (SIDE[side],)


def _bump(rng, frames: int) -> np.ndarray:
    """From 0 up to 1 and back again, (T,)."""
    t = np.linspace(0, 1, frames)
    rise = rng.uniform(0.2, 0.3)
    return _smooth(t / rise) * _smooth((1 - t) / rise)


def _swing(arm: np.ndarray, target: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Turns arm directions (T, 2, 3) toward `target` by `level` (T, 1), by way of forward."""
    angle = level[..., None] * np.pi / 2
    forward = np.array([target[0], 0.0, 1.0])
    first = np.cos(2 * angle).clip(0) * arm + np.sin(2 * angle) * forward
    second = -np.cos(2 * angle).clip(None, 0) * target
    return _unit(first + second)


def _smooth(t: np.ndarray) -> np.ndarray:
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v, axis=-1, keepdims=True)
