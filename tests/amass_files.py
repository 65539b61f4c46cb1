"""A made-up body in SMPL-H's or SMPL-X's layout and made-up recordings in AMASS's."""

import numpy as np
from scipy.spatial.transform import Rotation

from motionmamba.motion.skeleton import HUMANML3D

ABOVE_HANDS = {"smpl": (20, 21), "smplh": (), "smplx": (15, 15, 15)}
NUM_BETAS = 16


def body_arrays(kind: str = "smplh", seed: int = 0) -> dict[str, np.ndarray]:
    """A body of a few vertices with HumanML3D's first 22 joints and SMPL's names of arrays."""
    rng = np.random.default_rng(seed)
    parents = [*HUMANML3D.parents, *ABOVE_HANDS[kind]]
    for wrist in (20, 21) if kind != "smpl" else ():
        for _ in range(5):
            parents += [wrist, len(parents), len(parents) + 1]
    places = np.zeros((len(parents), 3))
    for joint, parent in enumerate(parents[1:], 1):
        bone = rng.normal(size=3) * 0.03
        if joint < HUMANML3D.num_joints:
            bone = HUMANML3D.offsets[joint] + bone / 3
        places[joint] = places[parent] + bone
    count = 4 * len(parents)
    weights = rng.uniform(0.1, 1.0, (len(parents), 4))
    regressor = np.zeros((len(parents), count))
    for joint, own in enumerate(weights / weights.sum(1, keepdims=True)):
        regressor[joint, 4 * joint : 4 * joint + 4] = own
    tree = np.array([parents, range(len(parents))], dtype=np.int64)
    tree[0, 0] = 2**32 - 1
    return {
        "v_template": np.repeat(places, 4, axis=0) + rng.normal(size=(count, 3)) * 0.02,
        "shapedirs": rng.normal(size=(count, 3, NUM_BETAS)) * 0.01,
        "posedirs": rng.normal(size=(count, 3, 9 * (len(parents) - 1))) * 0.01,
        "J_regressor": regressor,
        "kintree_table": tree.astype(np.uint32),
        "weights": np.repeat(np.eye(len(parents)), 4, axis=0),
        "f": rng.integers(0, count, (50, 3)).astype(np.uint32),
    }


def write_bodies(folder, kinds=("smplh",)):
    """Model files of all three genders, and the DMPL files that stand beside them."""
    for kind in kinds:
        for seed, gender in enumerate(("male", "female", "neutral")):
            path = folder / kind / gender / "model.npz"
            path.parent.mkdir(parents=True)
            np.savez(path, **body_arrays(kind, seed))
    path = folder / "dmpls" / "male" / "model.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, eigvec=np.zeros((3, 3, 8)))


def recording(frames: int, joints: int = 52, seed: int = 0) -> dict[str, np.ndarray]:
    """Poses (T, 3 J), trans and betas of somebody who sways and strolls, Z up as in AMASS."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 2 * np.pi, frames)[:, None]
    rates, phases = rng.uniform(0.5, 2, (2, 3 * joints))
    poses = 0.2 * np.sin(rates * time + phases)
    poses[:, :3] = [np.pi / 2, 0, 0]
    poses[:, :3] += 0.1 * np.sin(time * rng.uniform(0.5, 2, 3))
    trans = np.stack([np.cos(time[:, 0]), time[:, 0] / 4, 0.9 + 0.02 * np.sin(time[:, 0])], 1)
    return {"poses": poses, "trans": trans, "betas": rng.normal(size=NUM_BETAS)}


def write_old(path, fps: float = 120.0, gender="male", **arrays):
    """`*_poses.npz` as AMASS first gave them out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = {"gender": np.array(gender), "mocap_framerate": np.array(fps)}
    np.savez(path, **names, dmpls=np.ones((len(arrays["trans"]), 8)), **arrays)


def write_new(path, fps: float = 120.0, gender="male", kind="smplh", **arrays):
    """`*_stageii.npz` as AMASS gives them out now, with things in them that only a pickle holds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    poses = arrays.pop("poses")
    np.savez(
        path,
        gender=np.array(gender),
        surface_model_type=np.array(kind),
        mocap_frame_rate=np.array(fps),
        root_orient=poses[:, :3],
        pose_body=poses[:, 3:66],
        pose_hand=poses[:, -90:],
        marker_meta=np.array({"a": 1}, dtype=object),
        **arrays,
    )


def slow_joints(arrays, poses, trans, betas):
    """One frame and joint at a time, with homogeneous matrices and another Rodrigues."""
    shaped = arrays["v_template"] + arrays["shapedirs"][..., : len(betas)] @ betas
    rest = arrays["J_regressor"] @ shaped
    parents = arrays["kintree_table"][0].astype(np.int64)
    result = np.zeros((len(poses), poses.shape[1] // 3, 3))
    for frame, pose in enumerate(poses):
        chain = []
        for joint in range(len(pose) // 3):
            own = np.eye(4)
            own[:3, :3] = Rotation.from_rotvec(pose[3 * joint : 3 * joint + 3]).as_matrix()
            own[:3, 3] = rest[joint] - (rest[parents[joint]] if joint else 0)
            chain.append(chain[parents[joint]] @ own if joint else own)
            result[frame, joint] = chain[joint][:3, 3] + trans[frame]
    return result
