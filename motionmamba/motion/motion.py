"""A human motion as a value: joints, features, frame rate and prompt."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from motionmamba.motion.skeleton import SKELETONS, skeleton_of

if TYPE_CHECKING:
    from motionmamba.motion.body import Body

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

    def save(self, path: str | os.PathLike, body: Body | None = None) -> None:
        """Write the motion to a file of the kind that its suffix names.

        Joints as .npy or .json, a skeleton with its rotations as .bvh; a body as .glb (mesh, skin
        and animation) or .npz (its poses, with AMASS's keys); videos as .mp4, .webm or .gif, and
        .png, a strip of poses.

        Args:
            path: the file, which appears only once it is complete.
            body: moves in .glb and .npz; the one shipped here by default.

        Raises:
            ValueError: for another suffix or a folder that cannot be written to.
        """
        from motionmamba.motion.formats import save_motion

        save_motion(self, path, body)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike,
        fps: float | None = None,
        prompt: str = "",
        body: Body | None = None,
    ) -> Motion:
        """Read the joints of a motion from a file, whichever its suffix says.

        Args:
            path: .npy, joints (T, 22, 3) or (T, 21, 3) in metres, Y up; .json with such joints;
                .bvh of any human skeleton, whose joints are found by their names and places; .npz
                of AMASS or with its keys; .glb that this library wrote.
            fps: frames per second, in place of what the file says, if it does.
            prompt: likewise.
            body: whose poses an .npz holds, unless it is the body shipped here.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when it holds something else.
        """
        from motionmamba.motion.formats import load_motion

        motion = load_motion(path, fps, prompt, body)
        if isinstance(motion, cls):
            return motion
        return cls(joints=motion.joints, fps=motion.fps, prompt=motion.prompt)


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
