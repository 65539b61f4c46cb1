import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from motionmamba.data.text import scenery
from motionmamba.data.text.captions import ACTIONS, Action, write_captions
from motionmamba.data.text.scenery import LONGEST, set_scene
from motionmamba.evaluation.prompts import read_prompts

CONFIGS = Path(__file__).parents[3] / "configs"
LISTS = [value for value in vars(scenery).values() if isinstance(value, tuple) and len(value) > 3]
DRAWN = {word for phrases in LISTS for phrase in phrases for word in re.findall(r"[a-z']+", phrase)}


def captions(count=6):
    rng = np.random.default_rng(1)
    for kind, style in product(sorted(ACTIONS), ("normal", "old")):
        yield from write_captions(Action(kind, "left", style), rng, count)


def words(text):
    return re.findall(r"[a-z'-]+", text.lower())


def test_what_is_told_of_the_motion_stays_in_its_order():
    somebody = set("a an the one someone somebody person man woman guy boy girl lady human".split())
    rng = np.random.default_rng(0)
    for caption in captions():
        told = iter(words(set_scene(caption, rng)))
        kept = [word for word in words(caption) if word not in somebody | {"figure"}]
        assert all(word in told for word in kept), caption


def test_most_captions_get_something_and_seldom_the_same():
    rng = np.random.default_rng(0)
    short = [text for text in captions(2) if len(text.split()) <= LONGEST]
    scenes = [set_scene(text, rng) for text in short for _ in range(4)]
    assert len(set(scenes) - set(short)) > 0.85 * len(scenes)


def test_articles_fit_and_a_longer_caption_stays():
    rng = np.random.default_rng(0)
    scenes = " ".join(set_scene("someone walks", rng) for _ in range(2000))
    assert re.search(r"\ban uncle\b", scenes)
    assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", scenes)
    caption = "a person " + "walks and " * LONGEST + "stops"
    assert set_scene(caption, rng) == caption


def test_scenes_repeat_with_their_seed():
    first, second = (
        [set_scene(text, np.random.default_rng(i)) for i, text in enumerate(captions(1))]
        for _ in range(2)
    )
    assert first == second


def test_no_word_drawn_tells_of_a_side_or_a_pace():
    assert not DRAWN & set("left right slowly quickly fast forward backward tired old".split())


@pytest.mark.parametrize("name", ["prompts.yaml", "prompts_choose.yaml"])
def test_every_prompt_has_a_word_that_no_scene_has(name):
    grammar = {word for caption in captions(20) for word in words(caption)}
    for prompt in read_prompts(CONFIGS / name):
        assert set(words(prompt.text)) - grammar - DRAWN, prompt.text
