"""Unit quaternions (w, x, y, z) and the continuous 6-D rotation (Zhou et al., CVPR 2019)."""

import torch
from torch import Tensor


def quaternion_multiply(a: Tensor, b: Tensor) -> Tensor:
    """Hamilton product of a and b, (..., 4) each: the rotation b followed by a."""
    aw, av = a[..., :1], a[..., 1:]
    bw, bv = b[..., :1], b[..., 1:]
    scalar = aw * bw - (av * bv).sum(-1, keepdim=True)
    return torch.cat([scalar, aw * bv + bw * av + torch.linalg.cross(av, bv)], dim=-1)


def quaternion_conjugate(quaternion: Tensor) -> Tensor:
    """Inverse of unit quaternions (..., 4)."""
    return torch.cat([quaternion[..., :1], -quaternion[..., 1:]], dim=-1)


def quaternion_rotate(quaternion: Tensor, vector: Tensor) -> Tensor:
    """Rotate vectors (..., 3) by unit quaternions (..., 4); leading dimensions broadcast."""
    scalar = quaternion[..., :1]
    axis, vector = torch.broadcast_tensors(quaternion[..., 1:], vector)
    twice = 2 * torch.linalg.cross(axis, vector)
    return vector + scalar * twice + torch.linalg.cross(axis, twice)


def quaternion_between(source: Tensor, target: Tensor) -> Tensor:
    """Shortest rotation (..., 4) that takes the direction of source to that of target.

    source, target: (..., 3) of any non-zero length; leading dimensions broadcast. A zero vector
    gives NaN.
    """
    source, target = torch.broadcast_tensors(_unit(source), _unit(target))
    scalar = 1 + (source * target).sum(-1, keepdim=True)
    quaternion = torch.cat([scalar, torch.linalg.cross(source, target)], dim=-1)
    # Opposite vectors leave the axis undefined, so any half turn across source is as short.
    opposite = quaternion.norm(dim=-1, keepdim=True) < 8 * torch.finfo(quaternion.dtype).eps
    return _unit(torch.where(opposite, _half_turn(source), quaternion))


def quaternion_to_6d(quaternion: Tensor) -> Tensor:
    """First two columns of the rotation matrix, one after the other: (..., 4) -> (..., 6)."""
    columns = torch.eye(3, dtype=quaternion.dtype, device=quaternion.device)[:2]
    return quaternion_rotate(quaternion.unsqueeze(-2), columns).flatten(-2)


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.norm(dim=-1, keepdim=True)


def _half_turn(vector: Tensor) -> Tensor:
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    across_x = torch.stack([zero, zero, z, -y], dim=-1)
    across_y = torch.stack([zero, -z, zero, x], dim=-1)
    return torch.where(x.abs().unsqueeze(-1) < 0.9, across_x, across_y)
