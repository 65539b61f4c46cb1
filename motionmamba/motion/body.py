"""Human bodies that joints can move: the CC0 body shipped here, or a user's own SMPL file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch

from motionmamba.motion.skeleton import HUMANML3D
from motionmamba.motion.smpl import ARRAYS, SmplModel, read_arrays

EMBEDDED_BODY = Path(__file__).parents[1] / "assets" / "body" / "body.npz"
MOST_SHAPE = 5.0  # deviations, beyond which no body looks like one
MOST_BETAS = 16  # of a user's own file; SMPL-X has 400, most of them faces
BATCH = 32  # frames that are posed at once
_PLAIN = (168, 182, 198)


class Body:
    """A skinned human of V vertices and J joints in the layout of SMPL's files.

    At rest it stands in a T-pose, Y up, facing Z+, in metres; its first 22 joints are those of
    HumanML3D. Posed by linear blend skinning (Loper et al., SIGGRAPH Asia 2015) as `smplx` does it.

    Attributes:
        source: what to tell of it.
        faces: (F, 3) int32.
        colors: (V, 3) uint8, sRGB.
        weights: (V, J) float32, skinning.
        joint_names: J names.
        shape_names: names of the parameters of shape that a user may set; betas come in this
            order and, of the shipped body, go on with lengths of bones.
        fitted: the slice of betas that are fitted to the bones of a motion.
        shapes: betas (S,) by name: "neutral", and "female" and "male" of the shipped body.
        pose_directions: (9 (J - 1), 3 V) float32, how rotations correct vertices at rest.
    """

    def __init__(self, arrays: dict[str, np.ndarray], skeleton: SmplModel, source: str):
        self.source, self.skeleton = source, skeleton
        self.faces = arrays["f"].astype(np.int32)
        self.weights = arrays["weights"].astype(np.float32)
        self.kind, self.parents = skeleton.kind, skeleton.parents
        count = self.num_betas = min(arrays["shapedirs"].shape[-1], MOST_BETAS)
        self.shape_names = tuple(f"shape {i + 1}" for i in range(min(count, 10)))
        self.fitted = slice(0, len(self.shape_names))
        self.shapes = {"neutral": np.zeros(count, np.float32)}
        self.colors = np.full((len(self.weights), 3), _PLAIN, np.uint8)
        if "shape_names" in arrays:
            self._take_names(arrays)
        self._template = torch.from_numpy(arrays["v_template"].astype(np.float32))
        directions = arrays["shapedirs"][..., : self.num_betas].astype(np.float32)
        self._shape_directions = torch.from_numpy(np.ascontiguousarray(directions))
        self._regressor = torch.from_numpy(arrays["J_regressor"].astype(np.float32))
        flat = arrays["posedirs"].reshape(-1, arrays["posedirs"].shape[-1]).T
        self.pose_directions = torch.from_numpy(np.ascontiguousarray(flat, np.float32))

    def _take_names(self, arrays: dict[str, np.ndarray]):
        """What the shipped body's file has beside SMPL's arrays."""
        count = self.num_betas = arrays["shapedirs"].shape[-1]
        self.shape_names = tuple(arrays["shape_names"].tolist())
        self.fitted = slice(len(self.shape_names), count)
        self.colors = arrays["colors"].astype(np.uint8)
        gender = np.eye(1, count, self.shape_names.index("gender"), dtype=np.float32)[0]
        self.shapes = {"neutral": 0 * gender, "female": 2 * gender, "male": -2 * gender}

    @classmethod
    def load(cls, path: str | Path | None = None) -> Body:
        """The body shipped here, or that of an official SMPL, SMPL-H or SMPL-X file.

        Files are `.npz` or the original `.pkl`, of which nothing is run.

        Raises:
            ValueError: when the file is no body model.
        """
        return _load_embedded() if path is None else _load(Path(path))

    @property
    def num_joints(self) -> int:
        return len(self.parents)

    @cached_property
    def joint_names(self) -> tuple[str, ...]:
        names = HUMANML3D.joint_names
        if self.kind == "smpl":
            return (*names, "left_hand", "right_hand")
        from smplx.joint_names import JOINT_NAMES, SMPLH_JOINT_NAMES

        others = SMPLH_JOINT_NAMES if self.kind == "smplh" else JOINT_NAMES
        return (*names, *others[len(names) : self.num_joints])

    def betas(self, **shape: float) -> np.ndarray:
        """Betas (S,) float32 with some of `shape_names` set, the others 0.

        Raises ValueError for another name or a value that is not from -5 to 5.
        """
        values = np.zeros(self.num_betas, np.float32)
        for name, value in shape.items():
            if name not in self.shape_names:
                raise ValueError(
                    f"{self.source} has no shape {name!r}, expected one of "
                    f"{', '.join(self.shape_names)}"
                )
            if not abs(value) <= MOST_SHAPE:
                raise ValueError(
                    f"the shape {name} is {value}, expected -{MOST_SHAPE:g} to {MOST_SHAPE:g}"
                )
            values[self.shape_names.index(name)] = value
        return values

    def shaped(self, words: Sequence[str]) -> np.ndarray:
        """Betas (S,) float32 of words such as "female" and "height=1.5", added up.

        Raises ValueError for anything else.
        """
        values = self.shapes["neutral"].copy()
        for word in words:
            name, _, number = word.partition("=")
            if name in self.shapes and not number:
                values += self.shapes[name]
                continue
            try:
                values += self.betas(**{name.strip(): float(number)})
            except ValueError as error:
                known = ", ".join((*self.shapes, *(f"{name}=1.5" for name in self.shape_names)))
                raise ValueError(f"the shape {word!r} is none of {known}") from error
        return values

    def rest(self, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vertices (V, 3) and joints (J, 3) float32 at rest, metres, of a shape (S,) or less."""
        joints = self.skeleton.rest_joints(torch.from_numpy(np.array(betas, np.float64)))
        return self._at_rest(betas).numpy(), joints.float().numpy()

    def vertices(self, poses: np.ndarray, trans: np.ndarray, betas: np.ndarray) -> np.ndarray:
        """Vertices (T, V, 3) float32 of posed bodies, metres.

        Args:
            poses: (T, J, 3) axis-angle rotations in radians, each relative to its parent.
            trans: (T, 3) metres, added to the place of the root at rest.
            betas: (S,) or fewer.
        """
        from smplx.lbs import lbs

        template = self._at_rest(betas)
        fixed = (self._regressor, torch.tensor(self.parents), torch.from_numpy(self.weights))
        # the shape is the same in all frames, so it is made once, and the call is given none
        unshaped = torch.empty(*template.shape, 0)
        posed = np.empty((len(poses), *template.shape), np.float32)
        for first in range(0, len(poses), BATCH):
            part = slice(first, first + BATCH)
            pose = torch.from_numpy(np.asarray(poses[part], np.float32)).flatten(1)
            still = torch.empty(len(pose), 0)
            with torch.inference_mode():
                made, _ = lbs(still, pose, template[None], unshaped, self.pose_directions, *fixed)
            posed[part] = made.numpy() + np.asarray(trans[part], np.float32)[:, None]
        return posed

    def _at_rest(self, betas: np.ndarray) -> torch.Tensor:
        betas = torch.from_numpy(np.array(betas, np.float32))
        return self._template + self._shape_directions[..., : len(betas)] @ betas


