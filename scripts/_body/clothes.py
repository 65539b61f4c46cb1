"""Simple clothes on a body: a T-shirt, trousers, shoes and short hair, part of one mesh."""

from __future__ import annotations

import numpy as np
from _body.makehuman import loose_pieces
from scipy.sparse import coo_array, diags_array, eye_array

from motionmamba.motion.skeleton import HUMANML3D

JOINT = {name: i for i, name in enumerate((*HUMANML3D.joint_names, "left_hand", "right_hand"))}
COLORS = {  # sRGB, of each material
    "skin": (214, 168, 142),
    "shirt": (74, 124, 168),
    "trousers": (56, 60, 76),
    "shoes": (226, 226, 222),
    "hair": (64, 47, 38),
    "brows": (104, 76, 60),
    "eyes": (238, 238, 236),
    "irises": (66, 48, 38),
}
MATERIALS = tuple(COLORS)
LOOSE = {"shirt": 0.010, "trousers": 0.009, "shoes": 0.006, "hair": 0.011}  # metres
SOLE = 0.016  # metres


class Clothes:
    """What a body wears, decided on one body and put on any other of its mesh.

    Along a seam the vertices are doubled, so that each material has its own.

    Attributes:
        faces: (F, 3) triangles between the dressed vertices.
        source: (V,) for each dressed vertex the bare one that it comes from.
        average: sparse matrix that puts each bare vertex in the middle of its neighbours.
        colors: (V, 3) uint8 of the dressed vertices.
    """

    def __init__(self, vertices, faces, weights, joints):
        count = len(vertices)
        self.average = _averaging(count, faces)
        body = _Landmarks(vertices, faces, weights, joints)
        self._seams = _onto_seams(vertices, faces, body.fields(vertices))
        materials = body.materials(self._seams @ vertices)
        self.source, self.faces = _split(faces, materials)
        worn = {m: np.zeros(count, bool) for m in MATERIALS}
        for number, name in enumerate(MATERIALS):
            worn[name][faces[materials == number]] = True
        shoes = worn["shoes"]
        torso = worn["shirt"] & (np.abs(vertices[:, 0]) < joints[JOINT["left_shoulder"], 0])
        self._smoothed = (
            (worn["shirt"] | worn["trousers"], 10),
            (torso, 40),
            (_foremost(vertices, torso), 250),
            (shoes, 6),
        )
        # a seam stays where it is
        self._free = sum(part.astype(int) for part in worn.values()) == 1
        loose = np.zeros(count)
        for name, metres in LOOSE.items():
            loose[worn[name]] = np.maximum(loose[worn[name]], metres)
        self._offset = _normals(self._smooth(vertices), faces) * loose[:, None]
        self._shoes = shoes[self.source]
        self.colors = np.zeros((len(self.source), 3), np.uint8)
        for number, name in enumerate(MATERIALS):
            self.colors[self.faces[materials == number]] = COLORS[name]

    def put_on(self, vertices: np.ndarray) -> np.ndarray:
        """Vertices of a bare body, dressed; to be taken by `source`."""
        return self._smooth(vertices) + self._offset

    def stand(self, vertices: np.ndarray) -> np.ndarray:
        """Dressed vertices with soles that lie flat on the floor, their lowest level."""
        flat = vertices.copy()
        floor = flat[:, 1].min()
        height = flat[self._shoes, 1] - floor
        # what is near the floor comes down to it, and no step shows above
        flat[self._shoes, 1] = floor + np.interp(height, (SOLE, 3 * SOLE), (0, 3 * SOLE))
        return flat

    def _smooth(self, vertices: np.ndarray) -> np.ndarray:
        """Cloth does not follow the body's small forms, nor shoes the toes."""
        vertices = self._seams @ vertices
        for part, steps in self._smoothed:
            share = self.average @ part.astype(float)  # softer towards the hem
            weight = (0.6 * share * (part & self._free))[:, None]
            for _ in range(steps):
                vertices = vertices + weight * (self.average @ vertices - vertices)
        return vertices


