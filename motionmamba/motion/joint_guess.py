"""A joint map for a skeleton that nobody described, from its names and its shape."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise, zip_longest

import numpy as np

from motionmamba.motion.joint_map import (
    CHAIN_SHARE,
    HEAD,
    NECK,
    SURE_COSINE,
    UPRIGHT,
    JointMap,
    Place,
    chain_length,
    feet_forward,
    find_unit,
)
from motionmamba.motion.skeleton import HUMANML3D

FRAMES = 400  # looked at, spread evenly over the takes
STANDING = 24  # of them, the most upright
SYMMETRY = 0.1  # by what share of its length a limb may differ from that of the other side
COINCIDENT = 2e-3  # of the body's size: joints closer than this are one
UPRIGHT_COSINE = 0.5  # between spine and legs of a body that stands
# A rest pose is this share of the body's size away, on the average of joints; it takes at most so
# many frames until steps are no longer that many times the usual ones.
JUMP, SETTLING, UNSETTLED = 0.05, 12, 5.0

# Shares of the height from hips to neck at which SMPL has its spine when it stands.
MAX_PELVIS, SPINE, GAP = 0.22, (0.33, 0.56, 0.655), 0.06
# Degrees at which SMPL's bones then stand: hips and collars out from the vertical, feet down from
# the horizontal, heads forward from the vertical.
HIPS_OUT, COLLARS_OUT, FEET_DOWN, HEAD_OUT = 34.0, 33.0, 24.0, 38.0
COLLAR_SHARES = np.arange(0.06, 0.71, 0.02)
SNAP = 0.06  # share of a bone: places closer to a joint are that joint
LEVEL, MAX_TURN = 3.0, 45.0  # degrees not worth a correction; the largest
# lengths to that of a leg: an arm, the trunk; of a shin to a thigh
PROPORTIONS = {"arms": (0.35, 1.2), "trunk": (0.35, 1.3), "shins": (0.55, 1.8)}

WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
SIDES = {"left": "left", "l": "left", "lft": "left", "right": "right", "r": "right", "rgt": "right"}
LEG = set(
    "leg upleg lowleg thigh femur calf shin tibia knee foot ankle toe toes hip hipjoint "
    "buttock".split()
)
ARM = set(
    "arm forearm shoulder shldr clavicle collar humerus elbow radius hand wrist upperarm "
    "lowerarm".split()
)
# beside the bones that matter: fingers, faces, helpers of twisting, clothes, things held
EXTRAS = set(
    "thumb index middle mid ring pinky finger fingers digit eye eyes brow jaw mouth lip tongue ear "
    "nose hair beard breast skirt cape cloth tail wing roll twist ik pole weapon prop heel palm "
    "metacarpal".split()
)


@dataclass(frozen=True)
class _Limbs:
    """Joints of a human body by index; pairs are of one side and the other, left first at last."""

    legs: tuple[list[int], list[int]]  # hip, knee, ankle, toes each
    arms: tuple[list[int], list[int]]  # collar or -1, shoulder, elbow, wrist each
    trunk: list[int]  # from between the hips to between the shoulders
    neck: int
    head: int  # -1: none over the neck


def guess_joint_map(
    joint_names: Sequence[str], parents: Sequence[int], *takes: np.ndarray
) -> JointMap:
    """Finds out where HumanML3D's joints lie on a skeleton.

    The tree tells the limbs: two pairs of chains that are alike, a trunk between them and a head.
    Names tell legs from arms and what to pass over; feet point forward and so tell left from
    right. A standing pose tells the axis that points up, the unit, and where along the bones to
    put joints that the skeleton lacks.

    Args:
        joint_names: the J names, tips of last bones (BVH's end sites) among them.
        parents: index of each joint's parent, -1 at the root, parents before their children.
        takes: positions (T, J, 3), in any unit, of one recording or of several; the more are
            given, the less do feet and head depend on how somebody stood.

    Raises:
        ValueError: when the skeleton is no human body or no frame shows it upright.
    """
    account = []
    rests = [_rest_frames(take) for take in takes]
    first_frame = int(np.median(rests))
    if first_frame:
        account.append("takes start with a jump: from a rest pose, which is dropped")
    positions = np.concatenate([take[rest:] for take, rest in zip(takes, rests, strict=True)])
    chosen = np.linspace(0, len(positions) - 1, min(FRAMES, len(positions))).astype(int)
    positions = positions[chosen].astype(np.float64)

    tree = _Tree(joint_names, parents, positions)
    limbs = _find_limbs(tree)
    up, cosine = _find_up(limbs, positions)
    account.append(
        f"{up} points up: the spine does when it is in line with the legs ({cosine:.2f})"
    )
    positions = positions @ np.array(UPRIGHT[up], dtype=np.float64).T
    limbs = _find_sides(limbs, joint_names, positions, account)

    frames = _standing_frames(limbs, positions)
    body = _standing_body(limbs, positions[frames])
    places = _places(limbs, joint_names, body)
    draft = JointMap("guessed", places, unit=1.0)
    joints = draft.apply(joint_names, positions, "the skeleton")
    _check_proportions(joints)
    chain = chain_length(joints)
    unit, unit_name = find_unit(chain)
    stature = chain / CHAIN_SHARE * unit
    account.append(f"unit: {unit_name}, which makes the body about {stature:.2f} m tall")
    toes_up, head_forward = _corrections(joints, frames, account)
    return replace(
        draft,
        unit=unit,
        up=up,
        toes_up=toes_up,
        head_forward=head_forward,
        first_frame=first_frame,
        account=tuple(account),
    )


def words(name: str) -> list[str]:
    """`LeftUpLeg`, `thigh_l`, `lfemur` -> left up leg, thigh left, left femur."""
    found = []
    for word in map(str.lower, WORD.findall(name.rpartition(":")[2])):
        for prefix in ("left", "right", "l", "r"):
            rest = word.removeprefix(prefix)
            if rest != word and (rest in LEG | ARM or (rest and len(prefix) > 1)):
                found += [SIDES[prefix], rest]
                break
        else:
            found.append(SIDES.get(word, word))
    return found


class _Tree:
    """A skeleton's joints that matter, the bones between them and how far down they reach."""

    def __init__(self, names: Sequence[str], parents: Sequence[int], positions: np.ndarray):
        self.names = names
        size = np.linalg.norm(np.ptp(np.median(positions, axis=0), axis=0))
        self.parents, self.children, self.bones = {}, {}, {}
        kept = {}
        for joint, parent in enumerate(parents):
            above = kept.get(parent, -1)
            gap = positions[:, joint] - positions[:, above]
            bone = float(np.median(np.linalg.norm(gap, axis=-1)))
            if above >= 0 and (bone < COINCIDENT * size or EXTRAS & set(words(names[joint]))):
                kept[joint] = above
                continue
            kept[joint] = joint
            self.parents[joint], self.children[joint] = above, []
            self.bones[joint] = bone
            if above >= 0:
                self.children[above].append(joint)
        self.reach = {}
        for joint in reversed(self.children):
            self.reach[joint] = max((self.size(c) for c in self.children[joint]), default=0.0)

    def size(self, joint: int) -> float:
        """The longest way down through a joint, from the one above it."""
        return self.bones[joint] + self.reach[joint]

    def path(self, joint: int) -> list[int]:
        """The longest way down from a joint, that one first."""
        way = [joint]
        while below := self.children[way[-1]]:
            way.append(max(below, key=self.size))
        return way

    def from_root(self, joint: int) -> list[int]:
        way = [joint]
        while (parent := self.parents[way[-1]]) >= 0:
            way.append(parent)
        return way[::-1]

    def says(self, joint: int, word: str) -> bool:
        return word in words(self.names[joint])


def _rest_frames(positions: np.ndarray) -> int:
    """Frames to drop at the start: a rest pose, and what smoothing made of the jump from it."""
    if len(positions) < 2 * SETTLING:
        return 0
    start = positions[: 4 * SETTLING] - positions[: 4 * SETTLING, :1]
    steps = np.linalg.norm(np.diff(start, axis=0), axis=-1).mean(-1)
    unsettled = UNSETTLED * np.median(steps)
    if steps[0] <= max(unsettled, JUMP * np.linalg.norm(np.ptp(start[-1], axis=0))):
        return 0
    return 1 + int(np.flatnonzero(steps[:SETTLING] > unsettled)[-1])


def _find_limbs(tree: _Tree) -> _Limbs:
    pairs = [
        (first, second)
        for below in tree.children.values()
        for first, second in combinations(below, 2)
        if _alike(tree, first, second)
    ]
    couples = [(a, b) for a, b in combinations(pairs, 2) if _apart(tree, a, b)]
    if not couples:
        raise ValueError(
            "the skeleton has not two arms and two legs that are alike, which a human body has"
        )
    legs, arms = max(couples, key=lambda couple: sum(map(tree.size, couple[0] + couple[1])))
    if _is_arms(tree, legs, arms):
        legs, arms = arms, legs
    hips, chest = tree.from_root(tree.parents[legs[0]]), tree.from_root(tree.parents[arms[0]])
    shared = sum(a == b for a, b in zip(hips, chest, strict=False))
    trunk = hips[shared - 1 :][::-1] + chest[shared:]
    if len(trunk) < 2:
        raise ValueError("the skeleton has no spine between its legs and arms")
    neck, head = _neck_and_head(tree, trunk, arms)
    return _Limbs(
        tuple(_leg(tree, joint) for joint in legs),
        tuple(_arm(tree, joint) for joint in arms),
        trunk,
        neck,
        head,
    )


def _alike(tree: _Tree, first: int, second: int) -> bool:
    lengths = [[tree.bones[joint] for joint in tree.path(start)] for start in (first, second)]
    difference = sum(abs(a - b) for a, b in zip_longest(*lengths, fillvalue=0.0))
    return difference < SYMMETRY * max(map(sum, lengths))


def _apart(tree: _Tree, one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether no limb of the pairs hangs on another."""
    limbs = {*one, *other}
    return len(limbs) == 4 and all(not limbs & set(tree.from_root(j)[:-1]) for j in limbs)


def _is_arms(tree: _Tree, one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether the former pair is the arms: by names, else those further from the root are."""
    scores = []
    for pair in (one, other):
        named = [set(words(tree.names[j])) for limb in pair for j in tree.path(limb)]
        scores.append(sum(bool(w & LEG) - bool(w & ARM) for w in named))
    if scores[0] != scores[1]:
        return scores[0] < scores[1]
    depths = [len(tree.from_root(pair[0])) for pair in (one, other)]
    if depths[0] != depths[1]:
        return depths[0] > depths[1]
    return tree.size(one[0]) < tree.size(other[0])


def _neck_and_head(tree: _Tree, trunk: list[int], arms: tuple[int, int]) -> tuple[int, int]:
    chest = trunk[-1]
    above = [joint for joint in tree.children[chest] if joint not in (*arms, *trunk)]
    if not above:
        raise ValueError(f"the skeleton has no neck or head over {tree.names[chest]}")
    path = tree.path(max(above, key=tree.size))
    neck = chest if tree.says(chest, "neck") and len(trunk) > 2 else path[0]
    over = [joint for joint in path if joint != neck]
    named = [joint for joint in over if tree.says(joint, "head")]
    return neck, (named or over or [-1])[0]


def _leg(tree: _Tree, start: int) -> list[int]:
    path = tree.path(start)
    hip = _longest_bones(tree, path)
    if len(path) < hip + 4:
        raise ValueError(
            f"the skeleton has no toes, nor an end site for them, below {_last(tree, path)}"
        )
    return path[hip : hip + 4]


def _arm(tree: _Tree, start: int) -> list[int]:
    path = tree.path(start)
    shoulder = _longest_bones(tree, path)
    return [path[0] if shoulder else -1, *path[shoulder : shoulder + 3]]


def _longest_bones(tree: _Tree, path: list[int]) -> int:
    """Where the two bones in a row begin that are longest: thigh and shin, or both of an arm."""
    lengths = [tree.bones[joint] for joint in path[1:]]
    if len(lengths) < 2:
        raise ValueError(f"the skeleton has no two bones below {_last(tree, path)}")
    return int(np.argmax([a + b for a, b in pairwise(lengths)]))


def _last(tree: _Tree, path: list[int]) -> str:
    return tree.names[path[-1]]


def _find_up(limbs: _Limbs, positions: np.ndarray) -> tuple[str, float]:
    """The axis along which the spine points in line with the legs, and how closely."""
    spine, legs = _spine_and_legs(limbs, positions)
    in_line = (spine * legs).sum(-1) > UPRIGHT_COSINE
    if not in_line.any():
        raise ValueError(
            "the skeleton never has its spine in line with its legs: no human body, or never "
            "upright"
        )
    mean = (spine + legs)[in_line].mean(0) / 2
    axis = int(np.argmax(np.abs(mean)))
    return ("" if mean[axis] > 0 else "-") + "xyz"[axis], float(abs(mean[axis]))


def _spine_and_legs(limbs: _Limbs, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Directions (T, 3) each from hips to neck and from ankles to hips."""
    hips, ankles = (positions[:, [leg[i] for leg in limbs.legs]].mean(1) for i in (0, 2))
    return _unit_vectors(positions[:, limbs.neck] - hips), _unit_vectors(hips - ankles)


def _find_sides(
    limbs: _Limbs, names: Sequence[str], positions: np.ndarray, account: list[str]
) -> _Limbs:
    """The limbs with left ones first: those at the left of feet that point forward."""
    joints = np.zeros((len(positions), HUMANML3D.num_joints, 3))
    for leg, side in zip(limbs.legs, (0, 1), strict=True):
        joints[:, [1 + side, 4 + side, 7 + side, 10 + side]] = positions[:, leg]
    cosine = feet_forward(joints)
    named = [_named_sides(names, pair) for pair in (limbs.legs, limbs.arms)]
    if abs(cosine) < SURE_COSINE and not named[0]:
        raise ValueError(
            "the skeleton's left and right cannot be told: no names say, and its feet do not point "
            "forward"
        )
    legs_sign = named[0] if abs(cosine) < SURE_COSINE else int(np.sign(cosine))
    hips, shoulders = (
        positions[:, pair[0][i]] - positions[:, pair[1][i]]
        for pair, i in ((limbs.legs, 0), (limbs.arms, 1))
    )
    arms_sign = legs_sign * int(np.sign((hips * shoulders).sum(-1).mean()) or 1)
    by = "names" if abs(cosine) < SURE_COSINE else "feet that point forward"
    account.append(f"left and right by {by} (cosine {abs(cosine):.2f})")
    for sign, said, what in ((legs_sign, named[0], "legs"), (arms_sign, named[1], "arms")):
        if said == -sign:
            account.append(
                f"names of the {what} disagree: what they call left lies on the right; the shape "
                "was believed, so give a map of your own if the recording is mirrored"
            )
        elif not said:
            account.append(f"names do not tell sides of the {what}")
    return replace(limbs, legs=limbs.legs[::legs_sign], arms=limbs.arms[::arms_sign])


def _named_sides(names: Sequence[str], pair: tuple[list[int], list[int]]) -> int:
    """1 where names call the former limb the left one, -1 the latter, 0 where they do not tell."""
    votes = []
    for limb in pair:
        said = [word for joint in limb if joint >= 0 for word in words(names[joint])]
        votes.append(said.count("left") - said.count("right"))
    return int(np.sign(votes[0] - votes[1])) if votes[0] * votes[1] < 0 else 0


def _standing_frames(limbs: _Limbs, positions: np.ndarray) -> np.ndarray:
    """The frames in which spine and legs are most upright and arms hang."""
    spine, _ = _spine_and_legs(limbs, positions)
    score = spine[:, 1].copy()
    for (hip, knee, ankle, _), (_, shoulder, _, wrist) in zip(limbs.legs, limbs.arms, strict=True):
        for upper, lower, weight in ((hip, knee, 1.0), (knee, ankle, 1.0), (shoulder, wrist, 0.5)):
            score += weight * _unit_vectors(positions[:, upper] - positions[:, lower])[:, 1]
    return np.argsort(-score, kind="stable")[:STANDING]


def _standing_body(limbs: _Limbs, positions: np.ndarray) -> np.ndarray:
    """Median places (J, 3) from between the hips: x to the left, y up, z forward."""
    (left_hip, *_), (right_hip, *_) = limbs.legs
    across = positions[:, left_hip] - positions[:, right_hip]
    left = _unit_vectors(across * (1, 0, 1))
    up = np.tile((0.0, 1.0, 0.0), (len(left), 1))
    axes = np.stack([left, up, np.cross(left, up)], axis=1)
    centred = positions - positions[:, [left_hip, right_hip]].mean(1, keepdims=True)
    return np.median(np.einsum("tij,tkj->tki", axes, centred), axis=0)


def _places(limbs: _Limbs, names: Sequence[str], body: np.ndarray) -> tuple[Place, ...]:
    (left_leg, right_leg), (left_arm, right_arm) = limbs.legs, limbs.arms
    spine = list(dict.fromkeys([*limbs.trunk, limbs.neck]))
    heights = _spine_heights(limbs, body)
    pelvis, *middle = (_along(spine, body, names, height) for height in heights)
    starts = [_collar_start(limbs, arm, body) for arm in limbs.arms]
    share = np.mean(
        [
            _collar_share(body[start], body[arm[1]], heights[-1])
            for start, arm in zip(starts, limbs.arms, strict=True)
        ]
    )
    collars = [
        (names[start], names[arm[1]], round(float(share), 2))
        for start, arm in zip(starts, limbs.arms, strict=True)
    ]
    head = names[limbs.head] if limbs.head >= 0 else (names[spine[-2]], names[spine[-1]], 1.15)
    legs = [names[joint] for pair in zip(left_leg, right_leg, strict=True) for joint in pair]
    arms = [names[j] for pair in zip(left_arm[1:], right_arm[1:], strict=True) for j in pair]
    return (
        *(pelvis, *legs[:2], middle[0], *legs[2:4], middle[1], *legs[4:6], middle[2], *legs[6:]),
        *(names[limbs.neck], *collars, head, *arms),
    )


def _spine_heights(limbs: _Limbs, body: np.ndarray) -> list[float]:
    """Heights over the hips of pelvis and spine, at least a gap apart."""
    neck = body[limbs.neck, 1]
    width = np.mean([abs(body[leg[0], 0]) for leg in limbs.legs])
    pelvis = min(width / np.tan(np.radians(HIPS_OUT)), MAX_PELVIS * neck)
    heights = [max(pelvis, body[limbs.trunk[0], 1])]
    for share in SPINE:
        heights.append(max(share * neck, heights[-1] + GAP * neck))
    return heights


def _along(spine: list[int], body: np.ndarray, names: Sequence[str], height: float) -> Place:
    """The place on a chain of joints at a height; at its ends, the first or last bone's."""
    heights = body[spine, 1]
    bone = int(np.clip(np.searchsorted(heights, height) - 1, 0, len(spine) - 2))
    first, second = spine[bone : bone + 2]
    share = float((height - heights[bone]) / (heights[bone + 1] - heights[bone]))
    if abs(share) < SNAP:
        return names[first]
    return (
        names[second] if abs(share - 1) < SNAP else (names[first], names[second], round(share, 2))
    )


def _collar_start(limbs: _Limbs, arm: list[int], body: np.ndarray) -> int:
    """The collar joint; without one, chest or neck, from where the shoulder is more level."""
    if arm[0] >= 0:
        return arm[0]
    starts = (limbs.trunk[-1], limbs.neck)
    return min(starts, key=lambda start: abs(body[arm[1], 1] - body[start, 1]))


def _collar_share(start: np.ndarray, shoulder: np.ndarray, spine3: float) -> float:
    """How far to the shoulder SMPL, whose spine3 has that height, has its collar."""
    places = start + COLLAR_SHARES[:, None] * (shoulder - start)
    out = np.degrees(np.arctan2(np.abs(places[:, 0]), places[:, 1] - spine3))
    return float(COLLAR_SHARES[np.argmin(np.abs(out - COLLARS_OUT))])


def _check_proportions(joints: np.ndarray):
    def length(*chain: int) -> float:
        bones = joints[:, chain[1:]] - joints[:, chain[:-1]]
        return float(np.median(np.linalg.norm(bones, axis=-1).sum(-1)))

    leg = length(1, 4, 7)
    found = {
        "arms": length(16, 18, 20) / leg,
        "trunk": length(0, 3, 6, 9, 12) / leg,
        "shins": length(4, 7) / length(1, 4),
    }
    for part, (low, high) in PROPORTIONS.items():
        if not low < found[part] < high:
            raise ValueError(
                f"the skeleton's {part} are {found[part]:.2f} times as long as its "
                f"{'thighs' if part == 'shins' else 'legs'}, which no human body has"
            )


def _corrections(joints: np.ndarray, frames: np.ndarray, account: list[str]) -> tuple[float, float]:
    """Degrees to turn up the feet and to turn forward the head, so as to stand like SMPL."""
    downs = []
    for ankle, toes in HUMANML3D.feet:
        low = joints[:, ankle, 1] <= np.quantile(joints[:, ankle, 1], 0.2)
        foot = _unit_vectors(joints[low, toes] - joints[low, ankle])
        downs.append(np.degrees(np.arcsin(np.median(-foot[:, 1]))))
    neck = _unit_vectors(joints[frames, HEAD] - joints[frames, NECK])
    across = joints[frames, 16] - joints[frames, 17]
    forward = _unit_vectors(np.cross(across, (0.0, 1.0, 0.0)))
    out = np.degrees(np.median(np.arctan2((neck * forward).sum(-1), neck[:, 1])))
    account.append(f"feet stand {np.mean(downs):.0f} degrees down, the head {out:.0f} forward")
    return tuple(
        0.0 if abs(turn) < LEVEL else float(round(np.clip(turn, -MAX_TURN, MAX_TURN)))
        for turn in (np.mean(downs) - FEET_DOWN, HEAD_OUT - out)
    )


def _unit_vectors(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
