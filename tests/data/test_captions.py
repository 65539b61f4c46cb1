import re
from itertools import product

import numpy as np
import pytest

from motionmamba.data.captions import (
    ACTIONS,
    STYLES,
    Action,
    base,
    gerund,
    third_person,
    write_captions,
    write_joined_captions,
)

SIDED = {
    "raise": ("left", "right", "both"),
    "wave": ("left", "right", "both"),
    **dict.fromkeys(("turn", "uturn", "circle", "diagonal", "guide", "kick", "punch"), ("left",)),
}
EXTENTS = {"raise": ("high", "head", "low"), "wave": ("high", "head", "low"), "bow": ("deep", "")}


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


@pytest.mark.parametrize("kind", ACTIONS)
def test_captions_are_whole_and_many(kind):
    rng = np.random.default_rng(0)
    for style, side in product(STYLES, SIDED.get(kind, ("",))):
        extent = EXTENTS.get(kind, ("",))[0]
        captions = write_captions(Action(kind, side, style, "slow", extent), rng, 60)
        assert len(set(captions)) == len(captions) == 60
        for text in captions:
            assert not re.search(r"[{}~]|  |,,|\.\.|^\s|\s$|\s[,.]", text), text
            assert text.isascii() and 1 <= len(text.split()) <= 24, text


@pytest.mark.parametrize("kind", ["raise", "wave", "turn", "uturn", "circle", "guide", "kick"])
def test_captions_never_name_the_other_side(kind):
    rng = np.random.default_rng(0)
    for style in STYLES:
        action = Action(kind, "left", style, "", "high" if kind in EXTENTS else "")
        for shown, wrong in ((action, "right"), (action.mirrored(), "left")):
            captions = write_captions(shown, rng, 200)
            assert not [text for text in captions if wrong in _words(text)]
            named = sum(shown.side in _words(text) for text in captions)
            assert named > (0.3 if kind in ("uturn", "circle") else 0.8) * len(captions)


def test_captions_without_a_side_name_none():
    rng = np.random.default_rng(0)
    for kind in ("walk", "run", "sprint", "back", "bow", "stand", "dance", "call"):
        for text in write_captions(Action(kind, "", "happy"), rng, 200):
            assert not _words(text) & {"left", "right"}, text


def test_both_hands_are_told_as_both():
    rng = np.random.default_rng(0)
    for text in write_captions(Action("raise", "both", "normal", "", "high"), rng, 300):
        words = _words(text)
        sides = words & {"left", "right"}
        assert len(sides) in (0, 2), text
        assert sides or words & {"both", "two", "hands", "arms", "each"}, text


def test_height_and_pace_are_told_only_where_they_were_measured():
    rng = np.random.default_rng(0)
    high = {"overhead", "ceiling", "above", "sky"}
    for extent in ("", "head", "low"):
        captions = write_captions(Action("raise", "left", "normal", "", extent), rng, 400)
        assert not [t for t in captions if _words(t) & high or "up high" in t]
    captions = write_captions(Action("raise", "left", "normal", "", "high"), rng, 400)
    assert sum(bool(_words(t) & high) for t in captions) > 20
    for pace, wrong in (("slow", "quickly"), ("fast", "slowly"), ("", "slowly")):
        captions = write_captions(Action("walk", "", "normal", pace), rng, 400)
        assert not [t for t in captions if wrong in _words(t)]


@pytest.mark.parametrize("style", [s for s in STYLES if s != "normal"])
def test_strong_styles_are_seldom_left_out(style):
    rng = np.random.default_rng(0)
    words = STYLES[style]
    told = (*words.adverbs, *words.phrases, *words.adjectives, *(s for s, _ in words.subjects))
    captions = write_captions(Action("wave", "left", style, "", "head"), rng, 300)
    silent = [t for t in captions if not any(w in t.lower() for w in told)]
    assert len(silent) < 0.25 * len(captions)


def test_joined_captions_keep_the_order():
    rng = np.random.default_rng(0)
    actions = (Action("raise", "left"), Action("bow"))
    for text in write_joined_captions(actions, rng, 60):
        first = min(text.lower().find(w) for w in ("left", "hand", "arm") if w in text.lower())
        second = re.search(r"bow|bend|lean", text.lower())
        assert second and first < second.start(), text


def test_repeated_gestures_are_counted_and_gaits_are_not():
    rng = np.random.default_rng(0)
    twice = write_joined_captions((Action("raise", "right"),) * 2, rng, 60)
    assert all(re.search("twice|two times|once more|again|after another", t) for t in twice)
    assert not any("three" in t for t in twice)
    thrice = write_joined_captions((Action("raise", "right"),) * 3, rng, 60)
    assert any("three times" in t for t in thrice) and not any("twice" in t for t in thrice)
    runs = write_joined_captions((Action("run"),) * 3, rng, 60)
    assert not any(re.search("twice|times|then|again", t) for t in runs)


def test_a_seed_repeats():
    action = Action("turn", "right", "tired")
    first, second = (write_captions(action, np.random.default_rng(5), 40) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("phrase", "third", "ing"),
    [
        ("raise a hand and ~wave", "raises a hand and waves", "raising a hand and waving"),
        ("walk, then ~go on", "walks, then goes on", "walking, then going on"),
        ("run", "runs", "running"),
        ("stretch up", "stretches up", "stretching up"),
        ("put it up and ~jog", "puts it up and jogs", "putting it up and jogging"),
    ],
)
def test_conjugation(phrase, third, ing):
    assert third_person(phrase) == third
    assert gerund(phrase) == ing
    assert "~" not in base(phrase)
