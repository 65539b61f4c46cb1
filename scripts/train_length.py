#!/usr/bin/env python
"""Train the length predictor: scripts/train_length.py [dataset=open] [captions=4]."""

import json
from pathlib import Path

from _cli import CONFIGS, Overrides, Resume, run_script


def main(overrides: Overrides = None, resume: Resume = False):
    """Train what tells from a sentence how long its motion takes, for a pipeline's default length.

    Overrides pick a file of a group in configs/ (dataset=open, text_encoder=clip) or set a value
    (train.steps=1000, out=runs/mine). scripts/export_model.py puts the result into a pipeline.
    """
    from motionmamba.training.config import compose
    from motionmamba.training.length import describe, train_length

    config = compose(CONFIGS, "train_length", overrides or [])
    run = Path(config.out)
    folder = train_length(config, run, resume)
    print(describe(json.loads((run / "validation.json").read_text(encoding="utf-8"))))
    print(f"wrote {folder}")


if __name__ == "__main__":
    run_script(main)
