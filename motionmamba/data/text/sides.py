"""Left and right in captions, exchanged as in a mirror."""

from __future__ import annotations

import re

_SIDE = re.compile(
    r"\b(left|right)(?=(s|y|ward|wards|most|hand|handed|arm|foot|leg|side|footed)?\b)",
    re.IGNORECASE,
)
_TURN = re.compile(r"\b((?:counter|anti)[\s-]?)?(clock[\s-]?wise)\b", re.IGNORECASE)
_BEFORE = re.compile(r"([a-z']+)\W*$", re.IGNORECASE)
_AFTER = re.compile(r"[\s-]+([a-z']+)", re.IGNORECASE)
_OTHER = {"left": "right", "right": "left"}

# After these a side is meant whatever follows: "turns right after", "his left the whole time".
_POINTING = re.compile(
    r"the|his|her|their|its|to|(turn|step|walk|look|lean|mov|go|kick|punch|jump|hop|spin|rotat|veer|"
    r"shift|sway|slid|bend|fac|head|danc|run|sidestep|shuffl|wav|swing|pivot)\w*",
    re.IGNORECASE,
)
# "right away", "at a right angle": no side
_NOT_RIGHT = {"away", "now", "angle", "angles"}
_RARELY_RIGHT = set(
    "in after before there here behind next above below beside where when as".split()
)
# "left the room", "left behind", "has left": the verb
_NOT_LEFT = set("the his her their its my behind alone".split())
_BEFORE_LEFT = set("has have had been is was are were who".split())


def swap_sides(text: str) -> str:
    """A caption of the mirror image: left and right, clockwise and counterclockwise exchanged.

    "Right" stays where it is no side ("right away", "all right"), "left" where it is the verb
    ("left the room"), as far as the words beside tell.
    """
    text = _SIDE.sub(lambda match: _swapped(match, text), text)
    return _TURN.sub(_turned, text)


def _swapped(match: re.Match, text: str) -> str:
    side, tail = match[1], match[2]
    before = _BEFORE.search(text[: match.start()])
    after = _AFTER.match(text, match.end())
    if not tail and not _is_side(
        side.lower(), before[1].lower() if before else "", after[1].lower() if after else ""
    ):
        return side
    return _cased(_OTHER[side.lower()], side)


def _is_side(side: str, before: str, after: str) -> bool:
    pointed = bool(_POINTING.fullmatch(before))
    if side == "left":
        return before not in _BEFORE_LEFT and (pointed or after not in _NOT_LEFT)
    if after in _NOT_RIGHT or before in ("all", "alright"):
        return False
    return pointed or after not in _RARELY_RIGHT


def _turned(match: re.Match) -> str:
    prefix, word = match.groups()
    return _cased(word.lower() if prefix else f"counter{word.lower()}", match[0])


def _cased(word: str, like: str) -> str:
    if like.isupper():
        return word.upper()
    return word.capitalize() if like[0].isupper() else word
