"""Results and published rows as tables, for a terminal and in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from motionmamba.data.report import escape
from motionmamba.evaluation.comparison import MISSING, Reason, Row, Value, comparable, conditions_of

APART = ("data set", "evaluator", "split")  # rows that differ in these get their own table
KINDS = {"real": "recordings", "vae": "VAE reconstruction", "generated": "generated"}
HIGHER, LOWER, LIKE_REAL = "↑", "↓", "→"
METRICS = {
    "Text and motion": {
        "R@1": HIGHER,
        "R@2": HIGHER,
        "R@3": HIGHER,
        "FID": LOWER,
        "MM-Dist": LOWER,
        "Diversity": LIKE_REAL,
        "MModality": HIGHER,
    },
    "Retrieval among all pairs": {
        "Text to motion R@1": HIGHER,
        "Text to motion R@3": HIGHER,
        "Text to motion R@10": HIGHER,
        "Motion to text R@1": HIGHER,
        "Motion to text R@3": HIGHER,
        "Motion to text R@10": HIGHER,
    },
    "Motion": {
        "Foot skate": LOWER,
        "Jerk": LIKE_REAL,
        "Path error": LOWER,
        "Direction error": LOWER,
        "Nearest training clip": LIKE_REAL,
    },
}
ARROWS = {metric: arrow for group in METRICS.values() for metric, arrow in group.items()}
UNITS = {"Jerk": "m/s³", "Path error": "m", "Direction error": "°"}
RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


class Cell(NamedTuple):
    text: str
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table, in Markdown or printed by a rich console.

    Attributes:
        lead: a sentence before it.
        rows: of as many cells as the header has, a label first.
        notes: beneath it; labels refer to them by number.
    """

    title: str
    lead: str
    header: list[str]
    rows: list[list[Cell]]
    notes: list[str]

    def markdown(self) -> str:
        rows = [[f"**{c.text}**" if c.best else escape(c.text) for c in row] for row in self.rows]
        notes = [f"{_mark([i])} {escape(note, 1000)}  " for i, note in enumerate(self.notes, 1)]
        body = markdown_table([[*map(escape, self.header)], *rows], numeric=True)
        parts = [escape(self.lead, 1000), body, "\n".join(notes).rstrip()]
        return "\n\n".join(part for part in parts if part)

    def __rich_console__(self, console, options):
        from rich.text import Text

        yield Text(self.title, "bold")
        if self.lead:
            yield Text(self.lead)
        wide = self._rich_table(" ")
        fits = wide.__rich_measure__(console, options.update(max_width=10_000)).maximum
        # a narrow terminal gets the intervals in lines of their own
        yield wide if fits <= options.max_width else self._rich_table("\n")
        yield from (Text(f"{_mark([i])} {note}") for i, note in enumerate(self.notes, 1))
        yield ""

    def _rich_table(self, gap: str):
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        rows = [[c._replace(text=c.text.replace("±", f"{gap}±")) for c in row] for row in self.rows]
        for i, (name, *column) in enumerate(zip(self.header, *rows, strict=True)):
            lines = [name.replace(" ", gap), *(cell.text for cell in column)]
            width = max(len(line) for text in lines for line in text.split("\n"))
            # only labels may be wrapped where it is too narrow
            number = {"justify": "right", "width": width} if i else {}
            table.add_column(Text(name), overflow="fold", **number)
        for row in rows:
            table.add_row(*(Text(c.text, "bold green" if c.best else "") for c in row))
        return table


def table(results: Sequence[dict], published: Sequence[Row] = ()):
    """`tables` for a rich console."""
    from rich.console import Group
    from rich.text import Text

    shown = tables(results, published)
    meaning = Text(legend(shown, results[0]["protocol"]["replications"]))
    return Group(*shown, meaning)


def tables(results: Sequence[dict], published: Sequence[Row] = ()) -> list[Table]:
    """The first result, with the others and published rows beside it.

    Rows of another data set, evaluator or split are in tables of their own. The best value of a
    column is marked among the generated rows that are comparable with the first result.
    """
    labels = labels_of(results)
    alone = len(results) + len(published) == 1
    rows = []
    for label, result in zip(labels, results, strict=True):
        rows += _rows(result, "" if alone else f"{label}: ")
    together: dict[str, list[tuple[Row, list[Reason]]]] = {"": []}
    for row in (*rows, *published):
        reasons = comparable(row, results[0])
        apart = [f"The {reason.text}." for reason in reasons if reason.condition in APART]
        if apart:
            lead = " ".join([f"These rows cannot be compared with {labels[0]}.", *apart])
            # why not, is told; a flaw matters all the same
            reasons = [reason for reason in reasons if reason.condition == "flaw"]
        together.setdefault(lead if apart else "", []).append((row, reasons))
    return [
        make_table(title, lead, labels[0], metrics, group)
        for lead, group in together.items()
        for title, metrics in _metrics([row for row, _ in group]).items()
    ]


def labels_of(results: Sequence[dict]) -> list[str]:
    """The names of results, with a number where one has been before."""
    names = [result["name"] for result in results]
    counts = [names[: i + 1].count(name) for i, name in enumerate(names)]
    return [f"{n} ({count})" if count > 1 else n for n, count in zip(names, counts, strict=True)]


