import re
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from motionmamba.data.text.captions import (
    VERB_FORMS,
    Action,
    base,
    gerund,
    part_captions,
    past,
    sentence_forms,
    third_person,
    write_captions,
    write_joined_captions,
    write_overlay_captions,
)
from motionmamba.data.text.vocabulary import (
    ACTIONS,
    CONTINUED,
    FRAMES,
    OVERLAYS,
    PACES,
    SEQUENCES,
    STATES,
    STYLES,
    WITH_BOTH_HANDS,
    Words,
)

CONFIGS = Path(__file__).parents[3] / "configs"
KINDS = (
    *("raise", "wave", "walk", "run", "sprint", "turn", "uturn", "circle", "diagonal", "back"),
    *("stand", "bow", "guide", "call", "kick", "punch", "slash", "dance", "squat", "jump"),
)
FORMS = ("train", "held_out")

SIDED = {
    "raise": ("left", "right", "both"),
    "wave": ("left", "right", "both"),
    **dict.fromkeys(("turn", "uturn", "circle", "diagonal", "guide", "kick", "punch"), ("left",)),
}
EXTENTS = {"raise": ("high", "head", "low"), "wave": ("high", "head", "low"), "bow": ("deep", "")}


CONTENTS = [(kind, side) for kind in KINDS for side in SIDED.get(kind, ("",))]


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def _is_whole(text: str) -> bool:
    flaws = re.search(r"[{}~]|  |,,|\.\.|^\s|\s$|\s[,.]|\ba [aeio]|\ban [^aeiou]", text)
    return not flaws and text.isascii() and 1 <= len(text.split()) <= 36


@cache
def _pattern(kind: str, side: str, forms: str, shown: bool = False) -> re.Pattern:
    """Matches the verb phrases of an action in all forms, and what it shows if wanted."""
    words = _words_of(kind, side, forms)
    phrases = [p for phrases in words.phrases.values() for p in phrases]
    texts = {form(_marked(p)) for p, form in product(phrases, VERB_FORMS.values())}
    if shown:
        texts |= set(map(_marked, words.shown))
    pattern = "|".join(map(re.escape, texts))
    pattern = pattern.replace("0", "(?:left|right)")
    return re.compile(rf"\b(?:{pattern.replace('1', '(?:the|his|her|its|their|your)')})\b")


def _marked(phrase: str) -> str:
    return phrase.replace("{s}", "0").replace("{p}", "1")


def _words_of(kind: str, side: str, forms: str) -> Words:
    return getattr((WITH_BOTH_HANDS if side == "both" else ACTIONS)[kind], forms)


