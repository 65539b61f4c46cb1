"""Universal Scene Description (.usda, .usdc), which film and game tools open: a body that moves."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from motionmamba.motion.export.correctives import Corrective, correctives
from motionmamba.motion.export.gltf import (
    GENERATOR,
    INFLUENCES,
    ROUGHNESS,
    linear,
    quaternions,
    rights,
    strongest_joints,
    vertex_normals,
)
from motionmamba.motion.files import write_whole

if TYPE_CHECKING:
    from pxr import Usd, UsdGeom, UsdSkel

    from motionmamba.motion.body import Body, BodyMotion


def write_usd(path: str | os.PathLike, motion: BodyMotion) -> None:
    """Write a file of a body in motion, as text (.usda) or binary (.usdc); metres, Y up.

    As in `glb_bytes`, the mesh has the shape of `motion.betas`, each vertex follows its four
    strongest joints, and corrections that depend on the pose are blend shapes. Frame t is time
    code t. The layer's custom data have the prompt and the source of the body. The file appears
    only once it is complete.

    Raises:
        OSError: where it cannot be written.
        ValueError: where usd-core is not installed.
    """
    require_usd()
    from pxr import Tf

    path = Path(path)
    stage = _stage(motion)
    with TemporaryDirectory() as folder:
        # only files can be binary, and their suffix tells the kind
        whole = Path(folder, f"motion{path.suffix.lower()}")
        try:
            made = stage.GetRootLayer().Export(str(whole))
        except Tf.ErrorException:
            made = False
        if not made:
            raise OSError(f"{path} cannot be written: there is no room in {folder}.")
        content = whole.read_bytes()
    write_whole(path, content)


def require_usd() -> None:
    """Raises ValueError where usd-core is not installed."""
    try:
        import pxr.UsdSkel  # noqa: F401
    except ImportError as error:
        raise ValueError(
            ".usda and .usdc files need usd-core; pip install 'motionmamba[usd]'"
        ) from error


def _stage(motion: BodyMotion) -> Usd.Stage:
    from pxr import Usd, UsdGeom, UsdSkel

    stage = Usd.Stage.CreateInMemory()
    root = UsdSkel.Root.Define(stage, "/body")
    stage.SetDefaultPrim(root.GetPrim())
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    stage.SetTimeCodesPerSecond(motion.fps)
    stage.SetFramesPerSecond(motion.fps)
    stage.SetStartTimeCode(0)
    stage.SetEndTimeCode(len(motion) - 1)
    source = motion.body.source
    told = {"creator": GENERATOR, "prompt": _text(motion.prompt), "body": _text(source)}
    stage.GetRootLayer().customLayerData = told
    stage.SetMetadata("documentation", _text(rights(source)))

    vertices, joints = motion.body.rest(motion.betas)
    shapes = correctives(motion)
    skeleton = _add_skeleton(stage, motion.body, joints)
    mesh = _add_mesh(stage, motion.body, vertices)
    _bind(mesh, skeleton, motion.body)
    names = _add_shapes(mesh, shapes)
    _animate(skeleton, motion, joints, names, shapes)
    return stage


def _text(text: str) -> str:
    """Without what is no character or ends a text in C, as a shell or a file may have given."""
    return text.encode(errors="replace").decode().replace("\0", " ")


def _joint_paths(body: Body) -> list[str]:
    paths = []
    for name, parent in zip(body.joint_names, body.parents, strict=True):
        paths.append(name if parent < 0 else f"{paths[parent]}/{name}")
    return paths


def _bones(body: Body, joints: np.ndarray) -> np.ndarray:
    """Places (J, 3) of joints (J, 3) from their parents; the root's is its own."""
    parents = np.array(body.parents)
    return joints - np.where(parents[:, None] < 0, 0, joints[parents])


def _moves(places: np.ndarray):
    """Matrices to places (J, 3); USD multiplies rows by them."""
    from pxr import Vt

    matrices = np.tile(np.eye(4), (len(places), 1, 1))
    matrices[:, 3, :3] = places
    return Vt.Matrix4dArray.FromNumpy(matrices)


def _add_skeleton(stage: Usd.Stage, body: Body, joints: np.ndarray) -> UsdSkel.Skeleton:
    from pxr import UsdSkel

    skeleton = UsdSkel.Skeleton.Define(stage, "/body/skeleton")
    skeleton.CreateJointsAttr(_joint_paths(body))
    skeleton.CreateBindTransformsAttr(_moves(joints))
    skeleton.CreateRestTransformsAttr(_moves(_bones(body, joints)))
    return skeleton


def _add_mesh(stage: Usd.Stage, body: Body, vertices: np.ndarray) -> UsdGeom.Mesh:
    from pxr import UsdGeom, Vt

    points = Vt.Vec3fArray.FromNumpy(vertices)
    mesh = UsdGeom.Mesh.Define(stage, "/body/mesh")
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreatePointsAttr(points)
    mesh.CreateExtentAttr(UsdGeom.PointBased.ComputeExtent(points))
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray(len(body.faces), body.faces.shape[1]))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(body.faces.ravel()))
    mesh.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(vertex_normals(vertices, body.faces)))
    mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    light = (linear(body.colors)[:, :3] / 65535).astype(np.float32)
    colors = mesh.CreateDisplayColorPrimvar(UsdGeom.Tokens.vertex)
    colors.Set(Vt.Vec3fArray.FromNumpy(light))
    _paint(mesh, body.faces, light)
    return mesh


