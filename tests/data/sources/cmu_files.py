"""Small files in the layout of CMU's database: one skeleton, motions made of a few acts."""

import numpy as np

UNIT = 0.0254 / 0.45  # metres
BODY = {  # bone: parent, metres along it in a T-pose that faces +z, axes it turns about
    "lowerback": ("root", (0, 0.12, 0), "xyz"),
    "upperback": ("lowerback", (0, 0.12, 0), ""),
    "thorax": ("upperback", (0, 0.12, 0), ""),
    "lowerneck": ("thorax", (0, 0.09, 0), ""),
    "head": ("lowerneck", (0, 0.2, 0.01), ""),
}
for _s, _x in (("l", 1), ("r", -1)):
    BODY |= {
        f"{_s}hipjoint": ("root", (0.09 * _x, -0.08, 0), ""),
        f"{_s}femur": (f"{_s}hipjoint", (0, -0.42, 0), "xyz"),
        f"{_s}tibia": (f"{_s}femur", (0, -0.42, 0), "x"),
        f"{_s}foot": (f"{_s}tibia", (0, -0.06, 0.14), ""),
        f"{_s}clavicle": ("thorax", (0.17 * _x, 0.06, 0), ""),
        f"{_s}humerus": (f"{_s}clavicle", (0.28 * _x, 0, 0), "xyz"),
        f"{_s}radius": (f"{_s}humerus", (0.25 * _x, 0, 0), ""),
    }
STANDING = 0.98  # metres of the root


def asf_text() -> str:
    lines = [":units", "length 0.45", "angle deg", ":root", "order TX TY TZ RX RY RZ", "axis XYZ"]
    lines += ["position 0 0 0", "orientation 0 0 0", ":bonedata"]
    for name, (_, offset, axes) in BODY.items():
        length = np.linalg.norm(offset)
        lines += ["begin", f"name {name}", "direction {} {} {}".format(*np.array(offset) / length)]
        lines += [f"length {length / UNIT}", "axis 0 0 0 XYZ"]
        lines += [f"dof {' '.join(f'r{axis}' for axis in axes)}"] if axes else []
        lines.append("end")
    lines += [":hierarchy", "begin"]
    for parent in ("root", *BODY):
        children = [name for name, (above, *_) in BODY.items() if above == parent]
        lines += [f"{parent} {' '.join(children)}"] if children else []
    return "\n".join([*lines, "end", ""])


def amc_text(*acts, fps: int = 120) -> str:
    """Acts in turn: ("walk", seconds, m/s, degrees to the left) or a name with seconds.

    Names are walk, stand, sit, jump (one after another), sway (of the trunk) and tpose.
    """
    values = _perform(acts, fps)
    rows = []
    for number in range(len(values["root"])):
        rows.append(str(number + 1))
        rows += [f"{b} {' '.join(f'{v:.4f}' for v in x[number])}" for b, x in values.items()]
    return "\n".join([":FULLY-SPECIFIED", ":DEGREES", *rows, ""])


