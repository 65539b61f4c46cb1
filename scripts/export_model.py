#!/usr/bin/env python
"""Shrink a trained pipeline for publishing: half-precision weights, feature statistics whole."""

import json
from pathlib import Path
from typing import Annotated

import typer
from _cli import run_script


def main(
    pipeline: Annotated[Path, typer.Argument(help="Folder that train_denoiser.py wrote.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
):
    """Write a pipeline again with float16 weights; loading widens them to float32."""
    from motionmamba.pipeline import MotionMambaPipeline

    model = MotionMambaPipeline.from_pretrained(pipeline)
    statistics = {name: value.clone() for name, value in model.vae.named_buffers()}
    model.vae.half()
    model.denoiser.half()
    for name, value in statistics.items():
        setattr(model.vae, name, value)
    model.save_pretrained(out)
    for config in (out / "vae" / "config.json", out / "denoiser" / "config.json"):
        settings = json.loads(config.read_text())
        settings.pop("_name_or_path", None)  # where it was trained concerns nobody
        config.write_text(json.dumps(settings, indent=2) + "\n")
    size = sum(f.stat().st_size for f in out.rglob("*.safetensors"))
    print(f"wrote {out}, {size / 1e6:.1f} MB of weights")


if __name__ == "__main__":
    run_script(main)
