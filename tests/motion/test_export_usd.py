import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from body_motions import swaying, write_body

from motionmamba.motion import HUMANML3D
from motionmamba.motion.body import Body
from motionmamba.motion.export.usd import write_usd
from motionmamba.motion.formats import load_motion, save_motion

SUFFIXES = ("usda", "usdc")


@pytest.fixture(scope="module")
def motion():
    return swaying(Body.load())


@pytest.fixture(scope="module")
def written(motion, tmp_path_factory):
    pytest.importorskip("pxr", reason="no usd-core")
    folder = tmp_path_factory.mktemp("usd")
    for suffix in SUFFIXES:
        write_usd(folder / f"motion.{suffix}", motion)
    return folder


def opened(path):
    return pytest.importorskip("pxr.Usd").Stage.Open(str(path))


def play(stage, frame):
    """Vertices and places of joints by name at a frame, as USD's own library has them."""
    from pxr import Usd, UsdGeom, UsdSkel

    mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/body/mesh"))
    root = UsdSkel.Root(stage.GetDefaultPrim())
    cache = UsdSkel.Cache()
    cache.Populate(root, Usd.PrimDefaultPredicate)
    (binding,) = cache.ComputeSkelBindings(root, Usd.PrimDefaultPredicate)
    (target,) = binding.GetSkinningTargets()
    skeleton = cache.GetSkelQuery(binding.GetSkeleton())
    points = mesh.GetPointsAttr().Get()
    if target.HasBlendShapes():
        shapes = UsdSkel.BlendShapeQuery(UsdSkel.BindingAPI(mesh))
        weights = skeleton.GetAnimQuery().ComputeBlendShapeWeights(frame)
        weights, numbers, indices = shapes.ComputeSubShapeWeights(
            target.GetBlendShapeMapper().Remap(weights)
        )
        assert shapes.ComputeDeformedPoints(
            weights,
            numbers,
            indices,
            shapes.ComputeBlendShapePointIndices(),
            shapes.ComputeSubShapePointOffsets(),
            points,
        )
    moves = skeleton.ComputeSkinningTransforms(frame)
    assert target.ComputeSkinnedPoints(moves, points, frame)
    places = skeleton.ComputeJointSkelTransforms(frame)
    names = [path.split("/")[-1] for path in skeleton.GetJointOrder()]
    return np.array(points), dict(zip(names, np.array(places)[:, 3, :3], strict=True))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("frame", [0, 7, 23])
def test_skinned_vertices_and_joints_are_those_of_the_body(motion, written, suffix, frame):
    vertices, places = play(opened(written / f"motion.{suffix}"), frame)
    expected = motion.vertices(frame, frame + 1)[0]
    assert np.linalg.norm(vertices - expected, axis=-1).max() < 1e-3
    found = [places[name] for name in HUMANML3D.joint_names]
    np.testing.assert_allclose(found, motion.joints[frame], atol=1e-5)


def test_between_frames_joints_turn_the_shorter_way(motion, written):
    _, places = play(opened(written / "motion.usdc"), 10.5)
    found = np.array([places[name] for name in HUMANML3D.joint_names])
    middle = (motion.joints[10] + motion.joints[11]) / 2
    assert np.linalg.norm(found - middle, axis=-1).max() < 0.02


@pytest.mark.parametrize("kind", ["smplh", "smplx"])
def test_joints_of_official_bodies(kind, tmp_path):
    pytest.importorskip("pxr", reason="no usd-core")
    motion = swaying(Body.load(write_body(tmp_path / "model.npz", kind)))
    write_usd(tmp_path / "motion.usdc", motion)
    _, places = play(opened(tmp_path / "motion.usdc"), 5)
    assert list(places) == list(motion.body.joint_names)
    found = [places[name] for name in HUMANML3D.joint_names]
    np.testing.assert_allclose(found, motion.joints[5], atol=1e-5)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", ["shipped", "one frame", "smplx"])
