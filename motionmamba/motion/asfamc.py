"""Reading Acclaim ASF skeletons and the AMC motion files that go with them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

INCH = 0.0254  # metres
_AXES = "xyz"
_ROTATIONS = {f"r{axis}" for axis in _AXES}
_TRANSLATIONS = {f"t{axis}" for axis in _AXES}
_NUMBER_LINE = re.compile(rb"^[ \t]*\d+[ \t]*\r?$", re.MULTILINE)  # begins a frame


class AsfAmcError(ValueError):
    """An ASF or AMC file that cannot be read; the message is one sentence that names the file."""


@dataclass(frozen=True)
class Asf:
    """A skeleton of J joints: the root, and the far end of each bone.

    Joint 0 is the root, which has no bone; `parents` is -1 for it, and parents come before their
    children. `offsets` (J, 3) lead along each bone in the world's axes, in the file's unit of
    length; `frames` (J, 3, 3) turn a bone's own axes, about which its `channels` turn, to the
    world's. `unit` is that unit in metres: Acclaim's lengths are inches, divided by the file's
    `length`.
    """

    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray
    frames: np.ndarray
    channels: tuple[tuple[str, ...], ...]
    unit: float
    degrees: bool


@dataclass(frozen=True)
class Amc:
    """One take of T frames on the skeleton `asf`; `values` (T, sum of channels) as in the file."""

    asf: Asf
    values: np.ndarray

    def positions(self) -> np.ndarray:
        """Joint positions (T, J, 3), float32, in the skeleton's unit, by forward kinematics."""
        asf, frames = self.asf, len(self.values)
        positions = np.empty((len(asf.parents), frames, 3))
        rotations = np.empty((len(asf.parents), frames, 3, 3))
        column = 0
        for joint, parent in enumerate(asf.parents):
            end = column + len(asf.channels[joint])
            moves, turn = self._pose(asf.channels[joint], self.values[:, column:end])
            column = end
            local = asf.frames[joint] @ turn @ asf.frames[joint].T
            if parent < 0:
                rotations[joint] = local
                positions[joint] = asf.offsets[joint] + moves
                continue
            rotations[joint] = rotations[parent] @ local
            positions[joint] = positions[parent] + rotations[joint] @ asf.offsets[joint]
        return positions.transpose(1, 0, 2).astype(np.float32)

    def _pose(self, channels: tuple[str, ...], values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Translations (T, 3) and rotations (T, 3, 3) of a joint, the first channel turns first."""
        moves = np.zeros((len(values), 3))
        turn = np.broadcast_to(np.eye(3), (len(values), 3, 3))
        for channel, value in zip(channels, values.T, strict=True):
            axis = _AXES.index(channel[1])
            if channel in _TRANSLATIONS:
                moves[:, axis] = value
            else:
                turn = _turns(axis, np.radians(value) if self.asf.degrees else value) @ turn
        return moves, turn


def read_asf(path: str | Path) -> Asf:
    """Read a skeleton. Raises `AsfAmcError` where its content is broken."""
    path = Path(path)
    return parse_asf(path.read_bytes(), path.name)


def read_amc(path: str | Path, asf: Asf) -> Amc:
    """Read a take on its skeleton. Raises `AsfAmcError` where its content is broken."""
    path = Path(path)
    return parse_amc(path.read_bytes(), asf, path.name)


def parse_asf(content: bytes, name: str) -> Asf:
    """Parse the bytes of an ASF file; `name` is what errors call it. Raises `AsfAmcError`."""
    try:
        return _parse_sections(_sections(content.decode("utf-8", "replace")))
    except (KeyError, IndexError):
        raise AsfAmcError(f"{name} is no whole ASF skeleton: a section or a value lacks.") from None
    except ValueError as error:
        raise AsfAmcError(f"{name} has a broken skeleton: {error}.") from None


def parse_amc(content: bytes, asf: Asf, name: str) -> Amc:
    """Parse the bytes of an AMC file; `name` is what errors call it. Raises `AsfAmcError`.

    Every frame has to list the same bones in the same order, as CMU's files do.
    """
    starts = [match.start() for match in islice(_NUMBER_LINE.finditer(content), 2)]
    head = content[: starts[0]] if starts else content
    if any(line.strip() and line.lstrip()[:1] not in b"#:" for line in head.splitlines()):
        raise AsfAmcError(f"{name} does not begin with a numbered frame; it is no AMC file.")
    if not starts:
        raise AsfAmcError(f"{name} has no frame of motion.")
    tokens = content[starts[0] :].split()
    width = len(content[slice(*starts)].split()) if len(starts) == 2 else len(tokens)
    if len(tokens) % width:
        raise AsfAmcError(
            f"{name} has {len(tokens)} words of motion where a frame has {width}; the file is cut "
            "off or no AMC file."
        )
    columns, order = _layout(tokens[:width], asf, name)
    words = np.array(tokens).reshape(-1, width)
    fixed = np.setdiff1d(np.arange(1, width), columns)
    if (words[:, fixed] != words[0, fixed]).any():
        raise AsfAmcError(f"{name} does not list the same bones in each frame.")
    try:
        numbers = words[:, 0].astype(np.int64)
        values = words[:, columns].astype(np.float64)
    except ValueError:
        raise AsfAmcError(f"{name} has motion values that are no numbers.") from None
    if (np.diff(numbers) != 1).any():
        raise AsfAmcError(f"{name} has frames that are not numbered one after the other.")
    if not np.isfinite(values).all():
        raise AsfAmcError(f"{name} has motion values that are NaN or infinite.")
    return Amc(asf, values[:, order])


def _layout(frame: list[bytes], asf: Asf, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Where the numbers of a frame stand, and their order by joint of the skeleton."""
    joints = dict(zip(asf.joint_names, range(len(asf.joint_names)), strict=True))
    found, columns, position = {}, [], 1
    while position < len(frame):
        joint = joints.get(frame[position].decode("utf-8", "replace"))
        if joint is None or joint in found:
            raise AsfAmcError(
                f"{name} has {frame[position].decode('utf-8', 'replace')!r} where a bone of its "
                "skeleton should stand; give the ASF file that belongs to it."
            )
        count = len(asf.channels[joint])
        found[joint] = range(len(columns), len(columns) + count)
        columns += range(position + 1, position + 1 + count)
        position += 1 + count
    moving = [joint for joint, channels in enumerate(asf.channels) if channels]
    lacking = [asf.joint_names[joint] for joint in moving if joint not in found]
    if lacking or position > len(frame):
        raise AsfAmcError(
            f"{name} lacks values of {lacking[0] if lacking else 'its last bone'}; give the ASF "
            "file that belongs to it."
        )
    return np.array(columns), np.concatenate([found[joint] for joint in moving])


def _sections(text: str) -> dict[str, list[list[str]]]:
    """The lines of each `:keyword` section as words, comments and empty lines left out."""
    sections: dict[str, list[list[str]]] = {}
    lines: list[list[str]] = []
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if words and words[0].startswith(":"):
            lines = sections.setdefault(words[0][1:].lower(), [])
            words = words[1:]
        if words:
            lines.append(words)
    return sections


def _parse_sections(sections: dict[str, list[list[str]]]) -> Asf:
    units = {line[0]: line[1] for line in sections["units"]}
    degrees = units.get("angle", "deg") == "deg"
    bones = {}
    for block in _blocks(sections["bonedata"]):
        bone = {line[0]: line[1:] for line in block}
        bones[bone["name"][0]] = bone
    names, parents = _tree(_blocks(sections["hierarchy"])[0], bones)

    root = {line[0]: line[1:] for line in sections["root"]}
    offsets = [_numbers(root["position"], 3)]
    frames = [_axes(_numbers(root["orientation"], 3), root["axis"][0], degrees)]
    channels = [_channels(root["order"], _TRANSLATIONS | _ROTATIONS)]
    for name in names[1:]:
        bone = bones[name]
        offsets.append(_numbers(bone["direction"], 3) * _numbers(bone["length"], 1))
        frames.append(_axes(_numbers(bone["axis"][:3], 3), bone["axis"][3], degrees))
        channels.append(_channels(bone.get("dof", []), _ROTATIONS))
    length = float(units.get("length", 1))
    if not (0 < length < np.inf and np.isfinite(offsets).all() and np.isfinite(frames).all()):
        raise ValueError("its unit of length is not above zero or a bone is not finite")
    return Asf(
        joint_names=tuple(names),
        parents=tuple(parents),
        offsets=np.array(offsets),
        frames=np.array(frames),
        channels=tuple(channels),
        unit=INCH / length,
        degrees=degrees,
    )


def _blocks(lines: list[list[str]]) -> list[list[list[str]]]:
    """The lines between each `begin` and `end`."""
    blocks, block = [], None
    for line in lines:
        if line == ["begin"]:
            block = []
        elif line == ["end"] and block is not None:
            blocks.append(block)
            block = None
        elif block is not None:
            block.append(line)
    if block is not None or not blocks:
        raise ValueError("a 'begin' has no 'end'")
    return blocks


def _tree(lines: list[list[str]], bones: dict[str, dict]) -> tuple[list[str], list[int]]:
    """Names of the root and of all bones, parents first, and the index of each one's parent."""
    names, parents = ["root"], [-1]
    for parent, *children in lines:
        for child in children:
            if parent not in names or child in names or child not in bones:
                raise ValueError(f"the hierarchy does not lead from the root to {child!r} once")
            names.append(child)
            parents.append(names.index(parent))
    if len(names) != len(bones) + 1:
        raise ValueError("the hierarchy does not hold every bone")
    return names, parents


def _numbers(words: list[str], count: int) -> np.ndarray:
    if len(words) != count:
        raise ValueError(f"{' '.join(words)!r} should be {count} numbers")
    return np.array(words, dtype=np.float64)


def _channels(words: list[str], known: set[str]) -> tuple[str, ...]:
    channels = tuple(word.lower() for word in words)
    if len(set(channels)) != len(channels) or not known.issuperset(channels):
        raise ValueError(f"channels {' '.join(words)} are not distinct ones of {sorted(known)}")
    return channels


def _axes(angles: np.ndarray, order: str, degrees: bool) -> np.ndarray:
    """The rotation (3, 3) of a bone's axes, the first letter of `order` turns first."""
    if sorted(order.lower()) != list(_AXES):
        raise ValueError(f"the order of axes {order!r} is no order of XYZ")
    turn = np.eye(3)
    for letter, angle in zip(order.lower(), np.radians(angles) if degrees else angles, strict=True):
        turn = _turns(_AXES.index(letter), angle[None])[0] @ turn
    return turn


def _turns(axis: int, angles: np.ndarray) -> np.ndarray:
    """Rotations (T, 3, 3) about an axis by angles (T,) in radians."""
    cos, sin = np.cos(angles), np.sin(angles)
    turns = np.zeros((len(angles), 3, 3))
    a, b = (axis + 1) % 3, (axis + 2) % 3
    turns[:, axis, axis] = 1.0
    turns[:, a, a] = turns[:, b, b] = cos
    turns[:, a, b], turns[:, b, a] = -sin, sin
    return turns
