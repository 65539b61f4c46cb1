"""Captions for motions whose content and style are known only as labels.

A grammar writes them: a frame with a subject, a verb phrase for the content, words for style and
pace. They are templated, which data sets made with them must say. The grammar was checked against
the recordings: which hand, how high, which way, how fast. `forms` are "train" or "held_out", two
sets of sentence forms and verb phrases that share none, so that a test can tell how a model
understands wordings that it has not seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby, product

import numpy as np
from lemminflect import getInflection

from motionmamba.data.text import vocabulary, vocabulary_cmu
from motionmamba.data.text.vocabulary import (
    CONTINUED,
    FRAMES,
    IN_PLACE,
    OVERLAYS,
    PACES,
    PRONOUNS,
    REPEATS,
    SEQUENCE_FORMS,
    SEQUENCES,
    STANDING,
    STATES,
    STYLES,
    SUBJECTS,
    WITH_BOTH_HANDS,
    Forms,
    Words,
)

ACTIONS = vocabulary.ACTIONS | vocabulary_cmu.ACTIONS
OTHER_SIDE = {"left": "right", "right": "left", "both": "both", "": ""}


@dataclass(frozen=True)
class Action:
    """What a recording shows: a `kind` of ACTIONS and the side it is done with or to.

    `style` is a key of STYLES. `pace` (a key of PACES) and `extent` (of raised hands high, head
    or low; of a bow deep or slight) are empty where they were not measured or nothing special.
    """

    kind: str
    side: str = ""
    style: str = "normal"
    pace: str = ""
    extent: str = ""

    def mirrored(self) -> Action:
        return replace(self, side=OTHER_SIDE[self.side])


def write_captions(
    action: Action, rng: np.random.Generator, count: int, forms: str = "train"
) -> list[str]:
    """Distinct captions of an action, at most `count` of them.

    Raises ValueError where `forms` is neither "train" nor "held_out".
    """
    return _distinct(lambda: _caption(action, rng, forms), count)


def write_joined_captions(
    actions: Sequence[Action], rng: np.random.Generator, count: int, forms: str = "train"
) -> list[str]:
    """Distinct captions of actions done one after the other, at most `count` of them.

    Equal neighbours are told as one: a gait that goes on, or a gesture done several times.
    """
    runs = [(action, len(list(group))) for action, group in groupby(actions)]
    if len(runs) == 1:
        action, times = runs[0]
        repeats = times if action.kind in STANDING else 1
        return _distinct(lambda: _caption(action, rng, forms, repeats), count)
    return _distinct(lambda: _sequence(runs, rng, forms), count)


def write_overlay_captions(
    legs: Action, arms: Action, rng: np.random.Generator, count: int, forms: str = "train"
) -> list[str]:
    """Distinct captions of legs that do one action while arms do another, at most `count`."""
    return _distinct(lambda: _overlay(legs, arms, rng, forms), count)


def part_captions(
    actions: Sequence[Action], rng: np.random.Generator, forms: str = "train"
) -> list[str]:
    """One short caption for each action, as for the parts of a joined clip."""
    return [min(write_captions(action, rng, 4, forms), key=len) for action in actions]


def sentence_forms(action: Action, forms: str = "train") -> list[tuple[str, str]]:
    """All ways to tell an action but for its style and subject: a frame with a verb phrase each,
    and whole sentences with an empty phrase."""
    words = _words(action, forms)
    phrases = (*words.phrases[""], *_special(action, forms))
    return [*product(_of(FRAMES, forms), phrases), *((told, "") for told in words.told)]


def _of(wordings: Forms, forms: str):
    if forms not in ("train", "held_out"):
        raise ValueError(f"forms are {forms!r}; give 'train' or 'held_out'")
    return getattr(wordings, forms)


def _distinct(write: Callable[[], str], count: int) -> list[str]:
    found: dict[str, None] = {}
    for _ in range(8 * count):
        if len(found) == count:
            break
        found.setdefault(write())
    return list(found)


def _caption(action: Action, rng: np.random.Generator, forms: str, repeats: int = 1) -> str:
    if repeats == 1 and rng.random() < 0.12:
        return _told(action, rng, forms)
    frame = _weighed(_of(FRAMES, forms), rng)
    subject, possessive, styled = _subject(frame, action, rng)
    phrase = _phrase(action, possessive, rng, forms)
    if repeats > 1:
        phrase = f"{phrase} {_pick(REPEATS[min(repeats, 4)], rng)}"
    elif action.kind in STANDING and rng.random() < 0.1:
        phrase = f"{phrase} {_pick(IN_PLACE, rng)}"
    before, adverb, after = _manner(frame, action, styled, rng, forms)
    verbs = {name: adverb + form(phrase) for name, form in VERB_FORMS.items()}
    text = frame.format(subject=subject, noun=subject, one=subject, **verbs)
    return _finish(before + text + after, rng)


def _told(action: Action, rng: np.random.Generator, forms: str) -> str:
    text = _fill(_pick(_words(action, forms).told, rng), action, "the")
    if action.style == "normal" or rng.random() < 0.1:
        return _finish(text, rng)
    comma = "," if rng.random() < 0.4 else ""
    return _finish(f"{text}{comma} {_pick(STYLES[action.style].phrases, rng)}", rng)


def _sequence(runs: list[tuple[Action, int]], rng: np.random.Generator, forms: str) -> str:
    frame = _pick(_of(SEQUENCES if len(runs) == 2 else CONTINUED, forms), rng)
    form = _weighed(SEQUENCE_FORMS, rng)
    whole = _common([action for action, _ in runs])
    if form == "base" and "{they_b}" in frame:
        form = "third"
    subject, possessive, styled = _subject(frame if form != "base" else "{base}", whole, rng)
    phrases = []
    for action, times in runs:
        phrase = _phrase(action, possessive, rng, forms)
        if times > 1 and action.kind in STANDING:
            phrase = f"{phrase} {_pick(REPEATS[min(times, 4)][:2], rng)}"
        elif action.pace and rng.random() < 0.25:
            phrase = f"{phrase} {_pick(PACES[action.pace].adverbs, rng)}"
        phrases.append(phrase)
    *firsts, last = phrases
    text = frame.format(
        subject=subject,
        a=", ".join(map(VERB_FORMS[form], firsts)),
        a_ing=", ".join(map(gerund, firsts)),
        b=VERB_FORMS[form](last),
        b_ing=gerund(last),
        they_b=_they(possessive, form, last),
    )
    if not styled and whole.style != "normal" and rng.random() < 0.5:
        style = STYLES[whole.style]
        text = f"{text}, {_pick(style.phrases + style.adverbs, rng)}"
    return _finish(" ".join(text.split()), rng)


def _overlay(legs: Action, arms: Action, rng: np.random.Generator, forms: str) -> str:
    shown = _words(arms, forms).shown
    frame = _pick([f for f in _of(OVERLAYS, forms) if shown or "{shown}" not in f], rng)
    whole = replace(_common([legs, arms]), pace="")
    subject, possessive, styled = _subject(frame, whole, rng)
    slots = {"subject": subject, "noun": subject}
    if shown:
        slots["shown"] = _fill(_pick(shown, rng), arms, possessive)
    for name, action in (("legs", legs), ("arms", arms)):
        phrase = _plain_phrase(action, possessive, rng, forms)
        adverb = ""
        if action.style != whole.style and rng.random() < 0.7:
            adverb = f"{_pick(STYLES[action.style].adverbs, rng)} "
        elif action.pace and rng.random() < 0.5:
            adverb = f"{_pick(PACES[action.pace].adverbs, rng)} "
        if adverb and name == "legs":
            phrase, adverb = f"{phrase} {adverb[:-1]}", ""
        slots |= {f"{name}_{form}": adverb + verb(phrase) for form, verb in VERB_FORMS.items()}
        slots[f"they_{name}"] = _they(possessive, "third", phrase)
    before, _, after = _manner(frame, whole, styled, rng, forms)
    comma = "," if after.startswith(" ") else ""  # the end is told of legs and arms
    return _finish(f"{before}{frame.format(**slots)}{comma}{after}", rng)


def _common(actions: Sequence[Action]) -> Action:
    """The first of several actions, with a style only where all have it."""
    one_style = len({action.style for action in actions}) == 1
    return actions[0] if one_style else replace(actions[0], style="normal")


def _subject(frame: str, action: Action, rng: np.random.Generator) -> tuple[str, str, bool]:
    """A subject that fits a frame, its possessive, and whether it tells the style."""
    if "{subject}" in frame:
        return _person(action, rng)
    if "{noun}" not in frame and "{one}" not in frame:
        return "", "your" if "base}" in frame else "the", False
    unfit = ("he", "she", "the") if "{one}" in frame else ("he", "she")
    while True:
        subject, possessive, styled = _person(action, rng)
        if subject.partition(" ")[0] not in unfit:
            return subject, possessive, styled


def _person(action: Action, rng: np.random.Generator) -> tuple[str, str, bool]:
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


def _they(possessive: str, form: str, phrase: str) -> str:
    """A pronoun with the verb phrase after it: `they walk`, `she walked`."""
    pronoun = PRONOUNS.get(possessive, "")
    if pronoun == "they" and form == "third":
        form = "base"
    return f"{pronoun} {VERB_FORMS[form](phrase)}"


def _words(action: Action, forms: str) -> Words:
    content = ACTIONS[action.kind]
    if action.side == "both":
        content = WITH_BOTH_HANDS.get(action.kind, content)
    return _of(content, forms)


def _special(action: Action, forms: str) -> list[str]:
    """Phrases that not every action of a kind allows."""
    wide = action.kind == "wave" and action.extent != "low"
    keys = (*filter(None, [action.extent]), *(["wide"] * wide))
    return [p for key in keys for p in _words(action, forms).phrases.get(key, ())]


def _phrase(action: Action, possessive: str, rng: np.random.Generator, forms: str) -> str:
    options = _special(action, forms)
    if not options or rng.random() > 0.3:
        options = _words(action, forms).phrases[""]
    return _fill(_pick(options, rng), action, possessive)


def _plain_phrase(action: Action, possessive: str, rng: np.random.Generator, forms: str) -> str:
    """A phrase of a single clause."""
    while True:
        phrase = _phrase(action, possessive, rng, forms)
        if not re.search(r"~|,|^keep| while | then | only ", phrase):
            return phrase


def _fill(template: str, action: Action, possessive: str) -> str:
    return template.format(s=action.side, p=possessive)


def _manner(
    frame: str, action: Action, styled: bool, rng: np.random.Generator, forms: str
) -> tuple[str, str, str]:
    """Words for style and pace: before a sentence, before its verb, after it."""
    style, normal = STYLES[action.style], action.style == "normal"
    may_lead = frame.startswith(("{subject}", "{base}", "{gerund}"))
    before = adverb = after = ""
    if rng.random() < (0.15 if normal else 0.35 if styled else 0.92):
        place = rng.random()
        words = _pick(style.adverbs + style.phrases, rng)
        if style.states and rng.random() < 0.2:
            words = _pick(_of(STATES, forms), rng).format(state=_pick(style.states, rng))
        if place < 0.18:
            adverb = f"{_pick(style.adverbs, rng)} "
        elif place < 0.3 and may_lead:
            before = f"{words}, "
        else:
            after = f", {words}" if place < 0.5 else f" {words}"
    if action.pace and rng.random() < (0.45 if normal else 0.3):
        pace = PACES[action.pace]
        place = rng.random()
        if place < 0.3 and not adverb:
            adverb = f"{_pick(pace.adverbs, rng)} "
        elif place < 0.45 and may_lead and not before:
            before = f"{_pick(pace.adverbs, rng)}, "
        elif re.fullmatch(" [a-z]+ly", after):
            after = f" {_pick(pace.adverbs, rng)} and{after}"
        else:
            after = f" {_pick(pace.adverbs + pace.phrases, rng)}{after}"
    return before, adverb, after


def _finish(text: str, rng: np.random.Generator) -> str:
    if rng.random() < 0.1:
        text = text[0].upper() + text[1:]
    return f"{text}." if rng.random() < 0.1 else text


def _pick(options: Sequence, rng: np.random.Generator):
    return options[rng.integers(len(options))]


def _weighed(shares: dict[str, float], rng: np.random.Generator) -> str:
    edges = np.cumsum(list(shares.values()))
    return list(shares)[np.searchsorted(edges, rng.random() * edges[-1], side="right")]


def base(phrase: str) -> str:
    """`~wave` and `wave` as they stand: the imperative."""
    return phrase.replace("~", "")


def third_person(phrase: str) -> str:
    """`raise a hand and ~wave` -> `raises a hand and waves`."""
    return _conjugate(phrase, "VBZ")


def gerund(phrase: str) -> str:
    """`raise a hand and ~wave` -> `raising a hand and waving`."""
    return _conjugate(phrase, "VBG")


def past(phrase: str) -> str:
    """`raise a hand and ~wave` -> `raised a hand and waved`."""
    return _conjugate(phrase, "VBD")


VERB_FORMS = {"base": base, "third": third_person, "gerund": gerund, "past": past}


@cache
def _conjugate(phrase: str, form: str) -> str:
    return re.sub(r"(?:^|~)(\w+)", lambda verb: _inflect(verb[1], form), phrase)


def _inflect(verb: str, form: str) -> str:
    forms = getInflection(verb, form, inflect_oov=False)
    if not forms:
        raise ValueError(f"{verb!r} is no verb of the dictionary; mark verbs in their base form")
    return forms[0]
