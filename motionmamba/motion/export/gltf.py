"""Binary glTF 2.0, which Blender, Unity and browsers open: a skinned body that moves.

Written, and read back as joints.
"""

from __future__ import annotations

import json
import os
import struct
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from motionmamba.motion.export.correctives import Corrective, correctives
from motionmamba.motion.files import read_whole, write_whole
from motionmamba.motion.motion import Motion
from motionmamba.motion.pose import Pose
from motionmamba.motion.skeleton import HUMANML3D

if TYPE_CHECKING:
    from pygltflib import GLTF2, Mesh

    from motionmamba.motion.body import BodyMotion

GENERATOR = "motionmamba"
INFLUENCES = 4  # joints a vertex that every glTF viewer supports
ROUGHNESS = 0.8


def write_glb(path: str | os.PathLike, motion: BodyMotion) -> None:
    """Write `glb_bytes` to a file, which appears only once it is complete.

    Raises OSError where it cannot be written.
    """
    write_whole(path, glb_bytes(motion))


def glb_bytes(motion: BodyMotion) -> bytes:
    """A body in motion as binary glTF 2.0: mesh, skin and one animation; metres, Y up.

    The mesh has the shape of `motion.betas`; joints are nodes with the body's names. Each vertex
    follows its four strongest joints, and corrections that depend on the pose are morph targets.
    `asset.extras` has the prompt, the frame rate and the source of the body.
    """
    import pygltflib as g

    body = motion.body
    vertices, joints = body.rest(motion.betas)
    # text from a shell may hold bytes that are no characters, which glTF does not allow
    prompt = motion.prompt.encode(errors="replace").decode()
    extras = {"prompt": prompt, "fps": float(motion.fps), "body": body.source}
    asset = g.Asset(generator=GENERATOR, copyright=rights(body.source), extras=extras)
    mesh_node = g.Node(name="body", mesh=0, skin=0)
    root = body.parents.index(-1)
    gltf = g.GLTF2(
        asset=asset,
        scene=0,
        scenes=[g.Scene(nodes=[root, body.num_joints])],
        nodes=[*_joint_nodes(motion, joints), mesh_node],
        materials=[
            g.Material(
                name="body",
                doubleSided=False,
                pbrMetallicRoughness=g.PbrMetallicRoughness(
                    metallicFactor=0.0, roughnessFactor=ROUGHNESS
                ),
            )
        ],
    )
    blob = _Blob(gltf)
    shapes = correctives(motion)
    gltf.meshes.append(_mesh(blob, motion, vertices, shapes))
    inverse = np.tile(np.eye(4, dtype=np.float32), (len(joints), 1, 1))
    inverse[:, 3, :3] = -joints  # glTF keeps matrices column by column
    gltf.skins.append(
        g.Skin(
            inverseBindMatrices=blob.add(inverse.reshape(-1, 16), g.MAT4),
            joints=list(range(len(joints))),
            skeleton=root,
        )
    )
    _animate(blob, motion, root, joints[root], shapes)
    gltf.buffers.append(g.Buffer(byteLength=len(blob.content)))
    gltf.set_binary_blob(bytes(blob.content))
    return b"".join(gltf.save_to_bytes())


