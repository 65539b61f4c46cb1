"""How near a prompt is to what the shipped model was told in training.

Its captions were written by a grammar. A sample of what the grammar writes is embedded once, and a
prompt is compared with each by the cosine of their mean token embeddings.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch

EACH = 6  # captions of each action
FAR = 0.45  # cosine below which a prompt is unlike all captions
BOTH_SIDES, ANY_HAND = ("left", "right"), ("left", "right", "both")
PLENTY = {
    "walk": ("",),
    "run": ("",),
    "sprint": ("",),
    "back": ("",),
    "stand": ("",),
    "turn": BOTH_SIDES,
    "uturn": BOTH_SIDES,
    "circle": BOTH_SIDES,
    "diagonal": BOTH_SIDES,
    "raise": ANY_HAND,
    "wave": ANY_HAND,
    "bow": ("",),
    "guide": BOTH_SIDES,
    "call": BOTH_SIDES,
    **dict.fromkeys(
        (
            *("side_steps", "veer", "turn_around", "twirl", "sneak", "zombie", "duck_under"),
            *("jumps", "jump_forward", "jump_high", "hop", "leap", "cartwheel", "balance"),
            *("sit", "sit_down", "sit_up", "stool_down", "climb", "climb_up", "ladder_up", "perch"),
            *("exercise", "jack", "march", "jog_in_place", "twist", "toe_touch", "reach_up"),
            *("salsa", "charleston", "indian_dance", "ballet", "dance_pose"),
            *("boxing", "strike", "martial", "swordplay", "front_kick", "side_kick", "lunge_punch"),
            *("wash_self", "wash_windows", "mop", "sweep_floor", "scoop", "traffic", "laugh"),
            *("look_around", "swing_legs", "animal_chicken", "animal_monkey", "animal_dinosaur"),
        ),
        ("",),
    ),
}
STYLES = ("elderly", "exhausted", "proud", "happy", "giant", "angry", "sad", "childish", "feminine")
_BATCH = 16


class Nearness:
    """Embeds the sample a few captions at a time, when nothing else is to be done."""

    def __init__(self, encoder):
        self._encoder = encoder
        self._known: list[np.ndarray] = []

    @cached_property
    def _captions(self) -> list[str]:
        return _sample()

    @property
    def ready(self) -> bool:
        return len(self._known) * _BATCH >= len(self._captions)

    def prepare(self) -> None:
        if not self.ready:
            first = len(self._known) * _BATCH
            self._known.append(self._embed(self._captions[first : first + _BATCH]))

    def nearest(self, prompt: str) -> tuple[float, str]:
        """The cosine to the most similar caption, and that caption."""
        while not self.ready:
            self.prepare()
        alike = np.concatenate(self._known) @ self._embed([prompt])[0]
        best = int(alike.argmax())
        return float(alike[best]), self._captions[best]

    def note(self, prompts: tuple[str, ...]) -> str:
        """What to tell of prompts that are unlike all captions; nothing if there are none."""
        told = []
        for prompt in prompts:
            alike, caption = self.nearest(prompt)
            if alike < FAR:
                told.append(
                    f"“{prompt}” is unlike everything this model was trained on; the nearest is "
                    f"“{caption}”. What you see may have little to do with the words."
                )
        return " ".join(told)

    def _embed(self, texts: list[str]) -> np.ndarray:
        tokens, mask = self._encoder.encode(texts)
        weights = mask[..., None].to(tokens.dtype)
        mean = (tokens * weights).sum(1) / weights.sum(1)
        return torch.nn.functional.normalize(mean, dim=-1).float().cpu().numpy()


def _sample() -> list[str]:
    """Captions of what the recordings have plenty of, the same at each start."""
    from motionmamba.data.text.captions import Action, write_captions

    rng = np.random.default_rng(0)
    actions = [Action(kind, side) for kind, sides in PLENTY.items() for side in sides]
    actions += [Action("walk", style=style) for style in STYLES]
    written = [caption for action in actions for caption in write_captions(action, rng, EACH)]
    return list(dict.fromkeys(written))
