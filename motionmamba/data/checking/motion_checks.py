"""What motion in a data set is asked: unit, axes, sides, place, and whether its blocks agree."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from motionmamba.data.checking.findings import Finding, Kind, Unusable, warning
from motionmamba.data.packed import feature_blocks
from motionmamba.motion.skeleton import HUMANML3D, KIT, Skeleton, mirror_joints

# Of a body from head to ankles, in units of the data. KIT-ML's are called millimetres, of bodies
# made a metre tall (TEMOS takes 480 of them for 0.75 m).
HEIGHTS = {HUMANML3D.name: (0.8, 2.5), KIT.name: (400.0, 2500.0)}
UNITS = {"centimetres": 100.0, "millimetres": 1000.0, "inches": 39.37, "metres": 1.0}
BONE_CHANGE = 0.25  # share of its length that a bone may differ by from the uniform skeleton
STRETCH = 0.5  # and within a clip
FLOOR = (-0.02, 0.1)  # metres of the lowest joint; features end a frame before the joints do
OFF_ORIGIN = 0.02  # metres
OFF_FRONT = 15.0  # degrees
UPRIGHT = 0.3  # height of the head over the ankles as a share of their distance
STEP = 0.01  # metres a frame that velocities may be off the steps of positions
CONTACTS = 0.1  # share of contacts that may differ from what velocities tell
ROTATION = 0.02  # of the scalar products of rotations' columns
COPY = 1e-3  # metres within which mean and deviation of all joints make two clips the same
NEIGHBOURS = 8
MEAN_OFF = 0.3  # deviations, root mean square over a block of features
STD_OFF = 1.3  # ratio
CONSTANT = 1e-4  # least deviation that is compared
EVALUATOR = 25.0  # by which the evaluator's deviations of root and contacts are smaller


@dataclass
class Facts:
    """What a clip is compared by with the others of its set.

    `upright` is the mean height of the head over the ankles as a share of their distance,
    `highest` the greatest of a frame; `feet` the cosine between feet and the side that hips and
    shins face; `shape` (2, J, 3) mean and deviation of the joints over the frames.
    """

    name: str
    take: str
    split: str
    frames: int
    upright: float
    highest: float
    feet: float
    shape: np.ndarray


def read_array(path: Path, tail: tuple[int, ...] | None = None) -> np.ndarray:
    """A .npy file as float32: any array, or a motion (T, *tail) of finite numbers.

    Raises:
        Unusable: when it is anything else. A pickle is not loaded.
    """
    try:
        # Mapped, so that a forged header cannot ask for more memory than the file holds.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise Unusable(Kind.UNREADABLE, f"it cannot be read: {error.strerror}") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        with path.open("rb") as file:
            if file.read(1) == b"\x80" or "Python objects" in str(error):
                raise Unusable(Kind.UNREADABLE, "it holds a pickle, which is not loaded") from error
        raise Unusable(Kind.UNREADABLE, "it is no .npy array, or cut short") from error
    if not isinstance(array, np.ndarray):
        raise Unusable(Kind.UNREADABLE, "it is an archive of arrays")
    if array.dtype.kind != "f":
        raise Unusable(Kind.UNREADABLE, f"it holds {array.dtype}, expected floating point numbers")
    with np.errstate(over="ignore"):
        array = np.array(array, np.float32)
    if tail is not None:
        if array.shape[1:] != tail or not len(array):
            expected = f"(T, {', '.join(map(str, tail))})"
            raise Unusable(Kind.SHAPE, f"it has the shape {array.shape}, expected {expected}")
        check_finite(array)
    return array


def check_finite(values: np.ndarray):
    """Raises Unusable when values (T, ...) are not all finite."""
    broken = ~np.isfinite(values).reshape(len(values), -1).all(1)
    if broken.any():
        message = f"{broken.sum()} of {len(values)} frames, the first is {broken.argmax()}"
        raise Unusable(Kind.NOT_FINITE, message)


def local_joints(features: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Joints (T, J, 3) of features (T, F), each frame seen from its own root and heading."""
    root = np.zeros((len(features), 1, 3), np.float32)
    root[:, 0, 1] = features[:, 3]
    others = features[:, 4 : feature_blocks(skeleton)[4]].reshape(len(features), -1, 3)
    return np.concatenate([root, others], axis=1)


