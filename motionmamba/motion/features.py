"""The 263-d HumanML3D and 251-d KIT motion features (Guo et al., CVPR 2022).

Follows the process of github.com/EricGuo5513/HumanML3D with its known quirks, so that features,
statistics and evaluators made with the original stay comparable. Per frame: root yaw velocity (as
half the angle), root velocity x, z in the heading frame, root height, positions and 6-D rotations
of joints 1.., velocities of all joints, contacts (left ankle, toe, right ankle, toe).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from motionmamba.motion.rotations import (
    quaternion_between,
    quaternion_conjugate,
    quaternion_multiply,
    quaternion_rotate,
    quaternion_to_6d,
)
from motionmamba.motion.skeleton import Joints, Skeleton, get_skeleton

HEADING_SIGMA = 20  # frames, at any frame rate


def joints_to_features(joints: Joints, retarget: bool = True, dataset: str = "humanml3d") -> Joints:
    """Convert joint positions to motion features.

    The motion is put on the uniform skeleton (unless retarget is False), on the floor y = 0, with
    frame 0 over the origin and facing Z+. Computed in float64.

    Args:
        joints: (..., T, J, 3) positions, Y up, in metres (KIT: millimetres); a numpy array or a
            tensor. T frames of joints give T - 1 frames of features.
        retarget: move the joints to the dataset's uniform skeleton first.
        dataset: "humanml3d" (J 22, F 263) or "kit" (J 21, F 251).

    Returns:
        (..., T - 1, F) float32, the kind of `joints`.

    Raises:
        ValueError: for a wrong shape, fewer than 2 frames, values that are not finite, bones of
            zero length, or retarget=True with "kit", whose uniform skeleton is not public.
    """
    if not isinstance(joints, Tensor):
        tensor = torch.from_numpy(np.array(joints, dtype=np.float64, order="C"))
        return joints_to_features(tensor, retarget, dataset).numpy()

    skeleton = get_skeleton(dataset)
    _check_frames("Joints", joints, (skeleton.num_joints, 3), 2)
    _check_finite("Joints", joints)
    positions = joints.double()
    if retarget:
        positions = _retarget(positions, skeleton)
    positions = _canonicalize(positions, skeleton)

    heading = _heading(positions, skeleton)
    steps = positions[..., 1:, :, :] - positions[..., :-1, :, :]
    turns = quaternion_multiply(heading[..., 1:, :], quaternion_conjugate(heading[..., :-1, :]))
    # The original turns the root's velocity by the later heading, the joints' by the earlier one.
    root_velocity = quaternion_rotate(heading[..., 1:, :], steps[..., 0, :])
    velocities = quaternion_rotate(heading[..., :-1, None, :], steps)
    # y of the quaternion is the sine of half the yaw: the original's unit, and it folds yaw
    # steps beyond half a turn, as where the heading passes Z-.
    yaw_velocity = turns[..., 2].clamp(-1, 1).arcsin()

    ground = positions[..., :1, :] * positions.new_tensor([1.0, 0.0, 1.0])
    local = quaternion_rotate(heading.unsqueeze(-2), positions - ground)
    rotations = quaternion_to_6d(_local_rotations(positions, heading, skeleton))
    feet = [joint for foot in skeleton.feet for joint in foot]
    # Displacement alone decides: the original switched its height test off.
    contacts = steps[..., feet, :].square().sum(-1) < skeleton.contact_threshold

    features = torch.cat(
        [
            yaw_velocity.unsqueeze(-1),
            root_velocity[..., [0, 2]],
            positions[..., :-1, 0, 1:2],
            local[..., :-1, 1:, :].flatten(-2),
            rotations[..., :-1, :, :].flatten(-2),
            velocities.flatten(-2),
            contacts,
        ],
        dim=-1,
    )
    if not torch.isfinite(features).all():
        raise ValueError(
            "Joints have a bone of zero length or no heading (hips and shoulders without width), "
            "expected a human body; check the order of the joints."
        )
    return features.float()


def features_to_joints(features: Joints, dataset: str = "humanml3d") -> Joints:
    """Recover joint positions from the root and position blocks of motion features.

    Rotations, velocities and contacts are redundant and ignored, as in the original. For tensors
    differentiable, on any device.

    Args:
        features: (..., T, F) not normalised; a numpy array or a tensor.
        dataset: "humanml3d" (J 22, F 263) or "kit" (J 21, F 251).

    Returns:
        (..., T, J, 3) float32, the kind of `features`: metres (KIT: millimetres), Y up, frame 0
        over the origin and facing Z+.

    Raises:
        ValueError: for a wrong shape, no frames, or values that are not finite (not looked for
            on accelerators, where looking would stall a training step).
    """
    if not isinstance(features, Tensor):
        tensor = torch.from_numpy(np.array(features, dtype=np.float32, order="C"))
        return features_to_joints(tensor, dataset).numpy()

    skeleton = get_skeleton(dataset)
    _check_frames("Features", features, (skeleton.num_features,), 1)
    if features.device.type == "cpu":
        _check_finite("Features", features)
    features = features.float()

    # Velocities of frame t lead to frame t + 1, so frame 0 starts from nothing.
    yaw_velocity, x, z = F.pad(features[..., :-1, :3], (0, 0, 1, 0)).unbind(-1)
    half_yaw, zero = yaw_velocity.cumsum(-1), torch.zeros_like(x)
    to_world = torch.stack([half_yaw.cos(), zero, -half_yaw.sin(), zero], dim=-1)
    ground = quaternion_rotate(to_world, torch.stack([x, zero, z], dim=-1)).cumsum(-2)
    height = torch.stack([zero, features[..., 3], zero], dim=-1)
    local = features[..., 4 : 3 * skeleton.num_joints + 1].unflatten(-1, (-1, 3))
    joints = quaternion_rotate(to_world.unsqueeze(-2), local) + ground.unsqueeze(-2)
    return torch.cat([(ground + height).unsqueeze(-2), joints], dim=-2)


def _check_frames(name: str, values: Tensor, tail: tuple[int, ...], min_frames: int) -> None:
    lead = values.shape[: values.ndim - len(tail)]
    if not lead or tuple(values.shape[len(lead) :]) != tail:
        expected = ", ".join(map(str, tail))
        raise ValueError(
            f"{name} have shape {tuple(values.shape)}, expected (..., T, {expected}); "
            "pass the dataset ('humanml3d' or 'kit') whose layout they have."
        )
    if lead[-1] < min_frames:
        raise ValueError(
            f"{name} have {lead[-1]} frames, expected at least {min_frames}; pass a longer motion."
        )


def _check_finite(name: str, values: Tensor) -> None:
    if not torch.isfinite(values).all():
        raise ValueError(
            f"{name} contain NaN or infinite values, expected finite numbers; "
            "drop or repair those frames."
        )


def _retarget(positions: Tensor, skeleton: Skeleton) -> Tensor:
    """Give every bone the uniform skeleton's length and scale the root's path by the legs.

    The original runs inverse, then forward kinematics, which keeps each bone's direction: the
    same result.
    """
    lengths = positions.new_tensor(skeleton.offsets).norm(dim=-1)
    parents = skeleton.parents
    bones = positions[..., 1:, :] - positions[..., list(parents[1:]), :]
    source_lengths = bones.norm(dim=-1, keepdim=True)
    bones = bones / source_lengths * lengths[1:, None]

    leg = torch.tensor(skeleton.leg, device=positions.device)
    scale = lengths[leg].sum() / source_lengths[..., :1, leg - 1, :].sum(-2)
    moved = [positions[..., 0, :] * scale]
    for joint in range(1, skeleton.num_joints):
        moved.append(moved[parents[joint]] + bones[..., joint - 1, :])
    return torch.stack(moved, dim=-2)


def _canonicalize(positions: Tensor, skeleton: Skeleton) -> Tensor:
    """Floor at y = 0, frame 0 over the origin and facing Z+."""
    origin = positions[..., :1, :1, :].clone()
    origin[..., 1] = positions[..., 1].amin(dim=(-2, -1))[..., None, None]
    right_hip, left_hip, right_shoulder, left_shoulder = skeleton.face_joints
    first = positions[..., 0, :, :]
    across = first[..., right_hip, :] - first[..., left_hip, :]
    across = across + first[..., right_shoulder, :] - first[..., left_shoulder, :]
    to_front = _rotation_to_front(_forward(across))
    return quaternion_rotate(to_front[..., None, None, :], positions - origin)


def _heading(positions: Tensor, skeleton: Skeleton) -> Tensor:
    """Rotation that takes the smoothed heading of each frame to Z+: (..., T, 4)."""
    # The original reads the right hip as the left one here, so hips and shoulders oppose.
    left_hip, right_hip, right_shoulder, left_shoulder = skeleton.face_joints
    across = positions[..., right_hip, :] - positions[..., left_hip, :]
    across = across + positions[..., right_shoulder, :] - positions[..., left_shoulder, :]
    heading = _rotation_to_front(_smooth(_forward(across)))
    # The original counts yaw from frame 0 and so declares its heading to be Z+ exactly.
    heading[..., 0, :] = heading.new_tensor([1.0, 0.0, 0.0, 0.0])
    return heading


def _forward(across: Tensor) -> Tensor:
    """Horizontal direction faced by bodies whose left-to-right axis is across: (..., 3)."""
    across = across / across.norm(dim=-1, keepdim=True)
    return torch.stack([across[..., 2], torch.zeros_like(across[..., 0]), -across[..., 0]], dim=-1)


def _rotation_to_front(forward: Tensor) -> Tensor:
    return quaternion_between(forward, forward.new_tensor([0.0, 0.0, 1.0]))


def _smooth(signal: Tensor) -> Tensor:
    """Gaussian over frames, cut at 4 sigma, edges repeated: (..., T, D)."""
    radius = 4 * HEADING_SIGMA
    offsets = torch.arange(-radius, radius + 1, dtype=signal.dtype, device=signal.device)
    kernel = torch.exp(-0.5 * (offsets / HEADING_SIGMA).square())
    rows = signal.transpose(-2, -1)
    padded = F.pad(rows.reshape(-1, 1, rows.shape[-1]), (radius, radius), mode="replicate")
    return F.conv1d(padded, (kernel / kernel.sum())[None, None]).reshape(rows.shape).mT


def _local_rotations(positions: Tensor, heading: Tensor, skeleton: Skeleton) -> Tensor:
    """Rotation of joints 1.. relative to the one before in their chain: (..., T, J - 1, 4)."""
    bones = positions[..., 1:, :] - positions[..., list(skeleton.parents[1:]), :]
    swings = quaternion_between(positions.new_tensor(skeleton.bone_directions)[1:], bones)
    rotations = torch.cat([heading.unsqueeze(-2), swings], dim=-2)
    # Every chain of the original starts from the root's rotation, the arms' too.
    previous = [0] * skeleton.num_joints
    for chain in skeleton.chains:
        for before, joint in pairwise(chain[1:]):
            previous[joint] = before
    return quaternion_multiply(quaternion_conjugate(rotations[..., previous[1:], :]), swings)
