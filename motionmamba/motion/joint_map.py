"""From the named joints of any skeleton to HumanML3D's 22."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from motionmamba.motion.skeleton import HUMANML3D

MAPS = Path(__file__).parent / "joint_maps"
AUTO = "auto"
SETTINGS = ("unit", "up", "toes_up", "head_forward", "first_frame")
# Rotations (rows) that turn each axis up to Y and keep left and right.
UPRIGHT = {
    "x": ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
    "y": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "z": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "-x": ((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
    "-y": ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
    "-z": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
}
UNITS = {  # metres
    "metres": 1.0,
    "feet": 0.3048,
    "the units of CMU's ASF files": 0.0254 / 0.45,
    "inches": 0.0254,
    "centimetres": 0.01,
    "millimetres": 0.001,
}
STATURES = (1.2, 2.2)  # metres
STATURE = 1.7
# A leg and the spine up to the head, joint by joint, are this share of SMPL's stature.
CHAIN_SHARE = 0.87
MIN_BONE = 1e-3  # metres
SURE_COSINE = 0.2  # between feet and front, where they tell left from right

PELVIS, NECK, HEAD = 0, 12, 15
HIPS, KNEES, ANKLES, TOES = (1, 2), (4, 5), (7, 8), (10, 11)
SHOULDERS = (16, 17)
CHAIN = (4, 7, 3, 6, 9, 12, 15)  # joints whose bones make up a body's height

Place = str | tuple[str, str, float]


@dataclass(frozen=True)
class JointMap:
    """Where HumanML3D's 22 joints lie on another skeleton.

    Retargeting keeps the directions of bones only, so places are chosen such that hips, collars
    and spine have SMPL's directions when the body stands.

    Attributes:
        joints: for each joint of HumanML3D the name of one, or the names of two and the share of
            the way from the first to the second.
        unit: metres per unit of the file, or "auto": of the usual units the one that makes a
            body of 1.2 to 2.2 m.
        up: the axis that points up, x, y or z, with "-" where it is the other way.
        toes_up: degrees by which feet are turned up, where ankles stand higher over the toes than
            SMPL's do.
        head_forward: degrees by which heads are turned forward over the necks, likewise.
        first_frame: frames before it are no motion, such as a rest pose.
        account: what a guess rests on, a sentence each.
    """

    name: str
    joints: tuple[Place, ...]
    unit: float | str = AUTO
    up: str = "y"
    toes_up: float = 0.0
    head_forward: float = 0.0
    first_frame: int = 0
    account: tuple[str, ...] = ()

    def apply(self, joint_names: Sequence[str], positions: np.ndarray, label: str) -> np.ndarray:
        """Places HumanML3D's joints: (T, 22, 3) float64, metres, Y up.

        Args:
            joint_names: the J names; a namespace before a colon may differ from the map's.
            positions: (T, J, 3) in the file's unit, at least one frame more than are dropped.
            label: what errors call the recording.

        Raises:
            ValueError: where joints lack or lie on one another, or left and right are exchanged.
        """
        columns = self._columns(joint_names, label)
        if len(positions) <= self.first_frame:
            raise ValueError(f"{label} has no frame after the first {self.first_frame}")
        turn = np.array(UPRIGHT[self.up], dtype=np.float64)
        upright = positions[self.first_frame :].astype(np.float64) @ turn.T
        joints = np.stack([_place(upright, columns, joint) for joint in self.joints], axis=1)
        unit = self.unit if self.unit != AUTO else find_unit(chain_length(joints))[0]
        joints *= unit
        bones = np.linalg.norm(joints[:, 1:] - joints[:, HUMANML3D.parents[1:]], axis=-1)
        if not bones.min() >= MIN_BONE:
            joint = HUMANML3D.joint_names[1 + int(bones.min(0).argmin())]
            raise ValueError(f"{label} has joints that lie on one another, at the {joint}")
        if feet_forward(joints) < -SURE_COSINE:
            raise ValueError(
                f"{label} has feet that point backwards: it is mirrored, or the joint map "
                f"'{self.name}' takes left joints for right ones"
            )
        self._straighten(joints)
        if not np.isfinite(joints).all():
            raise ValueError(f"{label} has feet or a head without direction")
        return joints

    def describe(self) -> str:
        """The map as a file that `load_joint_map` reads, what it rests on in comments."""
        values = {key: getattr(self, key) for key in SETTINGS}
        values["joints"] = {
            joint: place if isinstance(place, str) else list(place)
            for joint, place in zip(HUMANML3D.joint_names, self.joints, strict=True)
        }
        told = "".join(f"# {note}\n" for note in self.account)
        return told + yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=100)

    def _columns(self, joint_names: Sequence[str], label: str) -> dict[str, int]:
        columns, doubled = {}, set()
        for column, name in enumerate(joint_names):
            for key in {name, _bare(name)}:
                if columns.setdefault(key, column) != column:
                    doubled.add(key)
        found = {name: name if name in columns else _bare(name) for name in self._names()}
        if missing := [name for name, key in found.items() if key not in columns]:
            raise ValueError(
                f"{label} lacks the joints {', '.join(missing)} of the joint map '{self.name}'"
            )
        if several := [name for name, key in found.items() if key in doubled]:
            raise ValueError(f"{label} has several joints named {', '.join(several)}")
        return {name: columns[key] for name, key in found.items()}

    def _names(self) -> list[str]:
        places = [[place] if isinstance(place, str) else place[:2] for place in self.joints]
        return list(dict.fromkeys(name for place in places for name in place))

    def _straighten(self, joints: np.ndarray):
        """Turns feet and head in place."""
        if self.toes_up:
            for knee, ankle, toes in zip(KNEES, ANKLES, TOES, strict=True):
                shin, foot = joints[:, knee] - joints[:, ankle], joints[:, toes] - joints[:, ankle]
                joints[:, toes] = joints[:, ankle] + _tilt(foot, shin, self.toes_up)
        if self.head_forward:
            neck = joints[:, HEAD] - joints[:, NECK]
            forward = np.cross(joints[:, SHOULDERS[0]] - joints[:, SHOULDERS[1]], neck)
            joints[:, HEAD] = joints[:, NECK] + _tilt(neck, forward, self.head_forward)


def load_joint_map(name_or_path: str | Path) -> JointMap:
    """A packaged joint map by its name, or one in a YAML file.

    Raises:
        ValueError: when there is no such map or the file is none.
    """
    path = Path(name_or_path)
    if path.suffix.lower() not in (".yaml", ".yml"):
        path = MAPS / f"{name_or_path}.yaml"
        if path.parent != MAPS or not path.is_file():
            raise ValueError(
                f"there is no joint map '{name_or_path}'; give one of {', '.join(map_names())} or "
                "a .yaml file"
            )
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"the joint map {path} cannot be read: {reason}") from error
    try:
        return _parse(path.stem, values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the joint map {path} {error}") from error


def map_names() -> list[str]:
    """Names of the packaged joint maps."""
    return sorted(path.stem for path in MAPS.glob("*.yaml"))


def chain_length(joints: np.ndarray) -> float:
    """Length of a leg and the spine up to the head in joints (T, 22, 3): the median of frames."""
    chain = list(CHAIN)
    parents = [HUMANML3D.parents[joint] for joint in chain]
    return float(np.median(np.linalg.norm(joints[:, chain] - joints[:, parents], axis=-1).sum(1)))


def find_unit(chain: float) -> tuple[float, str]:
    """Metres of the unit in which a body has that `chain_length`, and the unit's name."""
    statures = {name: chain / CHAIN_SHARE * metres for name, metres in UNITS.items()}
    low, high = STATURES
    fitting = [name for name, stature in statures.items() if low <= stature <= high]
    if fitting:
        name = min(fitting, key=lambda name: abs(math.log(statures[name] / STATURE)))
        return UNITS[name], name
    return STATURE * CHAIN_SHARE / chain, f"no usual unit, taken for a body of {STATURE} m"


