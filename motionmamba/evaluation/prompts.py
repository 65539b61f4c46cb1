"""Does a model do what it is told? Prompts, each with the kinematic checks that it has to pass."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import yaml

from motionmamba.data.progress import Progress, no_progress
from motionmamba.evaluation.kinematics import CHECKS, OPPOSITE, passes, wrong_side
from motionmamba.motion.motion import Motion
from motionmamba.motion.skeleton import humanml3d_joints

BATCH = 32
# Motions of so many prompts, all of so many seconds, each from a seed of its own.
Generate = Callable[[list[str], float, list[int]], list[Motion]]


@dataclass(frozen=True)
class Prompt:
    """A sentence and the names of the `CHECKS` that its motion has to pass."""

    text: str
    checks: tuple[str, ...]

    @property
    def sided(self) -> bool:
        """Whether doing it on the other side can be told."""
        return any(check in OPPOSITE for check in self.checks)


@dataclass
class PromptResult:
    """What the motions of one prompt did: how many passed all checks, misses of each check.

    `wrong_side` are those that did on the other side what a check asks for.
    """

    prompt: Prompt
    total: int = 0
    done: int = 0
    wrong_side: int = 0
    misses: Counter = field(default_factory=Counter)

    def add(self, motion: Motion):
        joints = humanml3d_joints(motion.joints)
        missed = [c for c in self.prompt.checks if not passes(c, joints, motion.fps)]
        self.total += 1
        self.done += not missed
        self.wrong_side += any(wrong_side(c, joints, motion.fps) for c in missed)
        self.misses.update(missed)


@dataclass(frozen=True)
class PromptReport:
    """What the motions of all prompts did, so many `seeds` of `seconds` for each."""

    results: list[PromptResult]
    seconds: float
    seeds: int

    def to_dict(self) -> dict:
        """Totals and rates, then every prompt with its misses; plain values for JSON."""
        done, total = (sum(getattr(r, name) for r in self.results) for name in ("done", "total"))
        with_side = [r for r in self.results if r.prompt.sided]
        wrong, sided = sum(r.wrong_side for r in with_side), sum(r.total for r in with_side)
        return {
            "done": done,
            "total": total,
            "rate": done / total,
            "wrong_side": wrong,
            "sided": sided,
            "wrong_side_rate": wrong / sided if sided else None,
            "seconds": self.seconds,
            "seeds": self.seeds,
            "prompts": [
                {
                    "prompt": r.prompt.text,
                    "checks": list(r.prompt.checks),
                    "done": r.done,
                    "total": r.total,
                    "wrong_side": r.wrong_side if r.prompt.sided else None,
                    "misses": dict(r.misses),
                }
                for r in self.results
            ],
        }


def read_prompts(path: str | os.PathLike) -> list[Prompt]:
    """Reads a YAML list of pairs, a sentence and a list of names of checks.

    Raises:
        ValueError: when the file is missing or of another form, a sentence is blank or comes twice,
            or a check is unknown.
    """
    try:
        entries = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path} cannot be read as YAML: {reason}") from error
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path} holds no list of prompts; write '- [sentence, [check]]' lines")
    prompts = [_prompt(entry, path) for entry in entries]
    text, count = Counter(prompt.text for prompt in prompts).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{path} has the prompt {text!r} {count} times; leave one")
    return prompts


def _prompt(entry, path) -> Prompt:
    pair = entry if isinstance(entry, list) and len(entry) == 2 else [None, None]
    text, checks = pair
    if not (isinstance(text, str) and text.strip() and isinstance(checks, list) and checks):
        raise ValueError(f"{path} has the entry {entry!r}, expected [sentence, [check, ...]]")
    for check in checks:
        if check not in CHECKS:
            raise ValueError(f"{path} asks for the check {check!r}; known are {', '.join(CHECKS)}")
    return Prompt(text, tuple(checks))


def check_prompts(
    generate: Generate,
    prompts: Sequence[Prompt],
    seeds: int,
    seconds: float = 6.0,
    progress: Progress = no_progress,
) -> PromptReport:
    """Generates each prompt with the seeds 0, 1, … `seeds` - 1, 32 motions at a time, and checks.

    Raises ValueError when there is no prompt or no seed.
    """
    if not prompts or seeds < 1:
        raise ValueError(
            f"there are {len(prompts)} prompts with {seeds} seeds; give at least one of each"
        )
    results = [PromptResult(prompt) for prompt in prompts]
    todo = [(result, seed) for result in results for seed in range(seeds)]
    for start in range(0, len(todo), BATCH):
        batch = todo[start : start + BATCH]
        texts = [result.prompt.text for result, _ in batch]
        motions = generate(texts, seconds, [seed for _, seed in batch])
        for (result, _), motion in zip(batch, motions, strict=True):
            result.add(motion)
        progress("generating", start + len(batch), len(todo))
    return PromptReport(results, seconds, seeds)


def generate_with(
    pipeline, num_inference_steps: int | None = None, guidance_scale: float | None = None
) -> Generate:
    """The function that `check_prompts` takes, of a `MotionMambaPipeline`; its own options if None.

    Noise is drawn on the CPU, so that a seed gives the same on every device.
    """

    def generate(prompts: list[str], seconds: float, seeds: list[int]) -> list[Motion]:
        return pipeline(
            prompts,
            seconds=seconds,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
        ).motions

    return generate
