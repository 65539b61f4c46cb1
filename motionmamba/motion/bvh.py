"""Reading BVH motion files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_AXES = "xyz"
_CHANNELS = {f"{axis}{kind}" for axis in _AXES for kind in ("position", "rotation")}
_MOTION = re.compile(rb"^\s*MOTION\s*$", re.MULTILINE)
_TIMING = re.compile(rb"\s*Frames\s*:\s*(\S+)\s+Frame\s+Time\s*:\s*(\S+)", re.IGNORECASE)


class BvhError(ValueError):
    """A BVH file that cannot be read; the message is one sentence that names the file."""


@dataclass(frozen=True)
class Bvh:
    """One BVH take with J joints (end sites only where asked for) and T frames.

    `offsets` (J, 3) and positions are in the file's own unit of length, `values` (T, sum of
    channels) in that unit and degrees; `channels` holds each joint's channel names in file order,
    lower case; `parents` is -1 at a root.
    """

    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray
    channels: tuple[tuple[str, ...], ...]
    values: np.ndarray
    frame_time: float

    @property
    def fps(self) -> float:
        """Frames per second."""
        return 1.0 / self.frame_time

    def positions(self) -> np.ndarray:
        """Joint positions (T, J, 3), float32, by forward kinematics.

        A joint's position channels replace its OFFSET, as MotionBuilder and Blender read them.
        """
        frames = len(self.values)
        positions = np.empty((len(self.parents), frames, 3))
        rotations = np.empty((len(self.parents), frames, 3, 3))
        column = 0
        for joint, parent in enumerate(self.parents):
            translation = np.tile(self.offsets[joint], (frames, 1))
            rotation = rotations[joint]
            rotation[:] = rotations[parent] if parent >= 0 else np.eye(3)
            for channel in self.channels[joint]:
                axis = _AXES.index(channel[0])
                value = self.values[:, column]
                if channel.endswith("position"):
                    translation[:, axis] = value
                else:
                    _rotate(rotation, axis, np.radians(value))
                column += 1
            positions[joint] = translation
            if parent >= 0:
                world = np.einsum("tij,tj->ti", rotations[parent], translation)
                positions[joint] = positions[parent] + world
        return positions.transpose(1, 0, 2).astype(np.float32)


def read_bvh(path: str | Path, end_sites: bool = False) -> Bvh:
    """Read a BVH file as `parse_bvh` does."""
    path = Path(path)
    return parse_bvh(path.read_bytes(), path.name, end_sites)


def parse_bvh(content: bytes, name: str, end_sites: bool = False) -> Bvh:
    """Parse the bytes of a BVH file; `name` is what errors call it.

    With `end_sites` the tips of last bones are joints too, "Toes End Site" that of "Toes".

    Raises `BvhError` where the content is broken.
    """
    motion = _MOTION.search(content)
    if motion is None:
        raise BvhError(f"{name} has no MOTION section; export it again as a complete BVH file.")
    joints = _parse_hierarchy(content[: motion.start()].decode("utf-8-sig", "replace"), name)
    joints = [joint for joint in joints if end_sites or not joint.is_end]
    channels = tuple(joint.channels for joint in joints)
    values, frame_time = _parse_motion(content[motion.end() :], sum(map(len, channels)), name)
    return Bvh(
        joint_names=tuple(joint.name for joint in joints),
        parents=tuple(joints.index(joint.parent) if joint.parent else -1 for joint in joints),
        offsets=np.array([joint.offset for joint in joints]),
        channels=channels,
        values=values,
        frame_time=frame_time,
    )


@dataclass(eq=False)
class _Joint:
    name: str
    parent: _Joint | None
    is_end: bool
    offset: list[float] | None = None
    channels: tuple[str, ...] = ()


def _parse_hierarchy(text: str, name: str) -> list[_Joint]:
    tokens = iter(text.split())
    try:
        joints = _parse_tokens(tokens)
    except StopIteration:
        raise BvhError(f"{name} has a broken header: it ends before its last joint.") from None
    except ValueError as error:
        raise BvhError(f"{name} has a broken header: {error}.") from None
    return joints


def _parse_tokens(tokens) -> list[_Joint]:
    if next(tokens).upper() != "HIERARCHY":
        raise ValueError("it does not start with HIERARCHY")
    joints: list[_Joint] = []
    stack: list[_Joint] = []
    while (token := next(tokens, None)) is not None:
        keyword = token.upper()
        if keyword in ("ROOT", "JOINT", "END"):
            parent, is_end = stack[-1] if stack else None, keyword == "END"
            joint_name = " ".join(iter(tokens.__next__, "{"))
            if parent and parent.is_end:
                raise ValueError("an end site has children")
            if is_end:
                joint_name = f"{parent.name} End Site" if parent else ""
            stack.append(_Joint(joint_name, parent, is_end))
            joints.append(stack[-1])
        elif not stack:
            raise ValueError(f"{token!r} stands outside any joint")
        elif keyword == "OFFSET":
            stack[-1].offset = [float(next(tokens)) for _ in range(3)]
        elif keyword == "CHANNELS":
            stack[-1].channels = _parse_channels([next(tokens) for _ in range(int(next(tokens)))])
        elif keyword == "}":
            joint = stack.pop()
            if joint.offset is None or not np.isfinite(joint.offset).all():
                raise ValueError(f"joint {joint.name!r} has no finite OFFSET")
        else:
            raise ValueError(f"{token!r} is no BVH keyword")
    if stack or all(joint.is_end for joint in joints):
        raise ValueError("a joint is not closed" if stack else "it has no joint")
    return joints


def _parse_channels(names: list[str]) -> tuple[str, ...]:
    channels = tuple(name.lower() for name in names)
    unknown = [name for name in channels if name not in _CHANNELS]
    if unknown or len(set(channels)) != len(channels):
        raise ValueError(
            f"channels {' '.join(names)} are not distinct X/Y/Z positions or rotations"
        )
    return channels


def _parse_motion(body: bytes, width: int, name: str) -> tuple[np.ndarray, float]:
    timing = _TIMING.match(body)
    try:
        frames, frame_time = int(timing[1]), float(timing[2])
    except (TypeError, ValueError):
        raise BvhError(
            f"{name} has no readable 'Frames:' and 'Frame Time:' after MOTION."
        ) from None
    if frames < 1:
        raise BvhError(f"{name} has {frames} frames; at least one is needed.")
    if not 0 < frame_time < float("inf"):
        raise BvhError(f"{name} has a frame time of {frame_time} s; it must be above zero.")
    try:
        values = np.array(body[timing.end() :].split(), dtype=np.float64)
    except ValueError:
        raise BvhError(f"{name} has motion values that are no numbers.") from None
    if width == 0 or values.size != frames * width:
        raise BvhError(
            f"{name} has {values.size} motion values where {frames} frames of {width} channels "
            f"need {frames * width}; the file is cut off or its header is wrong."
        )
    if not np.isfinite(values).all():
        raise BvhError(f"{name} has motion values that are NaN or infinite.")
    return values.reshape(frames, width), frame_time


def _rotate(rotations: np.ndarray, axis: int, angles: np.ndarray) -> None:
    """Multiply `rotations` (T, 3, 3) in place, on the right, by turns (T,) about a local axis."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    a, b = rotations[:, :, first].copy(), rotations[:, :, second].copy()
    rotations[:, :, first] = cos * a + sin * b
    rotations[:, :, second] = cos * b - sin * a
