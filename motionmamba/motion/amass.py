"""Files of poses in AMASS's layout (Mahmood et al., ICCV 2019), of all of its releases."""

from __future__ import annotations

import io

import numpy as np

RATES = ("mocap_framerate", "mocap_frame_rate")  # of the first releases and of newer ones
GENDERS = ("female", "male", "neutral")
KIND_OF_WIDTH = {156: "smplh", 165: "smplx"}  # of poses: 52 and 55 joints
MOST_BYTES = 2**30  # of one array, which a few forged bytes may claim to unpack to

# AMASS is Z up. These axes (rows) are HumanML3D's, Y up, and take its vectors back as well.
TO_Y_UP = np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])


class AmassFile:
    """An `.npz` file of poses; of its arrays only those asked for are read, and no pickles.

    All raise ValueError, whose message goes on from the file's name, for what cannot be used.
    """

    def __init__(self, content: bytes):
        try:
            self._arrays = np.load(io.BytesIO(content), allow_pickle=False)
            self._names = set(self._arrays.files)
        except Exception as error:  # numpy and zipfile raise anything over damaged files
            raise ValueError("unreadable: it is no .npz file, or cut short") from error

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def array(self, *names: str) -> np.ndarray:
        """The first of these that there is."""
        for name in names:
            if name not in self:
                continue
            self._check_size(name)
            try:
                return self._arrays[name]
            except Exception as error:  # as above
                what = "a pickle, which is never loaded" if "pickle" in str(error) else "damaged"
                raise ValueError(f"unreadable: its {name} is {what}") from error
        raise ValueError(f"incomplete: it has no {' or '.join(names)}")

    def numbers(self, *names: str) -> np.ndarray:
        array = self.array(*names)
        if array.dtype.kind not in "fiu":
            raise ValueError(f"unreadable: its {names[0]} is {array.dtype}, no numbers")
        return array

    def poses(self) -> tuple[np.ndarray, str]:
        """Rotations (T, 3 K) of the first K joints, at least 22, and the kind of their body.

        Newer releases keep those of hands and face apart, which are not read.
        """
        if "poses" in self or "root_orient" not in self:
            poses = self.numbers("poses")
            kind = KIND_OF_WIDTH.get(poses.shape[-1] if poses.ndim == 2 else 0)
            if kind is None:
                raise ValueError(f"wrong shape: poses {poses.shape}, not of SMPL-H or SMPL-X")
            # Only files of this library are of SMPL's bodies, in the width of SMPL-H's.
            of_smpl = "body" in self and self.text("surface_model_type") == "smpl"
            return poses, "smpl" if of_smpl else kind
        parts = self.numbers("root_orient"), self.numbers("pose_body")
        if any(part.ndim != 2 for part in parts) or len(parts[0]) != len(parts[1]):
            raise ValueError(f"wrong shape: root_orient {parts[0].shape}, body {parts[1].shape}")
        kind = str(self.array("surface_model_type").ravel()[:1])
        return np.concatenate(parts, axis=1), "smplx" if "smplx" in kind else "smplh"

    def fps(self) -> np.ndarray:
        return self.numbers(*RATES).ravel()

    def gender(self) -> str:
        """Anything but a text is female, as to HumanML3D, which compares it with one."""
        gender = self.text("gender")
        return gender if gender in GENDERS else GENDERS[0]

    def text(self, name: str) -> str:
        """A text; "" where there is none, or bytes."""
        array = self.array(name).ravel()[:1] if name in self else np.empty(0)
        return str(array[0]) if array.dtype.kind == "U" and array.size else ""

    def _check_size(self, name: str):
        members = (name, f"{name}.npy")
        infos = (info for info in self._arrays.zip.infolist() if info.filename in members)
        if (size := max(info.file_size for info in infos)) > MOST_BYTES:
            raise ValueError(f"unreadable: its {name} claims {size / 2**30:.0f} GB")
