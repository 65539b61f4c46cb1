import json
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import trimesh
from body_motions import swaying, write_body
from pygltflib import GLTF2
from scipy.spatial.transform import Rotation

from motionmamba.motion import HUMANML3D
from motionmamba.motion.body import Body
from motionmamba.motion.export.gltf import (
    glb_bytes,
    read_glb,
    strongest_joints,
    vertex_normals,
    write_glb,
)

TOOLS = Path(__file__).parents[1] / "tools"
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}
DTYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}


@pytest.fixture(scope="module")
def motion():
    return swaying(Body.load())


@pytest.fixture(scope="module")
def glb(motion):
    return glb_bytes(motion)


def view(gltf, index, kind, count, width):
    start = gltf.bufferViews[index].byteOffset or 0
    values = np.frombuffer(gltf.binary_blob(), DTYPES[kind], count * width, start)
    return values.reshape(-1, width)


def accessor(gltf, index):
    """Values of an accessor, read without the writer."""
    told = gltf.accessors[index]
    kind, width = told.componentType, WIDTHS[told.type]
    if (sparse := told.sparse) is not None:
        indices, values = sparse.indices, sparse.values
        places = view(gltf, indices.bufferView, indices.componentType, sparse.count, 1)
        whole = np.zeros((told.count, width))
        whole[places[:, 0]] = view(gltf, values.bufferView, kind, sparse.count, width)
        return whole
    values = view(gltf, told.bufferView, kind, told.count, width)
    return values / np.iinfo(values.dtype).max if told.normalized else values


def play(glb, frame):
    """Vertices and places of nodes by name at a frame, as the glTF 2.0 specification says."""
    gltf = GLTF2.load_from_bytes(glb)
    local = []
    for node in gltf.nodes:
        local.append(np.eye(4))
        local[-1][:3, 3] = node.translation or 0
    animation, primitive = gltf.animations[0], gltf.meshes[0].primitives[0]
    rest = accessor(gltf, primitive.attributes.POSITION).astype(np.float64)
    for channel in animation.channels:
        values = accessor(gltf, animation.samplers[channel.sampler].output)
        matrix = local[channel.target.node]
        if channel.target.path == "translation":
            matrix[:3, 3] = values[frame]
        elif channel.target.path == "rotation":
            matrix[:3, :3] = Rotation.from_quat(values[frame]).as_matrix()
        else:
            weights = values.reshape(-1, len(primitive.targets))[frame]
            for weight, target in zip(weights, primitive.targets, strict=True):
                rest += weight * accessor(gltf, target["POSITION"])
    world = [None] * len(local)

    def descend(index, above):
        world[index] = above @ local[index]
        for child in gltf.nodes[index].children or []:
            descend(child, world[index])

    for index in gltf.scenes[gltf.scene].nodes:
        descend(index, np.eye(4))
    skin, attributes = gltf.skins[0], primitive.attributes
    inverse = accessor(gltf, skin.inverseBindMatrices).reshape(-1, 4, 4).swapaxes(1, 2)
    moves = np.stack([world[joint] for joint in skin.joints]) @ inverse
    moves = moves[accessor(gltf, attributes.JOINTS_0)]
    moves = (moves * accessor(gltf, attributes.WEIGHTS_0)[..., None, None]).sum(1)
    vertices = np.einsum("vij,vj->vi", moves[:, :3, :3], rest) + moves[:, :3, 3]
    places = {node.name: matrix[:3, 3] for node, matrix in zip(gltf.nodes, world, strict=True)}
    return vertices, places


@pytest.mark.parametrize("kind", ["shipped", "one frame", "smplh", "smplx"])
def test_the_validator_of_khronos_finds_nothing(kind, motion, tmp_path):
    if not shutil.which("node") or not (TOOLS / "node_modules").is_dir():
        pytest.skip("no glTF validator: install node and run `npm ci` in tests/tools")
    if kind in ("smplh", "smplx"):
        motion = swaying(Body.load(write_body(tmp_path / "model.npz", kind)), prompt="")
    elif kind == "one frame":
        motion = swaying(motion.body, 1, prompt="läuft \udc80 <b>")
    write_glb(tmp_path / "motion.glb", motion)
    command = ["node", TOOLS / "validate_gltf.js", tmp_path / "motion.glb"]
    report = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    issues = report["issues"]
    # A made-up mesh has triangles without area, which is a note and no fault.
    assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), issues["messages"]
    assert report["info"]["hasSkins"] and report["info"]["animationCount"] == 1


@pytest.mark.parametrize("frame", [0, 7, 23])
def test_skinned_vertices_and_joints_are_those_of_the_body(motion, glb, frame):
    vertices, places = play(glb, frame)
    expected = motion.vertices(frame, frame + 1)[0]
    assert np.linalg.norm(vertices - expected, axis=-1).max() < 1e-3
    found = [places[name] for name in HUMANML3D.joint_names]
    np.testing.assert_allclose(found, motion.joints[frame], atol=1e-5)


def test_joints_of_official_bodies(tmp_path):
    motion = swaying(Body.load(write_body(tmp_path / "model.npz", "smplx")))
    _, places = play(glb_bytes(motion), 5)
    assert set(motion.body.joint_names) <= set(places) and len(places) == 56
    found = [places[name] for name in HUMANML3D.joint_names]
    np.testing.assert_allclose(found, motion.joints[5], atol=1e-5)


