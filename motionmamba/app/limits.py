"""What a stranger may ask for, and how many may ask at once."""

from __future__ import annotations

import secrets
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

LONGEST_PROMPT = 300
LARGEST_SEED = 2**31 - 1
MOST_VARIATIONS = 4
MOST_STEPS = 100
MOST_GUIDANCE = 15.0
MOST_SCENES = 6
MOST_SHAPE = 1.0
MOST_WAITING = 24
MOST_EACH = 3

SAMPLERS = ("DPM-Solver++", "UniPC", "DDIM", "Euler")
FIGURES = ("Body", "Skeleton")
COLOURS = {
    "Blue": (74, 124, 168),
    "Green": (84, 138, 104),
    "Red": (176, 78, 70),
    "Yellow": (206, 164, 74),
    "Purple": (122, 98, 160),
    "Grey": (128, 132, 140),
}


class Refused(ValueError):
    """Something was asked for that is not given; the message says what, and what to do."""

    kind = "refused"


class Busy(Refused):
    """Too much is asked for at once; later it may be given."""

    kind = "busy"


class Failed(Refused):
    """What was asked for was right, and yet it could not be made."""

    kind = "failed"


class Gone(Refused):
    """There is no such result, or none any more."""

    kind = "gone"


@dataclass(frozen=True)
class Look:
    """How a motion is shown: the figure, the colour of its shirt, and its shape by name.

    A shape goes from -1 to 1, the ends of what looks like a person.
    """

    figure: str = FIGURES[0]
    colour: str = "Blue"
    shape: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """All that makes a result: the same settings give the same motions.

    `prompts` and `seconds` are those of scenes that follow each other; one scene is the rule. A
    length of None is the one that the model predicts.
    Variation number n has the seed `seed + n`. `steps` and `guidance` of None are the model's.
    """

    prompts: tuple[str, ...]
    seconds: tuple[float | None, ...]
    seed: int
    variations: int = 1
    steps: int | None = None
    guidance: float | None = None
    sampler: str = SAMPLERS[0]
    look: Look = field(default_factory=Look)


def check_settings(
    prompts: Any,
    seconds: Any,
    max_seconds: float,
    seed: Any = None,
    variations: Any = 1,
    steps: Any = None,
    guidance: Any = None,
    sampler: Any = SAMPLERS[0],
    look: Look | None = None,
) -> Settings:
    """Settings of what came from outside, whatever it is; without a seed one is drawn.

    Raises Refused for what is no sentence, no number, or out of range.
    """
    if not 1 <= len(prompts) <= MOST_SCENES:
        raise Refused(f"{len(prompts)} scenes were given; give 1 to {MOST_SCENES}.")
    return Settings(
        prompts=tuple(check_prompt(prompt) for prompt in prompts),
        seconds=tuple(
            None if s is None else check_number("length", s, 0.2, max_seconds, "seconds")
            for s in seconds
        ),
        seed=_seed(seed),
        variations=check_whole("number of variations", variations, 1, MOST_VARIATIONS),
        steps=None if steps is None else check_whole("number of steps", steps, 1, MOST_STEPS),
        guidance=None
        if guidance is None
        else check_number("guidance", guidance, 0.0, MOST_GUIDANCE),
        sampler=check_choice("sampler", sampler, SAMPLERS),
        look=look or Look(),
    )


def check_look(figure: Any, colour: Any, shape: dict[str, Any] | None = None) -> Look:
    """Raises Refused for another figure or colour, or a shape out of range."""
    if not isinstance(shape or {}, dict) or any(len(str(name)) > 30 for name in shape or {}):
        raise Refused("The shape is no table of names and numbers.")
    amounts = {
        name: check_number(name, value, -MOST_SHAPE, MOST_SHAPE)
        for name, value in (shape or {}).items()
    }
    return Look(
        check_choice("figure", figure, FIGURES), check_choice("colour", colour, COLOURS), amounts
    )


def check_prompt(prompt: Any) -> str:
    """A sentence on one line: control characters are spaces, halves of characters are left out."""
    if not isinstance(prompt, str):
        raise Refused("The prompt is no text; write a sentence such as 'a person walks forward'.")
    if len(prompt) > 20 * LONGEST_PROMPT:
        raise _too_long(len(prompt))
    shown = "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Cf") else c for c in prompt)
    shown = " ".join(shown.split())
    if not any(c.isalnum() for c in shown):
        raise Refused("The prompt is empty; write a sentence such as 'a person walks forward'.")
    if len(shown) > LONGEST_PROMPT:
        raise _too_long(len(shown))
    return shown


def _too_long(length: int) -> Refused:
    return Refused(
        f"The prompt has {length:,} characters, at most {LONGEST_PROMPT} are read; shorten it to "
        "one sentence."
    )


def check_number(name: str, value: Any, low: float, high: float, unit: str = "") -> float:
    wanted = f"{low:.10g} to {high:.10g} {unit}".rstrip()
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        raise Refused(f"The {name} is no number; give {wanted}.")
    if not low <= value <= high:
        shown = f"{value:.6g}" if abs(value) < 1e300 else "a huge number"
        raise Refused(f"The {name} is {shown}; give {wanted}.")
    return float(value)


def check_whole(name: str, value: Any, low: int, high: int) -> int:
    number = check_number(name, value, low, high)
    if number != int(number):
        raise Refused(f"The {name} is {number:g}; give a whole number from {low} to {high}.")
    return int(number)


def check_choice(name: str, value: Any, choices) -> str:
    if not isinstance(value, str) or value not in choices:
        raise Refused(f"There is no such {name}; choose one of {', '.join(choices)}.")
    return value


def _seed(value: Any) -> int:
    # numbers of an emptied field come as None or "", and programs have no None to give
    if value is None or value == "" or value == -1:
        return secrets.randbelow(1_000_000)
    return check_whole("seed", value, 0, LARGEST_SEED)


class Ticket:
    """A place in a `Line`."""

    def __init__(self, client: str):
        self.client = client


class Line:
    """Clients who wait for the one worker, first come, first served.

    Args:
        longest: tickets that wait or are served at once.
        each: of them of one client.
    """

    def __init__(self, longest: int = MOST_WAITING, each: int = MOST_EACH):
        self.longest, self.each = longest, each
        self._tickets: list[Ticket] = []

    def enter(self, client: str) -> Ticket:
        """Raises Busy when the line is full or the client has enough tickets."""
        if Counter(ticket.client for ticket in self._tickets)[client] >= self.each:
            raise Busy(
                f"You have {self.each} motions in the making already; wait for one, or cancel it."
            )
        if len(self._tickets) >= self.longest:
            raise Busy(
                f"{len(self._tickets)} others are waiting and the line is full; try again in a "
                "minute."
            )
        self._tickets.append(Ticket(client))
        return self._tickets[-1]

    def place(self, ticket: Ticket) -> int:
        """How many are before it; 0 when it is served."""
        return self._tickets.index(ticket)

    def leave(self, ticket: Ticket) -> None:
        self._tickets.remove(ticket)

    def __len__(self) -> int:
        return len(self._tickets)