def feet_forward(joints: np.ndarray) -> float:
    """Cosine, on the average, between feet and the side that hips and shins make the front."""
    across = joints[:, HIPS[0]] - joints[:, HIPS[1]]
    cosines = []
    for knee, ankle, toes in zip(KNEES, ANKLES, TOES, strict=True):
        foot = joints[:, toes] - joints[:, ankle]
        front = np.cross(across, joints[:, knee] - joints[:, ankle])
        lengths = np.linalg.norm(foot, axis=-1) * np.linalg.norm(front, axis=-1)
        cosines.append((foot * front).sum(-1) / np.maximum(lengths, 1e-12))
    return float(np.mean(cosines))


def _bare(name: str) -> str:
    return name.rpartition(":")[2]


def _place(positions: np.ndarray, columns: dict[str, int], joint: Place) -> np.ndarray:
    if isinstance(joint, str):
        return positions[:, columns[joint]]
    first, second, share = joint
    start, end = positions[:, columns[first]], positions[:, columns[second]]
    return start + share * (end - start)


def _tilt(bone: np.ndarray, toward: np.ndarray, degrees: float) -> np.ndarray:
    """Bones (T, 3) turned by an angle in the plane of `bone` and `toward`, to the latter."""
    length = np.linalg.norm(bone, axis=-1, keepdims=True)
    along = bone / length
    across = toward - (toward * along).sum(-1, keepdims=True) * along
    with np.errstate(invalid="ignore"):
        across = across / np.linalg.norm(across, axis=-1, keepdims=True)
    angle = math.radians(degrees)
    return length * (math.cos(angle) * along + math.sin(angle) * across)


