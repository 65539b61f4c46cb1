"""Times of sentences as tables and as a plot."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from .report import draw_curves, number

PEERS = ("mld", "transformer_temporal")


def show(content: dict, timings: Sequence, figure: Path) -> None:
    """Prints tables and what they hold for; writes the plot where there is more than a length."""
    console, settings = Console(), content["settings"]
    batches = [timing for timing in timings if timing.frames == settings["frames"]]
    lengths = [timing for timing in timings if timing.batch == 1]
    if batches:
        console.print(batch_table(batches, settings))
    if len({timing.frames for timing in lengths}) > 1:
        console.print(length_table(lengths, settings["baseline"]))
        _plot_if_possible(figure, lengths, content, console)
    for timing in timings:
        if timing.status != "ok":
            what = f"{timing.contestant}, {timing.mode}, {timing.batch} × {timing.frames:,} frames"
            console.print(f"{what}: {timing.status}", style="yellow", markup=False)
    for name, parts in content["contestants"].items():
        choices = " ".join(f"{group}={choice}" for group, choice in parts.items())
        console.print(f"{name}: {choices}", highlight=False)
    console.print(statement(content), highlight=False)


def batch_table(timings: Sequence, settings: dict) -> Table:
    """Of motions of one length, a section for each batch."""
    title = f"milliseconds a sentence, {settings['frames']} frames"
    caption = f"ratio: of the sentence to {settings['baseline']} in the same mode"
    table = _table(title, caption, ("text", "motion", "sentence", "ratio", "parameters"))
    batch = None
    for timing in timings:
        if batch != timing.batch:
            batch = timing.batch
            table.add_section()
            table.add_row(f"[bold]batch {batch}")
        table.add_row(timing.contestant, timing.mode, *_cells(timing))
    return table


def _cells(timing) -> list[str]:
    if timing.status != "ok":
        return ["", timing.status.partition(":")[0]]
    return [
        number(timing.text_ms, ",.1f"),
        number(timing.motion_ms, ",.1f"),
        number(timing.sentence_ms, ",.1f"),
        number(timing.to_baseline, ".2f"),
        f"{timing.parameters / 1e6:.1f} M",
    ]


def length_table(timings: Sequence, baseline: str) -> Table:
    """Of single motions, a column for each length."""
    lengths = sorted({timing.frames for timing in timings})
    found = {(t.contestant, t.mode, t.frames): t for t in timings}
    title = "seconds a sentence at batch 1, by frames of its motion"
    caption = f"in brackets: ratio to {baseline} in the same mode"
    table = _table(title, caption, [f"{length:,}" for length in lengths])
    for name, mode in dict.fromkeys((t.contestant, t.mode) for t in timings):
        cells = [_length_cell(found[name, mode, length]) for length in lengths]
        table.add_row(name, mode, *cells)
    return table


def _length_cell(timing) -> str:
    if timing.status != "ok":
        return timing.status.partition(":")[0]
    ratio = f" ({timing.to_baseline:.2f})" if timing.to_baseline else ""
    return f"{timing.sentence_ms / 1e3:.3g}{ratio}"


def _table(title: str, caption: str, columns: Sequence[str]) -> Table:
    # without lines between columns, so that a terminal of 80 holds them
    table = Table(
        "", "mode", title=title, caption=caption, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for column in columns:
        table.add_column(column, justify="right")
    return table


def statement(content: dict) -> str:
    settings, machine = content["settings"], content["machine"]
    told = (
        f"{settings['num_inference_steps']} steps of {settings['scheduler']} for all, guidance "
        f"{settings['guidance_scale']:g}, {settings['dtype']}; weights untrained, since time does "
        f"not depend on them; text: one token of {settings['text_encoder']}, embedded once and "
        f"timed by itself; medians of {settings['repeats']}; {machine['name']}, torch "
        f"{machine['versions']['torch']}"
    )
    if machine["device"] == "cpu":
        return f"{told}. On a CPU batches and lengths are few by default: give --batches, --lengths"
    return told


def _plot_if_possible(path: Path, timings: Sequence, content: dict, console: Console) -> None:
    if find_spec("matplotlib"):
        plot(path, timings, content["machine"]["name"])
    else:  # the times are worth more than their picture
        console.print("[yellow]no plot without matplotlib: install motionmamba[benchmark]")


def plot(path: Path, timings: Sequence, title: str) -> None:
    """Time of a sentence over the length of its motion, log-log, a column for each mode."""
    from matplotlib.figure import Figure

    modes = list(dict.fromkeys(timing.mode for timing in timings))
    figure = Figure(figsize=(6 * len(modes), 4.5), layout="constrained")
    axes = figure.subplots(1, len(modes), squeeze=False, sharey=True)[0]
    for axis, mode in zip(axes, modes, strict=True):
        curves = {timing.contestant: [] for timing in timings}
        for timing in sorted(timings, key=lambda timing: timing.frames):
            if timing.mode == mode and timing.sentence_ms:
                curves[timing.contestant].append((timing.frames, timing.sentence_ms / 1e3))
        draw_curves(axis, curves, PEERS)
        axis.set(title=mode, xlabel="frames", ylabel="seconds a sentence")
    axes[0].legend(fontsize="small")
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
