"""Does a motion do what its sentence says? Plain measurements of joints, no learned evaluator.

Joints are (T, 22, 3) in metres, Y up, of an adult body such as HumanML3D's uniform skeleton, with
frames per second; sides are the person's own, angles to the left are positive. Where the body
stands and faces never matters. `CHECKS` are the measurements with a threshold; those were set on
recordings of Bandai-Namco's and CMU's sets whose content is known.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from motionmamba.motion.skeleton import skeleton_of

PELVIS, NECK = 0, 12
HIPS, KNEES, ANKLES, TOES = (1, 2), (4, 5), (7, 8), (10, 11)  # left, right
SHOULDERS, WRISTS = (16, 17), (20, 21)
LEFT, RIGHT = 0, 1
SIGN = (1, -1)  # of angles to each side
ANKLE_HEIGHT = 0.07  # over the sole

Check = Callable[[np.ndarray, float], bool]


def speeds(joints: np.ndarray, fps: float) -> np.ndarray:
    """Speed of the pelvis over the ground between frames (T - 1,), m/s; any skeleton."""
    return np.linalg.norm(np.diff(joints[:, PELVIS, ::2], axis=0), axis=-1) * fps


def speed(joints: np.ndarray, fps: float) -> float:
    """Mean speed of the pelvis over the ground, m/s."""
    return float(speeds(joints, fps).mean())


def speed_gain(joints: np.ndarray, fps: float) -> float:
    """How much faster the last third of the motion goes than the first, m/s."""
    first, _, last = np.array_split(speeds(joints, fps), 3)
    return float(last.mean() - first.mean())


def heading(joints: np.ndarray) -> np.ndarray:
    """Direction that the hips face in each frame (T,), radians, unwrapped; any skeleton."""
    right, left = skeleton_of(joints.shape[1]).face_joints[:2]
    across = joints[:, left] - joints[:, right]
    return np.unwrap(np.arctan2(-across[:, 2], across[:, 0]))


def turn(joints: np.ndarray, fps: float) -> float:
    """Degrees turned from the first to the last quarter second; any skeleton."""
    angle, edge = heading(joints), max(round(fps / 4), 1)
    return float(np.degrees(angle[-edge:].mean() - angle[:edge].mean()))


def travel(joints: np.ndarray) -> np.ndarray:
    """Metres gone (left, forward), each step seen from how the body then faces; any skeleton."""
    x, z = np.diff(joints[:, PELVIS, ::2], axis=0).T
    angle = heading(joints)
    between = (angle[:-1] + angle[1:]) / 2
    cos, sin = np.cos(between), np.sin(between)
    return np.array([(cos * x - sin * z).sum(), (sin * x + cos * z).sum()])


def travel_angle(joints: np.ndarray) -> float:
    """Direction of `travel` in degrees, 0 forward, 90 to the left, 180 backward; any skeleton."""
    return float(np.degrees(np.arctan2(*travel(joints))))


def raised(joints: np.ndarray, side: int) -> np.ndarray:
    """Frames (T,) in which a wrist is higher than its shoulder."""
    return joints[:, WRISTS[side], 1] > joints[:, SHOULDERS[side], 1]


def reversals(joints: np.ndarray, side: int, least: float = 0.05) -> int:
    """How often a raised hand changes direction, counting swings of at least `least` metres."""
    arm = joints[:, WRISTS[side]] - joints[:, SHOULDERS[side]]
    arm = arm[raised(joints, side)]
    if len(arm) < 4:
        return 0
    # the hand moves most where it goes up and down, and swings along another direction
    centred = arm - arm.mean(0)
    swings = centred @ np.linalg.svd(centred, full_matrices=False)[2].T
    return max(_reversals(swing, least) for swing in swings.T)


def _reversals(values: np.ndarray, least: float) -> int:
    """Turning points of a sequence (T,) that lie at least `least` apart."""
    count, extreme, direction = 0, values[0], 0
    for value in values[1:]:
        moved = value - extreme
        if direction * moved >= 0:
            if direction or abs(moved) >= least:
                extreme, direction = value, direction or int(np.sign(moved))
        elif abs(moved) >= least:
            count, extreme, direction = count + 1, value, -direction
    return count


def soles(joints: np.ndarray) -> np.ndarray:
    """Height of the lowest part of each foot (T, 2)."""
    return np.minimum(joints[:, ANKLES, 1] - ANKLE_HEIGHT, joints[:, TOES, 1])


def floor(joints: np.ndarray) -> float:
    """Height on which feet stand, a few noisy frames aside."""
    return float(np.percentile(soles(joints).min(1), 2))


def hip_height(joints: np.ndarray) -> np.ndarray:
    """Height of the hips (T,) over the floor, 1 where the body stands on straight legs."""
    bones = joints[:, [*HIPS, *KNEES]] - joints[:, [*KNEES, *ANKLES]]
    leg = np.median(np.linalg.norm(bones, axis=-1), axis=0).sum() / 2
    return (joints[:, HIPS, 1].mean(1) - floor(joints)) / (leg + ANKLE_HEIGHT)


def tilt(bones: np.ndarray) -> np.ndarray:
    """Degrees of vectors (..., 3) from straight up."""
    return np.degrees(np.arccos((bones[..., 1] / np.linalg.norm(bones, axis=-1)).clip(-1, 1)))


def longest(mask: np.ndarray, fps: float) -> float:
    """Seconds of the longest run of frames (T,) in which a mask holds."""
    edges = np.flatnonzero(np.diff(np.r_[0, mask.astype(np.int8), 0]))
    return float(np.diff(edges.reshape(-1, 2)).max(initial=0) / fps)


def thigh_angles(joints: np.ndarray) -> np.ndarray:
    """Degrees of each thigh (T, 2) from hanging straight down."""
    return tilt(joints[:, HIPS] - joints[:, KNEES])


def _forward(vectors: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Part of vectors (T, 3) that points where the body faces (T,)."""
    angle = heading(joints)
    return vectors[:, 0] * np.sin(angle) + vectors[:, 2] * np.cos(angle)


