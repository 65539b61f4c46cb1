"""A made-up body that walks, under any names, as positions or as BVH."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

# role: parent, offset in metres of a T-pose that faces +z; "L" stands for left, "R" for right
TREE = {
    "pelvis": (None, (0, 0, 0)),
    "spine1": ("pelvis", (0, 0.12, -0.01)),
    "spine2": ("spine1", (0, 0.14, 0)),
    "spine3": ("spine2", (0, 0.12, 0)),
    "neck": ("spine3", (0, 0.2, 0)),
    "head": ("neck", (0, 0.09, 0.02)),
    "head tip": ("head", (0, 0.18, 0.02)),
}
for _s, _x in (("L", 1), ("R", -1)):
    TREE |= {
        f"collar {_s}": ("spine3", (0.05 * _x, 0.14, 0)),
        f"shoulder {_s}": (f"collar {_s}", (0.13 * _x, 0, 0)),
        f"elbow {_s}": (f"shoulder {_s}", (0.27 * _x, 0, 0)),
        f"wrist {_s}": (f"elbow {_s}", (0.25 * _x, 0, 0)),
        f"thumb {_s}": (f"wrist {_s}", (0.04 * _x, -0.02, 0.03)),
        f"thumb tip {_s}": (f"thumb {_s}", (0.03 * _x, 0, 0.02)),
        f"finger {_s}": (f"wrist {_s}", (0.09 * _x, 0, 0)),
        f"finger tip {_s}": (f"finger {_s}", (0.09 * _x, 0, 0)),
        f"hip {_s}": ("pelvis", (0.09 * _x, -0.06, 0)),
        f"knee {_s}": (f"hip {_s}", (0, -0.41, 0)),
        f"ankle {_s}": (f"knee {_s}", (0, -0.42, -0.02)),
        f"toes {_s}": (f"ankle {_s}", (0, -0.07, 0.13)),
        f"toe tip {_s}": (f"toes {_s}", (0, 0, 0.06)),
    }
HIP_HEIGHT = 0.98
# skeletons of the conventions that have other joints
_CHANGES = {
    "100style": {"spine": ("spine2", (0, 0.05, 0)), "spine3": ("spine", (0, 0.07, 0))},
    "cmu_motionbuilder": {
        **{f"hip joint {_s}": ("pelvis", (0, 0, 0)) for _s in "LR"},
        **{f"hip {_s}": (f"hip joint {_s}", TREE[f"hip {_s}"][1]) for _s in "LR"},
        **{"low neck": ("spine2", (0, 0, 0)), "neck": ("low neck", (0, 0.3, 0)), "spine3": None},
        **{f"collar {_s}": ("spine2", (0, 0.2, 0)) for _s in "LR"},
    },
    "cmu_bvh": {
        **{f"buttock {_s}": ("pelvis", (0.09 * _x, 0.04, 0)) for _s, _x in (("L", 1), ("R", -1))},
        **{f"hip {_s}": (f"buttock {_s}", (0, -0.1, 0)) for _s in "LR"},
        **{"toe tip L": None, "toe tip R": None, "spine3": None, "neck": ("spine2", (0, 0.3, 0))},
        **{f"collar {_s}": ("spine2", (0.03 * _x, 0.2, 0)) for _s, _x in (("L", 1), ("R", -1))},
    },
}
TREES = {
    name: {role: joint for role, joint in (TREE | changes).items() if joint}
    for name, changes in _CHANGES.items()
}
LIMBS = ("hip", "knee", "ankle", "toes", "shoulder", "elbow", "wrist")
PARTS = {"toes": "foot"}  # of HumanML3D, where they have other names


def _sided(left: str, right: str, **roles: str) -> dict[str, str]:
    """Names by role from templates with {s} for the side."""
    sides = {"L": left, "R": right}
    return {
        f"{role} {k}": name.format(s=s) for role, name in roles.items() for k, s in sides.items()
    }


HIK = _sided(
    *("Left", "Right"),
    **{"collar": "{s}Shoulder", "shoulder": "{s}Arm", "elbow": "{s}ForeArm", "wrist": "{s}Hand"},
    **{"thumb": "{s}HandThumb1", "finger": "{s}HandMiddle1"},
    **{"hip": "{s}UpLeg", "knee": "{s}Leg", "ankle": "{s}Foot", "toes": "{s}ToeBase"},
) | {
    **{"pelvis": "Hips", "spine1": "Spine", "spine2": "Spine1", "spine3": "Spine2"},
    **{"neck": "Neck", "head": "Head"},
}
CONVENTIONS = {
    "mixamo": {role: f"mixamorig:{name}" for role, name in HIK.items()},
    "lafan1": HIK | {"toes L": "LeftToe", "toes R": "RightToe"},
    "100style": _sided(
        *("Left", "Right"),
        **{"collar": "{s}Collar", "shoulder": "{s}Shoulder", "elbow": "{s}Elbow"},
        **{"wrist": "{s}Wrist", "hip": "{s}Hip", "knee": "{s}Knee", "ankle": "{s}Ankle"},
        **{"toes": "{s}Toe", "finger": "{s}Finger0", "thumb": "{s}Thumb"},
    )
    | {
        **{"pelvis": "Hips", "spine1": "Chest", "spine2": "Chest2", "spine": "Chest3"},
        **{"spine3": "Chest4", "neck": "Neck", "head": "Head"},
    },
    "unreal": _sided(
        *("l", "r"),
        **{"collar": "clavicle_{s}", "shoulder": "upperarm_{s}", "elbow": "lowerarm_{s}"},
        **{"wrist": "hand_{s}", "thumb": "thumb_01_{s}", "finger": "middle_01_{s}"},
        **{"hip": "thigh_{s}", "knee": "calf_{s}", "ankle": "foot_{s}", "toes": "ball_{s}"},
    )
    | {
        **{"pelvis": "pelvis", "spine1": "spine_01", "spine2": "spine_02", "spine3": "spine_03"},
        **{"neck": "neck_01", "head": "head"},
    },
    "blender": _sided(
        *("L", "R"),
        **{"collar": "shoulder.{s}", "shoulder": "upper_arm.{s}", "elbow": "forearm.{s}"},
        **{"wrist": "hand.{s}", "thumb": "thumb.01.{s}", "finger": "f_middle.01.{s}"},
        **{"hip": "thigh.{s}", "knee": "shin.{s}", "ankle": "foot.{s}", "toes": "toe.{s}"},
    )
    | {
        **{"pelvis": "hips", "spine1": "spine", "spine2": "spine.001", "spine3": "chest"},
        **{"neck": "neck", "head": "head"},
    },
    "biped": _sided(
        *("L", "R"),
        **{"collar": "Bip01 {s} Clavicle", "shoulder": "Bip01 {s} UpperArm"},
        **{"elbow": "Bip01 {s} Forearm", "wrist": "Bip01 {s} Hand", "thumb": "Bip01 {s} Finger0"},
        **{"finger": "Bip01 {s} Finger2", "hip": "Bip01 {s} Thigh", "knee": "Bip01 {s} Calf"},
        **{"ankle": "Bip01 {s} Foot", "toes": "Bip01 {s} Toe0"},
    )
    | {
        **{"pelvis": "Bip01 Pelvis", "spine1": "Bip01 Spine", "spine2": "Bip01 Spine1"},
        **{"spine3": "Bip01 Spine2", "neck": "Bip01 Neck", "head": "Bip01 Head"},
    },
    "smpl": _sided(
        *("L", "R"),
        **{"collar": "{s}_Collar", "shoulder": "{s}_Shoulder", "elbow": "{s}_Elbow"},
        **{"wrist": "{s}_Wrist", "finger": "{s}_Hand", "thumb": "{s}_Thumb1", "hip": "{s}_Hip"},
        **{"knee": "{s}_Knee", "ankle": "{s}_Ankle", "toes": "{s}_Foot"},
    )
    | {
        **{"pelvis": "Pelvis", "spine1": "Spine1", "spine2": "Spine2", "spine3": "Spine3"},
        **{"neck": "Neck", "head": "Head"},
    },
    "xsens": _sided(
        *("Left", "Right"),
        **{"collar": "{s}Shoulder", "shoulder": "{s}UpperArm", "elbow": "{s}ForeArm"},
        **{"wrist": "{s}Hand", "thumb": "{s}Thumb", "finger": "{s}Finger", "hip": "{s}UpperLeg"},
        **{"knee": "{s}LowerLeg", "ankle": "{s}Foot", "toes": "{s}Toe"},
    )
    | {
        **{"pelvis": "Pelvis", "spine1": "L5", "spine2": "L3", "spine3": "T8"},
        **{"neck": "Neck", "head": "Head"},
    },
    "rokoko": HIK
    | {"spine1": "Spine1", "spine2": "Spine2", "spine3": "Spine4"}
    | _sided("Left", "Right", hip="{s}Thigh", knee="{s}Shin", toes="{s}Toe"),
    "cmu_motionbuilder": HIK
    | {"spine1": "Spine", "spine2": "Spine1", "low neck": "Neck", "neck": "Neck1"}
    | _sided("L", "R", **{"hip joint": "{s}HipJoint", "thumb": "{s}Thumb"}),
    "cmu_bvh": _sided(
        *("l", "r"),
        **{"collar": "{s}Collar", "shoulder": "{s}Shldr", "elbow": "{s}ForeArm"},
        **{"wrist": "{s}Hand", "thumb": "{s}Thumb1", "finger": "{s}Mid1", "hip": "{s}Thigh"},
        **{"buttock": "{s}Buttock", "knee": "{s}Shin", "ankle": "{s}Foot"},
        **{"toes": "{s}Foot End Site"},
    )
    | {
        **{"pelvis": "hip", "spine1": "abdomen", "spine2": "chest", "neck": "neck"},
        **{"head": "head"},
    },
    "small letters": _sided(
        *("l", "r"),
        **{"collar": "{s}collar", "shoulder": "{s}shoulder", "elbow": "{s}elbow"},
        **{"wrist": "{s}wrist", "thumb": "{s}thumb", "finger": "{s}finger", "hip": "{s}hip"},
        **{"knee": "{s}knee", "ankle": "{s}ankle", "toes": "{s}toes"},
    )
    | {role: role for role in ("pelvis", "spine1", "spine2", "spine3", "neck", "head")},
}


def walk(
    names: dict[str, str],
    frames: int = 60,
    unit: float = 0.01,
    tree: dict = TREE,
    turn: Sequence = ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
) -> tuple[list[str], list[int], np.ndarray]:
    """Names, parents and positions (T, J, 3) of the body, arms hanging, in a unit (metres).

    Roles without a name are those of end sites. `turn` (3, 3) takes it to other axes.
    """
    order = list(_depth_first(tree))
    rotations = _rotations(frames)
    local = {role: rotations.get(role, Rotation.identity(frames)) for role in order}
    places, turns = {}, {}
    for role in order:
        parent, offset = tree[role]
        if parent is None:
            steps = np.arange(frames) / 20
            root = np.stack([0.2 * np.sin(steps), 0 * steps + HIP_HEIGHT + 0.06, 1.2 * steps], 1)
            places[role], turns[role] = root, local[role]
        else:
            places[role] = places[parent] + turns[parent].apply(offset)
            turns[role] = turns[parent] * local[role]
    positions = np.stack([places[role] for role in order], axis=1) @ np.asarray(turn).T / unit
    parents = [-1 if tree[role][0] is None else order.index(tree[role][0]) for role in order]
    return [_name(role, names, tree) for role in order], parents, positions


def walk_bvh(names: dict[str, str], frames: int = 60, unit: float = 0.01, fps: float = 30) -> str:
    """The same as a BVH file."""
    order, lines = [], ["HIERARCHY"]
    rotations = _rotations(frames)

    def add(role):
        offset = "OFFSET {:.6f} {:.6f} {:.6f}".format(*np.array(TREE[role][1]) / unit)
        if role not in names:
            lines.append(f"End Site\n{{\n{offset}\n}}")
            return
        order.append(role)
        kind = "JOINT" if TREE[role][0] else "ROOT"
        channels = "3" if TREE[role][0] else "6 Xposition Yposition Zposition"
        lines.append(f"{kind} {names[role]}\n{{\n{offset}")
        lines.append(f"CHANNELS {channels} Zrotation Xrotation Yrotation")
        for child in _children(role, TREE):
            add(child)
        lines.append("}")

    add("pelvis")
    root = walk(names, frames, unit)[2][:, 0]
    identity = Rotation.identity(frames)
    angles = [rotations.get(role, identity).as_euler("ZXY", degrees=True) for role in order]
    rows = np.concatenate([root, *angles], axis=1)
    lines += ["MOTION", f"Frames: {frames}", f"Frame Time: {1 / fps:.7f}"]
    lines += [" ".join(f"{value:.5f}" for value in row) for row in rows]
    return "\n".join(lines) + "\n"


def _rotations(frames: int) -> dict[str, Rotation]:
    phase = np.arange(frames) / 20 * 2 * np.pi
    rotations = {}
    for side, sign in (("L", 1), ("R", -1)):
        swing = 0.35 * sign * np.sin(phase)
        rotations[f"hip {side}"] = Rotation.from_euler("X", -swing[:, None])
        rotations[f"knee {side}"] = Rotation.from_euler("X", 0.3 * np.abs(swing)[:, None])
        hang = Rotation.from_euler("Z", np.full((frames, 1), -1.3 * sign))
        rotations[f"shoulder {side}"] = Rotation.from_euler("X", swing[:, None]) * hang
    return rotations


def _children(role: str, tree: dict) -> list[str]:
    return [child for child, (parent, _) in tree.items() if parent == role]


def _depth_first(tree: dict):
    stack = [role for role, (parent, _) in tree.items() if parent is None]
    while stack:
        yield (role := stack.pop())
        stack += _children(role, tree)[::-1]


def _name(role: str, names: dict[str, str], tree: dict) -> str:
    return names.get(role) or f"{_name(tree[role][0], names, tree)} End Site"
