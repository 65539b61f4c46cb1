"""What is said of a stretch of CMU's recordings: their descriptions, where measurement agrees.

CMU's descriptions are of whole trials: "playground - climb, sit, dangle legs, descend". A stretch
of a trial is told by a single action that goes on all the time, by the parts that are found in it,
or by the whole list where it is the whole trial; never by what it may not show.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from motionmamba.data.sources.cmu_segments import FPS, NECK, PELVIS, WRISTS, Event
from motionmamba.data.text.captions import (
    ACTIONS,
    Action,
    part_captions,
    write_captions,
    write_joined_captions,
)
from motionmamba.data.text.sides import swap_sides
from motionmamba.data.text.vocabulary_cmu import (
    CALIBRATION,
    DESCRIPTIONS,
    GOING,
    ITEMS,
    NOTHING,
    TURNING,
    Content,
)

CAPTIONS = 24  # of a clip
MOVING_SHARE = 0.25  # of a stretch, the least that is not standing about
MAX_STEPS = 4  # actions in a sentence
MIN_STEP = {"walk": 14, "run": 10, "side": 14, "back": 14}  # frames
CUT_STEP = 14  # the same for what the stretch shows the end or the beginning of
# How turns are told, by how the body gets on meanwhile.
TURNS = {
    "walk": {"turn": "turn", "uturn": "uturn", "spin": "circle", "veer": "veer"},
    "run": {"turn": "run_turn", "uturn": "run_uturn", "spin": "run_circle", "veer": "run_veer"},
    "": {"turn": "pivot", "uturn": "turn_around", "spin": "twirl", "veer": ""},
}
# Where events overlap, the later in this list is told.
PRIORITY = (
    *("side", "back", "walk", "run", "sprint", "veer", "turn", "uturn", "spin"),
    *("twist", "reach", "duck", "bend", "off_ground", "jog", "march", "squat", "jack"),
    *("sit", "rise", "hop", "leap", "jump", "drop"),
)


@dataclass(frozen=True)
class Plan:
    """What the description of a trial means."""

    content: Content | None
    items: tuple[Content | None, ...]
    side: str
    text: str

    @property
    def contents(self) -> tuple[Content, ...]:
        return (self.content,) if self.content else tuple(filter(None, self.items))

    @property
    def style(self) -> str:
        styles = (content.style for content in self.contents)
        return next((style for style in styles if style != "normal"), "normal")

    @property
    def told_by(self) -> dict[str, str]:
        """The action that tells each kind of event."""
        if self.content:
            going = GOING + TURNING if len(self.content.kinds) > 1 else ()
            return {kind: kind for kind in going} | dict(self.content.parts)
        told = {kind: kind for kind in (*GOING, *TURNING)}
        if not self.items:
            told["jump"] = "jump"
        for item in self.contents:
            for kind in item.shown_by:
                if kind not in told:
                    told[kind] = item.kinds[0]
        if "sit" in told:
            told["rise"] = f"{told['sit']}_up"
        return told


@dataclass(frozen=True)
class Step:
    """An action from frame `start` up to frame `end` of a stretch."""

    action: Action
    start: int
    end: int


@dataclass(frozen=True)
class Telling:
    """Ways to tell a stretch, each a sequence of actions or a plain text, and its parts."""

    ways: tuple[tuple[Action, ...] | str, ...]
    steps: tuple[Step, ...] = ()

    def mirrored(self) -> Telling:
        ways = (
            swap_sides(way) if isinstance(way, str) else tuple(a.mirrored() for a in way)
            for way in self.ways
        )
        steps = (replace(step, action=step.action.mirrored()) for step in self.steps)
        return Telling(tuple(ways), tuple(steps))

    def captions(self, rng: np.random.Generator, forms: str) -> list[str]:
        share = -(-CAPTIONS // len(self.ways))
        texts: list[str] = []
        for way in self.ways:
            if isinstance(way, str):
                texts += _plain(way, forms)
            elif len(way) == 1:
                texts += write_captions(way[0], rng, share, forms)
            else:
                texts += write_joined_captions(way, rng, share, forms)
        return list(dict.fromkeys(texts))[:CAPTIONS]

    def parts(self, rng: np.random.Generator, forms: str) -> list[tuple[str, float, float]]:
        if len(self.steps) < 2:
            return []
        texts = part_captions([step.action for step in self.steps], rng, forms)
        return [(t, s.start / FPS, s.end / FPS) for t, s in zip(texts, self.steps, strict=True)]


def read_description(description: str) -> Plan:
    """What a description means; raises ValueError where it is of no motion."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", description.strip()).lower()
    if re.search(CALIBRATION, text):
        raise ValueError(f"a calibration pose: {description!r}")
    sides = set(re.findall(r"\b(left|right)\b", text))
    side = sides.pop() if len(sides) == 1 else ""
    if animal := re.match(r"(?:dancing )?(.+?)(?: - .*)? \(human subject\)|(.+)$", text):
        kind = f"animal_{animal[1] or animal[2]}"
        if kind in ACTIONS or animal[1]:
            kind = kind if kind in ACTIONS else "animal_animal"
            return Plan(Content("", (kind,)), (), side, text)
    text = re.sub(r"\s*(\([^)]*subject[^)]*\)|cleaned ?grs)", "", text)
    if re.search(NOTHING, text):
        return Plan(None, (), "", "")
    if content := _find(DESCRIPTIONS, text):
        return Plan(content, (), side, text)
    items = [item.strip() for item in re.split("[,;]", text) if item.strip()]
    return Plan(None, tuple(_find(ITEMS, item) for item in items), side, text)