@pytest.mark.parametrize("forms", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_captions_are_whole_and_many(kind, forms):
    rng = np.random.default_rng(0)
    for style, side in product(STYLES, SIDED.get(kind, ("",))):
        extent = EXTENTS.get(kind, ("",))[0]
        captions = write_captions(Action(kind, side, style, "slow", extent), rng, 60, forms)
        assert len(set(captions)) == len(captions) == 60
        assert not [text for text in captions if not _is_whole(text)]


@pytest.mark.parametrize(("kind", "side"), CONTENTS)
def test_every_content_has_thirty_forms_and_as_many_verb_phrases(kind, side):
    forms = sentence_forms(Action(kind, side))
    assert len(set(forms)) == len(forms) >= 30
    assert len({phrase for _, phrase in forms}) > 30
    held_out = sentence_forms(Action(kind, side), "held_out")
    assert len(set(held_out)) == len(held_out) >= 30
    captions = write_captions(Action(kind, side), np.random.default_rng(0), 200)
    bare = {re.sub(r"^(an?|the|one|some\w+|s?he) ?\w*|\W+$", "", t.lower()) for t in captions}
    assert len(bare) >= 30


@pytest.mark.parametrize(("kind", "side"), CONTENTS)
def test_training_has_no_held_out_verb_phrase(kind, side):
    rng = np.random.default_rng(0)
    train, held_out = (_words_of(kind, side, forms) for forms in FORMS)
    wanted = _pattern(kind, side, "held_out")
    phrases = [p for phrases in train.phrases.values() for p in phrases]
    assert not [p for p in phrases if wanted.search(base(_marked(p)))]
    assert not set(train.told) & set(held_out.told)
    assert not set(train.shown) & set(held_out.shown)
    extents = EXTENTS.get(kind, ("",))
    actions = [Action(kind, side, "happy", "slow", extent) for extent in extents]
    texts = {f: [t for a in actions for t in write_captions(a, rng, 60, f)] for f in FORMS}
    assert not set(texts["train"]) & set(texts["held_out"])
    assert not [text for text in texts["train"] if wanted.search(text.lower())]
    told = sum(not wanted.search(text.lower()) for text in texts["held_out"])
    assert told < 0.3 * len(texts["held_out"])


@pytest.mark.parametrize("frames", [FRAMES, SEQUENCES, CONTINUED, OVERLAYS, STATES])
def test_frames_are_held_out(frames):
    assert len(set(frames.train)) == len(frames.train) > len(frames.held_out) >= 3
    assert not set(frames.train) & set(frames.held_out)


def test_unknown_forms_are_refused():
    with pytest.raises(ValueError, match="'train' or 'held_out'"):
        write_captions(Action("walk"), np.random.default_rng(0), 1, forms="test")


@pytest.mark.parametrize("forms", FORMS)
def test_prompts_of_the_check_stay_outside_of_the_grammar(forms):
    prompts = {prompt for prompt, _ in OmegaConf.load(CONFIGS / "prompts.yaml")}
    words = {"street", "park", "retreats", "trudges", "shuffles", "grandmother", "singer", "fan"}
    rng = np.random.default_rng(0)
    for (kind, side), style in product(CONTENTS, ("normal", "old", "active")):
        captions = write_captions(Action(kind, side, style), rng, 150, forms)
        assert not [t for t in captions if t.lower().rstrip(".") in prompts or _words(t) & words]


@pytest.mark.parametrize("forms", FORMS)
@pytest.mark.parametrize("kind", SIDED)
def test_captions_never_name_the_other_side(kind, forms):
    rng = np.random.default_rng(0)
    for style in STYLES:
        action = Action(kind, "left", style, "", "high" if kind in EXTENTS else "")
        for shown, wrong in ((action, "right"), (action.mirrored(), "left")):
            captions = write_captions(shown, rng, 100, forms)
            assert not [text for text in captions if wrong in _words(text)]
            named = sum(shown.side in _words(text) for text in captions)
            assert named > (0.3 if kind in ("uturn", "circle") else 0.7) * len(captions)


def test_captions_without_a_side_name_none():
    rng = np.random.default_rng(0)
    sideless = [kind for kind, side in CONTENTS if not side]
    for kind, forms in product(sideless, FORMS):
        for text in write_captions(Action(kind, "", "happy"), rng, 200, forms):
            assert not _words(text) & {"left", "right"}, text


@pytest.mark.parametrize("forms", FORMS)
@pytest.mark.parametrize("kind", ["raise", "wave"])
def test_both_hands_are_told_as_both(kind, forms):
    rng = np.random.default_rng(0)
    for text in write_captions(Action(kind, "both", "normal", "", "high"), rng, 300, forms):
        words = _words(text)
        sides = words & {"left", "right"}
        assert len(sides) in (0, 2), text
        assert sides or words & {"both", "two", "hands", "arms", "palms", "each"}, text


def test_height_and_pace_are_told_only_where_they_were_measured():
    rng = np.random.default_rng(0)
    high = {"overhead", "ceiling", "above", "sky"}
    for extent, forms in product(("", "head", "low"), FORMS):
        captions = write_captions(Action("raise", "left", "normal", "", extent), rng, 200, forms)
        assert not [t for t in captions if _words(t) & high or "up high" in t]
    captions = write_captions(Action("raise", "left", "normal", "", "high"), rng, 400)
    assert sum(bool(_words(t) & high) for t in captions) > 20
    words = {
        "slow": {"slow", "slowly", "unhurriedly", "hurry", "low"},
        "fast": {"fast", "quickly", "quick", "rapidly", "swiftly", "briskly", "high", "great"},
    }
    for pace in ("", *PACES):
        captions = write_captions(Action("walk", "", "normal", pace), rng, 200)
        telling, other = (
            sum(bool(_words(t) & words[p]) for t in captions)
            for p in (("fast", "slow") if "fast" in pace else ("slow", "fast"))
        )
        assert other == 0 and (telling > 0.3 * len(captions) if pace else telling == 0)


@pytest.mark.parametrize("style", [s for s in STYLES if s != "normal"])
def test_strong_styles_are_seldom_left_out(style):
    rng = np.random.default_rng(0)
    words = STYLES[style]
    told = (*words.adverbs, *words.phrases, *words.adjectives, *words.states)
    told += tuple(subject for subject, _ in words.subjects)
    captions = write_captions(Action("wave", "left", style, "slow", "head"), rng, 300)
    silent = [t for t in captions if not any(w in t.lower() for w in told)]
    assert len(silent) < 0.25 * len(captions)


@pytest.mark.parametrize("forms", FORMS)
def test_joined_captions_keep_the_order(forms):
    rng = np.random.default_rng(0)
    actions = (Action("raise", "left"), Action("bow"))
    patterns = [_pattern(action.kind, action.side, forms) for action in actions]
    for text in write_joined_captions(actions, rng, 100, forms):
        first, second = (pattern.search(text.lower()) for pattern in patterns)
        assert first.start() < second.start(), text


def test_repeated_gestures_are_counted_and_gaits_are_not():
    rng = np.random.default_rng(0)
    twice = write_joined_captions((Action("raise", "right"),) * 2, rng, 60)
    assert all(re.search("twice|two times|once more|again|after another", t) for t in twice)
    assert not any("three" in t for t in twice)
    thrice = write_joined_captions((Action("raise", "right"),) * 3, rng, 60)
    assert any("three times" in t for t in thrice) and not any("twice" in t for t in thrice)
    runs = write_joined_captions((Action("run"),) * 3, rng, 60)
    assert not any(re.search("twice|times|then|again", t) for t in runs)


@pytest.mark.parametrize("forms", FORMS)
def test_sequences_are_whole_and_held_out(forms):
    rng = np.random.default_rng(0)
    actions = [Action("raise", "left"), Action("walk", "", "normal", "slow"), Action("bow")]
    for parts in (actions[:2], actions):
        captions = write_joined_captions(parts, rng, 120, forms)
        assert len(captions) == 120 and all(map(_is_whole, captions))
        assert not [text for text in captions if "right" in _words(text)]
        for pattern in [_pattern(a.kind, a.side, "held_out") for a in parts]:
            assert {bool(pattern.search(t.lower())) for t in captions} == {forms == "held_out"}


def test_sequences_of_several_styles_tell_none_of_the_whole():
    rng = np.random.default_rng(0)
    actions = (Action("walk", "", "sad"), Action("bow", "", "happy"))
    words = {"sad", "gloomy", "depressed", "sadly", "gloomily", "happy", "happily"}
    assert not [t for t in write_joined_captions(actions, rng, 100) if _words(t) & words]


@pytest.mark.parametrize("forms", FORMS)
@pytest.mark.parametrize("kind", ["raise", "wave", "guide", "punch", "call", "bow"])
def test_overlays_tell_both_and_their_sides(kind, forms):
    rng = np.random.default_rng(0)
    side = "right" if kind in SIDED else ""
    for legs in (Action("walk"), Action("turn", "right", "sad", "slow"), Action("stand")):
        arms = Action(kind, side, legs.style, "fast", "high" if kind in EXTENTS else "")
        for mirror in (False, True):
            pair = [a.mirrored() if mirror else a for a in (legs, arms)]
            captions = write_overlay_captions(*pair, rng, 60, forms)
            assert len(captions) == 60 and all(map(_is_whole, captions))
            assert not [t for t in captions if ("right" if mirror else "left") in _words(t)]
            for action in pair:
                pattern = _pattern(action.kind, action.side, forms, shown=True)
                assert all(pattern.search(text.lower()) for text in captions)


def test_overlays_give_each_part_its_own_style():
    rng = np.random.default_rng(0)
    legs, arms = Action("walk", "", "sad"), Action("wave", "left", "happy", "", "low")
    captions = write_overlay_captions(legs, arms, rng, 200)
    assert not [t for t in captions if _words(t) & {"sad", "gloomy", "happy", "cheerful"}]
    assert any(re.search(r"walks? sadly", t) for t in captions)
    assert any(re.search(r"happily wav", t) for t in captions)


@pytest.mark.parametrize("forms", FORMS)
def test_parts_have_a_short_caption_each(forms):
    actions = [Action("wave", "left"), Action("wave", "left"), Action("turn", "right", "old")]
    rng = np.random.default_rng(0)
    for _ in range(20):
        texts = part_captions(actions, rng, forms)
        assert len(texts) == 3 and all(map(_is_whole, texts))
        assert not any("right" in _words(text) for text in texts[:2])
        assert "left" not in _words(texts[2]) and max(len(t.split()) for t in texts) < 20


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
        ("hurry, ~have a go", "hurries, has a go", "hurrying, having a go"),
    ],
)
def test_conjugation(phrase, third, ing):
    assert third_person(phrase) == third
    assert gerund(phrase) == ing
    assert "~" not in base(phrase)


def test_past():
    assert past("raise it, ~go on and ~stand") == "raised it, went on and stood"


def test_verbs_are_marked_in_their_base_form():
    with pytest.raises(ValueError, match="no verb"):
        third_person("sideways walk")
