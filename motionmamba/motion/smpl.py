"""Files of SMPL, SMPL-H and SMPL-X body models, and the joints of their bodies.

The models are those of Loper et al. (SIGGRAPH Asia 2015), Romero et al. (SIGGRAPH Asia 2017) and
Pavlakos et al. (CVPR 2019), whose authors hand their files out as `.npz` or as pickles full of
chumpy arrays. Nothing that a pickle names is imported or called: its arrays are taken from what it
holds for them.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from motionmamba.motion.skeleton import HUMANML3D, Joints

KINDS = {24: "smpl", 52: "smplh", 55: "smplx"}
# Of a model file, what its joints are made of.
ARRAYS = ("v_template", "shapedirs", "J_regressor", "kintree_table")


@dataclass(frozen=True, eq=False)
class SmplModel:
    """The joints of a body of J joints and S shape parameters; J is 24, 52 or 55.

    The first 22 joints are those of HumanML3D. At rest the body stands in a T-pose, Y up, facing
    Z+, in metres.

    Attributes:
        template: (J, 3) float64, joints of the mean shape at rest.
        shape_directions: (J, 3, S) float64, how the shape parameters move them; in SMPL-X the
            parameters of expressions follow those of shape.
        parents: index of each joint's parent, -1 for the root; parents come before children.
    """

    template: np.ndarray
    shape_directions: np.ndarray
    parents: tuple[int, ...]

    @classmethod
    def load(cls, path: str | Path) -> SmplModel:
        """Read an official model file, `.npz` or the original `.pkl`.

        Raises:
            ValueError: when it is no body model of one of the three kinds, or its pickle names
                anything that no body model needs.
        """
        return cls.from_arrays(Path(path), read_arrays(path, ARRAYS))

    @classmethod
    def from_arrays(cls, path: Path, stored: dict[str, np.ndarray]) -> SmplModel:
        """As `load`, of the arrays of a file that was read; `path` is for messages alone."""
        arrays = vertices, directions, regressor, tree = [stored[name] for name in ARRAYS]
        shapes = (
            *((len(vertices), 3), (len(vertices), 3, directions.shape[-1])),
            *((len(regressor), len(vertices)), (2, len(regressor))),
        )
        for name, array, shape in zip(ARRAYS, arrays, shapes, strict=True):
            if array.shape != shape:
                raise ValueError(_no_body(path, f"its {name} is {array.shape}, not {shape}"))
            if not np.isfinite(array).all():
                raise ValueError(_no_body(path, f"its {name} has NaN or infinite values"))
        parents = (-1, *(int(parent) for parent in tree[0, 1:]))
        if len(parents) not in KINDS or parents[: HUMANML3D.num_joints] != HUMANML3D.parents:
            raise ValueError(_no_body(path, f"its {len(parents)} joints hang together otherwise"))
        if not all(0 <= parent < joint for joint, parent in enumerate(parents[1:], 1)):
            raise ValueError(_no_body(path, "a joint comes before its parent"))
        regressor = regressor.astype(np.float64)
        return cls(regressor @ vertices, np.tensordot(regressor, directions, 1), parents)

    @property
    def kind(self) -> str:
        """One of "smpl", "smplh" and "smplx"."""
        return KINDS[self.num_joints]

    @property
    def num_joints(self) -> int:
        return len(self.parents)

    def rest_joints(self, betas: Tensor) -> Tensor:
        """Joints at rest (..., J, 3) of bodies with the shape parameters betas (..., S or less).

        Raises ValueError where there are more betas than the model has.
        """
        count, limit = betas.shape[-1], self.shape_directions.shape[-1]
        if count > limit:
            raise ValueError(
                f"betas have {count} shape parameters, expected at most {limit}; pass the first "
                f"{limit} or a model file with more."
            )
        template = torch.from_numpy(self.template).to(betas)
        directions = torch.from_numpy(self.shape_directions[..., :count]).to(betas)
        return template + (directions * betas[..., None, None, :]).sum(-1)

    def joints(self, poses: Joints, trans: Joints, betas: Joints) -> Joints:
        """Joint positions of posed bodies, without their vertices.

        Pose-dependent corrections and DMPL's soft tissue move vertices, not joints.

        Args:
            poses: (..., T, 3 K) axis-angle rotations in radians of the first K joints, each
                relative to its parent; K from 1 to J.
            trans: (..., T, 3) metres, added to the place of the root at rest.
            betas: (S,), or with dimensions that go with those of `poses`, as (T, S).

        Returns:
            (..., T, K, 3) in metres: for numpy arrays float32, computed in float64, for tensors
            in their dtype, on their device and differentiable.

        Raises:
            ValueError: for shapes that do not go together.
        """
        if not isinstance(poses, Tensor):
            arrays = (np.array(a, dtype=np.float64) for a in (poses, trans, betas))
            return self.joints(*map(torch.from_numpy, arrays)).float().numpy()
        return self.transforms(poses, trans, betas)[0]

    def transforms(self, poses: Tensor, trans: Tensor, betas: Tensor) -> tuple[Tensor, Tensor]:
        """As `joints`, for tensors, with the rotations (..., T, K, 3, 3) from rest to the world."""
        width = poses.shape[-1] if poses.ndim > 1 else 0
        if (
            width % 3
            or not 0 < width <= 3 * self.num_joints
            or trans.shape != (*poses.shape[:-1], 3)
        ):
            raise ValueError(
                f"poses have shape {tuple(poses.shape)} and trans {tuple(trans.shape)}, expected "
                f"(..., T, 3 K) with K from 1 to {self.num_joints} and (..., T, 3); pass the "
                "axis-angle rotations of the first K joints and the body's place."
            )
        local = axis_angle_to_matrix(poses.unflatten(-1, (-1, 3)))
        rest = self.rest_joints(betas)
        places, rotations = [rest[..., 0, :] + trans], [local[..., 0, :, :]]
        for joint in range(1, width // 3):
            parent = self.parents[joint]
            bone = rest[..., joint, :] - rest[..., parent, :]
            places.append(places[parent] + (rotations[parent] @ bone[..., None])[..., 0])
            rotations.append(rotations[parent] @ local[..., joint, :, :])
        return torch.stack(places, dim=-2), torch.stack(rotations, dim=-3)


def axis_angle_to_matrix(rotation: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of axes times angles in radians (..., 3), by Rodrigues."""
    angle = rotation.norm(dim=-1)[..., None, None]
    x, y, z = rotation.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    # sin(a) / a and (1 - cos(a)) / a², which stay exact where the angle a vanishes
    first, half = torch.sinc(angle / math.pi), torch.sinc(angle / (2 * math.pi))
    identity = torch.eye(3, dtype=rotation.dtype, device=rotation.device)
    return identity + first * cross + 0.5 * half.square() * (cross @ cross)