def test_trimesh_reads_the_mesh_at_rest(motion, glb, tmp_path):
    (tmp_path / "motion.glb").write_bytes(glb)
    mesh = trimesh.load(tmp_path / "motion.glb", process=False).geometry["body"]
    np.testing.assert_allclose(mesh.vertices, motion.body.rest(motion.betas)[0], atol=1e-6)
    np.testing.assert_array_equal(mesh.faces, motion.body.faces)
    light = mesh.visual.vertex_attributes["color"][:, :3] / 65535
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 255
    np.testing.assert_allclose(srgb, motion.body.colors, atol=0.5)
    assert len(np.unique(motion.body.colors, axis=0)) > 3
    outside = (mesh.vertex_normals * mesh.vertices)[:, 2]
    assert (outside > 0).mean() > 0.6, "the mesh is inside out"


def test_times_and_what_is_told(motion, glb):
    gltf = GLTF2.load_from_bytes(glb)
    (animation,) = gltf.animations
    times = accessor(gltf, animation.samplers[0].input)[:, 0]
    np.testing.assert_allclose(times, np.arange(24) / 25, atol=1e-6)
    paths = [channel.target.path for channel in animation.channels]
    assert (paths.count("translation"), paths.count("rotation")) == (1, motion.body.num_joints)
    extras = gltf.asset.extras
    assert (extras["prompt"], extras["fps"], extras["body"]) == (
        "she sways",
        25,
        motion.body.source,
    )
    assert "CC0" in gltf.asset.copyright and gltf.asset.generator == "motionmamba"
    assert gltf.materials[0].doubleSided in (False, None)


def test_rotations_go_the_shorter_way(glb):
    gltf = GLTF2.load_from_bytes(glb)
    animation = gltf.animations[0]
    for channel in animation.channels:
        if channel.target.path != "rotation":
            continue
        turns = accessor(gltf, animation.samplers[channel.sampler].output)
        assert (turns[1:] * turns[:-1]).sum(-1).min() > 0.9


def test_strongest_joints():
    weights = np.random.default_rng(0).uniform(size=(50, 24)) ** 6
    weights[0] = np.eye(24)[7]
    joints, shares = strongest_joints(weights.astype(np.float32))
    assert (joints[0].tolist(), shares[0].tolist()) == ([7, 0, 0, 0], [65535, 0, 0, 0])
    assert (shares.sum(1, dtype=int) == 65535).all()
    for row, chosen, share in zip(weights, joints, shares, strict=True):
        top = np.sort(row)[-4:][::-1]
        np.testing.assert_allclose(share / 65535, top / top.sum(), atol=2e-5)
        np.testing.assert_allclose(row[chosen[share > 0]], top[share > 0])


def test_normals_of_a_ball_and_of_a_loose_vertex():
    ball = trimesh.creation.icosphere(3)
    vertices = np.concatenate([ball.vertices, [[5.0, 5, 5]]]).astype(np.float32)
    normals = vertex_normals(vertices, ball.faces)
    np.testing.assert_allclose(normals[:-1], ball.vertices, atol=0.02)
    np.testing.assert_array_equal(normals[-1], [0, 1, 0])


def test_joints_come_back(motion, tmp_path):
    write_glb(tmp_path / "motion.glb", motion)
    loaded = read_glb(tmp_path / "motion.glb")
    np.testing.assert_allclose(loaded.joints, motion.joints, atol=1e-4)
    assert (loaded.fps, loaded.prompt, len(loaded)) == (25, "she sways", 24)


def _changed(glb, change):
    size = struct.unpack_from("<I", glb, 12)[0]
    content = json.loads(glb[20 : 20 + size])
    change(content)
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    rest = glb[20 + size :]
    return struct.pack("<4sIIII", b"glTF", 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A) + (
        text + rest
    )


FOREIGN = {
    "empty": lambda glb: b"",
    "text": lambda glb: b"no glTF at all, but some text that is long enough",
    "cut short": lambda glb: glb[:-100],
    "cut in the JSON": lambda glb: glb[:300],
    "other software": lambda glb: _changed(glb, lambda c: c["asset"].update(generator="Blender")),
    "no asset": lambda glb: _changed(glb, lambda c: c.pop("asset")),
    "no joint": lambda glb: _changed(glb, lambda c: c["nodes"][3].update(name="tail")),
    "no animation": lambda glb: _changed(glb, lambda c: c.pop("animations")),
    "huge claim": lambda glb: _changed(
        glb, lambda c: [a.update(count=10**12) for a in c["accessors"]]
    ),
    "a list": lambda glb: _changed(glb, lambda c: c.update(nodes=[[]])),
    "fps of 0": lambda glb: _changed(glb, lambda c: c["asset"]["extras"].update(fps=0)),
    "deep": lambda glb: glb[:20] + b"[" * struct.unpack_from("<I", glb, 12)[0] + glb[20:],
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_other_files_are_refused(kind, glb, tmp_path):
    path = tmp_path / "motion.glb"
    path.write_bytes(FOREIGN[kind](glb))
    with pytest.raises(
        ValueError, match=r"motion\.glb is no \.glb that this library wrote"
    ) as error:
        read_glb(path)
    assert "\n" not in str(error.value)


def test_a_full_disk_leaves_the_older_file(motion, tmp_path, monkeypatch):
    path = tmp_path / "motion.glb"
    path.write_bytes(b"older")

    def full_disk(self, content):
        self.touch()
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_glb(path, motion)
    assert path.read_bytes() == b"older" and os.listdir(tmp_path) == ["motion.glb"]


def test_six_seconds_take_half_a_second_and_a_megabyte(motion):
    motion, taken = swaying(motion.body, 120), []
    for _ in range(3):
        began = time.perf_counter()
        content = glb_bytes(motion)
        taken.append(time.perf_counter() - began)
    assert min(taken) < 0.5 and len(content) < 1.2e6
