"""Motions of any kind of file: which suffix is read and written by what."""

from __future__ import annotations

import io
import os
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from motionmamba.motion.export.bvh import load_bvh, write_bvh
from motionmamba.motion.export.gltf import glb_bytes, read_glb, write_glb
from motionmamba.motion.export.json import read_json, write_json
from motionmamba.motion.export.usd import require_usd, write_usd
from motionmamba.motion.files import write_whole
from motionmamba.motion.motion import JOINT_SHAPES, Motion

if TYPE_CHECKING:
    from motionmamba.motion.body import Body, BodyMotion

READ = (".npy", ".json", ".bvh", ".npz", ".glb")
USD = (".usda", ".usdc")
WRITTEN = (*READ, *USD, ".html", ".mp4", ".webm", ".gif", ".png")

AnyMotion: TypeAlias = "Motion | BodyMotion"


def load_motion(
    path: str | os.PathLike, fps: float | None = None, prompt: str = "", body: Body | None = None
) -> AnyMotion:
    """Read a motion as `Motion.load` does, and poses of a body (.npz) as a `BodyMotion`."""
    path = Path(path)
    if fps is not None and not 0 < fps < float("inf"):
        raise ValueError(f"fps is {fps}, expected frames per second; pass a positive number.")
    motion = _read(path, body)
    fps, prompt = fps or motion.fps, prompt or motion.prompt
    if isinstance(motion, Motion):
        return Motion(joints=motion.joints, fps=fps, prompt=prompt)
    return replace(motion, fps=fps, prompt=prompt)


def save_motion(motion: AnyMotion, path: str | os.PathLike, body: Body | None = None) -> None:
    """Write a motion as `Motion.save` does; the poses of a `BodyMotion` are kept."""
    _write(motion, check_output(path), body)


def check_output(path: str | os.PathLike) -> Path:
    """Gives `path` when `Motion.save` can write there, so that long work need not end in vain.

    Raises:
        ValueError: for an unknown suffix or one whose library is missing, a folder that is missing
            or not writable.
    """
    path = Path(path)
    if path.suffix.lower() not in WRITTEN:
        raise ValueError(
            f"{path} has the suffix '{path.suffix}', expected one of {', '.join(WRITTEN)}; "
            "rename the file."
        )
    if path.suffix.lower() in USD:
        require_usd()
    if not path.parent.is_dir():
        raise ValueError(
            f"{path} cannot be written because the folder {path.parent} does not exist; "
            "create it first."
        )
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ValueError(f"{path} cannot be written; choose a file in a folder you may write to.")
    return path


def on_body(motion: AnyMotion, body: Body | None = None) -> BodyMotion:
    """A motion on a body: the one it has or, where there is none or another is given, fitted."""
    if not isinstance(motion, Motion) and (body is None or body is motion.body):
        return motion
    from motionmamba.motion.fitting import fit_body

    return fit_body(_joints_alone(motion), body)


def _read(path: Path, body: Body | None) -> AnyMotion:
    match path.suffix.lower():
        case ".npy":
            return _read_npy(path)
        case ".json":
            return read_json(path)
        case ".bvh":
            return load_bvh(path)
        case ".glb":
            return read_glb(path)
        case ".npz":
            from motionmamba.motion.export.amass import read_amass

            return read_amass(path, body)
    raise ValueError(
        f"{path} has the suffix '{path.suffix}', expected one of {', '.join(READ)}; "
        "convert it with other software first."
    )


def _write(motion: AnyMotion, path: Path, body: Body | None) -> None:
    match path.suffix.lower():
        case ".npy":
            stream = io.BytesIO()
            np.save(stream, motion.joints)
            write_whole(path, stream.getvalue())
        case ".json":
            write_json(path, _joints_alone(motion))
        case ".bvh":
            write_bvh(path, motion)
        case ".glb":
            write_glb(path, on_body(motion, body))
        case ".usda" | ".usdc":
            write_usd(path, on_body(motion, body))
        case ".npz":
            from motionmamba.motion.export.amass import write_amass

            write_amass(path, on_body(motion, body))
        case ".html":
            from motionmamba.motion.export.html import write_html

            write_html(path, [glb_bytes(on_body(motion, body))], [motion.prompt or path.stem])
        case ".png":
            from motionmamba.motion.render import render_strip

            render_strip([motion], path, model=body)
        case _:
            from motionmamba.motion.render import render_video

            render_video([motion], path, model=body)


def _joints_alone(motion: AnyMotion) -> Motion:
    if isinstance(motion, Motion):
        return motion
    return Motion(joints=motion.joints, fps=motion.fps, prompt=motion.prompt)


def _read_npy(path: Path) -> Motion:
    try:
        # Mapped, so that a forged header cannot ask for more memory than the file holds.
        joints = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(_not_joints(path, "not a NumPy array")) from error
    if not isinstance(joints, np.ndarray):
        raise ValueError(_not_joints(path, "an archive of arrays"))
    if joints.shape[1:] not in JOINT_SHAPES or joints.dtype.kind not in "fiu":
        raise ValueError(_not_joints(path, f"{joints.dtype} of shape {joints.shape}"))
    return Motion(joints=joints)


def _not_joints(path: Path, found: str) -> str:
    return (
        f"{path} is {found}, expected joints of shape (T, 22, 3) or (T, 21, 3); "
        "pass a .npy file written by Motion.save or numpy.save."
    )