def read_arrays(path: str | Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Arrays of numbers from a model file, `.npz` or pickle, by the names they have there.

    Sparse matrices and chumpy arrays come as plain arrays.

    Raises:
        ValueError: when the file cannot be read, lacks one of them, or its pickle names anything
            that no body model needs.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        is_npz = zipfile.is_zipfile(io.BytesIO(content))
        stored = np.load(io.BytesIO(content), allow_pickle=False) if is_npz else _unpickle(content)
        if missing := [name for name in names if name not in stored]:
            raise ValueError(f"it lacks {', '.join(missing)}")
        arrays = {name: _array(stored[name]) for name in names}
    except Exception as error:  # numpy, zipfile and pickle raise anything over damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(_no_body(path, reason)) from error
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu" or array.ndim == 0:
            raise ValueError(_no_body(path, f"its {name} is no array of numbers"))
    return arrays


def _no_body(path: Path, reason: str) -> str:
    return (
        f"{path} is no SMPL, SMPL-H or SMPL-X body model: {reason}; pass an official file from "
        "the model's site."
    )


class _StandIn:
    """What a pickle wants made by calling `name`: arguments and state, and nothing made of them."""

    name = ""

    def __new__(cls, *args):
        self = super().__new__(cls)
        self.args, self.state = args, None
        return self

    def __setstate__(self, state):
        self.state = state


_NAMED = {
    *("_reconstruct", "scalar", "_frombuffer", "ndarray", "dtype"),  # numpy
    *("csc_matrix", "csr_matrix"),  # scipy.sparse
    *("Ch", "Select"),  # chumpy
    *("_reconstructor", "object", "set", "encode"),  # Python
}
_MODULES = ("numpy", "scipy", "chumpy", "copy_reg", "copyreg", "__builtin__", "builtins", "_codecs")


# The one in Python, since that in C takes gigabytes for a memo of a few bytes.
class _Unpickler(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> type:
        if module.split(".")[0] not in _MODULES or name not in _NAMED:
            raise pickle.UnpicklingError(f"its pickle names {module}.{name}, which no model needs")
        return type(name, (_StandIn,), {"name": name})


def _unpickle(content: bytes) -> dict:
    stored = _Unpickler(io.BytesIO(content), encoding="latin1").load()
    if not isinstance(stored, dict):
        raise ValueError("it is no table of arrays")
    return stored


def _array(value) -> np.ndarray:
    """The array that a stand-in, a list or an array stands for."""
    if not isinstance(value, _StandIn):
        return np.asarray(value)
    kind, state = value.name, value.state
    if kind == "_reconstructor":
        kind = value.args[0].name
    if kind == "_reconstruct":
        _, shape, dtype, fortran, data = state
        return np.frombuffer(_bytes(data), _dtype(dtype)).reshape(shape, order="CF"[fortran])
    if kind == "_frombuffer":
        data, dtype, shape, order = value.args
        return np.frombuffer(data, _dtype(dtype)).reshape(shape, order=order)
    if kind == "scalar":
        dtype, data = value.args
        return np.frombuffer(_bytes(data), _dtype(dtype))[0]
    if kind in ("csc_matrix", "csr_matrix"):
        return _dense(state, by_columns=kind == "csc_matrix")
    if kind == "Ch":
        return _array(state["x"])
    if kind == "Select":
        chosen = _array(state["a"]).ravel()[_array(state["idxs"]).astype(int)]
        return chosen.reshape(state.get("preferred_shape", chosen.shape))
    raise ValueError(f"it has a {kind} where an array should be")


def _dtype(value: _StandIn) -> np.dtype:
    return np.dtype(value.args[0]).newbyteorder(value.state[1])


def _bytes(data) -> bytes:
    """Python 2 wrote bytes as text, and Python 3 writes them so for its sake."""
    text = data.args[0] if isinstance(data, _StandIn) else data
    return text.encode("latin1") if isinstance(text, str) else text


def _dense(state: dict, by_columns: bool) -> np.ndarray:
    shape = tuple(int(_array(size)) for size in state["_shape"])
    inner, starts = (_array(state[name]).astype(int) for name in ("indices", "indptr"))
    outer = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    dense = np.zeros(shape)
    np.add.at(dense, (inner, outer) if by_columns else (outer, inner), _array(state["data"]))
    return dense
