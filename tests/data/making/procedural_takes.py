"""Takes of procedural motions, on the uniform skeleton and on the floor."""

import numpy as np

from motionmamba.data.making.join import Take
from motionmamba.data.sources.procedural import MAKERS, pose
from motionmamba.data.text.captions import Action
from motionmamba.motion.skeleton import HUMANML3D

KINDS = (
    *(("walk", ""), ("run", ""), ("turn", "left"), ("turn", "right")),
    *(("raise", "left"), ("raise", "right"), ("raise", "both"), ("wave", "left")),
    *(("wave", "right"), ("wave", "both")),
)


def motion(kind: str, seed: int = 0, side: str = "", frames: int = 70) -> np.ndarray:
    joints = pose(MAKERS[kind](np.random.default_rng(seed), frames, side)).astype(np.float32)
    joints[..., 1] -= joints[..., 1].min()
    return joints


def moved(joints: np.ndarray, angle: float, place=(3.0, -2.0)) -> np.ndarray:
    """Turned about the vertical and moved over the ground."""
    cos, sin = np.cos(angle), np.sin(angle)
    x, z = joints[..., 0], joints[..., 2]
    ground = cos * x + sin * z + place[0], cos * z - sin * x + place[1]
    return np.stack([ground[0], joints[..., 1], ground[1]], axis=-1).astype(np.float32)


def takes(styles=("normal", "sad"), each: int = 4) -> list[Take]:
    found = []
    for style in styles:
        for seed in range(each):
            for kind, side in KINDS:
                joints = moved(motion(kind, seed, side, 60 + 6 * seed), seed)
                name = f"{kind}{side}-{style}-{seed}"
                found.append(Take(name, joints, Action(kind, side, style)))
    return found


def assert_bones_are_uniform(joints: np.ndarray):
    bones = joints[:, 1:] - joints[:, HUMANML3D.parents[1:]]
    lengths = np.linalg.norm(bones, axis=-1)
    expected = np.linalg.norm(HUMANML3D.offsets, axis=-1)[1:]
    np.testing.assert_allclose(lengths, np.broadcast_to(expected, lengths.shape), atol=1e-4)
