"""Joint positions on HumanML3D's skeleton, `NAME.npy` with `NAME.txt`, as training clips."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from motionmamba.data.packed import Prepared
from motionmamba.data.progress import Progress, no_progress
from motionmamba.data.sources.captioned import Captions, find_captions, take_name
from motionmamba.data.sources.recordings import (
    MIN_FRAMES,
    Recording,
    read_recordings,
    resample,
)
from motionmamba.motion.joint_map import (
    ANKLES,
    CHAIN_SHARE,
    MIN_BONE,
    NECK,
    SURE_COSINE,
    chain_length,
    feet_forward,
    find_unit,
)
from motionmamba.motion.skeleton import HUMANML3D

SHAPE = (HUMANML3D.num_joints, 3)
STATURES = (0.8, 2.5)  # metres
ALONG = 0.8  # cosine between the body, from ankles to neck, and an axis that it points along


def prepare_joints(
    source: Path,
    captions: Path | None = None,
    name_pattern: str | None = None,
    *,
    licence: str,
    title: str,
    fps: float = HUMANML3D.fps,
    splits: Path | None = None,
    work: Path | None = None,
    progress: Progress = no_progress,
    workers: int | None = None,
) -> Prepared:
    """Reads a folder or archive of .npy files (T, 22, 3), metres, Y up; clips are mirrored as well.

    Mirrored copies as HumanML3D names them, `M012314.npy` beside `012314.npy`, are passed over.

    Args:
        fps: frames per second of the arrays.

    The others are those of `motionmamba.data.sources.bvh.prepare_bvh`.

    Raises:
        ValueError: when source, captions or splits cannot be read, or nothing can be used.
    """
    source = Path(source)
    if not fps > 0:
        raise ValueError(f"fps is {fps}, expected frames per second; pass a positive number")
    known = find_captions(source, ".npy", captions, name_pattern, progress=progress)
    known.names = [name for name in known.names if not _is_mirrored(name, known)]
    split_of = known.assign_splits(splits)
    recordings, dropped, inputs = read_recordings(
        known.files(split_of),
        partial(_read_take, fps=fps),
        work=work,
        settings=f"joints {fps}",
        progress=progress,
        workers=workers,
    )
    settings = {"fps": fps}
    return known.to_prepared(recordings, split_of, dropped, inputs, title, licence, settings)


def _is_mirrored(name: str, known: Captions) -> bool:
    path = PurePosixPath(name)
    original = path.with_name(path.name[1:]) if path.name[0] == "M" and path.stem != "M" else None
    if original is None or known.find(str(original)) is None:
        return False
    known.dropped[name] = f"the mirror image of {original}, which is made anew"
    return True


def _read_take(name: str, content: bytes, fps: float) -> Recording:
    joints = _parse(content)
    if reason := _flaw(joints):
        raise ValueError(f"it {reason}")
    if len(joints) < 4 or (len(joints) - 1) / fps * HUMANML3D.fps < MIN_FRAMES:
        raise ValueError(f"it is shorter than {MIN_FRAMES + 1} frames at 20 fps")
    if fps != HUMANML3D.fps:
        joints = resample(joints, fps, HUMANML3D.fps)
    return Recording(take_name(name), joints.astype(np.float32), {"file": name})


def _parse(content: bytes) -> np.ndarray:
    try:
        joints = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, MemoryError) as error:
        raise ValueError("it is no plain .npy array, or cut short") from error
    if joints.dtype.kind != "f" or joints.shape[1:] != SHAPE or not len(joints):
        raise ValueError(
            f"it is {joints.dtype} of shape {joints.shape}, expected joints of shape (T, 22, 3)"
        )
    return joints


def _flaw(joints: np.ndarray) -> str:
    """Why joints (T, 22, 3) are none of an upright body in metres; empty when they are."""
    if broken := int((~np.isfinite(joints).all((1, 2))).sum()):
        return f"has NaN or infinite values in {broken} of {len(joints)} frames"
    bones = np.linalg.norm(joints[:, 1:] - joints[:, HUMANML3D.parents[1:]], axis=-1)
    stature = chain_length(joints) / CHAIN_SHARE
    if stature < MIN_BONE:
        return "has joints that lie on one another"
    if not STATURES[0] < stature < STATURES[1]:
        _, unit = find_unit(chain_length(joints))
        return f"has a body {stature:.3g} m tall, as if in {unit}; joints have to be in metres"
    if bones.min() < MIN_BONE:
        joint = HUMANML3D.joint_names[1 + int(bones.min(0).argmin())]
        return f"has joints that lie on one another, at the {joint}"
    if axis := _axis_up(joints):
        return f"has {axis} up, expected Y up"
    if feet_forward(joints) < -SURE_COSINE:
        return "has feet that point backwards: it is mirrored, or left and right are exchanged"
    return ""


def _axis_up(joints: np.ndarray) -> str:
    """The axis that points up in place of Y; empty when that is Y, or the body is lying.

    A lying body points along another axis too, but it is Y along which its lowest joint stays in
    place, as it does on any floor.
    """
    body = joints[:, NECK] - joints[:, ANKLES].mean(1)
    cosines = (body / np.maximum(np.linalg.norm(body, axis=-1, keepdims=True), MIN_BONE)).mean(0)
    axis = int(np.abs(cosines).argmax())
    if abs(cosines[axis]) < ALONG or (axis == 1 and cosines[axis] > 0):
        return ""
    ends = joints.min(1) if cosines[axis] > 0 else joints.max(1)
    if axis != 1 and np.ptp(ends[:, axis]) > np.ptp(joints[:, :, 1].min(1)):
        return ""
    return ("" if cosines[axis] > 0 else "minus ") + "XYZ"[axis]