def _jumps(joints: np.ndarray, fps: float) -> bool:
    """Both feet 8 cm off the floor for 0.1 s, the hips higher than any legs can lift them."""
    airborne = (soles(joints).min(1) > floor(joints) + 0.08) & (hip_height(joints) > 1.08)
    return longest(airborne, fps) >= 0.1


def _sits(joints: np.ndarray, fps: float) -> bool:
    """Both thighs bent up for 1.5 s with the pelvis at rest, which is hard without a seat."""
    angles = thigh_angles(joints)
    pace = np.linalg.norm(np.gradient(joints[:, PELVIS], axis=0), axis=-1) * fps
    seated = (angles.mean(1) > 45) & (angles.min(1) > 25) & (pace < 0.35)
    return longest(seated, fps) >= 1.5


def _crouches(joints: np.ndarray, fps: float) -> bool:
    """Hips below 7/10 of their standing height for 0.25 s, on bent legs and not seated."""
    low = (hip_height(joints) < 0.7) & (thigh_angles(joints).min(1) > 25)
    return longest(low, fps) >= 0.25 and not _sits(joints, fps)


def _squats(joints: np.ndarray, fps: float) -> bool:
    """Crouches, and stands upright both before and after."""
    height = hip_height(joints)
    lowest = height.argmin()
    upright = min(height[: lowest + 1].max(), height[lowest:].max()) > 0.9
    return bool(upright) and _crouches(joints, fps)


def _bows(joints: np.ndarray, fps: float) -> bool:
    """The trunk tips forward by 20 degrees and comes up again, hips staying high and in place."""
    trunk = joints[:, NECK] - joints[:, PELVIS]
    lean = np.degrees(np.arctan2(_forward(trunk, joints), trunk[:, 1]))
    deepest = lean.argmax()
    tipped = lean[deepest] - max(lean[: deepest + 1].min(), lean[deepest:].min())
    return bool(tipped > 20 and hip_height(joints).min() > 0.8 and speed(joints, fps) < 0.3)


def _kicks(joints: np.ndarray, side: int) -> bool:
    """A nearly straight leg swings forward to 45 degrees from hanging, 20 cm off the floor."""
    leg = joints[:, ANKLES[side]] - joints[:, HIPS[side]]
    bones = joints[:, [HIPS[side], KNEES[side]]] - joints[:, [KNEES[side], ANKLES[side]]]
    stretched = np.linalg.norm(leg, axis=-1) / np.linalg.norm(bones, axis=-1).sum(1)
    ahead = _forward(leg, joints) > 0
    lifted = soles(joints)[:, side] > floor(joints) + 0.2  # unlike in a lunge
    return bool(((tilt(-leg) > 45) & (stretched > 0.8) & ahead & lifted).any())