@lru_cache(maxsize=1)
def _load_embedded() -> Body:
    with np.load(EMBEDDED_BODY, allow_pickle=False) as file:
        arrays = dict(file)
    skeleton = SmplModel.from_arrays(EMBEDDED_BODY, arrays)
    return Body(arrays, skeleton, "the CC0 body of MakeHuman that ships with this package")


def _load(path: Path) -> Body:
    arrays = read_arrays(path, (*ARRAYS, "posedirs", "weights", "f"))
    skeleton = SmplModel.from_arrays(path, arrays)
    _check_skin(path, arrays)
    return Body(arrays, skeleton, f"the {skeleton.kind.upper()} body of {path.name}")


def _check_skin(path: Path, arrays: dict[str, np.ndarray]):
    """That a mesh hangs on the joints; `SmplModel` has looked at the rest."""
    count, joints = len(arrays["v_template"]), len(arrays["J_regressor"])
    for name, shape in (("posedirs", (count, 3, 9 * (joints - 1))), ("weights", (count, joints))):
        found = arrays[name]
        if found.shape != shape or not np.isfinite(found).all():
            raise ValueError(
                f"{path} is no body model: its {name} is {found.shape}, expected finite numbers of "
                f"shape {shape}; pass an official file from the model's site."
            )
    faces = arrays["f"]
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.max(initial=0) >= count:
        raise ValueError(
            f"{path} is no body model: its triangles do not fit its {count} vertices; pass an "
            "official file from the model's site."
        )


@dataclass(frozen=True)
class BodyMotion:
    """A body in motion over T frames; what AMASS calls poses, trans and betas.

    Attributes:
        body: whose pose it is.
        poses: (T, J, 3) float32, axis-angle rotations in radians, each relative to its parent.
        trans: (T, 3) float32, metres, added to the place of the root at rest.
        betas: (S,) float32, shape.
        fps: frames per second.
        prompt: the text that the motion shows.
    """

    body: Body
    poses: np.ndarray
    trans: np.ndarray
    betas: np.ndarray
    fps: float
    prompt: str = ""

    @cached_property
    def joints(self) -> np.ndarray:
        """(T, 22, 3) float32, metres, Y up: the first 22 joints of the body."""
        flat = self.poses[:, : HUMANML3D.num_joints].reshape(len(self), -1)
        return self.body.skeleton.joints(flat, self.trans, self.betas)

    @property
    def seconds(self) -> float:
        return len(self) / self.fps

    def __len__(self) -> int:
        return len(self.poses)

    def vertices(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Vertices (n, V, 3) float32, metres, of the frames from `start` to `stop`."""
        part = slice(start, stop)
        return self.body.vertices(self.poses[part], self.trans[part], self.betas)
