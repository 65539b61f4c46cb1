#!/usr/bin/env python
"""Train the motion VAE: scripts/train_vae.py [vae=temporal] [dataset=bandai] [train.steps=1000]."""

from pathlib import Path

from _cli import CONFIGS, Overrides, Resume, run_script


def main(overrides: Overrides = None, resume: Resume = False):
    """Train the motion VAE that compresses motion to latents.

    Overrides pick a file of a group in configs/ (vae=mld, dataset=procedural, train=tiny) or set
    a value (train.steps=1000, out=runs/mine). On several GPUs: accelerate launch this script.
    """
    from motionmamba.training.config import compose
    from motionmamba.training.vae import train_vae

    config = compose(CONFIGS, "train_vae", overrides or [])
    folder = train_vae(config, Path(config.out), resume)
    print(f"wrote {folder}")


if __name__ == "__main__":
    run_script(main)
