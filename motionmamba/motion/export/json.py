"""Joints as JSON, for pages and scripts.

A file is one object:

    {"format": "motionmamba", "fps": 20.0, "prompt": "a person walks", "unit": "metres", "up": "y",
     "joint_names": [J names], "parents": [J indices, -1 at the root],
     "joints": [T frames of J [x, y, z], to 0.1 mm]}

Of these only "joints" is needed to read it back.
"""

from __future__ import annotations

import json
import os

import numpy as np

from motionmamba.motion.files import read_whole, write_whole
from motionmamba.motion.motion import JOINT_SHAPES, Motion

_DECIMALS = 4


def write_json(path: str | os.PathLike, motion: Motion) -> None:
    """Write the joints of a motion; the file appears only once it is complete.

    Raises OSError where it cannot be written.
    """
    content = {
        "format": "motionmamba",
        "fps": motion.fps,
        "prompt": motion.prompt,
        "unit": "metres",
        "up": "y",
        "joint_names": motion.skeleton.joint_names,
        "parents": motion.skeleton.parents,
        "joints": motion.joints.astype(np.float64).round(_DECIMALS).tolist(),
    }
    write_whole(path, json.dumps(content, separators=(",", ":")).encode())


def read_json(path: str | os.PathLike) -> Motion:
    """Read what `write_json` writes.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is something else.
    """
    content = read_whole(path)
    try:
        stored = json.loads(content)
        joints = np.array(stored["joints"])
        fps, prompt = stored.get("fps"), stored.get("prompt", "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, MemoryError) as error:
        raise ValueError(_no_joints(path)) from error
    numbers = joints.dtype.kind in "fiu" and isinstance(fps, (int, float, type(None)))
    if joints.shape[1:] not in JOINT_SHAPES or not numbers or not isinstance(prompt, str):
        raise ValueError(_no_joints(path))
    return Motion(joints=joints, fps=fps, prompt=prompt)


def _no_joints(path: str | os.PathLike) -> str:
    return (
        f"{path} is no JSON object with 'joints' of shape (T, 22, 3) or (T, 21, 3), a number 'fps' "
        "and a text 'prompt'; pass one that Motion.save wrote."
    )