class _Landmarks:
    """Where on one body its clothes begin and end."""

    def __init__(self, vertices, faces, weights, joints):
        self._faces = faces
        self._at = {name: joints[i] for name, i in JOINT.items()}
        ball = loose_pieces(faces)
        self._eye = vertices[ball & (vertices[:, 0] > 0)].mean(0)
        self._ball = ball[faces[:, 0]]
        self._depth = vertices[ball, 2].max()
        weight = {name: weights[faces, i].mean(1) for name, i in JOINT.items()}
        sides = {n: weight[f"left_{n}"] + weight[f"right_{n}"] for n in ("ankle", "foot", "hip",
                 "knee", "shoulder", "elbow", "collar", "wrist", "hand")}  # fmt: skip
        self._head = weight["head"] > 0.5
        self._foot = sides["ankle"] + sides["foot"] + sides["knee"] > 0.5
        self._leg = sides["hip"] + sides["knee"] + weight["pelvis"] > 0.4
        self._arm = sides["shoulder"] + sides["elbow"] + sides["wrist"] + sides["hand"] > 0.5
        self._hand = sides["wrist"] + sides["hand"] > 0.5

    def fields(self, points: np.ndarray) -> dict[str, np.ndarray]:
        """Functions of points (n, 3) whose zeros are seams."""
        at, eye = self._at, self._eye
        x, y, z = points.T
        x = np.abs(x)
        shoulder, elbow = at["left_shoulder"], at["left_elbow"]
        around_neck = np.hypot(x / 0.082, (z - at["neck"][2] - 0.022) / 0.066) - 1
        # from the forehead down to the ear, and behind it to the nape
        line = y - (eye[1] + 0.068 - 0.9 * np.clip(eye[2] - 0.012 - z, 0, 0.15))
        nape = np.minimum(y - (eye[1] - 0.062), eye[2] - 0.115 - z)
        ear = np.hypot((y - eye[1] + 0.012) / 0.040, (z - eye[2] + 0.098) / 0.030) - 1
        hair = np.minimum(np.maximum(line, nape), np.where(x > 0.05, 0.03 * ear, 1))
        return {
            "hem": y - (at["pelvis"][1] - 0.035),
            "sleeve": shoulder[0] + 0.62 * (elbow - shoulder)[0] - x,
            "neckline": np.where(y > shoulder[1] - 0.1, 0.08 * around_neck, 1.0),
            "cuff": y - (at["left_ankle"][1] + 0.06),
            "shoe": at["left_ankle"][1] + 0.016 - y,
            "hairline": hair,
        }

    def materials(self, vertices: np.ndarray) -> np.ndarray:
        """The number of each triangle's material (F,)."""
        centres = vertices[self._faces].mean(1)
        field = self.fields(centres)
        x, y, z = np.abs(centres[:, 0]), centres[:, 1], centres[:, 2]
        eye = self._eye
        trunk = ~(self._head | self._hand | self._foot)
        above = trunk & (field["hem"] > 0)
        rules = {
            "shirt": above & (field["sleeve"] > 0) & (field["neckline"] > 0),
            "trousers": (trunk | self._foot) & (field["hem"] <= 0) & (field["cuff"] > 0),
            "shoes": self._foot & (field["shoe"] > 0),
            "hair": self._head & (field["hairline"] > 0),
            "brows": self._head & (z > eye[2] - 0.005) & (np.abs(y - eye[1] - 0.0215) < 0.0035)
            & (x > 0.013) & (x < 0.05),
            "eyes": self._ball,
            "irises": self._ball & (z > self._depth - 0.0016),
        }  # fmt: skip
        numbers = np.zeros(len(centres), int)
        for name, inside in rules.items():
            numbers[inside] = MATERIALS.index(name)
        return numbers


def _foremost(vertices: np.ndarray, torso: np.ndarray) -> np.ndarray:
    """Where a shirt spans from form to form (V,): around the foremost points of each side."""
    found = np.zeros(len(vertices), bool)
    for side in (1, -1):
        chosen = np.flatnonzero(torso & (vertices[:, 0] * side > 0.03))
        top = vertices[chosen[vertices[chosen, 2].argmax()]]
        found |= torso & (np.linalg.norm(vertices - top, axis=1) < 0.05)
    return found


def _split(faces: np.ndarray, materials: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices of which none is part of two materials: their origins (V,) and faces (F, 3)."""
    pairs = faces.astype(np.int64) * len(MATERIALS) + materials[:, None]
    kept, numbers = np.unique(pairs, return_inverse=True)
    return kept // len(MATERIALS), numbers.reshape(faces.shape)


def _onto_seams(vertices, faces, fields):
    """Matrix (V, V) that shifts the vertices next to a seam along an edge onto it."""
    edges = _edges(faces)
    count = len(vertices)
    shift, toward = np.zeros(count), np.arange(count)
    for field in fields.values():
        f, g = field[edges].T
        share = f / np.where(f == g, 1, f - g)
        crossing = (f * g < 0) & (share <= 0.5)
        length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
        # a jump of a field is no seam
        crossing &= np.abs(f - g) < 2 * length + 0.002
        for (i, j), t in zip(edges[crossing], share[crossing], strict=True):
            if toward[i] == i or t < shift[i]:
                shift[i], toward[i] = t, j
    rows = np.arange(count)
    moved = coo_array((shift, (rows, toward)), shape=(count, count))
    return (eye_array(count) - diags_array(shift) + moved).tocsr()


def _edges(faces: np.ndarray) -> np.ndarray:
    """Pairs of neighbours (E, 2), each both ways."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    return np.unique(np.concatenate([edges, edges[:, ::-1]]), axis=0)


def _averaging(count: int, faces: np.ndarray):
    """Matrix (V, V) that puts each vertex in the middle of its neighbours."""
    edges = _edges(faces)
    matrix = coo_array((np.ones(len(edges)), edges.T), shape=(count, count)).tocsr()
    return diags_array(1 / matrix.sum(1)) @ matrix


def _normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], np.cross(b - a, c - a))
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)
