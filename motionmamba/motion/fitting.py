"""A body that moves as joints do: its shape, pose and path, in closed form."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from motionmamba.motion.body import Body, BodyMotion
from motionmamba.motion.feet import (
    ANKLES,
    TOES,
    Contacts,
    Sole,
    find_contacts,
    floor_height,
    plant_feet,
)
from motionmamba.motion.motion import Motion
from motionmamba.motion.pose import (
    BRANCHES,
    PARENTS,
    Pose,
    about,
    fit_pose,
    kabsch,
    rest_offsets,
    unit,
)
from motionmamba.motion.refining import refine_pose
from motionmamba.motion.skeleton import HUMANML3D, LEFT, humanml3d_joints
from motionmamba.motion.smoothing import smooth

_COUNT = HUMANML3D.num_joints
_MIRROR = list(HUMANML3D.mirror)
_BRANCH_BONES = [child for children in BRANCHES.values() for child in children]
_LIMB_BONES = [joint for joint in range(1, _COUNT) if joint not in _BRANCH_BONES]
_HEAD = HUMANML3D.joint_names.index("head")

_SHAPE_COST = 0.001  # of a unit of betas, as metres of a bone that is off
_SHAPE_FRAMES = 32  # that are looked at for the lengths of bones
_SHIN_CHANGE = 0.04  # metres that shins may give or take so that soles are on the floor
_HEAD_CHANGE = (0.75, 1.4)  # of the bone to the head: recorded heads are here and there
_GAZE = 0.3  # radians from level
_UPRIGHT = 0.7  # cosine
_FINGERS = ("index", "middle", "ring", "pinky")
_RELAXED = 0.25  # radians by which each joint of a finger is bent


def fit_body(
    motion: Motion,
    body: Body | None = None,
    *,
    betas: np.ndarray | None = None,
    lock_feet: bool = True,
    refine: bool = False,
) -> BodyMotion:
    """A body that moves as the joints of a motion do.

    Joints are smoothed as much as they are noisy, the lengths of bones are fitted, then the pose
    as `fit_pose` does it. What joints do not show is as of somebody at ease: hands go on from
    forearms, heads from necks.

    The floor is y = 0 if the soles of feet that stand lowest are there, give or take two
    centimetres, or their joints, where data sets have it; else it is under their soles.

    Args:
        motion: T frames of any skeleton.
        body: by default the one shipped here.
        betas: (N,) that are kept, N at most S. Those of `body.fitted` beyond them are fitted to
            the bones of the motion, others are 0. Where none is left to be fitted the motion is
            carried over to a body of that shape: rotations stay, the path is scaled by how high
            the pelvis stands.
        lock_feet: that feet stand still, and flat, where those of the motion nearly do, and that
            soles are not under the floor. Ankles then are as high as the body has them, a
            centimetre or two off those of most recordings.
        refine: optimise what the closed form gives, for the last millimetres.

    Raises:
        ValueError: for betas that the body has not.
    """
    body = body or Body.load()
    joints = smooth(humanml3d_joints(motion.joints.astype(np.float64)))
    contacts = find_contacts(joints, motion.fps)
    given = _checked(body, betas)
    shape = np.append(given, np.zeros(body.num_betas - len(given)))
    free = slice(max(body.fitted.start, len(given)), body.fitted.stop)
    carried = len(shape[free]) == 0

    fitted, sole, floor = _fit_shape(
        body, joints, shape, body.fitted if carried else free, contacts, lock_feet
    )
    pose = fit_pose(joints, _rest(body, fitted))
    _level_head(pose)
    if carried:
        pose, sole, fitted = *_carry(body, pose, sole, shape, floor), shape
        joints = pose.transforms()[0]
    if lock_feet:
        pose = plant_feet(pose, contacts, sole, floor)
    if refine:
        if lock_feet:
            joints[:, ANKLES + TOES] = pose.transforms()[0][:, ANKLES + TOES]
        pose = refine_pose(pose, joints, firm=ANKLES + TOES if lock_feet else [])
    return _body_motion(body, pose, fitted, motion)


def _checked(body: Body, betas: np.ndarray | None) -> np.ndarray:
    betas = np.zeros(0) if betas is None else np.asarray(betas, np.float64)
    if betas.ndim != 1 or len(betas) > body.num_betas or not np.isfinite(betas).all():
        raise ValueError(
            f"betas have shape {betas.shape}, expected ({body.num_betas},) or fewer finite "
            f"numbers; pass a shape of {body.source}."
        )
    return betas


def _rest(body: Body, betas: np.ndarray) -> np.ndarray:
    """Joints (22, 3) at rest."""
    directions = body.skeleton.shape_directions[:_COUNT, :, : len(betas)]
    return body.skeleton.template[:_COUNT] + directions @ betas


def _sole(body: Body, betas: np.ndarray) -> Sole:
    return Sole.of(*body.rest(betas), body.weights)


def _fit_shape(
    body: Body,
    joints: np.ndarray,
    betas: np.ndarray,
    free: slice,
    contacts: Contacts,
    lock_feet: bool,
) -> tuple[np.ndarray, Sole, float]:
    """Betas (S,) of which some are free to fit a motion, the soles, and where the floor is."""
    bones = rest_offsets(joints)
    rest = _rest(body, betas)
    head = np.linalg.norm(rest[_HEAD] - rest[PARENTS[_HEAD]]) * np.array(_HEAD_CHANGE)
    lengths = np.linalg.norm(bones, axis=-1)
    lengths[_HEAD] = np.clip(lengths[_HEAD], *head)
    fitted = _fit_bones(body, bones, lengths, betas, free)
    # where branches are not those of the recorded body, bones start elsewhere than its bones
    few = joints[:: max(len(joints) // _SHAPE_FRAMES, 1)]
    starts = fit_pose(few, _rest(body, fitted)).transforms()[0][:, PARENTS]
    lengths = np.median(np.linalg.norm(few - starts, axis=-1), axis=0)
    lengths[_HEAD] = np.clip(lengths[_HEAD], *head)
    sole = _sole(body, fitted)
    floor = floor_height(contacts, sole)
    if lock_feet:
        change = contacts.ankle_height - floor - sole.ankle.mean()
        lengths[ANKLES] += np.clip(change, -_SHIN_CHANGE, _SHIN_CHANGE)
    return _fit_bones(body, bones, lengths, fitted, free), sole, floor


def _fit_bones(
    body: Body,
    bones: np.ndarray,
    lengths: np.ndarray,
    betas: np.ndarray,
    free: slice,
) -> np.ndarray:
    """Betas (S,) of which some are free to make the bones at rest like those given, (22, 3).

    Gauss-Newton steps on the lengths (22,) that bones are to have, and at branches on how they
    stand to each other.
    """
    betas = betas.copy()
    bones = (bones + bones[_MIRROR] * (-1, 1, 1)) / 2
    lengths = (lengths + lengths[_MIRROR]) / 2
    limbs, parents = _LIMB_BONES, list(PARENTS)
    directions = body.skeleton.shape_directions[:_COUNT, :, : len(betas)][..., free]
    directions = directions - directions[parents]
    for _ in range(3):
        rest = _rest(body, betas)
        offsets = rest - rest[parents]
        slopes = [(unit(offsets[limbs])[..., None] * directions[limbs]).sum(1)]
        missing = [lengths[limbs] - np.linalg.norm(offsets[limbs], axis=-1)]
        for children in map(list, BRANCHES.values()):
            turn = kabsch(bones[children], offsets[None, children])[0]
            slopes.append(directions[children].reshape(9, -1))
            missing.append((bones[children] @ turn.T - offsets[children]).ravel())
        slopes, missing = np.concatenate(slopes), np.concatenate(missing)
        weight = _SHAPE_COST**2 * np.eye(slopes.shape[1])
        pull = slopes.T @ missing - _SHAPE_COST**2 * betas[free]
        betas[free] += np.linalg.solve(slopes.T @ slopes + weight, pull)
    return betas


def _level_head(pose: Pose):
    """Turns the head so that it does not look up or down throughout.

    A median gaze further from level is how the recorded head is jointed, not where it looks.
    """
    world = pose.transforms()[1]
    upright = world[:, 0, 1, 1] > _UPRIGHT
    if upright.any():
        ahead = world[upright, _HEAD, :, 2]
        gaze = np.median(np.arcsin(np.clip(ahead[:, 1], -1, 1)))
        turn = gaze - np.clip(gaze, -_GAZE, _GAZE)
        pose.rotations[:, _HEAD] = about(np.array(LEFT), turn)


def _carry(
    body: Body, pose: Pose, sole: Sole, betas: np.ndarray, floor: float
) -> tuple[Pose, Sole]:
    """The pose on a body of another shape, with its soles."""
    rest, other = _rest(body, betas), _sole(body, betas)
    offsets = rest - rest[list(PARENTS)]
    offsets[0] = 0
    scale = _standing(offsets, other) / _standing(pose.offsets, sole)
    start = pose.root[0] * (1, 0, 1) + (0, floor, 0)
    return Pose(offsets, pose.rotations, start + scale * (pose.root - start)), other


def _standing(offsets: np.ndarray, sole: Sole) -> float:
    """How high the pelvis is over the floor at rest."""
    leg = [joint for joint in HUMANML3D.chains[0] if joint and joint not in TOES]
    return sole.ankle.mean() - offsets[leg, 1].sum()


def _body_motion(body: Body, pose: Pose, betas: np.ndarray, motion: Motion) -> BodyMotion:
    vectors = Rotation.from_matrix(pose.rotations.reshape(-1, 3, 3)).as_rotvec()
    poses = np.zeros((len(pose.root), body.num_joints, 3), np.float32)
    poses[:, :_COUNT] = vectors.reshape(-1, _COUNT, 3)
    for joint, name in enumerate(body.joint_names[_COUNT:], _COUNT):
        if any(finger in name for finger in _FINGERS):
            poses[:, joint, 2] = -_RELAXED if name.startswith("left") else _RELAXED
    trans = (pose.root - _rest(body, betas)[0]).astype(np.float32)
    return BodyMotion(body, poses, trans, betas.astype(np.float32), motion.fps, motion.prompt)
