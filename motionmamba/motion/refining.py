"""The last millimetres of a pose, by optimisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from motionmamba.motion.pose import PARENTS, Pose

_STEPS = 60
_RATE = 0.01  # radians and metres in a step, at first
_FIRM = 30.0  # weight of joints that are to stay, against others
_TURN = 1e-3  # metres that a radian from the closed form costs
_JERK = 0.3  # weight of sudden turns, against metres that joints are off


def refine_pose(pose: Pose, joints: np.ndarray, firm: Sequence[int] = ()) -> Pose:
    """The pose nearer to joints (T, 22, 3), metres, by Adam (Kingma and Ba 2015).

    What is minimised are the squares of what joints are off, most of all the `firm` ones, and
    small shares of what rotations change and of how suddenly they do.
    """
    import torch

    from motionmamba.motion.smpl import axis_angle_to_matrix

    offsets, start, root, goal = (
        torch.from_numpy(np.asarray(a, np.float32))
        for a in (pose.offsets, pose.rotations, pose.root, joints)
    )
    weight = torch.ones(len(PARENTS))
    weight[list(firm)] = _FIRM
    turns = torch.zeros(*start.shape[:2], 3, requires_grad=True)
    move = torch.zeros_like(root, requires_grad=True)
    optimizer = torch.optim.Adam([turns, move], lr=_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    for _ in range(_STEPS):
        optimizer.zero_grad()
        local = start @ axis_angle_to_matrix(turns)
        off = (_places(offsets, local, root + move) - goal).square().sum(-1)
        loss = (weight * off).sum() + (_TURN**2 * turns.square()).sum()
        for change in (turns, move):
            if len(change) > 2:
                loss = loss + _JERK**2 * change.diff(n=2, dim=0).square().sum()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        local = start.double() @ axis_angle_to_matrix(turns.double())
    return replace(pose, rotations=local.numpy(), root=pose.root + move.detach().numpy())


def _places(offsets, local, root):
    """Joint positions (T, J, 3) by forward kinematics."""
    import torch

    places, world = [root], [local[:, 0]]
    for joint, parent in enumerate(PARENTS[1:], 1):
        places.append(places[parent] + world[parent] @ offsets[joint])
        world.append(world[parent] @ local[:, joint])
    return torch.stack(places, dim=1)