def facts_of(name: str, take: str, split: str, joints: np.ndarray, skeleton: Skeleton) -> Facts:
    column = joints[:, _spine(skeleton)[-1]] - _middle(joints, skeleton, "ankle")
    share = column[:, 1] / np.maximum(_norm(column), 1e-9)
    return Facts(
        name=name,
        take=take,
        split=split,
        frames=len(joints),
        upright=float(share.mean()),
        highest=float(share.max()),
        feet=_feet(joints, skeleton),
        shape=np.stack([joints.mean(0), joints.std(0)]).astype(np.float32),
    )


def check_body(
    where: str, joints: np.ndarray, skeleton: Skeleton, placed: bool
) -> Iterator[Finding]:
    """Size and bones of joints (T, J, 3), and where they start if that is where features did."""
    bones = _norm(joints[:, 1:] - joints[:, list(skeleton.parents[1:])])
    lengths = np.median(bones, 0)
    height = sum(lengths[joint - 1] for joint in (*_spine(skeleton)[1:], *_leg(skeleton)[1:]))
    low, high = HEIGHTS[skeleton.name]
    if not low < height < high:
        guess = next((f": {name}?" for name, n in UNITS.items() if 0.8 < height / n < 2.5), "")
        message = f"the body is {height:.3g} tall, expected {low:g} to {high:g}{guess}"
        yield Finding(where, Kind.UNIT, message)
        return
    yield from _check_bones(where, bones, lengths, skeleton)
    if placed:
        yield from _check_place(where, joints, skeleton)


def check_origin(where: str, joints: np.ndarray, skeleton: Skeleton) -> Iterator[Finding]:
    off = math.hypot(joints[0, 0, 0], joints[0, 0, 2]) * skeleton.unit
    if off > OFF_ORIGIN:
        yield Finding(where, Kind.PLACE, f"frame 0 is {off:.2f} m off the origin")


def check_features(
    where: str, features: np.ndarray, skeleton: Skeleton, placed: bool
) -> Iterator[Finding]:
    """The body of features (T, F), and whether velocities, contacts and rotations suit it."""
    joints = local_joints(features, skeleton)
    found = list(check_body(where, joints, skeleton, placed))
    yield from found
    if any(finding.what is Kind.UNIT for finding in found):
        return
    _, _, _, _, rotations, velocities, contacts, _ = feature_blocks(skeleton)
    speeds = features[:, velocities:contacts].reshape(len(features), -1, 3)
    apart = _norm(_steps(features, joints) - speeds[:-1]).max(-1) * skeleton.unit
    # Not the maximum: the original's yaw has the wrong sign where the heading passes Z-.
    if len(apart) and (off := np.percentile(apart, 80)) > STEP:
        message = f"velocities are {off:.2g} m a frame off the steps of positions"
        yield Finding(where, Kind.DISAGREE, message)
    told = features[:, contacts:]
    feet = [joint for foot in skeleton.feet for joint in foot]
    still = np.square(speeds[:, feet]).sum(-1) < skeleton.contact_threshold
    if not np.isin(told, (0, 1)).all():
        yield Finding(where, Kind.DISAGREE, "contacts are something else than 0 and 1")
    elif (share := (still != told).mean()) > CONTACTS:
        message = f"{share:.0%} of contacts are not what velocities of feet tell"
        yield warning(where, Kind.DISAGREE, message)
    columns = features[:, rotations:velocities].reshape(len(features), -1, 2, 3)
    products = columns @ columns.swapaxes(-1, -2) - np.eye(2)
    if (off := np.abs(products).max(axis=(1, 2, 3)).mean()) > ROTATION:
        message = f"rotations have columns that are {off:.2g} off unit length or a right angle"
        yield Finding(where, Kind.DISAGREE, message)


def check_axes(facts: list[Facts], skeleton: Skeleton) -> Iterator[Finding]:
    """Somebody may lie or stand on the hands, but not most of the time in most clips."""
    down = [f for f in facts if f.upright < UPRIGHT]
    if len(down) > len(facts) / 2:
        spine = _spine(skeleton)
        columns = np.abs([f.shape[0, spine[-1]] - f.shape[0, 0] for f in down])
        axis = columns.mean(0).argmax()
        posture = "are upside down" if axis == 1 else f"lie along {'XYZ'[axis]}"
        message = f"the bodies of {len(down)} of {len(facts)} clips {posture}"
        yield Finding("all clips", Kind.AXES, message)
        return
    for f in facts:
        if f.highest < UPRIGHT:
            yield warning(f.name, Kind.AXES, "the body lies, or is upside down, in every frame")


