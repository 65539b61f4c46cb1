"""A human motion as a value: joints, features, frame rate and prompt."""

from __future__ import annotations

import os
import zipfile
from functools import cached_property
from pathlib import Path

import numpy as np

from motionmamba.motion.skeleton import SKELETONS, skeleton_of

JOINT_SHAPES = tuple((skeleton.num_joints, 3) for skeleton in SKELETONS)
FEATURE_SHAPES = tuple((skeleton.num_features,) for skeleton in SKELETONS)


class Motion:
    """One motion of T frames, made from joints or from features.

    It is on the skeleton of HumanML3D or, with 21 joints or 251 features, on that of KIT-ML.

    Args:
        joints: (T, 22, 3) or (T, 21, 3) metres, Y up.
        features: (T, 263) or (T, 251), not normalised.
        fps: frames per second; those of the data set, 20 or 12.5, by default.
        prompt: the text that the motion shows.

    Raises:
        ValueError: unless exactly one of joints and features is given, of that shape, with at
            least one frame, finite, and fps is positive.
    """

    def __init__(
        self,
        joints: np.ndarray | None = None,
        features: np.ndarray | None = None,
        fps: float | None = None,
        prompt: str = "",
    ):
        if (joints is None) == (features is None):
            raise ValueError("Motion takes either joints or features; pass exactly one of them.")
        if fps is not None and not fps > 0:
            raise ValueError(f"fps is {fps}, expected frames per second; pass a positive number.")
        if joints is not None:
            values = self.joints = _as_frames("joints", joints, JOINT_SHAPES)
        else:
            values = self.features = _as_frames("features", features, FEATURE_SHAPES)
        self.skeleton = skeleton_of(values.shape[1])
        self.fps = float(fps or self.skeleton.fps)
        self.prompt = prompt

    @cached_property
    def joints(self) -> np.ndarray:
        """Joint positions (T, J, 3) float32, metres, Y up; Z forward at frame 0 if generated."""
        from motionmamba.motion.features import features_to_joints

        return features_to_joints(self.features, self.skeleton.name) * self.skeleton.unit

    @cached_property
    def features(self) -> np.ndarray:
        """Features (T, F) float32, not normalised, in units of the data set.

        On its uniform skeleton, which KIT-ML's joints must have already.
        """
        from motionmamba.motion.features import joints_to_features

        # Features lie between frames, so a standing last step makes T of them.
        joints = np.concatenate([self.joints, self.joints[-1:]]) / self.skeleton.unit
        retarget = self.skeleton.bone_lengths is not None
        return joints_to_features(joints, retarget, self.skeleton.name)

    @property
    def seconds(self) -> float:
        return len(self) / self.fps

    def __len__(self) -> int:
        return len(self.joints)

    def __repr__(self) -> str:
        return f"Motion({len(self)} frames, fps={self.fps:g}, prompt={self.prompt!r})"

    def save(self, path: str | os.PathLike) -> None:
        """Write the motion: .npy (joints), .mp4 or .gif (video), .png (a strip of poses), .bvh.

        Raises:
            ValueError: for another suffix or a folder that cannot be written to.
        """
        path = check_output(path)
        _WRITERS[path.suffix.lower()](self, path)

    @classmethod
    def load(cls, path: str | os.PathLike, fps: float | None = None, prompt: str = "") -> Motion:
        """Read joints (T, 22, 3) or (T, 21, 3) from a .npy file, metres, Y up.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when it is not a NumPy array of that shape with finite numbers.
        """
        try:
            # Mapped, so that a forged header cannot ask for more memory than the file holds.
            joints = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(_not_joints(path, "not a NumPy array")) from error
        if not isinstance(joints, np.ndarray):
            raise ValueError(_not_joints(path, "an archive of arrays"))
        if joints.shape[1:] not in JOINT_SHAPES or joints.dtype.kind not in "fiu":
            raise ValueError(_not_joints(path, f"{joints.dtype} of shape {joints.shape}"))
        return cls(joints=joints, fps=fps, prompt=prompt)


def check_output(path: str | os.PathLike) -> Path:
    """Gives `path` when `Motion.save` can write there, so that long work need not end in vain.

    Raises:
        ValueError: for an unknown suffix, a folder that is missing or not writable.
    """
    path = Path(path)
    if path.suffix.lower() not in _WRITERS:
        raise ValueError(
            f"{path} has the suffix '{path.suffix}', expected one of {', '.join(_WRITERS)}; "
            "rename the file."
        )
    if not path.parent.is_dir():
        raise ValueError(
            f"{path} cannot be written because the folder {path.parent} does not exist; "
            "create it first."
        )
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ValueError(f"{path} cannot be written; choose a file in a folder you may write to.")
    return path


def _as_frames(name: str, values: np.ndarray, shapes: tuple[tuple[int, ...], ...]) -> np.ndarray:
    values = np.array(values, dtype=np.float32, order="C")
    if values.shape[1:] not in shapes or len(values) == 0:
        expected = " or ".join(f"(T, {', '.join(map(str, shape))})" for shape in shapes)
        raise ValueError(
            f"Motion {name} have shape {values.shape}, expected {expected} with T >= 1; "
            "pass one motion at a time."
        )
    if not np.isfinite(values).all():
        raise ValueError(
            f"Motion {name} contain NaN or infinite values, expected finite numbers; "
            "drop or repair those frames."
        )
    return values


def _not_joints(path: str | os.PathLike, found: str) -> str:
    return (
        f"{path} is {found}, expected joints of shape (T, 22, 3) or (T, 21, 3); "
        "pass a .npy file written by Motion.save or numpy.save."
    )


def _write_npy(motion: Motion, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            np.save(file, motion.joints)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_video(motion: Motion, path: Path) -> None:
    from motionmamba.motion.render import render_video

    render_video([motion], path)


def _write_strip(motion: Motion, path: Path) -> None:
    from motionmamba.motion.render import render_strip

    render_strip([motion], path)


def _write_bvh(motion: Motion, path: Path) -> None:
    from motionmamba.motion.export import write_bvh

    write_bvh(path, motion)


_WRITERS = {
    ".npy": _write_npy,
    ".mp4": _write_video,
    ".gif": _write_video,
    ".png": _write_strip,
    ".bvh": _write_bvh,
}