def tell(
    plan: Plan, joints: np.ndarray, events: Sequence[Event], moving: float, whole: bool
) -> Telling:
    """What is said of a stretch of a trial.

    Args:
        joints: (T, 22, 3) of the stretch, metres, Y up, 20 fps.
        events: what was found in it, in its frames.
        moving: the share of frames in which anything moves.
        whole: whether it is all of the trial.

    Raises:
        ValueError: with the reason, where nothing can be said that is surely true.
    """
    if moving < MOVING_SHARE and not any(content.still for content in plan.contents):
        raise ValueError("hardly anything moves")
    if whole and plan.content and len(plan.content.kinds) > 1:
        return Telling((_described(plan, joints),))
    steps = _steps(plan, plan.told_by, events, len(joints))
    actions = tuple(step.action for step in steps)
    ways: list[tuple[Action, ...] | str] = []
    if None in plan.items:
        if whole or len(plan.items) == 1:
            ways.append(plan.text)
    elif _is_said_of(plan, whole, {event.kind for event in events}):
        ways.append(_described(plan, joints))
    if len(actions) > MAX_STEPS:
        actions = _shortened(steps)
    if actions:
        ways.append(actions)
    if not ways:
        raise ValueError("nothing of its description can be found in it")
    return Telling(tuple(ways), steps)


def _find(contents: Sequence[Content], text: str) -> Content | None:
    return next((c for c in contents if re.search(c.pattern, text)), None)


def _is_said_of(plan: Plan, whole: bool, shown: set[str]) -> bool:
    """Whether the description as it stands is true of the stretch."""
    if all(content.shown_by in (GOING, TURNING) for content in plan.contents):
        return False  # measurement tells more
    if sum(len(content.kinds) for content in plan.contents) > 1:
        return whole
    shown_by = plan.contents[0].shown_by
    return not shown_by or bool(shown & set(shown_by))


def _described(plan: Plan, joints: np.ndarray) -> tuple[Action, ...]:
    """The actions of a description."""
    kinds = [(kind, content) for content in plan.contents for kind in content.kinds]
    if len(kinds) > 1:
        return tuple(Action(kind, plan.side, plan.style) for kind, _ in kinds)
    ((kind, content),) = kinds
    if f"{kind}_up" in ACTIONS and content.shown_by == ("off_ground",):
        kind += _way_up(joints)
    hand = active_hand(joints)
    if hand and "sided" in ACTIONS[kind].train.phrases:
        return (Action(kind, hand, plan.style, extent="sided"),)
    return (Action(kind, plan.side, plan.style),)


def _way_up(joints: np.ndarray) -> str:
    height = joints[:, PELVIS, 1]
    rise, fall = height.max() - height[0], height.max() - height[-1]
    if rise > 0.4 and fall > 0.4 or max(rise, fall) < 0.4:
        return ""
    return "_up" if rise > fall else "_down"


def active_hand(joints: np.ndarray) -> str:
    """The hand that does it all, seen from the trunk: left, right, or neither."""
    ways = []
    for wrist in WRISTS:
        path = joints[:, wrist] - joints[:, NECK]
        ways.append(np.linalg.norm(np.diff(path, axis=0), axis=-1).sum())
    left, right = ways
    if min(ways) * 2 >= max(ways):
        return ""
    return "left" if left > right else "right"


