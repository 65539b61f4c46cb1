"""The 263-d HumanML3D and 251-d KIT motion features (Guo et al., CVPR 2022).

Follows the process of github.com/EricGuo5513/HumanML3D with its known quirks, so that features,
statistics and evaluators made with the original stay comparable. Per frame: root yaw velocity (as
half the angle), root velocity x, z in the heading frame, root height, positions and 6-D rotations
of joints 1.., velocities of all joints, contacts (left ankle, toe, right ankle, toe).
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from motionmamba.motion.skeleton import Joints, Skeleton, get_skeleton

HEADING_SIGMA = 20  # frames, at any frame rate
# Frames worked on at once, so that what lies between joints and features stays in the cache.
CHUNK = 4096
NUDGE = 1e-12


def joints_to_features(
    joints: Joints,
    retarget: bool = True,
    dataset: str = "humanml3d",
    lengths: Joints | None = None,
    fold: bool = True,
) -> Joints:
    """Convert joint positions to motion features.

    The motion is first placed as by `canonical_joints`.

    Args:
        joints: (..., T, J, 3) positions, Y up, in metres (KIT: millimetres); a numpy array or a
            tensor. T frames of joints give T - 1 frames of features.
        retarget: move the joints to the dataset's uniform skeleton first.
        dataset: "humanml3d" (J 22, F 263) or "kit" (J 21, F 251).
        lengths: (...) valid frames of joints, 2 to T; all by default. What lies beyond them does
            not count, and rows from lengths - 1 on are zero.
        fold: give the yaw velocity the original's wrong sign where the heading passes Z-.

    Returns:
        (..., T - 1, F) float32, the kind of `joints`.

    Raises:
        ValueError: for a wrong shape, fewer than 2 frames, values that are not finite, bones of
            zero length, or retarget=True with "kit", whose uniform skeleton is not public.
    """
    if not isinstance(joints, Tensor):
        return joints_to_features(_tensor(joints), retarget, dataset, lengths, fold).numpy()

    skeleton = get_skeleton(dataset)
    _check_frames("Joints", joints, (skeleton.num_joints, 3), 2)
    if lengths is not None:
        lengths = _checked_lengths(lengths, joints)
        joints = _hold_last(joints, lengths)
    _check_finite("Joints", joints)
    *lead, frames, _, _ = joints.shape
    clips = joints.reshape(math.prod(lead), *joints.shape[-3:])
    parts = clips.split(max(CHUNK // frames, 1))
    features = [_features(_place(part, skeleton, retarget), skeleton, fold) for part in parts]
    features = torch.cat(features).reshape(*lead, frames - 1, skeleton.num_features)
    if lengths is None:
        return features
    beyond = torch.arange(1, frames, device=lengths.device) >= lengths[..., None]
    return features.masked_fill(beyond[..., None], 0)


def canonical_joints(joints: Joints, retarget: bool = True, dataset: str = "humanml3d") -> Joints:
    """Place a motion as the features do: frame 0 over the origin and facing Z+, floor at y = 0.

    Args:
        joints: (..., T, J, 3), T at least 1, as for `joints_to_features`.
        retarget: move the joints to the dataset's uniform skeleton first.
        dataset: "humanml3d" or "kit".

    Returns:
        (..., T, J, 3) float32, the kind of `joints`.

    Raises:
        ValueError: as `joints_to_features`.
    """
    if not isinstance(joints, Tensor):
        return canonical_joints(_tensor(joints), retarget, dataset).numpy()
    skeleton = get_skeleton(dataset)
    _check_frames("Joints", joints, (skeleton.num_joints, 3), 1)
    _check_finite("Joints", joints)
    clips = joints.reshape(math.prod(joints.shape[:-3]), *joints.shape[-3:])
    return _place(clips, skeleton, retarget).permute(2, 3, 0, 1).reshape(joints.shape)


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
        return features_to_joints(_tensor(features), dataset).numpy()

    skeleton = get_skeleton(dataset)
    _check_frames("Features", features, (skeleton.num_features,), 1)
    features = features.float()
    if features.device.type == "cpu":
        _check_finite("Features", features)

    # Velocities of frame t lead to frame t + 1, so frame 0 starts from nothing.
    half_turn, x, z = F.pad(features[..., :-1, :3], (0, 0, 1, 0)).unbind(-1)
    yaw = -2 * half_turn.cumsum(-1)
    path = _turn(torch.stack([x, torch.zeros_like(x), z]), yaw, 0).cumsum(-1).movedim(0, -1)
    height = F.pad(features[..., 3:4], (1, 1))
    local = features[..., 4 : 3 * skeleton.num_joints + 1].unflatten(-1, (-1, 3))
    joints = _turn(local, yaw[..., None], -1) + path.unsqueeze(-2)
    return torch.cat([(path + height).unsqueeze(-2), joints], dim=-2)


def _tensor(values: np.ndarray) -> Tensor:
    values = np.asarray(values)
    return torch.from_numpy(np.array(values, np.result_type(values, np.float32), order="C"))


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


def _check_body(values: Tensor) -> None:
    # what has no direction has become NaN, which a sum keeps
    if not torch.isfinite(values.sum()):
        raise ValueError(
            "Joints have a bone of zero length or no heading (hips and shoulders without width), "
            "expected a human body; check the order of the joints."
        )


def _checked_lengths(lengths: Joints, joints: Tensor) -> Tensor:
    lengths = torch.as_tensor(lengths, device=joints.device)
    frames = joints.shape[-3]
    if lengths.shape != joints.shape[:-3] or ((lengths < 2) | (lengths > frames)).any():
        raise ValueError(
            f"lengths are {lengths.tolist()} for joints of shape {tuple(joints.shape)}, expected "
            f"2 to {frames} for each motion; count its valid frames of joints."
        )
    return lengths


def _hold_last(joints: Tensor, lengths: Tensor) -> Tensor:
    """Repeats the last valid frame to the end, which smoothing and floor take for nothing new."""
    frames = torch.arange(joints.shape[-3], device=joints.device)
    frames = torch.minimum(frames, lengths[..., None] - 1)[..., None, None]
    return joints.gather(-3, frames.expand(joints.shape))


# Below, frames come last: positions are (J, 3, B, T), so that all arithmetic runs along memory.


def _place(joints: Tensor, skeleton: Skeleton, retarget: bool) -> Tensor:
    """Canonical positions (J, 3, B, T) of joints (B, T, J, 3)."""
    # Near the origin float32 keeps what differences need, wherever the recording was.
    joints = (joints - joints[:, :1, :1]).float()
    positions = joints.permute(2, 3, 0, 1).contiguous()
    if retarget:
        positions = _retarget(positions, skeleton)
    first = positions[list(skeleton.face_joints), ..., :1]
    right_hip, left_hip, right_shoulder, left_shoulder = first
    across = right_hip - left_hip + right_shoulder - left_shoulder
    positions = _turn(positions, -_yaw(across), 1)
    positions[:, 1] -= positions[:, 1].amin(dim=(0, 2))[:, None]
    _check_body(positions)
    return positions


def _retarget(positions: Tensor, skeleton: Skeleton) -> Tensor:
    """Give every bone the uniform skeleton's length and scale the root's path by the legs.

    The original runs inverse, then forward kinematics, which keeps each bone's direction: the
    same result.
    """
    lengths = positions.new_tensor(skeleton.offsets[1:]).norm(dim=-1)
    bones = _bones(positions, skeleton)
    source_lengths = _norm(bones, 1)
    bones = bones * (lengths[:, None, None, None] / source_lengths)

    leg = [joint - 1 for joint in skeleton.leg]
    scale = lengths[leg].sum() / source_lengths[leg, ..., :1].sum(0)
    moved = [positions[0] * scale]
    for parent, bone in zip(skeleton.parents[1:], bones, strict=True):
        moved.append(moved[parent] + bone)
    return torch.stack(moved)


def _features(positions: Tensor, skeleton: Skeleton, fold: bool) -> Tensor:
    """Features (B, T - 1, F) of canonical positions."""
    yaw = _heading(positions, skeleton)
    before, after = yaw[:, :-1], yaw[:, 1:]
    # The original takes half the angle from a quaternion that changes its sign where the heading
    # passes Z-, and the angle's sine with it; the tangent stays.
    half_turns = (before - after) / 2
    half_turns = half_turns.sin().asin() if fold else half_turns.tan().atan()

    steps = positions.diff(dim=-1)
    positions = positions[..., :-1]
    ground = positions[0] * positions.new_tensor([1.0, 0.0, 1.0])[:, None, None]
    feet = [joint for foot in skeleton.feet for joint in foot]
    features = torch.cat(
        [
            half_turns[None].float(),
            # The original turns the root's velocity by the later heading, the joints' by the
            # earlier one.
            _turn(steps[0], -after, 0)[[0, 2]],
            positions[0, 1:2],
            _turn(positions[1:] - ground, -before, 1).flatten(0, 1),
            _local_rotations(positions, before, skeleton).flatten(0, 2),
            _turn(steps, -before, 1).flatten(0, 1),
            # Displacement alone decides: the original switched its height test off.
            steps[feet].square().sum(1) < skeleton.contact_threshold,
        ]
    )
    _check_body(features)
    return features.permute(1, 2, 0).contiguous()


def _heading(positions: Tensor, skeleton: Skeleton) -> Tensor:
    """Yaw (B, T) of the smoothed heading, float64."""
    # The original reads the right hip as the left one here, so hips and shoulders oppose.
    left_hip, right_hip, right_shoulder, left_shoulder = positions[list(skeleton.face_joints)]
    across = (right_hip - left_hip + right_shoulder - left_shoulder).double()
    yaw = _yaw(_smooth(across / _norm(across, 0)))
    # The original counts yaw from frame 0 and so declares its heading to be Z+ exactly.
    yaw[:, 0] = 0
    return yaw


def _yaw(across: Tensor) -> Tensor:
    """Yaw (...), from Z+ towards X+, of bodies whose left-to-right axis is across (3, ...).

    NaN where it is upright.
    """
    level = across[[0, 2]]
    x, z = level / _norm(level, 0)
    return torch.atan2(z, -x)


def _smooth(signal: Tensor) -> Tensor:
    """Gaussian over frames, cut at 4 sigma, edges repeated: (D, B, T)."""
    radius = 4 * HEADING_SIGMA
    frames = signal.shape[-1]
    # Windows times one band matrix: convolutions in float64 are several times slower.
    window = torch.arange(-radius, 2 * radius, dtype=signal.dtype, device=signal.device)
    distance = window[:, None] - window[radius:-radius]
    band = torch.exp(-0.5 * (distance / HEADING_SIGMA).square()) * (distance.abs() <= radius)
    padded = F.pad(signal, (radius, radius + -frames % radius), mode="replicate")
    windows = padded.unfold(-1, len(window), radius)
    return (windows @ (band / band.sum(0))).flatten(-2)[..., :frames]


def _turn(vectors: Tensor, yaw: Tensor, dim: int) -> Tensor:
    """Vectors, 3 along dim, turned about Y by yaw, from Z+ towards X+."""
    cos, sin = yaw.cos().float(), yaw.sin().float()
    x, y, z = vectors.unbind(dim)
    return torch.stack([cos * x + sin * z, y, cos * z - sin * x], dim)


def _norm(vectors: Tensor, dim: int) -> Tensor:
    """Kept dimension; torch's own norm is many times slower across memory."""
    return vectors.square().sum(dim, keepdim=True).sqrt()