def _paint(mesh: UsdGeom.Mesh, faces: np.ndarray, colors: np.ndarray) -> None:
    """A material for the triangles (F, 3) of each of the vertices' colours (V, 3).

    Software such as Blender 4.2 shows no colours of vertices.
    """
    from pxr import Gf, Sdf, UsdShade, Vt

    stage, above = mesh.GetPrim().GetStage(), mesh.GetPath()
    different, of_vertex = np.unique(colors, axis=0, return_inverse=True)
    # the middle one of three is what most corners have
    of_face = np.sort(of_vertex.reshape(-1)[faces], axis=1)[:, 1]
    for number, color in enumerate(different.tolist()):
        if not (members := np.flatnonzero(of_face == number)).size:
            continue
        place = above.AppendChild(f"material_{number + 1}")
        material = UsdShade.Material.Define(stage, place)
        surface = UsdShade.Shader.Define(stage, place.AppendChild("surface"))
        surface.CreateIdAttr("UsdPreviewSurface")
        surface.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).Set(Gf.Vec3f(*color))
        surface.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(ROUGHNESS)
        out = surface.CreateOutput("surface", Sdf.ValueTypeNames.Token)
        material.CreateSurfaceOutput().ConnectToSource(out)
        part = UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).CreateMaterialBindSubset(
            f"part_{number + 1}", Vt.IntArray.FromNumpy(members.astype(np.int32))
        )
        UsdShade.MaterialBindingAPI.Apply(part.GetPrim()).Bind(material)


def _bind(mesh: UsdGeom.Mesh, skeleton: UsdSkel.Skeleton, body: Body) -> None:
    from pxr import Gf, UsdSkel, Vt

    joints, shares = strongest_joints(body.weights)
    binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    binding.CreateSkeletonRel().SetTargets([skeleton.GetPath()])
    binding.CreateGeomBindTransformAttr(Gf.Matrix4d(1))
    indices = binding.CreateJointIndicesPrimvar(constant=False, elementSize=INFLUENCES)
    indices.Set(Vt.IntArray.FromNumpy(joints.astype(np.int32).ravel()))
    weights = binding.CreateJointWeightsPrimvar(constant=False, elementSize=INFLUENCES)
    weights.Set(Vt.FloatArray.FromNumpy((shares / 65535).astype(np.float32).ravel()))


def _add_shapes(mesh: UsdGeom.Mesh, shapes: list[Corrective]) -> list[str]:
    """The names of the blend shapes that were added to a mesh."""
    from pxr import UsdSkel, Vt

    stage, above = mesh.GetPrim().GetStage(), mesh.GetPath()
    names = [f"corrective_{number}" for number in range(1, len(shapes) + 1)]
    for name, shape in zip(names, shapes, strict=True):
        made = UsdSkel.BlendShape.Define(stage, above.AppendChild(name))
        made.CreateOffsetsAttr(Vt.Vec3fArray.FromNumpy(shape.offsets.astype(np.float32)))
        made.CreatePointIndicesAttr(Vt.IntArray.FromNumpy(shape.vertices.astype(np.int32)))
    if shapes:
        binding = UsdSkel.BindingAPI(mesh)
        binding.CreateBlendShapesAttr(names)
        binding.CreateBlendShapeTargetsRel().SetTargets([above.AppendChild(n) for n in names])
    return names


def _animate(
    skeleton: UsdSkel.Skeleton,
    motion: BodyMotion,
    joints: np.ndarray,
    names: list[str],
    shapes: list[Corrective],
) -> None:
    from pxr import UsdSkel, Vt

    prim, body = skeleton.GetPrim(), motion.body
    animation = UsdSkel.Animation.Define(prim.GetStage(), prim.GetPath().AppendChild("motion"))
    binding = UsdSkel.BindingAPI.Apply(prim)
    binding.CreateAnimationSourceRel().SetTargets([animation.GetPath()])
    animation.CreateJointsAttr(_joint_paths(body))
    animation.CreateScalesAttr(Vt.Vec3hArray.FromNumpy(np.ones((len(joints), 3), np.float16)))
    places = np.tile(_bones(body, joints).astype(np.float32), (len(motion), 1, 1))
    places[:, body.parents.index(-1)] += motion.trans
    turns = quaternions(motion.poses).swapaxes(0, 1)
    translations, rotations = animation.CreateTranslationsAttr(), animation.CreateRotationsAttr()
    for frame, (place, turn) in enumerate(zip(places, turns, strict=True)):
        translations.Set(Vt.Vec3fArray.FromNumpy(place), frame)
        rotations.Set(Vt.QuatfArray.FromNumpy(np.ascontiguousarray(turn)), frame)
    if shapes:
        animation.CreateBlendShapesAttr(names)
        weights = animation.CreateBlendShapeWeightsAttr()
        rows = np.stack([shape.weights for shape in shapes], axis=1).astype(np.float32)
        for frame, row in enumerate(rows):
            weights.Set(Vt.FloatArray.FromNumpy(row), frame)