def read_glb(path: str | os.PathLike) -> Motion:
    """Read the joints of a file that `write_glb` wrote.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is something else.
    """
    content = read_whole(path)
    try:
        return _read_joints(*_chunks(content))
    except (LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
        reason = "it is damaged"
    except (ValueError, struct.error) as error:
        reason = str(error)
    raise ValueError(
        f"{path} is no .glb that this library wrote ({reason}); export motions of other software "
        "as .bvh instead."
    )


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals (V, 3) float32 of vertices (V, 3) in triangles (F, 3), weighted by area.

    Vertices of no triangle point up.
    """
    a, b, c = (vertices[faces[:, corner]].astype(np.float64) for corner in range(3))
    across = np.cross(b - a, c - a).repeat(3, axis=0)
    corners = faces.ravel()
    normals = np.stack([np.bincount(corners, w, len(vertices)) for w in across.T], axis=1)
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.where(lengths > 0, normals, (0.0, 1.0, 0.0)) / np.where(lengths > 0, lengths, 1.0)
    return normals.astype(np.float32)


def strongest_joints(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The joints (V, 4) uint8 that move each vertex most, and their shares (V, 4) uint16.

    Shares are of 65535 and add up to it; a joint without a share is joint 0.
    """
    joints = np.argsort(-weights, axis=1, kind="stable")[:, :INFLUENCES]
    shares = np.take_along_axis(weights, joints, 1).astype(np.float64)
    shares = np.rint(shares / shares.sum(1, keepdims=True) * 65535).astype(np.int64)
    shares[:, 0] += 65535 - shares.sum(1)
    joints = np.where(shares > 0, joints, 0)
    return joints.astype(np.uint8), shares.astype(np.uint16)


class _Blob:
    """The binary part of a file in the making."""

    def __init__(self, gltf: GLTF2):
        self.content = bytearray()
        self.gltf = gltf

    def add(self, values: np.ndarray, kind: str, normalized: bool | None = None, **options) -> int:
        """The index of a new accessor to `values` (n, width), `options` those of its view."""
        import pygltflib as g

        components = {"f4": g.FLOAT, "u1": g.UNSIGNED_BYTE, "u2": g.UNSIGNED_SHORT}
        components["u4"] = g.UNSIGNED_INT
        accessor = g.Accessor(
            bufferView=self._add_view(values, **options),
            componentType=components[values.dtype.str[1:]],
            count=len(values),
            type=kind,
            normalized=normalized,
        )
        self.gltf.accessors.append(accessor)
        return len(self.gltf.accessors) - 1

    def add_offsets(self, shape: Corrective, count: int) -> int:
        """The index of a new accessor to offsets (count, 3), which keeps those that are not 0."""
        import pygltflib as g

        places = self._add_view(shape.vertices.astype(np.uint16 if count < 65536 else np.uint32))
        kind = g.UNSIGNED_SHORT if count < 65536 else g.UNSIGNED_INT
        values = self._add_view(offsets := shape.offsets.astype(np.float32))
        sparse = g.Sparse(
            count=len(shape.vertices),
            indices=g.AccessorSparseIndices(bufferView=places, componentType=kind),
            values=g.AccessorSparseValues(bufferView=values),
        )
        accessor = g.Accessor(
            byteOffset=None,
            componentType=g.FLOAT,
            count=count,
            type=g.VEC3,
            sparse=sparse,
            min=np.minimum(offsets.min(0), 0).tolist(),
            max=np.maximum(offsets.max(0), 0).tolist(),
        )
        self.gltf.accessors.append(accessor)
        return len(self.gltf.accessors) - 1

    def add_with_bounds(self, values: np.ndarray, kind: str, **options) -> int:
        index = self.add(values, kind, **options)
        accessor, rows = self.gltf.accessors[index], values.reshape(len(values), -1)
        accessor.min, accessor.max = rows.min(0).tolist(), rows.max(0).tolist()
        return index

    def _add_view(self, values: np.ndarray, **options) -> int:
        import pygltflib as g

        content = values.tobytes()
        view = g.BufferView(
            buffer=0, byteOffset=len(self.content), byteLength=len(content), **options
        )
        self.gltf.bufferViews.append(view)
        self.content += content + bytes(-len(content) % 4)
        return len(self.gltf.bufferViews) - 1


def _mesh(blob: _Blob, motion: BodyMotion, vertices: np.ndarray, shapes: list[Corrective]) -> Mesh:
    import pygltflib as g

    body, of_vertices = motion.body, {"target": g.ARRAY_BUFFER}
    joints, shares = strongest_joints(body.weights)
    index_type = np.uint16 if len(vertices) < 65536 else np.uint32
    attributes = g.Attributes(
        POSITION=blob.add_with_bounds(vertices, g.VEC3, **of_vertices),
        NORMAL=blob.add(vertex_normals(vertices, body.faces), g.VEC3, **of_vertices),
        COLOR_0=blob.add(linear(body.colors), g.VEC4, normalized=True, **of_vertices),
        JOINTS_0=blob.add(joints, g.VEC4, **of_vertices),
        WEIGHTS_0=blob.add(shares, g.VEC4, normalized=True, **of_vertices),
    )
    faces = body.faces.ravel().astype(index_type)
    indices = blob.add(faces, g.SCALAR, target=g.ELEMENT_ARRAY_BUFFER)
    targets = [{"POSITION": blob.add_offsets(shape, len(vertices))} for shape in shapes]
    primitive = g.Primitive(attributes=attributes, indices=indices, material=0, targets=targets)
    names = [f"corrective {number}" for number in range(1, len(shapes) + 1)]
    return g.Mesh(
        name="body",
        primitives=[primitive],
        weights=[0.0] * len(shapes),
        extras={"targetNames": names} if shapes else {},
    )


def linear(colors: np.ndarray) -> np.ndarray:
    """Opaque RGBA (V, 4) uint16 in proportion to light, of sRGB (V, 3) uint8."""
    srgb = colors / 255
    light = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    opaque = np.concatenate([light, np.ones((len(light), 1))], axis=1)
    return np.rint(opaque * 65535).astype(np.uint16)


def _joint_nodes(motion: BodyMotion, joints: np.ndarray) -> list:
    import pygltflib as g

    parents = np.array(motion.body.parents)
    bones = joints - np.where(parents[:, None] < 0, 0, joints[parents])
    return [
        g.Node(
            name=name, translation=bone.tolist(), children=np.flatnonzero(parents == joint).tolist()
        )
        for joint, (name, bone) in enumerate(zip(motion.body.joint_names, bones, strict=True))
    ]


def _animate(
    blob: _Blob, motion: BodyMotion, root: int, root_rest: np.ndarray, shapes: list[Corrective]
) -> None:
    import pygltflib as g

    animation = g.Animation(name="motion")
    times = (np.arange(len(motion)) / motion.fps).astype(np.float32)
    time = blob.add_with_bounds(times, g.SCALAR)

    def move(node: int, path: str, values: np.ndarray, kind: str) -> None:
        target = g.AnimationChannelTarget(node=node, path=path)
        channel = g.AnimationChannel(sampler=len(animation.samplers), target=target)
        animation.channels.append(channel)
        sampler = g.AnimationSampler(input=time, output=blob.add(values, kind))
        animation.samplers.append(sampler)

    move(root, "translation", (root_rest + motion.trans).astype(np.float32), g.VEC3)
    for joint, turns in enumerate(quaternions(motion.poses)):
        move(joint, "rotation", turns, g.VEC4)
    if shapes:
        weights = np.stack([shape.weights for shape in shapes], axis=1)
        move(len(motion.body.parents), "weights", weights.astype(np.float32).ravel(), g.SCALAR)
    blob.gltf.animations.append(animation)


def quaternions(poses: np.ndarray) -> np.ndarray:
    """Rotations (T, J, 3) as (J, T, 4) float32, x y z w; neighbours turn the shorter way."""
    frames, joints = poses.shape[:2]
    turns = Rotation.from_rotvec(poses.reshape(-1, 3)).as_quat().reshape(frames, joints, 4)
    same_side = (turns[1:] * turns[:-1]).sum(-1, keepdims=True) >= 0
    turns[1:] *= np.cumprod(np.where(same_side, 1, -1), axis=0)
    return np.ascontiguousarray(turns.swapaxes(0, 1), np.float32)


def rights(source: str) -> str:
    return f"Mesh: {source}, under that body's own licence."


def _chunks(content: bytes) -> tuple[dict, bytes]:
    """The JSON and the binary part of a .glb file."""
    magic, version, length, size, kind = struct.unpack_from("<4sIII4s", content)
    if magic != b"glTF" or version != 2 or kind != b"JSON":
        raise ValueError("it is no binary glTF 2.0")
    if length != len(content):
        raise ValueError(f"it has {len(content)} bytes where its header says {length}")
    binary = 20 + size
    size_of_binary, kind = struct.unpack_from("<I4s", content, binary)
    if kind != b"BIN\0":
        raise ValueError("it has no binary part")
    binary += 8
    return json.loads(content[20 : binary - 8]), content[binary : binary + size_of_binary]


def _read_joints(gltf: dict, blob: bytes) -> Motion:
    generator = gltf["asset"].get("generator", "unknown software")
    if generator != GENERATOR:
        raise ValueError(f"{generator} did")
    extras, names = gltf["asset"]["extras"], HUMANML3D.joint_names
    node_of = {node["name"]: index for index, node in enumerate(gltf["nodes"])}
    offsets = np.array([gltf["nodes"][node_of[name]]["translation"] for name in names], float)
    (animation,) = gltf["animations"]
    tracks = {
        (channel["target"]["node"], channel["target"]["path"]): _floats(
            gltf, blob, animation["samplers"][channel["sampler"]]["output"]
        )
        for channel in animation["channels"]
        if channel["target"]["path"] != "weights"
    }
    root = tracks[node_of[names[0]], "translation"].astype(np.float64)
    turns = np.stack([tracks[node_of[name], "rotation"] for name in names], axis=1)
    rotations = Rotation.from_quat(turns.reshape(-1, 4)).as_matrix()
    pose = Pose(offsets, rotations.reshape(len(root), len(names), 3, 3), root)
    return Motion(
        joints=pose.joints(), fps=float(extras["fps"]), prompt=str(extras.get("prompt", ""))
    )


def _floats(gltf: dict, blob: bytes, index: int) -> np.ndarray:
    """Values (n, width) of an accessor to floats."""
    accessor = gltf["accessors"][index]
    view = gltf["bufferViews"][accessor["bufferView"]]
    width = {"VEC3": 3, "VEC4": 4}[accessor["type"]]
    values = np.frombuffer(blob, "<f4", accessor["count"] * width, view.get("byteOffset", 0))
    return values.reshape(-1, width)