def check_sides(facts: list[Facts], skeleton: Skeleton) -> Iterator[Finding]:
    """Which sides KIT-ML's joints are on is not public, so there the many judge the few."""
    sign = 1.0 if skeleton is HUMANML3D else np.sign(np.median([f.feet for f in facts]))
    for f in facts:
        if f.feet * sign < -0.2:
            yield Finding(f.name, Kind.SIDES, "toes point backward from hips and shins")


def find_copies(facts: list[Facts], skeleton: Skeleton) -> Iterator[Finding]:
    """Clips with the same joints, or mirrored ones, though their takes differ.

    Sorted by length and one number made of all, copies are neighbours.
    """
    shapes = np.stack([f.shape for f in facts]) * skeleton.unit
    mirrored = mirror_joints(shapes, skeleton)
    mirrored[:, 1] = np.abs(mirrored[:, 1])
    rows = np.concatenate([shapes, mirrored]).reshape(2 * len(facts), -1)
    frames = np.tile([f.frames for f in facts], 2)
    weights = np.random.default_rng(0).normal(size=rows.shape[1])
    order = np.lexsort((rows @ weights, frames))
    original: dict[int, Facts] = {}
    for step in range(1, NEIGHBOURS + 1):
        a, b = order[:-step], order[step:]
        alike = (frames[a] == frames[b]) & (np.abs(rows[a] - rows[b]).max(1) < COPY)
        for pair in np.stack([a, b], 1)[alike] % len(facts):
            first, second = facts[pair.min()], facts[pair.max()]
            known = original.get(pair.max(), second)
            if first.take != second.take and known.split == second.split:
                original[pair.max()] = first
    for index, first in sorted(original.items()):
        f = facts[index]
        if f.split == first.split:
            yield warning(f.name, Kind.COPY, f"it is {first.name} again")
        else:
            message = f"it is {first.name} again, which is in {first.split}, and in {f.split}"
            yield Finding(f.name, Kind.COPY, message)


def moments_of(features: np.ndarray) -> np.ndarray:
    """Count, sum and sum of squares of features (T, F): (3, F) float64, which may be added."""
    rows = features.astype(np.float64)
    return np.stack([np.full(rows.shape[1], len(rows)), rows.sum(0), np.square(rows).sum(0)])


def check_statistics(
    mean: np.ndarray, std: np.ndarray, moments: np.ndarray | None, skeleton: Skeleton
) -> Iterator[Finding]:
    """Mean and deviation (F,), and whether they suit moments of training features, if there are.

    Compared by blocks, over which the original averages deviations.
    """
    for name, values in (("mean", mean), ("std", std)):
        if values.shape != (skeleton.num_features,):
            message = f"it has the shape {values.shape}, expected ({skeleton.num_features},)"
        elif not np.isfinite(values).all():
            message = "it has values that are NaN or infinite"
        elif name == "std" and not (values > 0).all():
            message = f"{np.count_nonzero(values <= 0)} deviations are not above 0"
        else:
            continue
        yield Finding(name, Kind.STATISTICS, message)
        moments = None
    if moments is None:
        return
    count, total, squares = moments
    actual = total / count
    deviation = np.sqrt(np.maximum(squares / count - actual**2, 0))
    blocks = list(pairwise(feature_blocks(skeleton)))
    told, real = (np.array([d[a:b].mean() for a, b in blocks]) for d in (std, deviation))
    ratios = np.where(real > CONSTANT, real / told, 1.0)
    worst = np.abs(np.log(np.maximum(ratios, 1e-9))).argmax()
    if (np.abs(ratios[[0, 1, 2, 6]] / EVALUATOR - 1) < 0.3).all():
        message = "root and contacts are 25 times too small: these are the evaluator's statistics"
        yield Finding("std", Kind.STATISTICS, message)
    elif not 1 / STD_OFF < ratios[worst] < STD_OFF:
        message = (
            f"{told[worst]:.3g} on average of features {_range(blocks[worst])}, in the training "
            f"clips {real[worst]:.3g}"
        )
        yield Finding("std", Kind.STATISTICS, message)
    off = np.abs(mean - actual)
    by_block = [np.sqrt(np.square(off[a:b]).mean()) for a, b in blocks] / np.maximum(real, 1e-3)
    if by_block.max() > MEAN_OFF:
        features = _range(blocks[by_block.argmax()])
        message = f"features {features} are {by_block.max():.1f} deviations off the training clips"
        yield Finding("mean", Kind.STATISTICS, message)