def _rows(result: dict, prefix: str) -> list[Row]:
    conditions = conditions_of(result)
    rows = []
    for kind, name in KINDS.items():
        # the precision is that of the denoiser
        held = conditions if kind == "generated" else conditions | {"precision": None}
        if kind in result["rows"]:
            rows.append(Row(prefix + name, kind, values_of(result["rows"][kind]), held))
    return rows


def values_of(metrics: dict[str, dict]) -> dict[str, Value]:
    """A row of a result by metric."""
    return {metric: Value(found["mean"], _text(found)) for metric, found in metrics.items()}


def _text(found: dict) -> str:
    """`.502±.003` as in publications; a single replication has no interval."""
    decimals = 3 if abs(found["mean"]) < 10 else 2 if abs(found["mean"]) < 100 else 1
    numbers = [found["mean"]] + ([found["interval"]] if len(found["values"]) > 1 else [])
    return re.sub(r"\b0\.", ".", "±".join(f"{number:.{decimals}f}" for number in numbers))


def _metrics(rows: Sequence[Row]) -> dict[str, list[str]]:
    """The metrics that rows have, in order, by title of the table they go into."""
    found = list(dict.fromkeys(metric for row in rows for metric in row.values))
    groups = {title: [m for m in group if m in found] for title, group in METRICS.items()}
    groups["Other"] = [metric for metric in found if metric not in ARROWS]
    return {title: metrics for title, metrics in groups.items() if metrics}


def make_table(
    title: str, lead: str, reference: str, metrics: list[str], rows: list[tuple[Row, list[Reason]]]
) -> Table:
    """Rows, and why each is not comparable with the reference; none is the best after a lead."""
    best = {} if lead else {metric: _best(metric, rows) for metric in metrics}
    notes: dict[str, int] = {}  # their numbers
    lines = []
    for row, reasons in rows:
        has = [metric for metric in metrics if metric in row.values]
        if not has:
            continue
        told = [_note(r, has, reference) for r in reasons if any(map(r.concerns, has))]
        numbers = sorted(notes.setdefault(note, len(notes) + 1) for note in (*row.notes, *told))
        cells = [
            Cell(row.values[m].text, row in best.get(m, ())) if m in has else Cell(MISSING)
            for m in metrics
        ]
        lines.append([Cell(f"{row.label} {_mark(numbers)}".strip()), *cells])
    title += ", not comparable" if lead else ""
    return Table(title, lead, ["", *map(_heading, metrics)], lines, list(notes))


def _best(metric: str, rows: list[tuple[Row, list[Reason]]]) -> list[Row]:
    """The best of the generated rows, of at least two that are comparable in this metric."""
    fit = [row for row, why in rows if not any(reason.concerns(metric) for reason in why)]
    fit = [row for row in fit if metric in row.values]
    rivals = [row for row in fit if row.kind == "generated"]
    real = [row.values[metric].mean for row in fit if row.kind == "real"]
    losses = {
        HIGHER: lambda mean: -mean,
        LOWER: lambda mean: mean,
        LIKE_REAL: lambda mean: abs(mean - real[0]),
    }
    arrow = ARROWS.get(metric)
    if len(rivals) < 2 or arrow is None or (arrow == LIKE_REAL and not real):
        return []
    scores = [losses[arrow](row.values[metric].mean) for row in rivals]
    return [row for row, score in zip(rivals, scores, strict=True) if score == min(scores)]


def _note(reason: Reason, metrics: Sequence[str], reference: str) -> str:
    if reason.condition == "flaw":
        return f"Flawed, and so not comparable: {reason.text}"
    concerned = [metric for metric in metrics if reason.concerns(metric)]
    what = "Not" if concerned == list(metrics) else f"{', '.join(concerned)} not"
    return f"{what} comparable with {reference}: the {reason.text}"


def _mark(numbers: Iterable[int]) -> str:
    return " ".join(str(number).translate(RAISED) for number in numbers)


def _heading(metric: str) -> str:
    unit = f" ({UNITS[metric]})" if metric in UNITS else ""
    return f"{metric}{unit} {ARROWS.get(metric, '')}".strip()


def legend(shown: Sequence[Table], replications: int) -> str:
    """What the signs in tables of a result of so many replications mean."""
    parts = [
        f"{HIGHER} higher is better",
        f"{LOWER} lower is better",
        f"{LIKE_REAL} nearer to recordings is better",
        f"± half a 95 % interval of the mean over {replications} replications"
        if replications > 1
        else "one replication, so there are no intervals",
    ]
    if any(cell.best for one in shown for row in one.rows for cell in row):
        parts.append("bold: the best of the generated rows that are comparable")
    return "; ".join(parts) + "."


def markdown_table(rows: Sequence[Sequence[str]], numeric: bool = False) -> str:
    """The first row is the header; columns are padded, to be read as text too."""
    widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
    place = [str.ljust, *([str.rjust if numeric else str.ljust] * (len(widths) - 1))]
    lines = [
        "| " + " | ".join(put(c, w) for put, c, w in zip(place, row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = ["-" * (w - 1) + ":" if numeric and i else "-" * w for i, w in enumerate(widths)]
    return "\n".join([lines[0], f"| {' | '.join(rule)} |", *lines[1:]])
