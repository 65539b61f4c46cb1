"""What happens in a recording, and when: measured from its joints, for captions that are true.

All thresholds are in metres, seconds and degrees of an adult body at 20 frames per second, and
were set by looking at recordings of CMU's database.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from motionmamba.motion.skeleton import HUMANML3D

FPS = HUMANML3D.fps
PELVIS, NECK, HEAD = 0, 12, 15
HIPS, KNEES, ANKLES, TOES = (1, 2), (4, 5), (7, 8), (10, 11)
SHOULDERS, ELBOWS, WRISTS = (16, 17), (18, 19), (20, 21)
SIDES = ("left", "right")
ANKLE_HEIGHT = 0.07  # over the sole, as toes are

MOVING, RUNNING, SPRINTING = 0.35, 2.1, 4.3  # m/s of the root
PACES = {"walk": (0.8, 1.4), "back": (0.6, 1.0), "run": (2.3, 3.8)}  # m/s: slow below, fast above
STRIDE = 0.6  # metres, the least that counts as going
TURN_RATE, TURN, VEER = 18.0, 55.0, 28.0  # degrees a second, degrees
STILL = 0.25  # m/s of the fastest joint


@dataclass(frozen=True)
class Event:
    """Something that happens from frame `start` up to frame `end`; `times` in a row.

    Kinds: walk, run, sprint, back and side (going, in some direction), turn, uturn and spin
    (turning by about a quarter, a half, a whole circle or more), veer, jump, hop (on one leg),
    leap (while running), drop (off something high), off_ground, sit, rise (from a seat), squat,
    bend, duck, jack (jumping jack), jog and march (in place), twist (of the trunk), reach (up
    with both hands).
    """

    kind: str
    start: int
    end: int
    side: str = ""
    pace: str = ""
    times: int = 1

    @property
    def frames(self) -> int:
        return self.end - self.start


def find_events(joints: np.ndarray) -> list[Event]:
    """Events of joints (T, 22, 3), metres, Y up, 20 fps; they may overlap. Sorted by start."""
    body = Body(joints)
    finders = (_going, _turns, _flights, _off_ground, _sitting, _squats, _bends, _ducks)
    finders += (_jacks, _steps_in_place, _twists, _reaches)
    return sorted(
        (event for find in finders for event in find(body)), key=lambda e: (e.start, -e.end, e.kind)
    )


class Body:
    """Signals of a motion of T frames that events are found in."""

    def __init__(self, joints: np.ndarray):
        self.joints = np.asarray(joints, np.float64)

    @cached_property
    def velocity(self) -> np.ndarray:
        """(T, 2) of the root over the ground, m/s, its sway smoothed away."""
        return np.gradient(_smooth(self.joints[:, PELVIS, ::2], 13), axis=0) * FPS

    @cached_property
    def speed(self) -> np.ndarray:
        return np.linalg.norm(self.velocity, axis=1)

    @cached_property
    def heading(self) -> np.ndarray:
        """(T,) degrees that the hips face, to the left positive."""
        return _yaw(self.joints[:, HIPS[0]] - self.joints[:, HIPS[1]])

    @cached_property
    def direction(self) -> np.ndarray:
        """(T,) degrees from where the body faces to where it goes, to the left positive."""
        way = np.degrees(np.arctan2(self.velocity[:, 0], self.velocity[:, 1]))
        return (way - _smooth(self.heading, 11) + 180) % 360 - 180

    @cached_property
    def soles(self) -> np.ndarray:
        """(T, 2) height of the lowest part of each foot."""
        ankles, toes = self.joints[:, ANKLES, 1], self.joints[:, TOES, 1]
        return np.minimum(ankles - ANKLE_HEIGHT, toes)

    @cached_property
    def floor(self) -> float:
        return float(np.percentile(self.soles.min(1), 2))

    @cached_property
    def ground(self) -> np.ndarray:
        """(T,) what the feet touch about that time: steps and ledges as well as the floor."""
        return _sliding_min(self.soles.min(1), 20)

    @cached_property
    def leg(self) -> float:
        bones = [self.joints[:, a] - self.joints[:, b] for a, b in ((1, 4), (4, 7), (2, 5), (5, 8))]
        return float(sum(np.median(np.linalg.norm(bone, axis=1)) for bone in bones) / 2)

    @cached_property
    def rise(self) -> np.ndarray:
        """(T,) height of the hips over the ground, 1 where the body stands."""
        hips = self.joints[:, HIPS, 1].mean(1)
        return (hips - self.ground) / (self.leg + ANKLE_HEIGHT)

    @cached_property
    def thighs(self) -> np.ndarray:
        """(T, 2) degrees of each thigh from hanging straight down."""
        return _tilt(self.joints[:, HIPS] - self.joints[:, KNEES])

    @cached_property
    def trunk(self) -> np.ndarray:
        """(T,) degrees of the trunk from upright."""
        return _tilt(self.joints[:, NECK] - self.joints[:, PELVIS])

    @cached_property
    def motion(self) -> np.ndarray:
        """(T,) m/s of the fastest joint."""
        steps = np.linalg.norm(np.diff(self.joints, axis=0), axis=-1).max(1) * FPS
        return _smooth(np.append(steps, steps[-1:]), 5)


def _going(body: Body) -> Iterator[Event]:
    """Walks and runs, by direction: a stretch of steady going at a time."""
    elevated = body.ground > body.floor + 1.0
    moving = _runs((body.speed > MOVING) & ~elevated, close=8, least=12)
    for start, end in moving:
        angle, speed = np.abs(body.direction[start:end]), _smooth(body.speed[start:end], 9)
        label = np.where(angle > 125, 2, np.where(angle > 55, 3, 0))
        label = np.where(speed > RUNNING, 1, label)
        for first, last in _constant(label, least=14):
            first, last = first + start, last + start
            path = body.speed[first:last].sum() / FPS
            if path < STRIDE:
                continue
            kind = ("walk", "run", "back", "side")[label[(first + last) // 2 - start]]
            pace = path / (last - first) * FPS
            side = ""
            if kind == "side":
                side = SIDES[int(np.sin(np.radians(body.direction[first:last])).sum() < 0)]
            if kind == "run" and pace > SPRINTING:
                kind = "sprint"
            yield Event(kind, first, last, side, _band(pace, PACES.get(kind)))


def _turns(body: Body) -> Iterator[Event]:
    heading = _smooth(body.heading, 17)
    rate = np.gradient(heading) * FPS
    for sign, side in ((1, "left"), (-1, "right")):
        for start, end in _runs(sign * rate > TURN_RATE, close=4, least=5):
            angle = sign * (heading[end - 1] - heading[start])
            going = body.speed[start:end].mean() > MOVING
            if angle > 300:
                yield Event("spin", start, end, side)
            elif angle > 135:
                yield Event("uturn", start, end, side)
            elif angle > TURN:
                yield Event("turn", start, end, side)
            elif angle > VEER and going:
                yield Event("veer", start, end, side)


def _flights(body: Body) -> Iterator[Event]:
    """Jumps, hops and leaps, each run of like ones as one event."""
    ground = body.ground
    flying = body.soles.min(1) > ground + 0.09
    found = []
    for start, end in _runs(flying, close=0, least=3):
        if end - start > 18 or start == 0 or end == len(flying):
            continue
        hips = body.joints[:, HIPS, 1].mean(1)
        if hips[start:end].max() - (ground[start:end].min() + body.leg + ANKLE_HEIGHT) < 0.08:
            continue
        fall = hips[start:end].max() - hips[end : end + 8].min()
        lifted = body.soles[max(start - 5, 0) : start] - ground[max(start - 5, 0) : start, None]
        one_leg = np.abs(np.diff(lifted.mean(0)))[0] > 0.15
        side = SIDES[int(np.argmin(lifted.mean(0)))]
        first, last = max(start - 6, 0), min(end + 6, len(flying))
        if fall > 0.75:
            found.append(Event("drop", first, last))
        elif body.speed[start:end].mean() > 1.6 and one_leg:
            found.append(Event("leap", first, last))
        elif one_leg:
            found.append(Event("hop", first, last, side))
        else:
            found.append(Event("jump", first, last))
    yield from _joined(found, gap=24)


def _off_ground(body: Body) -> Iterator[Event]:
    """Both feet on something high, or hanging."""
    for start, end in _runs(body.soles.min(1) > body.floor + 0.2, close=6, least=22):
        yield Event("off_ground", start, end)


def _sitting(body: Body) -> Iterator[Event]:
    bent = (body.thighs.mean(1) > 42) & (body.thighs.min(1) > 25)
    sitting = bent & (body.speed < 0.25) & (body.trunk < 60)
    for start, end in _runs(sitting, close=8, least=30):
        yield Event("sit", start, end)
        if (up := body.rise[end : end + 40] > 0.93).any():
            yield Event("rise", end, min(end + max(int(up.argmax()), 16), len(sitting)))


def _squats(body: Body) -> Iterator[Event]:
    feet = body.soles.max(1) < body.floor + 0.12
    low = _runs((body.rise < 0.75) & feet & (body.speed < 0.6), close=3, least=4)
    found = [
        Event("squat", max(start - 10, 0), min(end + 10, len(feet)))
        for start, end in low
        if end - start < 45 and start > 0 and end < len(feet)
    ]
    yield from _joined(found, gap=20)


def _bends(body: Body) -> Iterator[Event]:
    bent = _runs((body.trunk > 55) & (body.rise > 0.7), close=4, least=6)
    yield from _joined([Event("bend", s, e) for s, e in bent], gap=20)


def _ducks(body: Body) -> Iterator[Event]:
    head = body.joints[:, HEAD, 1] - body.floor
    standing = np.percentile(head, 90)
    low = (head < 0.72 * standing) & (body.speed > 0.3) & (body.soles.min(1) < body.floor + 0.15)
    for start, end in _runs(low, close=5, least=8):
        yield Event("duck", start, end)


def _jacks(body: Body) -> Iterator[Event]:
    """Arms up over the head and down again with a jump each time."""
    reach = (body.joints[:, WRISTS, 1] - body.joints[:, SHOULDERS, 1]).min(1)
    ups = [start for start, _ in _runs(reach > 0.12, close=2, least=2)]
    wide = np.linalg.norm(body.joints[:, ANKLES[0]] - body.joints[:, ANKLES[1]], axis=-1)
    for first, last in _rows(ups, gap=32, least=2):
        cycle = slice(max(first - 8, 0), last + 12)
        if np.ptp(wide[cycle]) > 0.25 and reach[first:last].min() < -0.1:
            times = sum(first <= up <= last for up in ups)
            yield Event("jack", cycle.start, min(last + 14, len(reach)), times=times)


def _steps_in_place(body: Body) -> Iterator[Event]:
    """Knees lifted in turn without getting on: a jog, or a march with high knees."""
    lift = body.joints[:, KNEES[0], 1] - body.joints[:, KNEES[1], 1]
    ups = _alternations(_runs(lift > 0.05, 1, 2), _runs(lift < -0.05, 1, 2))
    for first, last in _rows(ups, gap=26, least=3):
        if body.speed[first:last].mean() < 0.5:
            lifted = np.percentile(body.thighs[first:last].max(1), 75)
            kind = "march" if lifted > 62 else "jog"
            yield Event(kind, max(first - 6, 0), min(last + 10, len(lift)))


def _twists(body: Body) -> Iterator[Event]:
    """The trunk turned from side to side over standing feet."""
    chest = _yaw(body.joints[:, SHOULDERS[0]] - body.joints[:, SHOULDERS[1]])
    feet = body.joints[:, TOES] - body.joints[:, ANKLES]
    stance = np.degrees(np.unwrap(np.arctan2(feet[..., 0].sum(1), feet[..., 2].sum(1))))
    swing = (chest - stance + 180) % 360 - 180
    swings = _alternations(_runs(swing > 32, 2, 3), _runs(swing < -32, 2, 3))
    standing = body.soles.max(1) < body.floor + 0.12
    for first, last in _rows(swings, gap=70, least=2):
        if body.speed[first:last].mean() < 0.35 and standing[first:last].mean() > 0.8:
            yield Event("twist", max(first - 20, 0), min(last + 16, len(swing)))


def _reaches(body: Body) -> Iterator[Event]:
    """Both hands over the head."""
    over = body.joints[:, WRISTS, 1] - body.joints[:, HEAD, None, 1]
    for start, end in _runs(over.min(1) > 0.15, close=3, least=6):
        yield Event("reach", start, end)


def _joined(events: list[Event], gap: int) -> Iterator[Event]:
    """Events with like ones that soon follow made one of several times."""
    row: Event | None = None
    for event in events:
        alike = row and (row.kind, row.side) == (event.kind, event.side)
        if alike and event.start - row.end <= gap:
            row = replace(row, end=event.end, times=row.times + 1)
            continue
        if row:
            yield row
        row = event
    if row:
        yield row


def _alternations(ones: list[tuple[int, int]], others: list[tuple[int, int]]) -> list[int]:
    """When one kind of run begins after one of the other kind."""
    begins = sorted([(start, 0) for start, _ in ones] + [(start, 1) for start, _ in others])
    pairs = zip(begins, begins[1:], strict=False)
    return [start for (_, before), (start, kind) in pairs if kind != before]


def _rows(moments: list[int], gap: int, least: int) -> list[tuple[int, int]]:
    """First and last of moments that follow each other within a gap, at least so many."""
    rows: list[list[int]] = []
    for moment in moments:
        if rows and moment - rows[-1][-1] <= gap:
            rows[-1].append(moment)
        else:
            rows.append([moment])
    return [(row[0], row[-1]) for row in rows if len(row) >= least]


def _runs(mask: np.ndarray, close: int, least: int) -> list[tuple[int, int]]:
    """(start, end) where a mask holds: gaps of up to `close` are passed over, short runs left."""
    edges = np.flatnonzero(np.diff(np.r_[0, mask.astype(np.int8), 0]))
    runs: list[list[int]] = []
    for start, end in edges.reshape(-1, 2):
        if runs and start - runs[-1][1] <= close:
            runs[-1][1] = int(end)
        else:
            runs.append([int(start), int(end)])
    return [(start, end) for start, end in runs if end - start >= least]


def _constant(labels: np.ndarray, least: int) -> list[tuple[int, int]]:
    """(start, end) of equal labels; those shorter than `least` go to the one before."""
    bounds = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    stretches: list[list[int]] = []
    for start, end in zip(bounds, bounds[1:], strict=False):
        same = stretches and labels[stretches[-1][0]] == labels[start]
        if stretches and (end - start < least or same):
            stretches[-1][1] = end
        elif stretches and stretches[-1][1] - stretches[-1][0] < least:
            stretches[-1] = [start, end]
        else:
            stretches.append([start, end])
    return [(start, end) for start, end in stretches]


def _smooth(signal: np.ndarray, frames: int) -> np.ndarray:
    """The mean over an odd number of frames along axis 0, edges repeated."""
    half = frames // 2
    padded = np.pad(signal, [(half, half)] + [(0, 0)] * (signal.ndim - 1), mode="edge")
    sums = np.cumsum(np.concatenate([np.zeros_like(padded[:1]), padded]), axis=0)
    return (sums[frames:] - sums[:-frames]) / frames


def _sliding_min(signal: np.ndarray, half: int) -> np.ndarray:
    padded = np.pad(signal, half, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1).min(1)


def _yaw(across: np.ndarray) -> np.ndarray:
    """Degrees that bodies face whose right-to-left axis is `across` (T, 3), unwrapped."""
    return np.degrees(np.unwrap(np.arctan2(-across[:, 2], across[:, 0])))


def _tilt(bones: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos((bones[..., 1] / np.linalg.norm(bones, axis=-1)).clip(-1, 1)))


def _band(value: float, limits: tuple[float, float] | None) -> str:
    if limits is None:
        return ""
    return "slow" if value < limits[0] else "fast" if value > limits[1] else ""
