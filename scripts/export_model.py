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
    length_predictor: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Folder that train_length.py wrote; the pipeline's own by default.",
        ),
    ] = None,
):
    """Write a pipeline again with float16 weights; loading widens them to float32."""
    from motionmamba.models import LengthPredictor
    from motionmamba.pipeline import MotionMambaPipeline, load_model

    model = MotionMambaPipeline.from_pretrained(pipeline)
    if length_predictor:
        model.register_modules(length_predictor=load_model(LengthPredictor, length_predictor))
    statistics = {name: value.clone() for name, value in model.vae.named_buffers()}
    parts = ["vae", "denoiser"]
    if model.length_predictor is not None:
        parts.append("length_predictor")
    for part in parts:
        getattr(model, part).half()
    for name, value in statistics.items():
        setattr(model.vae, name, value)
    model.save_pretrained(out)
    for config in (out / part / "config.json" for part in parts):
        settings = json.loads(config.read_text())
        settings.pop("_name_or_path", None)  # where it was trained concerns nobody
        config.write_text(json.dumps(settings, indent=2) + "\n")
    size = sum(f.stat().st_size for f in out.rglob("*.safetensors"))
    print(f"wrote {out}, {size / 1e6:.1f} MB of weights")


if __name__ == "__main__":
    run_script(main)
