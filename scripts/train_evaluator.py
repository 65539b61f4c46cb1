#!/usr/bin/env python
"""Train the evaluator: scripts/train_evaluator.py [dataset=open] [evaluator=guo] [glove=FOLDER]."""

import json
from pathlib import Path

from _cli import CONFIGS, Overrides, Resume, run_script


def main(overrides: Overrides = None, resume: Resume = False):
    """Train the text-to-motion evaluator: movements first, then captions and motions.

    Overrides pick a file of a group in configs/ (dataset=bandai, evaluator=tiny) or set a value
    (train.matching.steps=1000, glove=FOLDER, out=runs/mine). On several GPUs: accelerate launch
    this script.
    """
    from motionmamba.training.config import compose
    from motionmamba.training.evaluator import describe, train_evaluator

    config = compose(CONFIGS, "train_evaluator", overrides or [])
    run = Path(config.out)
    folder = train_evaluator(config, run, resume)
    print(describe(json.loads((run / "validation.json").read_text(encoding="utf-8"))))
    print(f"wrote {folder}")


if __name__ == "__main__":
    run_script(main)
