"""Captions for motions whose content and style are known only as labels.

A grammar writes them: a subject, a verb phrase for the content, words for the style, in several
forms and orders. They are templated, which data sets made with them must say. The grammar was
checked against the recordings: which hand, how high, which way, how fast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from motionmamba.data.vocabulary import (
    ACTIONS,
    CONTINUED,
    IN_PLACE,
    PACE,
    REPEATS,
    SENTENCES,
    SEQUENCES,
    STANDING,
    STYLES,
    SUBJECTS,
)

OTHER_SIDE = {"left": "right", "right": "left", "both": "both", "": ""}


@dataclass(frozen=True)
class Action:
    """What a recording shows: a `kind` of ACTIONS and the side it is done with or to.

    `style` is a key of STYLES. `pace` (slow, fast) and `extent` (of raised hands high, head or
    low; of a bow deep or slight) are empty where they were not measured or nothing special.
    """

    kind: str
    side: str = ""
    style: str = "normal"
    pace: str = ""
    extent: str = ""

    def mirrored(self) -> Action:
        return replace(self, side=OTHER_SIDE[self.side])


_FORMS = ("{subject} {third}", "{subject} is {gerund}", "{subject} {gerund}", "{base}", "{gerund}")
_FORM_SHARES = np.cumsum((0.58, 0.17, 0.07, 0.09))


def write_captions(action: Action, rng: np.random.Generator, count: int) -> list[str]:
    """Distinct captions of an action, at most `count` of them."""
    return _distinct(lambda: _caption(action, rng), count)


def write_joined_captions(
    actions: Sequence[Action], rng: np.random.Generator, count: int
) -> list[str]:
    """Distinct captions of actions done one after the other, at most `count` of them.

    Equal neighbours are told as one: a gait that goes on, or a gesture done several times.
    """
    runs = [(action, len(list(group))) for action, group in groupby(actions)]
    if len(runs) == 1:
        action, times = runs[0]
        repeats = times if action.kind in STANDING else 1
        return _distinct(lambda: _caption(action, rng, repeats), count)
    return _distinct(lambda: _sequence(runs, rng), count)


def _distinct(write: Callable[[], str], count: int) -> list[str]:
    found: dict[str, None] = {}
    for _ in range(8 * count):
        if len(found) == count:
            break
        found.setdefault(write())
    return list(found)


def _caption(action: Action, rng: np.random.Generator, repeats: int = 1) -> str:
    if repeats == 1 and rng.random() < 0.12:
        hands = {"left": "one", "right": "one"}.get(action.side, action.side)
        if sentences := SENTENCES.get((action.kind, hands)):
            text = _fill(_pick(sentences, rng), action, "the")
            return _finish(_with_style(text, action, rng), rng)

    subject, possessive, styled = _subject(action, rng)
    form = _FORMS[np.searchsorted(_FORM_SHARES, rng.random())]
    if form in ("{base}", "{gerund}"):
        styled, possessive = False, "your" if form == "{base}" else "the"
    phrase = _phrase(action, possessive, rng)
    if repeats > 1:
        phrase = f"{phrase} {_pick(REPEATS[min(repeats, 4)], rng)}"
    elif action.kind in STANDING and rng.random() < 0.1:
        phrase = f"{phrase} {_pick(IN_PLACE, rng)}"

    adverb = ""
    if action.style != "normal" and not styled and rng.random() < 0.2:
        adverb = _pick(STYLES[action.style].adverbs, rng) + " "
    text = form.format(
        subject=subject,
        base=adverb + base(phrase),
        third=adverb + third_person(phrase),
        gerund=adverb + gerund(phrase),
    )
    if adverb or (styled and rng.random() < 0.6):
        return _finish(text, rng)
    return _finish(_with_style(text, action, rng), rng)


def _sequence(runs: list[tuple[Action, int]], rng: np.random.Generator) -> str:
    subject, possessive, styled = _subject(runs[0][0], rng)
    parts = []
    for action, times in runs:
        phrase = third_person(_phrase(action, possessive, rng))
        if times > 1 and action.kind in STANDING:
            phrase = f"{phrase} {_pick(REPEATS[min(times, 4)][:2], rng)}"
        parts.append(phrase)
    text = f"{subject} {parts[0]}"
    for part in parts[1:-1]:
        text = f"{text}, {part}"
    pronoun = {"his": "he", "her": "she"}.get(possessive, "the person")
    order = SEQUENCES if len(parts) == 2 else CONTINUED
    text = _pick(order, rng).format(a=text, b=parts[-1], subject=pronoun)
    style = runs[0][0].style
    if not styled and style != "normal" and rng.random() < 0.5:
        words = STYLES[style]
        text = f"{text}, {_pick(words.phrases + words.adverbs, rng)}"
    return _finish(text, rng)


def _subject(action: Action, rng: np.random.Generator) -> tuple[str, str, bool]:
    """A subject, its possessive, and whether it tells the style."""
    style = STYLES[action.style]
    chance = rng.random()
    if style.subjects and chance < 0.2:
        return *_pick(style.subjects, rng), True
    subject, possessive = _pick(SUBJECTS, rng)
    article, _, noun = subject.partition(" ")
    if not style.adjectives or article == "one" or not noun or chance > 0.45:
        return subject, possessive, False
    adjective = _pick(style.adjectives, rng)
    if article == "a" and adjective[0] in "aeiou":
        article = "an"
    return f"{article} {adjective} {noun}", possessive, True


def _phrase(action: Action, possessive: str, rng: np.random.Generator) -> str:
    phrases = ACTIONS[action.kind]
    if isinstance(phrases, tuple):
        phrases = phrases[action.side == "both"]
    special = phrases.get(action.extent, ())
    if action.kind == "wave" and action.extent != "low":
        special += phrases["wide"]
    options = special if special and rng.random() < 0.3 else phrases[""]
    return _fill(_pick(options, rng), action, possessive)


def _fill(template: str, action: Action, possessive: str) -> str:
    return template.format(s=action.side, p=possessive)


def _with_style(text: str, action: Action, rng: np.random.Generator) -> str:
    style = STYLES[action.style]
    plain = action.style == "normal"
    if action.pace and rng.random() < (0.4 if plain else 0.15):
        return f"{text} {_pick(PACE[action.pace], rng)}"
    if rng.random() < (0.75 if plain else 0.1):
        return text
    words = _pick(style.adverbs + style.phrases, rng)
    if action.pace and not plain and rng.random() < 0.15:
        words = f"{_pick(PACE[action.pace][:1], rng)} and {words}"
    order = rng.random()
    if order < 0.55:
        return f"{text} {words}"
    return f"{text}, {words}" if order < 0.8 else f"{words}, {text}"


def _finish(text: str, rng: np.random.Generator) -> str:
    if rng.random() < 0.1:
        text = text[0].upper() + text[1:]
    return f"{text}." if rng.random() < 0.1 else text


def _pick(options: Sequence, rng: np.random.Generator):
    return options[rng.integers(len(options))]


def base(phrase: str) -> str:
    """`~wave` and `wave` as they stand: the imperative."""
    return phrase.replace("~", "")


def third_person(phrase: str) -> str:
    """`raise a hand and ~wave` -> `raises a hand and waves`."""
    return _conjugate(phrase, _third_person)


def gerund(phrase: str) -> str:
    """`raise a hand and ~wave` -> `raising a hand and waving`."""
    return _conjugate(phrase, _gerund)


def _conjugate(phrase: str, form: Callable[[str], str]) -> str:
    words = f"~{phrase}".split(" ")
    return " ".join(_inflect(word[1:], form) if word[0] == "~" else word for word in words)


def _inflect(word: str, form: Callable[[str], str]) -> str:
    verb = word.rstrip(",")
    return form(verb) + word[len(verb) :]


def _third_person(verb: str) -> str:
    return verb + ("es" if verb.endswith(("ch", "sh", "x", "s", "o")) else "s")


_DOUBLED = ("run", "jog", "step", "put", "jab", "nod", "hop", "get")


def _gerund(verb: str) -> str:
    if verb.endswith("e"):
        return verb[:-1] + "ing"
    return verb + (verb[-1] if verb in _DOUBLED else "") + "ing"
