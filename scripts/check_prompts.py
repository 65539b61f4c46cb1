#!/usr/bin/env python
"""Does a model do what it is told? Measures motions of sentences outside its caption grammar."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from _cli import CONFIGS, run_script


def main(
    checkpoint: Annotated[str | None, typer.Option(help="Pipeline; the shipped one.")] = None,
    prompts: Annotated[Path, typer.Option(help="YAML list of prompts and checks.")] = CONFIGS
    / "prompts.yaml",
    seeds: Annotated[int, typer.Option(help="Motions of each sentence.")] = 5,
    seconds: Annotated[float, typer.Option(help="Length of each motion.")] = 6.0,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the result as JSON.")] = None,
):
    """Generate every sentence and check the motion: which hand, which way, how fast."""
    import torch
    from omegaconf import OmegaConf
    from rich.console import Console
    from rich.table import Table

    from motionmamba.evaluation.kinematics import passes, wrong_side
    from motionmamba.pipeline import MotionMambaPipeline

    pipeline = MotionMambaPipeline.from_pretrained(checkpoint)
    pipeline.to("cuda" if torch.cuda.is_available() else "cpu")
    pipeline.set_progress_bar_config(disable=True)
    table = Table("prompt", "did", "missed", title=f"{seeds} motions of {seconds:g} s each")
    done = total = sides = sided = 0
    for prompt, checks in OmegaConf.to_container(OmegaConf.load(prompts)):
        generators = [torch.Generator().manual_seed(seed) for seed in range(seeds)]
        motions = pipeline(
            [prompt] * seeds,
            seconds=seconds,
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=generators,
        ).motions
        misses, good = Counter(), 0
        for motion in motions:
            missed = [c for c in checks if not passes(c, motion.joints, motion.fps)]
            good += not missed
            sided += any(w in prompt for w in ("left", "right"))
            sides += any(wrong_side(c, motion.joints, motion.fps) for c in checks)
            misses.update(missed)
        done, total = done + good, total + seeds
        table.add_row(prompt, f"{good}/{seeds}", ", ".join(f"{c} ×{n}" for c, n in misses.items()))
    Console().print(table)
    print(f"did what it was told: {done}/{total}; on the wrong side: {sides}/{sided}")
    if out:
        result = {"done": done, "total": total, "wrong_side": sides, "sided": sided}
        out.write_text(json.dumps(result | {"seeds": seeds, "seconds": seconds}) + "\n")


if __name__ == "__main__":
    run_script(main)
