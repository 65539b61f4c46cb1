#!/usr/bin/env python
"""Train the denoiser: scripts/train_denoiser.py [denoiser=motion_mamba] [vae=runs/vae/vae]."""

from pathlib import Path

from _cli import CONFIGS, Overrides, Resume, run_script


def main(overrides: Overrides = None, resume: Resume = False):
    """Train the text-conditioned denoiser on the latents of a trained VAE.

    Overrides pick a file of a group in configs/ (denoiser=mld, text_encoder=clip, train=tiny) or
    set a value (vae=runs/vae/vae, out=runs/mine). On several GPUs: accelerate launch this script.
    """
    from motionmamba.pipeline import MotionMambaPipeline
    from motionmamba.training.config import compose
    from motionmamba.training.denoiser import train_denoiser

    config = compose(CONFIGS, "train_denoiser", overrides or [])
    folder = train_denoiser(config, Path(config.out), MotionMambaPipeline, resume)
    print(f"wrote {folder}")


if __name__ == "__main__":
    run_script(main)