def _only(measure: Callable, joints: np.ndarray, side: int) -> bool:
    return measure(joints, side) and not measure(joints, 1 - side)


def _hand_up(joints: np.ndarray, side: int) -> bool:
    """A wrist is higher than its shoulder in a tenth of the frames."""
    return bool(raised(joints, side).mean() > 0.1)


def _waves(joints: np.ndarray, side: int) -> bool:
    """A raised hand turns back four times."""
    # an arm that goes up in an arc and comes down again turns up to three times
    return reversals(joints, side) >= 4


def _both(measure: Callable, joints: np.ndarray) -> bool:
    return measure(joints, LEFT) and measure(joints, RIGHT)


def _goes(joints: np.ndarray, way: float, within: float = 45, least: float = 0.5) -> bool:
    """Gets on by at least so many metres, in a direction within so many degrees of `way`."""
    off = (travel_angle(joints) - way + 180) % 360 - 180
    return bool(np.hypot(*travel(joints)) > least and abs(off) < within)


def _circles(joints: np.ndarray, fps: float, sign: int) -> bool:
    """Two thirds of a turn or more while going 1.5 m, the path coming back on itself."""
    length = speed(joints, fps) * (len(joints) - 1) / fps
    gap = np.linalg.norm(joints[-1, PELVIS, ::2] - joints[0, PELVIS, ::2])
    return bool(sign * turn(joints, fps) > 240 and length > 1.5 and gap < length / 2)


_PLAIN: dict[str, Check] = {
    "stands": lambda j, fps: speed(j, fps) < 0.3,
    "walks": lambda j, fps: 0.3 < speed(j, fps) < 2.0,
    "walks slowly": lambda j, fps: 0.2 < speed(j, fps) < 0.9,
    "walks briskly": lambda j, fps: 1.1 < speed(j, fps) < 2.2,
    "runs": lambda j, fps: speed(j, fps) > 1.8,
    "speeds up": lambda j, fps: speed_gain(j, fps) > 0.5,
    "slows down": lambda j, fps: speed_gain(j, fps) < -0.5,
    "goes forward": lambda j, fps: _goes(j, way=0),
    "goes backward": lambda j, fps: _goes(j, way=180),
    "turns around": lambda j, fps: 130 < abs(turn(j, fps)) < 230,
    "circles": lambda j, fps: _circles(j, fps, 1) or _circles(j, fps, -1),
    "both hands up": lambda j, fps: _both(_hand_up, j),
    "both hands wave": lambda j, fps: _both(_waves, j),
    "sits": _sits,
    "jumps": _jumps,
    "crouches": _crouches,
    "squats": _squats,
    "bows": _bows,
}
# {} is the side; functions of joints, fps, side
_SIDED: dict[str, Callable] = {
    "turns {}": lambda j, fps, side: SIGN[side] * turn(j, fps) > 40,
    "turns around to the {}": lambda j, fps, side: 130 < SIGN[side] * turn(j, fps) < 230,
    "circles to the {}": lambda j, fps, side: _circles(j, fps, SIGN[side]),
    "steps to the {}": lambda j, fps, side: _goes(j, 90 * SIGN[side], least=0.3),
    "goes diagonally {}": lambda j, fps, side: _goes(j, 45 * SIGN[side], 35),
    "{} hand up": lambda j, fps, side: _only(_hand_up, j, side),
    "{} hand waves": lambda j, fps, side: _only(_waves, j, side),
    "{} leg kicks": lambda j, fps, side: _only(_kicks, j, side),
}
_SIDES = {"left": LEFT, "right": RIGHT}
CHECKS = _PLAIN | {
    name.format(word): partial(check, side=side)
    for name, check in _SIDED.items()
    for word, side in _SIDES.items()
}
OPPOSITE = {
    name.format(word): name.format(other)
    for name in _SIDED
    for word, other in (("left", "right"), ("right", "left"))
}


def passes(check: str, joints: np.ndarray, fps: float) -> bool:
    """Whether a motion passes the check of that name in `CHECKS`."""
    return bool(CHECKS[check](joints, fps))


def wrong_side(check: str, joints: np.ndarray, fps: float) -> bool:
    """Whether a motion does on the other side what the check asks for."""
    return check in OPPOSITE and passes(OPPOSITE[check], joints, fps)
