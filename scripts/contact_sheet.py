#!/usr/bin/env python
"""The pictures of README and docs: key frames of sentences, of one model or of several."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from _cli import run_script

GAP = 12  # pixels between columns
FRAMES = 12  # of all columns together
PROMPTS = (
    "a person walks forward",
    "an old man walks slowly",
    "someone runs ahead, full of energy",
    "a person walks and turns left",
    "a woman raises her left hand",
    "somebody lifts both hands above the head",
    "a child waves with the right hand",
    "a person takes a deep bow",
    "a person jumps",
    "a man kicks with the right foot",
    "she sits down on a chair",
    "a man dances",
)


def main(
    out: Annotated[Path, typer.Option(help="The picture, .png.")] = Path("contact_sheet.png"),
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(help="Pipeline, as PATH or NAME=PATH; the shipped one. Repeat to compare."),
    ] = None,
    prompt: Annotated[
        list[str] | None, typer.Option(help="A sentence; twelve by default. Repeat for more.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of every motion.")] = 0,
    seconds: Annotated[float, typer.Option(help="Length of every motion.")] = 5.0,
):
    """Generate sentences with one seed, unpicked, and draw each as a strip of poses.

    One model's sentences stand in two columns; of several models each has a column.
    """
    from motionmamba.motion.formats import check_output

    check_output(out)
    prompts = prompt or list(PROMPTS)
    models = [_generate(path, prompts, seed, seconds) for path in checkpoint or [""]]
    if len(models) == 1:
        half = -(-len(prompts) // 2)
        models = [part for part in (models[0][:half], models[0][half:]) if part]
    _draw(models, out)
    print(f"wrote {out}")


def _generate(checkpoint: str, prompts: list[str], seed: int, seconds: float) -> list:
    """A motion of each sentence; where the model has a name, it stands before the sentence."""
    import torch

    from motionmamba.evaluation.side_by_side import split_name
    from motionmamba.pipeline import MotionMambaPipeline

    name, path = split_name(checkpoint)
    pipeline = MotionMambaPipeline.from_pretrained(path or None)
    generators = [torch.Generator().manual_seed(seed) for _ in prompts]
    motions = pipeline(prompts, seconds=seconds, generator=generators).motions
    for motion in motions if name else []:
        motion.prompt = f"{name}: {motion.prompt}"
    return motions


def _draw(columns: list[list], out: Path):
    from PIL import Image

    from motionmamba.motion.render import render_strip

    frames = max(1, FRAMES // len(columns))
    with tempfile.TemporaryDirectory() as folder:
        strips = [
            Image.open(
                render_strip(motions, Path(folder) / f"{i}.png", frames=frames, size=(140, 180))
            ).convert("RGB")
            for i, motions in enumerate(columns)
        ]
    width = strips[0].width + GAP
    sheet = Image.new("RGB", (width * len(strips) - GAP, strips[0].height), "white")
    for i, strip in enumerate(strips):
        sheet.paste(strip, (width * i, 0))
    # 128 colours are enough for it and make the file a quarter as large
    sheet.quantize(128, dither=Image.Dither.NONE).save(out, optimize=True)


if __name__ == "__main__":
    run_script(main)
