"""Poses of a body as `.npz` files in AMASS's layout, written and read back."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from motionmamba.motion.amass import GENDERS, RATES, TO_Y_UP, AmassFile
from motionmamba.motion.body import Body, BodyMotion
from motionmamba.motion.files import read_whole, write_whole
from motionmamba.motion.skeleton import HUMANML3D

_WIDTHS = {"smpl": 52, "smplh": 52, "smplx": 55}  # joints of a file of each kind of body
_OF_SMPL_AND_SMPLH = HUMANML3D.num_joints  # joints that mean the same in both
_MIN_BETAS = 16  # of AMASS's own files
_TO_Y_UP = Rotation.from_matrix(TO_Y_UP)


def write_amass(path: str | os.PathLike, motion: BodyMotion) -> None:
    """Write a body in motion with AMASS's keys; the file appears only once it is complete.

    poses (T, 156), radians, in SMPL-H's order with hands at rest where the body has none, or
    (T, 165) of SMPL-X; trans (T, 3), metres, Z up as in AMASS; betas (16 or more,); gender;
    mocap_framerate, also as mocap_frame_rate. Beside them `body` says whose betas those are,
    surface_model_type of which kind, and `prompt` what the motion shows.

    Raises OSError where it cannot be written.
    """
    body = motion.body
    poses = np.zeros((len(motion), _WIDTHS[body.kind], 3))
    count = _OF_SMPL_AND_SMPLH if body.kind == "smpl" else body.num_joints
    poses[:, :count] = motion.poses[:, :count]
    poses[:, 0], trans = _turn_root(_TO_Y_UP.inv(), motion, poses[:, 0], motion.trans)
    betas = np.append(motion.betas, np.zeros(max(_MIN_BETAS - len(motion.betas), 0)))
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        poses=poses.reshape(len(poses), -1).astype(np.float32),
        trans=trans.astype(np.float32),
        betas=betas.astype(np.float32),
        gender=np.array(_gender(body)),
        surface_model_type=np.array(body.kind),
        body=np.array(body.source),
        prompt=np.array(motion.prompt),
        **dict.fromkeys(RATES, np.array(float(motion.fps))),
    )
    write_whole(path, stream.getvalue())


def read_amass(path: str | os.PathLike, body: Body | None = None) -> BodyMotion:
    """Read poses of any release of AMASS, or written here; poses of fingers where there are any.

    Args:
        path: `.npz` file, Z up.
        body: whose poses they are. A file of the body that ships with this package names it.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is something else, or of a body that is not at hand.
    """
    content = read_whole(path)
    try:
        stored = AmassFile(content)
        poses, kind = stored.poses()
        trans, betas = stored.numbers("trans"), stored.numbers("betas").ravel()
        fps, source, prompt = stored.fps(), stored.text("body"), stored.text("prompt")
        _check(poses, trans, betas, fps)
    except ValueError as error:
        raise ValueError(
            f"{path} is no motion in AMASS's layout ({error}); pass an .npz file with poses, "
            "trans, betas, gender and mocap_framerate."
        ) from error
    body = _find_body(path, source, kind, body)
    count = _OF_SMPL_AND_SMPLH if body.num_joints * 3 != poses.shape[1] else body.num_joints
    turns = np.zeros((len(poses), body.num_joints, 3), np.float32)
    turns[:, :count] = poses[:, : 3 * count].reshape(len(poses), count, 3)
    shape = np.zeros(body.num_betas, np.float32)
    shape[: len(betas)] = betas[: body.num_betas]
    motion = BodyMotion(body, turns, trans, shape, float(fps[0]), prompt)
    turns[:, 0], trans = _turn_root(_TO_Y_UP, motion, turns[:, 0], trans)
    return BodyMotion(body, turns, trans.astype(np.float32), shape, float(fps[0]), prompt)


def _turn_root(
    turn: Rotation, motion: BodyMotion, root: np.ndarray, trans: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The root's rotations and trans, both (T, 3), in a world that is turned.

    The root's place at rest, which trans is added to, does not turn with the world.
    """
    rest = motion.body.rest(motion.betas)[1][0].astype(np.float64)
    return (turn * Rotation.from_rotvec(root)).as_rotvec(), turn.apply(rest + trans) - rest


def _check(poses: np.ndarray, trans: np.ndarray, betas: np.ndarray, fps: np.ndarray):
    if trans.shape != (len(poses), 3) or len(poses) == 0:
        raise ValueError(f"wrong shape: poses {poses.shape} and trans {trans.shape}")
    if not all(np.isfinite(array).all() for array in (poses, trans, betas)):
        raise ValueError("it has NaN or infinite values")
    if fps.size != 1 or not 0 < fps[0] < np.inf:
        raise ValueError(f"wrong frame rate: {fps.tolist()}")


def _find_body(path: str | os.PathLike, source: str, kind: str, body: Body | None) -> Body:
    """The body that a file was made with; SMPL's stands in for SMPL-H's and the other way."""
    if source == (shipped := Body.load()).source:
        return shipped
    name = source or f"a body of {kind.upper()}"
    if body is None:
        raise ValueError(
            f"{path} holds poses of {name}, which does not ship with this package; give the "
            "model file with --smpl-model (in Python body=Body.load(PATH))."
        )
    if (kind == "smplx") != (body.kind == "smplx"):
        raise ValueError(
            f"{path} holds poses of {name}, which {body.source} cannot take; give a model file of "
            f"{kind.upper()}."
        )
    return body


def _gender(body: Body) -> str:
    """What the name of the model file says."""
    found = re.findall("|".join(GENDERS), Path(body.source).name.lower())
    return found[-1] if found else "neutral"
