"""Bodies in made-up motion."""

import numpy as np
from amass_files import body_arrays

from motionmamba.motion.body import EMBEDDED_BODY, Body, BodyMotion
from motionmamba.motion.smpl import ARRAYS


def swaying(body: Body, frames: int = 24, seed: int = 0, prompt: str = "she sways") -> BodyMotion:
    """A body of some shape whose joints all turn, a few of them all the way round."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 1, frames)[:, None, None]
    axes = rng.normal(size=(body.num_joints, 3))
    poses = axes * 0.5 * np.sin(2 * np.pi * time * rng.uniform(0.5, 1, (body.num_joints, 1)))
    turn = np.linspace(0, 3 * np.pi, frames)
    poses[:, 0] = turn[:, None] * (0, 1, 0)
    trans = np.stack([np.cos(turn), 0.3 + 0.1 * np.sin(turn), turn / 3], axis=1)
    betas = rng.normal(size=body.num_betas) * 0.5
    return BodyMotion(
        body, *(a.astype(np.float32) for a in (poses, trans, betas)), fps=25.0, prompt=prompt
    )


def write_body(path, kind: str):
    """A model file of a few vertices, each moved by up to eight joints, without corrections."""
    arrays = body_arrays(kind)
    rng = np.random.default_rng(1)
    weights = rng.uniform(size=arrays["weights"].shape) ** 8
    strongest = np.argsort(weights, axis=1)
    np.put_along_axis(weights, strongest[:, :-8], 0, axis=1)
    arrays["weights"] = weights / weights.sum(1, keepdims=True)
    arrays["posedirs"] = np.zeros_like(arrays["posedirs"])
    np.savez(path, **arrays)
    return path


def write_human(path):
    """The shipped body as a model file of somebody else."""
    with np.load(EMBEDDED_BODY) as stored:
        np.savez(path, **{name: stored[name] for name in (*ARRAYS, "posedirs", "weights", "f")})
    return path
