"""Small files in the layout of the Bandai-Namco recordings."""

import numpy as np

TREE = {  # joint: parent, offset in centimetres of a body that faces +z
    "joint_Root": (None, (0, 0, 0)),
    "Hips": ("joint_Root", (0, 92, 0)),
    "Spine": ("Hips", (0, 15.7, 0)),
    "Chest": ("Spine", (0, 9, 0)),
    "Neck": ("Chest", (0, 16.4, 0)),
    "Head": ("Neck", (0, 6.5, 0)),
}
for _side, _x in (("L", 1), ("R", -1)):
    TREE |= {
        f"Shoulder_{_side}": ("Chest", (5 * _x, 13, 0)),
        f"UpperArm_{_side}": (f"Shoulder_{_side}", (5.3 * _x, 0, 0)),
        f"LowerArm_{_side}": (f"UpperArm_{_side}", (0, -24.3, 0)),
        f"Hand_{_side}": (f"LowerArm_{_side}", (0, -22.3, 0)),
        f"UpperLeg_{_side}": ("Hips", (6.5 * _x, -2.2, 0)),
        f"LowerLeg_{_side}": (f"UpperLeg_{_side}", (0, -39, 0)),
        f"Foot_{_side}": (f"LowerLeg_{_side}", (0, -41, 0)),
        f"Toes_{_side}": (f"Foot_{_side}", (0, -7.5, 9)),
    }


def gesture(
    frames: int = 75,
    side: str = "L",
    degrees: float = 160.0,
    speed: float = 0.0,
    turn: float = 0.0,
) -> str:
    """A BVH of an arm that goes up and down, on a body that glides (m/s) and turns (degrees)."""
    names, channels = [], {}
    lines = ["HIERARCHY"]

    def add(name):
        names.append(name)
        lines.append(f"{'ROOT' if name == 'joint_Root' else 'JOINT'} {name}\n{{")
        lines.append("OFFSET {} {} {}".format(*TREE[name][1]))
        lines.append("CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation ")
        children = [child for child, (parent, _) in TREE.items() if parent == name]
        for child in children:
            add(child)
        if not children:
            lines.append("End Site\n{\nOFFSET 0 0 0\n}")
        lines.append("}")

    add("joint_Root")
    level = np.sin(np.linspace(0, np.pi, frames)) ** 2
    for name in names:
        channels[name] = np.tile([*TREE[name][1], 0.0, 0.0, 0.0], (frames, 1))
    channels[f"UpperArm_{side}"][:, 3] = degrees * level * (1 if side == "L" else -1)
    channels["Hips"][:, 2] += np.arange(frames) / 30 * speed * 100
    channels["Hips"][:, 5] = np.linspace(0, turn, frames)
    lines += ["MOTION", f"Frames:\t{frames}", "Frame Time:\t0.0333333"]
    rows = np.concatenate([channels[name] for name in names], axis=1)
    lines += [" ".join(f"{value:.6f}" for value in row) for row in rows]
    return "\n".join(lines) + "\n"


def write_takes(folder, count: int = 12):
    """Takes of two raised hands, and of gliding that passes for a walk."""
    for i in range(count):
        name = f"dataset-2_raise-up-left-hand_normal_{i:03d}.bvh"
        (folder / name).write_text(gesture(60 + 3 * i, "L"))
        name = f"dataset-2_raise-up-right-hand_normal_{i:03d}.bvh"
        (folder / name).write_text(gesture(60 + 3 * i, "R"))
    (folder / "dataset-1_walk_old_001.bvh").write_text(gesture(480, degrees=5, speed=0.5))
