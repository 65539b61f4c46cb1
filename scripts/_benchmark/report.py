"""The comparison as tables, as plots and as numbers."""

from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from .comparison import Result

EXPONENT_FROM = 4096


def fit_exponents(results: Iterable[Result]) -> dict[str, dict[str, float]]:
    """e of time ~ L^e beyond EXPONENT_FROM steps at constant B and D, by work and contestant."""
    exponents = {}
    for (work, name), points in _curves(results, "best_ms").items():
        points = [point for point in points if point[0] >= EXPONENT_FROM]
        if len(points) > 1:
            slope = np.polyfit(*np.log(np.transpose(points)), 1)[0]
            exponents.setdefault(work, {})[name] = float(slope)
    return exponents


def make_table(work: str, results: Sequence[Result], baseline: str):
    """A rich table of one kind of work, a section for each shape."""
    from rich.table import Table

    on_gpu = any(result.memory_bytes is not None for result in results)
    columns = ["call ms", "ratio", *(["device ms", "ratio", "MiB"] if on_gpu else []), "/ floor"]
    table = Table("", title=work, caption=f"ratio: to {baseline}")
    for column in columns:
        table.add_column(column, justify="right")
    shape = None
    for result in results:
        if result.work != work:
            continue
        if shape != result.shape:
            shape = result.shape
            table.add_section()
            table.add_row(f"[bold]{shape}")
        table.add_row(result.contestant, *_cells(result, on_gpu))
    return table


def _cells(result: Result, on_gpu: bool) -> list[str]:
    if result.status != "ok":
        return [result.status.partition(":")[0]]
    cells = [
        number(result.milliseconds("call"), ".4g"),
        number(result.to_baseline.get("call"), ".2f"),
        number(result.milliseconds("device"), ".4g"),
        number(result.to_baseline.get("device"), ".2f"),
        number(result.memory_mib, ".1f"),
        number(result.to_floor, ".1f"),
    ]
    return cells if on_gpu else [*cells[:2], cells[-1]]


def number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def make_exponent_table(exponents: dict[str, dict[str, float]]):
    from rich.table import Table

    table = Table("contestant", title=f"exponent of time over L, B = 1, L ≥ {EXPONENT_FROM}")
    for work in exponents:
        table.add_column(work, justify="right")
    for name in dict.fromkeys(name for column in exponents.values() for name in column):
        values = (number(column.get(name), ".2f") for column in exponents.values())
        table.add_row(name, *values)
    return table


def plot(path: Path, results: Sequence[Result], title: str) -> None:
    """Time, and memory where it was measured, over L, log-log, a column for each work."""
    from matplotlib.figure import Figure

    works = list(dict.fromkeys(result.work for result in results))
    measures = {"best_ms": "milliseconds", "memory_mib": "MiB beyond the inputs"}
    if not any(result.memory_bytes for result in results):
        del measures["memory_mib"]
    figure = Figure(figsize=(6 * len(works), 4.5 * len(measures)), layout="constrained")
    axes = figure.subplots(len(measures), len(works), squeeze=False, sharex=True)
    names = list(dict.fromkeys(result.contestant for result in results))
    for row, (measure, label) in zip(axes, measures.items(), strict=True):
        curves = _curves(results, measure)
        for axis, work in zip(row, works, strict=True):
            theirs = [name for name in names if not name.startswith("ours")]
            draw_curves(axis, {name: curves.get((work, name), []) for name in names}, theirs)
            if measure == "best_ms":
                _plot_floor(axis, [r for r in results if r.work == work])
            axis.set(title=work, xlabel="L", ylabel=label)
    axes[0][0].legend(fontsize="small")
    figure.suptitle(title)
    figure.savefig(path, dpi=120)


def draw_curves(axis, curves: Mapping[str, Sequence], dashed: Container[str]) -> None:
    """Points of each name, log-log; a name's colour is its place, whether it has points or not."""
    for index, (name, points) in enumerate(curves.items()):
        if points:
            style = "s--" if name in dashed else "o-"
            axis.loglog(*zip(*points, strict=True), style, color=f"C{index}", label=name)
    axis.grid(alpha=0.3)


def _plot_floor(axis, results: Sequence[Result]) -> None:
    for kind, style in (("bytes_ms", ":"), ("exponentials_ms", "-.")):
        points = sorted({(r.shape.length, r.floors[kind]) for r in results if r.floors})
        label = f"floor: {kind.removesuffix('_ms')}"
        axis.loglog(*zip(*points, strict=True), style, color="gray", label=label)


def _curves(results: Iterable[Result], measure: str) -> dict[tuple[str, str], list]:
    """(L, value) of each work and contestant where there is a value."""
    curves = {}
    for result in results:
        if value := getattr(result, measure):
            curve = curves.setdefault((result.work, result.contestant), {})
            curve[result.shape.length] = value
    return {key: sorted(curve.items()) for key, curve in curves.items()}