def test_the_validators_of_usd_find_nothing(kind, suffix, motion, tmp_path):
    validation = pytest.importorskip("pxr.UsdValidation", reason="no usd-core with validators")
    if kind == "smplx":
        motion = swaying(Body.load(write_body(tmp_path / "model.npz", kind)), prompt="")
    elif kind == "one frame":
        motion = swaying(motion.body, 1)
    write_usd(tmp_path / f"motion.{suffix}", motion)
    stage = opened(tmp_path / f"motion.{suffix}")
    validators = validation.ValidationRegistry().GetOrLoadAllValidators()
    assert any("Skel" in validator.GetMetadata().name for validator in validators)
    found = validation.ValidationContext(validators).Validate(stage)
    assert not found, [error.GetMessage() for error in found]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_times_and_what_is_told(motion, written, suffix):
    from pxr import UsdGeom, UsdSkel

    stage = opened(written / f"motion.{suffix}")
    assert (stage.GetTimeCodesPerSecond(), stage.GetFramesPerSecond()) == (25, 25)
    assert (stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (0, 23)
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1 and UsdGeom.GetStageUpAxis(stage) == "Y"
    assert stage.GetDefaultPrim().GetName() == "body"
    animation = UsdSkel.Animation(stage.GetPrimAtPath("/body/skeleton/motion"))
    assert animation.GetRotationsAttr().GetTimeSamples() == list(range(24))
    told = stage.GetRootLayer().customLayerData
    assert (told["prompt"], told["body"]) == ("she sways", motion.body.source)
    assert "CC0" in stage.GetMetadata("documentation")


def test_mesh_and_colours(motion, written):
    from pxr import UsdGeom, UsdShade

    stage = opened(written / "motion.usda")
    prim = stage.GetPrimAtPath("/body/mesh")
    mesh, (rest, _) = UsdGeom.Mesh(prim), motion.body.rest(motion.betas)
    np.testing.assert_allclose(mesh.GetPointsAttr().Get(), rest, atol=1e-6)
    indices = np.array(mesh.GetFaceVertexIndicesAttr().Get())
    np.testing.assert_array_equal(indices.reshape(-1, 3), motion.body.faces)
    light = np.array(mesh.GetDisplayColorPrimvar().Get())
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 255
    np.testing.assert_allclose(srgb, motion.body.colors, atol=0.5)
    outside = (np.array(mesh.GetNormalsAttr().Get()) * rest)[:, 2]
    assert (outside > 0).mean() > 0.6, "the mesh is inside out"

    painted = np.full((len(motion.body.faces), 3), np.nan)
    for part in UsdShade.MaterialBindingAPI(prim).GetMaterialBindSubsets():
        material, _ = UsdShade.MaterialBindingAPI(part.GetPrim()).ComputeBoundMaterial()
        surface, _, _ = material.ComputeSurfaceSource()
        faces = np.array(part.GetIndicesAttr().Get())
        assert np.isnan(painted[faces]).all(), "two materials of a face"
        painted[faces] = surface.GetInput("diffuseColor").Get()
    corners = light[motion.body.faces]
    same = (corners == corners[:, :1]).all((1, 2))
    np.testing.assert_allclose(painted[same], corners[same, 0], atol=1e-6)
    assert (np.abs(painted[:, None] - corners).max(2).min(1) < 1e-6).all()
    assert len(np.unique(painted, axis=0)) > 3


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_odd_prompts(motion, written, suffix, tmp_path):
    prompt = 'läuft "fast" \\ \'\'\' """ <b>\n走'
    path = tmp_path / f"motion.{suffix.upper()}"
    for given, kept in ((prompt, prompt), ("a\udc80b\0c", "a?b c")):
        write_usd(path, swaying(motion.body, 1, prompt=given))
        stage = opened(path)
        assert stage.GetRootLayer().customLayerData["prompt"] == kept
        del stage
        path.unlink()


def test_motions_are_saved_and_not_read(motion, written):
    from motionmamba.motion import Motion

    path = written / "joints.usdc"
    save_motion(Motion(joints=motion.joints[:4], fps=20, prompt="he stands"), path)
    assert opened(path).GetEndTimeCode() == 3
    with pytest.raises(ValueError, match=r"has the suffix '\.usdc', expected one of"):
        load_motion(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_without_the_library_one_sentence_tells_what_to_install(
    motion, suffix, tmp_path, monkeypatch
):
    for name in [*(name for name in sys.modules if name.startswith("pxr")), "pxr", "pxr.UsdSkel"]:
        monkeypatch.setitem(sys.modules, name, None)
    for save in (lambda path: write_usd(path, motion), lambda path: save_motion(motion, path)):
        with pytest.raises(ValueError, match=r"pip install 'motionmamba\[usd\]'") as error:
            save(tmp_path / f"motion.{suffix}")
        assert "\n" not in str(error.value) and not os.listdir(tmp_path)


def test_unwritable_places(motion, written, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="does not exist; create it first"):
        save_motion(motion, tmp_path / "none" / "motion.usdc")
    with pytest.raises(OSError):
        write_usd(tmp_path / "none" / "motion.usdc", motion)
    path = tmp_path / "motion.usda"
    path.write_bytes(b"older")

    def full_disk(self, content):
        self.touch()
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_usd(path, motion)
    assert path.read_bytes() == b"older" and os.listdir(tmp_path) == ["motion.usda"]


def test_no_room_for_the_temporary_file(motion, written, tmp_path, monkeypatch):
    from pxr import Sdf, Tf

    def fails(self, path):
        raise Tf.ErrorException("no room")

    for export in (lambda self, path: False, fails):
        monkeypatch.setattr(Sdf.Layer, "Export", export)
        with pytest.raises(OSError, match=r"motion\.usdc cannot be written"):
            write_usd(tmp_path / "motion.usdc", motion)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_six_seconds_take_half_a_second(motion, written, suffix, tmp_path):
    motion, taken, path = swaying(motion.body, 120), [], tmp_path / f"motion.{suffix}"
    for _ in range(3):
        began = time.perf_counter()
        write_usd(path, motion)
        taken.append(time.perf_counter() - began)
    assert min(taken) < 0.5 and path.stat().st_size < (5e6 if suffix == "usda" else 1.5e6)
