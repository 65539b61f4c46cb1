#!/usr/bin/env python
"""The picture of the README: key frames of twelve sentences, one row each."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from _cli import run_script

GAP = 12  # pixels between the two columns
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
    checkpoint: Annotated[str | None, typer.Option(help="Pipeline; the shipped one.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of every motion.")] = 0,
    seconds: Annotated[float, typer.Option(help="Length of every motion.")] = 5.0,
):
    """Generate twelve sentences with one seed, unpicked, and draw each as a strip of poses."""
    import torch
    from PIL import Image

    from motionmamba.motion.formats import check_output
    from motionmamba.motion.render import render_strip
    from motionmamba.pipeline import MotionMambaPipeline

    check_output(out)
    pipeline = MotionMambaPipeline.from_pretrained(checkpoint)
    generators = [torch.Generator().manual_seed(seed) for _ in PROMPTS]
    motions = pipeline(list(PROMPTS), seconds=seconds, generator=generators).motions
    half = len(motions) // 2
    with tempfile.TemporaryDirectory() as folder:
        columns = []
        for name, part in (("left.png", motions[:half]), ("right.png", motions[half:])):
            path = render_strip(part, Path(folder) / name, frames=6, size=(140, 180))
            columns.append(Image.open(path).convert("RGB"))
    sheet = Image.new(
        "RGB", (columns[0].width + columns[1].width + GAP, columns[0].height), "white"
    )
    sheet.paste(columns[0], (0, 0))
    sheet.paste(columns[1], (columns[0].width + GAP, 0))
    # 128 colours are enough for it and make the file a quarter as large
    sheet.quantize(128, dither=Image.Dither.NONE).save(out, optimize=True)
    print(f"wrote {out}")


if __name__ == "__main__":
    run_script(main)