def _steps(
    plan: Plan, told_by: dict[str, str], events: Sequence[Event], frames: int
) -> tuple[Step, ...]:
    """Events one after the other, as the actions that tell them."""
    running = re.search(r"\b(run|jog|sprint)", plan.text) and "walk" not in plan.text
    if running:
        events = [replace(e, kind="run", pace="") if _is_fast_walk(e) else e for e in events]
    events = [event for event in events if told_by.get(event.kind)]
    steps: list[Step] = []
    for event, start, end in _timeline(events, frames):
        gait = _gait(event, events)
        action = _action(event, told_by, gait)
        if action is None:
            continue
        step = Step(replace(action, style=plan.style), start, end)
        if steps and start - steps[-1].end < 5:
            before = steps[-1].action
            # Going straight before or after a turn is part of it.
            if step.action == before or event.kind == gait and before.kind in TURNS[gait].values():
                step = Step(before, steps.pop().start, end)
            elif event.kind in TURNING and before.kind == gait:
                step = replace(step, start=steps.pop().start)
        steps.append(step)
    return tuple(steps)


def _shortened(steps: Sequence[Step]) -> tuple[Action, ...]:
    """Actions of many steps: walking here and there as one, or else the longest steps."""
    ways = {"walk", "back", "side_steps", *TURNS["walk"].values(), *TURNS[""].values()}
    if ways.issuperset(step.action.kind for step in steps):
        return (Action("wander", style=steps[0].action.style),)
    longest = sorted(steps, key=lambda step: step.start - step.end)[:MAX_STEPS]
    return tuple(step.action for step in steps if step in longest)


def _is_fast_walk(event: Event) -> bool:
    return event.kind == "walk" and event.pace == "fast"


def _gait(event: Event, events: Sequence[Event]) -> str:
    """How the body gets on during an event: walk, run, or neither."""
    gaits = {"walk": "walk", "run": "run", "sprint": "run"}
    shares = {"walk": 0, "run": 0}
    for other in events:
        if other.kind in gaits:
            overlap = min(other.end, event.end) - max(other.start, event.start)
            shares[gaits[other.kind]] += max(overlap, 0)
    gait = max(shares, key=shares.get)
    return gait if shares[gait] > 0.5 * event.frames else ""


def _action(event: Event, told_by: dict[str, str], gait: str) -> Action | None:
    kind = told_by[event.kind]
    if event.kind in TURNING:
        kind = TURNS[gait][event.kind]
        return Action(kind, event.side) if kind else None
    if event.kind == "side":
        return Action("side_steps", event.side)
    if event.kind == "sit" and event.start > 0 and f"{kind}_down" in ACTIONS:
        return Action(f"{kind}_down")
    if event.kind == "jump" and kind == "jump" and event.times > 1:
        return Action("jumps")
    extent = "sided" if "sided" in ACTIONS[kind].train.phrases else ""
    return Action(kind, event.side, pace=event.pace, extent=extent)


def _timeline(events: Sequence[Event], frames: int) -> list[tuple[Event, int, int]]:
    """Which event is told from when to when; what is too short to be seen is left out."""
    painted = np.full(frames, -1)
    order = sorted(range(len(events)), key=lambda i: PRIORITY.index(events[i].kind))
    for i in order:
        painted[events[i].start : events[i].end] = i
    bounds = [0, *(np.flatnonzero(np.diff(painted)) + 1).tolist(), frames]
    found = []
    for start, end in zip(bounds, bounds[1:], strict=False):
        if painted[start] < 0:
            continue
        event = events[painted[start]]
        least = min(MIN_STEP.get(event.kind, 8), 0.6 * event.frames)
        if event.start == 0 or event.end == frames:
            least = max(least, min(CUT_STEP, 0.5 * frames))
        if end - start >= least:
            found.append((event, start, end))
    return found


_PLAIN = {
    "train": (
        *("{text}", "a person: {text}", "a motion of {text}", "someone shows this: {text}"),
        *("a recording of {text}", "a person performs {text}", "what a person does: {text}"),
    ),
    "held_out": ("{text}, done by somebody", "the recording is of {text}", "this shows {text}"),
}
_PLAIN_DOING = {
    "train": (
        *("{text}", "a person {text}", "a person is {text}", "someone is {text}", "a man {text}"),
        *("a woman {text}", "there is a person {text}", "somebody is {text}"),
    ),
    "held_out": ("one can observe a person {text}", "imagine somebody {text}", "look: {text}"),
}


def _plain(text: str, forms: str) -> list[str]:
    """A description that the grammar has no words for, as it stands."""
    doing = text.split()[0].endswith("ing")
    return [form.format(text=text) for form in (_PLAIN_DOING if doing else _PLAIN)[forms]]
