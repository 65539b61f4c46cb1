import json
import re
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from lemminflect import getAllLemmas

from motionmamba.data.sources.procedural import MAKERS, pose
from motionmamba.data.text import vocabulary, vocabulary_cmu
from motionmamba.evaluation.kinematics import OPPOSITE
from motionmamba.evaluation.prompts import Prompt, check_prompts, generate_with, read_prompts
from motionmamba.motion.motion import Motion
from motionmamba.motion.skeleton import KIT

SHIPPED = Path(__file__).parents[2] / "configs" / "prompts.yaml"
LIFT = Prompt("lift left", ("left hand up", "stands"))


def made(kind, side="", seed=0):
    return Motion(joints=pose(MAKERS[kind](np.random.default_rng(seed), 60, side)))


def test_motions_are_counted_by_what_they_do():
    def generate(prompts, seconds, seeds):
        assert seconds == 3.0
        motions = {0: made("raise", "left"), 1: made("raise", "right"), 2: made("walk")}
        return [motions[seed] for seed in seeds]

    prompts = [LIFT, Prompt("walk", ("walks", "goes forward"))]
    report = check_prompts(generate, prompts, seeds=3, seconds=3.0).to_dict()
    assert (report["done"], report["total"], report["rate"]) == (2, 6, 1 / 3)
    assert (report["wrong_side"], report["sided"], report["wrong_side_rate"]) == (1, 3, 1 / 3)
    lift, walk = report["prompts"]
    assert lift["misses"] == {"left hand up": 2, "stands": 1} and lift["wrong_side"] == 1
    assert walk["misses"] == {"walks": 2, "goes forward": 2} and walk["wrong_side"] is None
    assert json.loads(json.dumps(report)) == report


def test_every_prompt_comes_with_every_seed_in_batches():
    calls, told = [], []

    def generate(prompts, seconds, seeds):
        calls.append(list(zip(prompts, seeds, strict=True)))
        return [made("walk")] * len(prompts)

    prompts = [Prompt(f"walk {i}", ("walks",)) for i in range(13)]
    check_prompts(generate, prompts, 5, progress=lambda what, done, total: told.append(done))
    assert [len(call) for call in calls] == [32, 32, 1] and told == [32, 64, 65]
    asked = [pair for call in calls for pair in call]
    assert asked == [(prompt.text, seed) for prompt in prompts for seed in range(5)]


def test_without_sides_there_is_no_rate_of_wrong_ones():
    report = check_prompts(lambda *_: [made("walk")], [Prompt("walk", ("walks",))], 1).to_dict()
    assert report["sided"] == 0 and report["wrong_side_rate"] is None


def test_kit_bodies_are_measured_too():
    joints = np.zeros((60, KIT.num_joints, 3))
    joints[:, KIT.joint_names.index("left_hip"), 0] = 0.1
    joints[:, KIT.joint_names.index("right_hip"), 0] = -0.1
    joints[..., 2] += np.linspace(0, 4, 60)[:, None]
    prompt = Prompt("go", ("walks", "goes forward"))
    assert check_prompts(lambda *_: [Motion(joints=joints)], [prompt], 1).to_dict()["done"] == 1


def test_a_pipeline_is_given_a_generator_for_each_seed():
    class Pipeline:
        def __call__(self, prompts, **options):
            self.options = options
            return type("Output", (), {"motions": prompts})

    pipeline = Pipeline()
    assert generate_with(pipeline, 7, 2.5)(["a", "b"], 4.0, [3, 9]) == ["a", "b"]
    generators = pipeline.options.pop("generator")
    assert [g.initial_seed() for g in generators] == [3, 9]
    assert all(g.device == torch.device("cpu") for g in generators)
    assert pipeline.options == {"seconds": 4.0, "num_inference_steps": 7, "guidance_scale": 2.5}


@pytest.mark.parametrize("count", [0, -1])
def test_no_seed_is_refused(count):
    with pytest.raises(ValueError, match="at least one"):
        check_prompts(lambda *_: [], [LIFT], count)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- [walk, [flies]]", "'flies'; known are stands, walks"),
        ("- [walk, walks]", r"expected \[sentence"),
        ("- [walk, []]", r"expected \[sentence"),
        ("- [' ', [walks]]", r"expected \[sentence"),
        ("- walk", r"expected \[sentence"),
        ("walk: [walks]", "no list of prompts"),
        ("", "no list of prompts"),
        ("- [walk, [walks", "cannot be read as YAML"),
        ("- [walk, [walks]]\n- [walk, [runs]]", "'walk' 2 times"),
    ],
)
def test_bad_files_are_refused_in_a_sentence(tmp_path, text, words):
    path = tmp_path / "prompts.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=words) as error:
        read_prompts(path)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        read_prompts(tmp_path / "none.yaml")


@pytest.fixture(scope="module")
def shipped():
    return read_prompts(SHIPPED)


def test_shipped_prompts_name_what_has_to_be_measured(shipped):
    assert 40 <= len(shipped) <= 60
    asked = {check for prompt in shipped for check in prompt.checks}
    for word in ("hand up", "waves", "turns", "circles", "runs", "slowly", "backward", "steps"):
        assert any(word in check for check in asked), word
    assert {"sits", "jumps", "crouches", "squats", "bows", "left leg kicks"} <= asked


def test_shipped_prompts_have_twins_of_the_other_side(shipped):
    def mirrored(text):
        return re.sub(r"\b(left|right)\b", lambda s: {"left": "right"}.get(s[0], "left"), text)

    def neutral(text):
        return re.sub(r"\b(his|her)\b", "their", text)

    pairs = {(neutral(p.text), p.checks) for p in shipped}
    for prompt in shipped:
        if prompt.sided:
            checks = tuple(OPPOSITE.get(check, check) for check in prompt.checks)
            assert (neutral(mirrored(prompt.text)), checks) in pairs, prompt.text


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (s for pair in value.items() for item in pair for s in strings(item))
    elif isinstance(value, (tuple, list, set)):
        yield from (s for item in value for s in strings(item))
    elif is_dataclass(value) and not isinstance(value, type):
        yield from (s for field in fields(value) for s in strings(getattr(value, field.name)))


def forms(word):
    """A word and what it may be an inflection of."""
    return {word}.union(*getAllLemmas(word).values())


def words_of(text):
    return re.findall(r"[a-z]+", text.lower())


def test_each_shipped_prompt_has_a_word_that_no_caption_has(shipped):
    texts = (s for v in (vocabulary, vocabulary_cmu) for s in strings(dict(vars(v))))
    written = {word for text in texts for word in words_of(text)}
    known = set().union(*map(forms, written))
    assert {"wave", "left", "walk"} <= known
    for prompt in shipped:
        assert any(not forms(word) & known for word in words_of(prompt.text)), prompt.text
