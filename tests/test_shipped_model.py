"""The model that comes with the package does what it is told, and is no larger than promised."""

import pytest
import torch

from motionmamba import MotionMambaPipeline
from motionmamba.evaluation.kinematics import passes
from motionmamba.pipeline import EMBEDDED_MODEL

SEEDS = 4
SENTENCES = [
    ("a person walks forward", ("walks", "goes forward")),
    ("a man runs ahead", ("runs", "goes forward")),
    ("a person walks backwards", ("goes backward",)),
    ("a person walks and turns left", ("walks", "turns left")),
    ("a person walks and turns right", ("walks", "turns right")),
    ("a woman raises her left arm up high", ("left hand up", "stands")),
    ("a man raises his right arm up high", ("right hand up", "stands")),
    ("she waves hello with her left hand", ("left hand waves", "stands")),
    ("he waves hello with his right hand", ("right hand waves", "stands")),
    ("a man kicks with the right foot", ("right leg kicks",)),
    ("she sits down on a chair", ("sits",)),
    ("a person jumps", ("jumps",)),
]


@pytest.fixture(scope="module")
def motions():
    pipe = MotionMambaPipeline.from_pretrained()
    pipe.set_progress_bar_config(disable=True)
    prompts = [text for text, _ in SENTENCES for _ in range(SEEDS)]
    generators = [torch.Generator().manual_seed(s) for _ in SENTENCES for s in range(SEEDS)]
    return pipe(prompts, seconds=5.0, generator=generators).motions


@pytest.mark.parametrize("index", range(len(SENTENCES)), ids=[text for text, _ in SENTENCES])
def test_does_what_it_is_told(motions, index):
    _, checks = SENTENCES[index]
    made = motions[index * SEEDS : (index + 1) * SEEDS]
    done = sum(all(passes(c, m.joints, m.fps) for c in checks) for m in made)
    assert done >= SEEDS - 1


def test_weights_are_small_and_carry_their_card():
    size = sum(f.stat().st_size for f in EMBEDDED_MODEL.rglob("*") if f.is_file())
    assert size < 40e6
    card = (EMBEDDED_MODEL / "README.md").read_text()
    for word in ("CC BY-NC 4.0", "templated", "seed", "scripts/train_denoiser.py"):
        assert word in card