def _parse(name: str, values) -> JointMap:
    """Checks what a YAML file holds; errors go on from 'the joint map FILE'."""
    if not isinstance(values, dict) or not isinstance(values.get("joints"), dict):
        raise ValueError("has no 'joints', which gives each of HumanML3D's joints its place")
    values = dict(values)
    places = values.pop("joints")
    if wrong := set(places) ^ set(HUMANML3D.joint_names):
        raise ValueError(f"has no place, or one too many, for {', '.join(map(str, sorted(wrong)))}")
    if unknown := [str(key) for key in values if key not in SETTINGS]:
        raise ValueError(f"has {', '.join(unknown)}, expected joints, {', '.join(SETTINGS)}")
    joint_map = JointMap(
        name, tuple(_parse_place(joint, places[joint]) for joint in HUMANML3D.joint_names), **values
    )
    unit, first = joint_map.unit, joint_map.first_frame
    if unit != AUTO and not (_is_number(unit) and unit > 0):
        raise ValueError(f"has the unit {unit!r}, expected metres above 0 or '{AUTO}'")
    if joint_map.up not in UPRIGHT:
        raise ValueError(f"has {joint_map.up!r} up, expected one of {', '.join(UPRIGHT)}")
    if not (_is_number(joint_map.toes_up) and _is_number(joint_map.head_forward)):
        raise ValueError("has toes_up or head_forward that are no degrees")
    if type(first) is not int or first < 0:
        raise ValueError(f"has the first_frame {first!r}, expected a whole number from 0")
    return joint_map


def _parse_place(joint: str, place) -> Place:
    if isinstance(place, (str, int)) and not isinstance(place, bool):
        return str(place)
    if isinstance(place, list) and len(place) == 3 and _is_number(place[2]):
        return str(place[0]), str(place[1]), float(place[2])
    raise ValueError(f"gives {joint} the place {place!r}, expected a name or [name, name, share]")


def _is_number(value) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
