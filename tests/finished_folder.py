"""A made-up finished folder in the layout of HumanML3D and KIT-ML."""

from pathlib import Path

import numpy as np

from motionmamba.motion.features import joints_to_features
from motionmamba.motion.skeleton import HUMANML3D, Skeleton

WHOLE = "a person walks.#a/DET person/NOUN walk/VERB#0.0#0.0"
FRAMES = 120


def swaying_body(skeleton: Skeleton, frames: int) -> np.ndarray:
    """Features (frames, F) of a body that stands about and sways."""
    rng = np.random.default_rng(0)
    pose = np.zeros((skeleton.num_joints, 3))
    for joint, parent in enumerate(skeleton.parents[1:], 1):
        # the heading is the shoulders' vector less that of the hips, so shoulders are the wider
        wide = skeleton.joint_names[joint].endswith(("collar", "shoulder"))
        length = 0.3 if wide else 0.2
        pose[joint] = pose[parent] + length * np.array(skeleton.bone_directions[joint])
    if skeleton is not HUMANML3D:
        pose[:, 0] *= -1  # KIT's rest directions lie mirrored to its sides
    time = np.linspace(0, frames / 10, frames + 1)[:, None, None]
    sway = 0.02 * np.sin(rng.uniform(0.5, 2.0, pose.shape) * time)
    return joints_to_features((pose + sway) / skeleton.unit, False, skeleton.name)


def write_folder(folder: Path, skeleton: Skeleton, motion: np.ndarray) -> Path:
    """Four takes with mirrored copies, the third for val, the fourth for test."""
    (folder / "new_joint_vecs").mkdir(parents=True)
    (folder / "texts").mkdir()
    for i, split in enumerate(("train", "train", "val", "test")):
        for name in (f"{i:06d}", f"M{i:06d}"):
            np.save(folder / "new_joint_vecs" / f"{name}.npy", motion[i : i + FRAMES])
            (folder / "texts" / f"{name}.txt").write_text(WHOLE + "\n")
            with (folder / f"{split}.txt").open("a") as file:
                file.write(f"{name}\n")
    np.save(folder / "Mean.npy", motion.mean(0, dtype=np.float64))
    np.save(folder / "Std.npy", np.maximum(motion.std(0), 0.01 / skeleton.unit))
    return folder
