"""The comparison of kernels from its plan to its tables, plots and JSON."""

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.progress import track

from . import report
from .comparison import Result, Settings, compare
from .contestants import find_contestants
from .plan import Plan
from .timing import describe_machine

PEERS = {"cuda": "mamba_ssm", "cpu": "mambapy"}
BASELINES = {"cuda": "mamba_ssm", "cpu": "loop"}


def run_kernels(plan: Plan, settings: Settings, works: Sequence[str], out: Path) -> None:
    """Measures everything, prints tables, and writes kernels.json and a plot per sweep to out.

    Raises:
        ValueError: if there are sweeps and nothing to plot them with.
    """
    if plan.sweeps and find_spec("matplotlib") is None:
        raise ValueError(
            "Plots need matplotlib: install motionmamba[benchmark], or --max-length 0."
        )
    baseline = BASELINES[settings.device]
    contestants, absent = find_contestants(settings.device)
    content = {
        "machine": describe_machine(settings.device, [PEERS[settings.device]]),
        "settings": settings.to_json() | {"baseline": baseline},
        "layouts": {contestant.name: contestant.layout for contestant in contestants},
        "absent": absent,
    }
    results = []
    for shape in track(list(plan), "shapes", console=Console(stderr=True), transient=True):
        for work in works:
            results += compare(shape, work, contestants, baseline, settings)
        content["results"] = [result.to_json() for result in results]
        _write(out, content)  # after every shape, as a long run may be cut off
    title = f"{content['machine']['name']}, {content['settings']['dtype']}, N = {settings.n_state}"
    content["exponents"] = _sweeps(plan, results, title, out)
    _write(out, content)
    _print(content, results, works, title)


def _sweeps(plan: Plan, results: Sequence[Result], title: str, out: Path) -> dict:
    """Plots every sweep; gives the exponents of the one with a single sequence."""
    exponents = {}
    for batch, shapes in plan.sweeps.items():
        swept = [result for result in results if result.shape in shapes]
        name = f"kernels_batch_{batch.replace(' ', '_')}.png"
        report.plot(out / name, swept, f"{title}, D = {shapes[0].channels}, B = {batch}")
        if batch == "1":
            exponents = report.fit_exponents(swept)
    return exponents


def _print(content: dict, results: Sequence[Result], works: Sequence[str], title: str) -> None:
    console = Console()
    console.print(f"\n{title}", highlight=False)
    for work in works:
        console.print(report.make_table(work, results, content["settings"]["baseline"]))
    if content["exponents"]:
        console.print(report.make_exponent_table(content["exponents"]))
    rates = content["settings"]["rates"]
    console.print(
        f"floors: {rates['bytes']:.3g} bytes/s of a copy, "
        f"{rates['exponentials']:.3g} exponentials/s"
    )
    for layout in dict.fromkeys(content["layouts"].values()):
        names = [name for name, theirs in content["layouts"].items() if theirs == layout]
        console.print(f"layout of {'; '.join(names)}: {layout}", highlight=False)
    for name, reason in content["absent"].items():
        console.print(f"[yellow]{name} takes no part: {reason}")


def _write(out: Path, content: dict) -> None:
    (out / "kernels.json").write_text(json.dumps(content, indent=1) + "\n")