def _perform(acts, fps: int) -> dict[str, np.ndarray]:
    speeds, turns, jumps, thighs, phases, arms, trunk = ([] for _ in range(7))
    for name, seconds, *more in acts:
        time = np.arange(round(seconds * fps)) / fps
        zero, one = np.zeros(len(time)), np.ones(len(time))
        speed, angle = more or (1.2, 0.0) if name == "walk" else (0.0, 0.0)
        speeds.append(speed * one)
        turns.append(angle / len(time) * one)
        lifted = np.maximum(np.sin(2 * np.pi * time), 0) * 0.45  # a jump a second
        jumps.append(lifted if name == "jump" else zero)
        thighs.append(85 * one if name == "sit" else zero)
        phases.append(speed * one)
        arms.append((0 if name == "tpose" else 80) * one)
        trunk.append(15 * np.sin(2 * np.pi * time) if name == "sway" else zero)

    def even(parts, seconds=0.5):
        """Acts that pass into one another."""
        signal, size = np.concatenate(parts), round(seconds * fps) | 1
        padded = np.pad(signal, size // 2, mode="edge")
        return np.convolve(padded, np.ones(size) / size, "valid")

    heading = np.cumsum(even(turns))
    step = even(speeds) / fps
    phase = 2 * np.pi * np.cumsum(np.concatenate(phases)) / fps / 1.3
    swing = 25 * np.sin(phase) * np.minimum(even(speeds), 1)
    zero = np.zeros(len(step))
    sit = even(thighs, 0.6)
    height = STANDING + even(jumps, 0.1) - 0.42 * (1 - np.cos(np.radians(sit)))
    root = [np.cumsum(step * np.sin(np.radians(heading))), height]
    root += [np.cumsum(step * np.cos(np.radians(heading)))]
    root = [np.array(x) / UNIT for x in root]
    values = {"root": np.stack([*root, zero, heading, zero], axis=1)}
    for name, (_, _, axes) in BODY.items():
        if not axes:
            continue
        turn = dict.fromkeys(axes, zero)
        sign = 1 if name[0] == "l" else -1
        if name == "lowerback":
            turn["z"] = even(trunk, 0.1)
        elif name.endswith("femur"):
            turn["x"] = -sit - sign * swing
        elif name.endswith("tibia"):
            turn["x"] = sit + np.maximum(sign * swing, 0)
        else:
            turn["z"] = -sign * even(arms, 0.1)
        values[name] = np.stack([turn[axis] for axis in axes], axis=1)
    return values


def write_subject(folder, subject: str, trials: dict[str, str]):
    """A folder with the skeleton of a subject and its trials, by number."""
    folder = folder / subject
    folder.mkdir(parents=True)
    (folder / f"{subject}.asf").write_text(asf_text())
    for number, text in trials.items():
        (folder / f"{subject}_{number}.amc").write_text(text)


DAZ = {  # joint of the BVH conversion: parent, centimetres
    "hip": (None, (0, 0, 0)),
    "abdomen": ("hip", (0, 12, 0)),
    "chest": ("abdomen", (0, 12, 0)),
    "neck": ("chest", (0, 22, 0)),
    "head": ("neck", (0, 8, 1)),
}
for _s, _x in (("l", 1), ("r", -1)):
    DAZ |= {
        f"{_s}Thigh": ("hip", (9 * _x, -8, 0)),
        f"{_s}Shin": (f"{_s}Thigh", (0, -42, 0)),
        f"{_s}Foot": (f"{_s}Shin", (0, -42, 0)),
        f"{_s}Collar": ("chest", (3 * _x, 18, 0)),
        f"{_s}Shldr": (f"{_s}Collar", (13 * _x, 0, 0)),
        f"{_s}ForeArm": (f"{_s}Shldr", (28 * _x, 0, 0)),
        f"{_s}Hand": (f"{_s}ForeArm", (25 * _x, 0, 0)),
    }


def daz_bvh(frames: int, speed: float) -> str:
    """A BVH of a body that glides, in metres a frame; frame 0 is a rest pose elsewhere."""
    lines, names = ["HIERARCHY"], []

    def add(name):
        names.append(name)
        lines.append(f"{'JOINT' if names[1:] else 'ROOT'} {name}\n{{")
        lines.append("OFFSET {} {} {}".format(*DAZ[name][1]))
        place = "Xposition Yposition Zposition " if name == "hip" else ""
        lines.append(f"CHANNELS {6 if place else 3} {place}Zrotation Xrotation Yrotation")
        children = [child for child, (parent, _) in DAZ.items() if parent == name]
        for child in children:
            add(child)
        if not children:
            tip = "0 -6 12" if name.endswith("Foot") else "0 1 0"
            lines.append(f"End Site\n{{\nOFFSET {tip}\n}}")
        lines.append("}")

    add("hip")
    lines += ["MOTION", f"Frames: {frames}", "Frame Time: 0.00833333"]
    for frame in range(frames):
        place = (0.0, 0.0, 0.0) if frame == 0 else (0.0, 98.0, 100 * speed * frame)
        turns = []
        for name in names:
            sway = 80 + 8 * np.sin(frame / 10)
            turns += [-sway if name == "lShldr" else sway if name == "rShldr" else 0.0, 0.0, 0.0]
        lines.append(" ".join(f"{v:.4f}" for v in (*place, *turns)))
    return "\n".join(lines) + "\n"
