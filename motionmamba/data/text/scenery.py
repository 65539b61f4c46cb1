"""Captions told with somebody and somewhere: what people write, and motion does not show.

A grammar of motions writes "a person walks briskly"; people type "the commuter hurries because the
shop closes". A model that was told of motions only takes every further word for one. Here captions
get a subject with a trade, a place, a time, a reason or onlookers, none of which say how anybody
moves, so that a model learns to pass over them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from motionmamba.data.text.vocabulary import phrases_of

LONGEST = 22  # words of a caption that still gets more
SUBJECT, BEFORE, AFTER = 0.7, 0.35, 0.6  # how often each is there

PEOPLE = phrases_of(
    "teacher; student; doctor; nurse; farmer; plumber; painter; sailor; pilot; lawyer; banker; "
    "baker; butcher; gardener; carpenter; chef; clerk; scientist; engineer; musician; drummer; "
    "actor; poet; writer; reporter; photographer; judge; mayor; king; queen; prince; "
    "princess; knight; wizard; witch; pirate; astronaut; detective; officer; firefighter; "
    "shopkeeper; customer; cashier; tailor; barber; mechanic; miner; fisherman; referee; "
    "coach; teammate; opponent; champion; beginner; visitor; "
    "traveller; passenger; pedestrian; villager; stranger; colleague; manager; secretary; "
    "librarian; priest; monk; magician; clown; hero; villain; thief; "
    "uncle; aunt; cousin; father; mother; brother; sister; daughter; son; "
    "bride; groom; host; cleaner; caretaker; shepherd; electrician; dentist"
)
CROWDS = phrases_of(
    "children; parents; students; visitors; neighbours; colleagues; judges; customers; "
    "villagers; passengers; strangers; cameras; reporters; onlookers; workers; sailors"
)
PLACES = phrases_of(
    "in the garden; in the forest; in the office; in the living room; in the classroom; in town; "
    "in the museum; in the library; in the village; in the courtyard; in the garage; in the rain; "
    "in the snow; in the sunshine; in the basement; in the church; in the castle; in the barn; "
    "in the desert; in a restaurant; in a dark room; in a hotel; in an empty hall; at the market; "
    "at the station; at the airport; at school; at the office; at the beach; at the harbour; "
    "at the party; at the wedding; at the museum; at the zoo; at the circus; at a festival; "
    "on the roof; on the balcony; on stage; on the beach; on the pavement; on a ship; on the lawn; "
    "near the river; near the bridge; near the fountain; by the lake; by the window; outdoors; "
    "next to a car; next to the shop; next to the stove; beside the lamp; beside a tree; indoors; "
    "under a tree; under the bridge; outside the shop; outside the theatre; inside the house"
)
WAYS = phrases_of(
    "to the market; to the station; to the shop; to school; to the beach; to the office; "
    "to the car; to the river; through the forest; through the garden; through the village; "
    "through the snow; through town; across the yard; across the bridge; across the field; "
    "across the room; along the river; along the beach; along the corridor; along the path; "
    "along the platform; down the road; down the path; down the corridor; over the bridge"
)
TARGETS = phrases_of(
    "at a ship; at a train; at a car; at a boat; at a cyclist; at the camera; at a good friend; "
    "at somebody far away; at the balloon; at a passing lorry; to everybody; to a helicopter"
)
SEATS = phrases_of(
    "on a chair; on the chair; on a couch; on an armchair; on a stool; on a swing; on a log; "
    "on the edge of the bed; on a crate; on a rock; on the low stone; at a desk; by the fire"
)
TIMES = phrases_of(
    "before breakfast; after lunch; after the show; after the lesson; after the meeting; today; "
    "before dinner; at midnight; at dawn; in the morning; in the evening; on sunday; this summer; "
    "on a hot day; on a cold winter day; during the break; during the match; during the lecture; "
    "on holiday; as usual; one day; for once; at night; after a long flight; every morning"
)
REASONS = phrases_of(
    "it is cold; it is raining; dinner is ready; the phone rings; the music plays; he is bored; "
    "she is happy; he is proud; she is angry; he is scared; she has won the prize; he is hungry; "
    "she is thirsty; the baby sleeps; the boss asked; the doctor said so; nobody listens; "
    "everybody laughs; there is nothing else to do; the shop closes soon; the alarm rings; "
    "the weather is nice; he lost a bet; she likes it; the film begins; he heard a noise; "
    "the ground is wet; the plan failed; the visitors are gone; he feels ill; she needs a rest"
)
STATES = phrases_of(
    "full of hope; lost in thought; bored of the film; fond of music; glad about the news; "
    "surprised by the noise; annoyed by the heat; dressed in red; wearing a coat; with a smile; "
    "wearing a helmet; having lost the umbrella; having read the letter; having heard the news; "
    "having missed the train; having found the ticket; having eaten too much; having won the game; "
    "worried about the exam; sure of the answer; afraid of spiders; whistling; "
    "humming a song; smiling; chatting; thinking about dinner; dreaming of the sea; wide awake"
)
PURPOSES = phrases_of("to please; to impress; to amuse; to annoy; to warn; to thank; to surprise")

_NOUNS = "person|man|woman|guy|boy|girl|lady|human|figure"
_SOMEBODY = re.compile(rf"\b(?:(?P<article>an?|the|one)\s+(?:{_NOUNS})|some(?:one|body))\b", re.I)
_STYLED = re.compile(rf"\b(?P<words>(?:an?|the|one)\s+\w+)\s+(?:{_NOUNS})\b", re.I)
_GOING = re.compile(
    r"\b(?:walk|run|jog|stroll|strid|march|sprint|pac)\w*"
    r"(?: (?:ahead|forward|on|straight|slowly|quickly|briskly))*$"
)
_WAVING = re.compile(r"\bwav(?:e|es|ing|ed)\b")
_SITTING = re.compile(r"\b(?:sit|sits|sitting|sat)(?: down)?$")


def set_scene(caption: str, rng: np.random.Generator) -> str:
    """A caption with somebody, a place, a time, a reason or the like; long ones stay as they are.

    Only what says nothing of the motion is drawn; verbs, sides, styles and speeds are kept.
    """
    if len(caption.split()) > LONGEST:
        return caption
    text = caption.strip().rstrip(".!")
    if rng.random() < SUBJECT:
        text = _with_subject(text, rng)
    if rng.random() < AFTER:
        text = f"{text} {_after(text, rng)}"
    if rng.random() < BEFORE:
        text = f"{_before(rng)} {_uncapitalised(text)}"
    return text


def _with_subject(text: str, rng: np.random.Generator) -> str:
    who = _pick(PEOPLE, rng)
    if match := _STYLED.search(text):
        return f"{text[: match.start()]}{match['words']} {who}{text[match.end() :]}"
    if match := _SOMEBODY.search(text):
        article = "the" if (match["article"] or "").lower() == "the" or rng.random() < 0.4 else "a"
        if article == "a" and who[0] in "aeiou":
            article = "an"
        return f"{text[: match.start()]}{article} {who}{text[match.end() :]}"
    return text


def _after(text: str, rng: np.random.Generator) -> str:
    fitting = [(_GOING, WAYS), (_WAVING, TARGETS), (_SITTING, SEATS)]
    for pattern, phrases in fitting:
        if pattern.search(text) and rng.random() < 0.6:
            return _pick(phrases, rng)
    kind = rng.integers(6)
    if kind < 2:
        return _pick(PLACES, rng)
    if kind == 2:
        return _pick(TIMES, rng)
    if kind == 3:
        return f"{_pick(('because', 'since', 'as'), rng)} {_pick(REASONS, rng)}"
    if kind == 4:
        return f"{_pick(PURPOSES, rng)} the {_pick(CROWDS, rng)}"
    return f"{_pick(('in front of', 'among', 'near', 'with'), rng)} the {_pick(CROWDS, rng)}"


def _before(rng: np.random.Generator) -> str:
    phrases = (PLACES, TIMES, STATES)[rng.integers(3)]
    return f"{_pick(phrases, rng)}{',' if rng.random() < 0.5 else ''}"


def _uncapitalised(text: str) -> str:
    return text[:1].lower() + text[1:]


def _pick(phrases: Sequence[str], rng: np.random.Generator) -> str:
    return phrases[rng.integers(len(phrases))]