def _bones(positions: Tensor, skeleton: Skeleton) -> Tensor:
    return positions[1:] - positions[list(skeleton.parents[1:])]


def _local_rotations(positions: Tensor, yaw: Tensor, skeleton: Skeleton) -> Tensor:
    """Rotations of joints 1.. relative to the one before in their chain, two columns of each.

    (J - 1, 2, 3, B, T). Each bone's rotation is the shortest one from its rest direction.
    """
    rest = positions.new_tensor(skeleton.bone_directions)[1:, :, None, None]
    bones = _bones(positions, skeleton).double()
    bones = bones / _norm(bones, 1)
    # An opposite bone has no shortest rotation; the nudge chooses one of the half turns.
    half = rest + bones + NUDGE * rest.roll(1, 1)
    half = (half / _norm(half, 1)).float()
    bones = bones.float()
    # Rows are the images of the axes: the reflection that takes rest to -bone, put right there.
    eye = torch.eye(3, device=positions.device)[..., None, None]
    swings = eye + 2 * (rest[:, :, None] * bones[:, None] - half[:, :, None] * half[:, None])
    root = _turn(eye.expand(3, 3, *yaw.shape), -yaw, 1)
    # Every chain of the original starts from the root's rotation, the arms' too.
    previous = [0] * skeleton.num_joints
    for chain in skeleton.chains:
        for joint, following in pairwise(chain[1:]):
            previous[following] = joint
    previous = torch.cat([root[None], swings])[previous[1:]]
    return (swings[:, :2, None] * previous[:, None]).sum(3)
