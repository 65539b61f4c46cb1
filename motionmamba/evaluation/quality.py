"""What readers ask of motion beside the metrics on embeddings: sliding feet, jerk, paths, memory.

Joints are (T, J, 3) in metres, Y up, with J = 22 of HumanML3D or 21 of KIT-ML, and fps frames per
second. Every function raises ValueError for other shapes, too few frames, and NaN or infinity.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter1d

from motionmamba.evaluation.kinematics import PELVIS, heading, travel, travel_angle, turn
from motionmamba.motion.skeleton import skeleton_of

CONTACT_HEIGHT = 0.05  # metres
SKATING_SPEED = 0.5  # m/s, 2.5 cm in a frame at 20 fps
SKATING_WINDOW = 0.25  # seconds, 5 frames at 20 fps
STANDING = 0.1  # metres; who goes less has no direction
ROWS = 256  # whose distances to all others are in memory at once
NO_DIRECTION = 90.0  # degrees that a random direction is off by on average


def foot_skate_ratio(joints, fps: float) -> float:
    """Share of the steps between frames in which a foot slides over the floor.

    A foot slides while its toes are lower than 5 cm at both ends of the step and go faster than
    0.5 m/s over the ground, in the step and on average over a quarter second about it. That is
    GMD's measure (Karunratanakul et al. 2023), 2.5 cm in a frame of its 20 fps, but heights are
    over the lowest that toes get to in this motion. Walking people are not at 0: toes leave and
    reach the floor at speed.
    """
    joints = _checked("joints", joints, 2)
    toes = joints[:, [toe for _, toe in skeleton_of(joints.shape[1]).feet]]
    low = toes[..., 1] < toes[..., 1].min() + CONTACT_HEIGHT
    pace = np.linalg.norm(np.diff(toes[..., ::2], axis=0), axis=-1) * fps
    window = max(round(SKATING_WINDOW * fps), 1)
    smooth = uniform_filter1d(pace, window, axis=0, mode="nearest")
    sliding = np.minimum(pace, smooth) > SKATING_SPEED
    return float((low[:-1] & low[1:] & sliding).any(1).mean())


def mean_jerk(joints, fps: float) -> float:
    """Mean size of the third derivative of the joints' positions, m/s^3, over joints and frames.

    Noise and stutter raise it, blur lowers it: what counts is how near it is to real motion's.
    """
    joints = _checked("joints", joints, 4)
    return float(np.linalg.norm(np.diff(joints, 3, axis=0), axis=-1).mean() * fps**3)


def path_error(joints, reference) -> float:
    """Mean distance in metres between the paths of two pelvises over the ground, (T, J, 3) each.

    Both are put so that they start at the origin with the hips facing Z+.
    """
    joints, reference = _checked("joints", joints, 1), _checked("reference", reference, 1)
    if len(joints) != len(reference):
        raise ValueError(
            f"joints have {len(joints)} frames and reference {len(reference)}; cut the longer one."
        )
    return float(np.linalg.norm(_ground_path(joints) - _ground_path(reference), axis=-1).mean())


def _ground_path(joints: np.ndarray) -> np.ndarray:
    """Path (T, 2) of the pelvis, left and forward of how it starts."""
    x, z = (joints[:, PELVIS] - joints[0, PELVIS])[:, ::2].T
    cos, sin = np.cos(heading(joints[:1])), np.sin(heading(joints[:1]))
    return np.stack([cos * x - sin * z, sin * x + cos * z], -1)


class Direction(NamedTuple):
    """A stated way to go, or to turn, by `least` to `most` degrees, to the left positive.

    The way is 0 forward, 90 to the left, 180 backward. Without a side, `either` is as good.
    """

    turns: bool
    least: float
    most: float
    either: bool = False


_WORDS = {
    kind: re.compile(rf"\b(?:{words})\b")
    for kind, words in {
        "forward": r"forwards?|ahead|onwards?|straight",
        "backward": r"backwards?|rearwards?|in reverse|back(?:s|ed|ing) (?:away|up|off)",
        "sideways": r"side[- ]?step\w*|sideways|lateral\w*",
        "diagonal": r"diagonal\w*",
        "turn": r"turn(?:s|ed|ing)?|rotat\w+|pivot\w*",
        "curve": r"veer\w*|curv\w+",
        "circle": r"(?:semi-?)?circles?|circling",
    }.items()
}
_SIDES = {"left": r"\b(?:left|(?:counter|anti)-?clockwise)\b", "right": r"\b(?:right|clockwise)\b"}
_TURN_AROUND = r"\b(?:turn|rotat|pivot)\w* around\b"
_AMOUNTS = {  # of turns, degrees
    r"\b90\b|\bninety\b|\bquarter\b": 90,
    rf"\b180\b|\bhalf\b|\bsemi|\bu-turn|{_TURN_AROUND}": 180,
    r"\b360\b|\b(?:full|whole|complete) (?:left |right )?(?:circle|turn|rotation)\b": 360,
}
_GAITS = re.compile(
    r"\b(?:walk|run|ran|jog|stroll|strid|strod|go\b|goes|going|went|mov|sprint|dash|march|travel|"
    r"proceed|pace|pacing|advanc|tread|rush|rac(?:es?|ing)\b|jump|hop|leap|skip|crawl|sneak|"
    r"shuffl|back(?:s|ed|ing)\b)"
)
_STEPS = re.compile(r"\bstep")
# Sides of parts of the body, and phrases that sound like going, or like a direction of it.
_IGNORED = re.compile(
    r"\b(?:left|right)[- ](?:hand|arm|leg|foot|feet|palm|wrist|knee|elbow|shoulder|fist|limb|"
    r"forearm|thigh|ankle|hip|one)\w*|\bon foot\b|\bstraight up\b|"
    r"\bgo ahead and\b|\bproceeds? to\b|\bgoing to\b"
)
# Words that leave it open what moves, how often, or where to.
_UNCLEAR = re.compile(
    r"\b(?:heads?|torso|trunk|body|look\w*|fac(?:e|es|ing)|spin\w*|spun|twirl\w*|twist\w*|or|"
    r"again|repeatedly|twice|times|several|always|keep\w* turning|return\w*|without|zig\w*|"
    r"round|all the way|corner|loop|lap|now and then)\b"
)
# Words of going that is not forward, or of what else moves forward.
_UNCLEAR_WAY = re.compile(
    r"\b(?:arms?|hands?|palms?|legs?|foot|b[eo]w\w*|bend\w*|bent|lean\w*|kick\w*|punch\w*|"
    r"reach\w*|swing\w*|back|around|place|spot|over|left|right|\w*clockwise)\b"
)
_SEQUENCE = re.compile(
    r"\b(?:then|next|before|after\w*|followed|finally|later|lastly|eventually)\b"
)


def stated_direction(text: str) -> Direction | None:
    """The one direction of the way or of a turn that a caption states, None if in any doubt.

    Doubt are several directions, gaits or turns, both sides, and words that leave it open what
    moves or how far.
    """
    text = _IGNORED.sub(" ", text.lower())
    kinds = {kind for kind, words in _WORDS.items() if words.search(text)}
    sides = [side for side, words in _SIDES.items() if re.search(words, text)]
    if len(sides) > 1 or _UNCLEAR.search(text):
        return None
    sign = {"left": 1, "right": -1}[sides[0]] if sides else 0
    if kinds in ({"forward"}, {"backward"}):
        gaits = _GAITS.findall(text) or _STEPS.findall(text)[:1]
        clear = len(gaits) == 1 and not _UNCLEAR_WAY.search(_WORDS["backward"].sub(" ", text))
        return _way(180.0 * ("backward" in kinds)) if clear else None
    if sign and kinds == {"sideways"}:
        steps_aside = re.search(r"\bside[- ]?step", text)
        return None if steps_aside and _GAITS.search(text) else _way(90.0 * sign)
    if sign and kinds in ({"diagonal"}, {"diagonal", "forward"}):
        return _way(45.0 * sign)
    if kinds in ({"turn"}, {"curve"}, {"circle"}, {"circle", "turn"}):
        return _stated_turn(text, kinds, sign)
    return None


def _way(angle: float) -> Direction:
    return Direction(False, angle, angle)


def _stated_turn(text: str, kinds: set[str], sign: int) -> Direction | None:
    amounts = {angle for words, angle in _AMOUNTS.items() if re.search(words, text)}
    if len(amounts) > 1 or any(len(_WORDS[kind].findall(text)) > 1 for kind in kinds):
        return None
    # "walks around and turns left", "walks in a circle and steps to the left"
    open_ended = "around" in re.sub(_TURN_AROUND, " ", text)
    if _SEQUENCE.search(text) if "circle" in kinds else open_ended:
        return None
    if amounts:
        least, most = min(amounts) - 45.0, min(amounts) + 45.0
    elif "circle" in kinds:
        least, most = 240.0, np.inf  # nobody says how often it is walked
    elif sign:
        least, most = (10.0 if "curve" in kinds else 30.0), 150.0
    else:
        return None
    least, most = (least, most) if sign >= 0 else (-most, -least)
    return Direction(True, least, most, either=not sign)


def direction_error(joints, direction: Direction, fps: float) -> float:
    """Degrees by which the root misses a stated direction.

    For a way, the angle between it and where the pelvis goes as seen from the facing body, 90 if
    it stays within 10 cm; for a turn, what the hips turn too little or too much.
    """
    joints = _checked("joints", joints, 2)
    if not direction.turns:
        if np.hypot(*travel(joints)) < STANDING:
            return NO_DIRECTION
        return abs((travel_angle(joints) - direction.least + 180) % 360 - 180)
    angles = [turn(joints, fps)]
    angles += [-angles[0]] if direction.either else []
    return min(max(direction.least - a, a - direction.most, 0.0) for a in angles)


def nearest_distance(embeddings, training) -> np.ndarray:
    """Distance of each row of embeddings (N, D) to the nearest of training (M, D): (N,).

    Generated motion that comes much nearer to the training set than held-out motion is memorised.
    """
    embeddings, training = (
        _finite(name, values, "(N, D)")
        for name, values in (("embeddings", embeddings), ("training", training))
    )
    if embeddings.shape[1] != training.shape[1]:
        raise ValueError(
            f"embeddings are {embeddings.shape[1]} wide and training {training.shape[1]}; take "
            "both from one evaluator."
        )
    squares = np.square(training).sum(1)
    parts = -(-len(embeddings) // ROWS)
    nearest = np.concatenate(
        [(squares - 2 * rows @ training.T).argmin(1) for rows in np.array_split(embeddings, parts)]
    )
    # by differences, since equal rows are to be at 0 exactly
    return np.linalg.norm(embeddings - training[nearest], axis=1)


def length_histogram(lengths: Sequence[int], fps: float) -> list[dict[str, float]]:
    """How many motions of so many frames last from each full second to before the next."""
    counts = np.bincount((np.asarray(lengths) / fps).astype(int))
    return [{"seconds": second, "count": int(count)} for second, count in enumerate(counts)]


def _checked(name: str, joints, least: int) -> np.ndarray:
    joints = _finite(name, joints, "(T, J, 3)")
    skeleton_of(joints.shape[1])
    if joints.shape[2] != 3 or len(joints) < least:
        raise ValueError(
            f"{name} have shape {joints.shape}, expected (T, J, 3) with at least {least} frames."
        )
    return joints


def _finite(name: str, values, shape: str) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.ndim != shape.count(",") + 1 or not values.size:
        raise ValueError(f"{name} have shape {values.shape}, expected a non-empty {shape}.")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} have NaN or infinity, expected finite numbers; leave them out.")
    return values