def _range(block: tuple[int, int]) -> str:
    return f"{block[0]} to {block[1] - 1}" if block[1] - block[0] > 1 else str(block[0])


def _check_bones(where, bones, lengths, skeleton) -> Iterator[Finding]:
    if skeleton.bone_lengths is not None:
        uniform = np.array(skeleton.bone_lengths[1:])
        change = np.abs(lengths / uniform - 1)
        if change.max() > BONE_CHANGE:
            i = change.argmax()
            message = (
                f"the bone to the {skeleton.joint_names[i + 1]} is {lengths[i]:.2f} m long, "
                f"expected {uniform[i]:.2f} m"
            )
            yield Finding(where, Kind.BONES, message)
            return
    stretch = np.ptp(bones, 0) / np.maximum(lengths, 1e-9)
    if stretch.max() > STRETCH:
        joint = skeleton.joint_names[stretch.argmax() + 1]
        message = f"the bone to the {joint} changes its length by {stretch.max():.0%}"
        yield Finding(where, Kind.BONES, message)


def _check_place(where: str, joints: np.ndarray, skeleton: Skeleton) -> Iterator[Finding]:
    lowest = joints[..., 1].min() * skeleton.unit
    if not FLOOR[0] < lowest < FLOOR[1]:
        side = "over" if lowest > 0 else "under"
        yield Finding(
            where, Kind.PLACE, f"the lowest joint is {abs(lowest):.2f} m {side} the floor"
        )
    right_hip, left_hip, right_shoulder, left_shoulder = joints[0, list(skeleton.face_joints)]
    across = right_hip - left_hip + right_shoulder - left_shoulder
    angle = abs(math.degrees(math.atan2(across[2], -across[0])))
    if angle > OFF_FRONT and math.hypot(across[0], across[2]) > 0.5 * _norm(across):
        yield Finding(where, Kind.PLACE, f"frame 0 faces {angle:.0f} degrees away from Z+")


def _steps(features: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """What local joints move by from frame to frame, seen from the earlier one: (T - 1, J, 3)."""
    yaw = 2 * features[:-1, 0, None]
    cos, sin = np.cos(yaw), np.sin(yaw)
    following = joints[1:].copy()
    following[..., [0, 2]] += features[:-1, None, 1:3]
    x, y, z = np.moveaxis(following, -1, 0)
    return np.stack([cos * x - sin * z, y, sin * x + cos * z], -1) - joints[:-1]


def _feet(joints: np.ndarray, skeleton: Skeleton) -> float:
    across = joints[:, _named(skeleton, "left_hip")] - joints[:, _named(skeleton, "right_hip")]
    cosines = []
    for side, (_, toe) in zip(("left", "right"), skeleton.feet, strict=True):
        ankle = joints[:, _named(skeleton, f"{side}_ankle")]
        front = np.cross(across, joints[:, _named(skeleton, f"{side}_knee")] - ankle)
        foot = joints[:, toe] - ankle
        cosines.append((front * foot).sum(-1) / np.maximum(_norm(front) * _norm(foot), 1e-9))
    return float(np.mean(cosines))


def _spine(skeleton: Skeleton) -> tuple[int, ...]:
    """Joints from the root to the head."""
    toes = {toe for _, toe in skeleton.feet}
    return next(chain for chain in skeleton.chains if not chain[0] and chain[-1] not in toes)


def _leg(skeleton: Skeleton) -> tuple[int, ...]:
    """Joints from the root to the right ankle."""
    ankle = _named(skeleton, "right_ankle")
    chain = next(chain for chain in skeleton.chains if ankle in chain)
    return chain[: chain.index(ankle) + 1]


def _middle(joints: np.ndarray, skeleton: Skeleton, name: str) -> np.ndarray:
    left, right = (joints[:, _named(skeleton, f"{side}_{name}")] for side in ("left", "right"))
    return (left + right) / 2


def _named(skeleton: Skeleton, name: str) -> int:
    return skeleton.joint_names.index(name)


def _norm(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors, axis=-1)
