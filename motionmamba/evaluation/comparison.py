"""Which values may stand side by side: runs of an evaluation and the rows of `published.yaml`.

Values are compared where nothing is known to forbid it.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

PUBLISHED = Path(__file__).with_name("published.yaml")
MISSING = "–"


class Value(NamedTuple):
    """A mean, and how it is printed: `.502±.003`, with half a 95 % interval where there is one."""

    mean: float
    text: str


@dataclass(frozen=True, eq=False)
class Artifact:
    """A data set or an evaluator, the same as another when their hashes agree, if both have one."""

    name: str
    sha256: str | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.sha256[:8]})" if self.sha256 else self.name

    def __eq__(self, other) -> bool:
        if self.sha256 and other.sha256:
            return self.sha256 == other.sha256
        return self.name == other.name


@dataclass(frozen=True, eq=False)
class Row:
    """A line of a table.

    Attributes:
        kind: real, vae or generated.
        values: by metric.
        conditions: what they hold for, by names of `CONDITIONS`; what is not known is absent.
        table: in which they were published, in small letters.
        notes: what a reader must know.
        flaw: what is wrong with how they were measured.
    """

    label: str
    kind: str
    values: dict[str, Value]
    conditions: dict[str, object]
    table: str = ""
    notes: tuple[str, ...] = ()
    flaw: str = ""


class Condition(NamedTuple):
    """What two lines must have in common, for metrics of these beginnings or, without, for all."""

    name: str
    metrics: tuple[str, ...] = ()
    why: str = ""


CONDITIONS = (
    Condition("data set"),
    Condition("evaluator"),
    Condition("split"),
    Condition("kind of lengths"),
    Condition("range of frames"),
    Condition("number of pairs", ("FID",), "fewer pairs raise FID"),
    Condition("number of pairs", ("Text to", "Motion to"), "fewer pairs ease retrieval"),
    Condition("pool size", ("R@",), "larger pools are harder"),
    Condition("number of replications"),
    Condition("Diversity", ("Diversity",)),
    Condition("MModality", ("MModality",)),
    Condition("precision"),
)


class Reason(NamedTuple):
    """Why two lines are not comparable in metrics of these beginnings or, without, in any."""

    condition: str
    text: str
    metrics: tuple[str, ...] = ()

    def concerns(self, metric: str) -> bool:
        return not self.metrics or metric.startswith(self.metrics)


def comparable(a: dict | Row, b: dict | Row) -> list[Reason]:
    """Why values of a do not compare with those of b, results or published rows; empty if they do.

    What only one of them states is no reason: published rows come without hashes, and few say
    whose lengths they used.
    """
    ours, theirs = (conditions_of(x) if isinstance(x, dict) else x.conditions for x in (a, b))
    reasons = []
    for name, metrics, why in CONDITIONS:
        one, other = ours.get(name), theirs.get(name)
        if one is not None and other is not None and one != other:
            text = f"{name} is {number(one)} instead of {number(other)}"
            reasons.append(Reason(name, f"{text} ({why})" if why else text, metrics))
    flaws = {getattr(x, "flaw", "") for x in (a, b)}
    if len(flaws) > 1:
        reasons += [Reason("flaw", flaw) for flaw in flaws if flaw]
    return reasons


def conditions_of(result: dict) -> dict[str, object]:
    settings, dataset, evaluator = (result[k] for k in ("protocol", "dataset", "evaluator"))
    return {
        "data set": Artifact(dataset["name"], dataset["sha256"]),
        "evaluator": Artifact(evaluator["trained_on"], evaluator["sha256"]),
        "split": settings["split"],
        "kind of lengths": settings["lengths"],
        "range of frames": frames_of(settings),
        "number of pairs": settings["pairs"],
        "pool size": settings["pool_size"],
        "number of replications": settings["replications"],
        "Diversity": f"of {settings['diversity_pairs']} pairs",
        "MModality": multimodality_of(settings),
        "precision": settings.get("precision"),
    }


def frames_of(settings: dict) -> str:
    return f"{settings['min_frames']} to {settings['max_frames']}"


def multimodality_of(settings: dict) -> str | None:
    found = settings["multimodality"]
    if not found:
        return None
    return f"of {found['texts']} texts × {found['samples']} samples, {found['pairs']} pairs"


def number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


# Published rows


@cache
def read_published(path: Path = PUBLISHED) -> tuple[Row, ...]:
    """The rows of `published.yaml`, in its order.

    Raises:
        ValueError: when a row has no known source, as many values as its table has metrics, or a
            value that is no number with or without interval.
    """
    # as text, for a number would lose its last zeros
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML: {error}") from None
    rows = tuple(
        _published_row(row, table, content["sources"])
        for table in content["tables"]
        for row in table["rows"]
    )
    counts = Counter((row.table, row.label) for row in rows)
    twice = [" of ".join(reversed(key)) for key, count in counts.items() if count > 1]
    if twice:
        raise ValueError(f"{path} has two rows of {', '.join(twice)}, expected one")
    return rows


def _published_row(row: dict, table: dict, sources: dict[str, str]) -> Row:
    where = f"{row.get('method')} in the table {table['name']} of published.yaml"
    told = {key: value for key, value in table.items() if key not in ("name", "rows")} | row
    unknown = row.keys() - PUBLISHED_KEYS
    if unknown:
        raise ValueError(f"{where} has {sorted(unknown)}, expected {', '.join(PUBLISHED_KEYS)}")
    cited = row.get("source", [])
    cited = [cited] if isinstance(cited, str) else cited
    if not cited or not set(cited) <= sources.keys():
        raise ValueError(f"{where} has the source {cited}, expected one of {', '.join(sources)}")
    metrics, values = told["metrics"].split(), row["values"].split()
    if len(metrics) != len(values):
        raise ValueError(f"{where} has {len(values)} values, expected {len(metrics)}")
    kind = row.get("kind", "generated")
    if kind not in ("real", "generated"):
        raise ValueError(f"{where} is of the kind {kind}, expected real or generated")
    about = f", {table['about']}" if "about" in table else ""
    origin = "; ".join(sources[key] for key in cited)
    place = f"{table['name']}{about}, {told['features']}, from {origin}"
    return Row(
        row["method"],
        kind,
        {
            metric: _published_value(value, where)
            for metric, value in zip(metrics, values, strict=True)
            if value != MISSING
        },
        {
            "data set": Artifact(told["dataset"]),
            "evaluator": Artifact(told["evaluator"]),
            "split": told["split"],
            "kind of lengths": told.get("lengths"),
            "range of frames": frames_of(told),
            "number of pairs": _integer(told, "pairs"),
            "pool size": _integer(told, "pool_size"),
            "number of replications": _integer(told, "replications"),
            "Diversity": f"of {told['diversity_pairs']} pairs",
            "MModality": f"of {told['multimodality']}",
        },
        table["name"].lower(),
        (place, *([row["note"]] if "note" in row else [])),
        row.get("flaw", ""),
    )


PUBLISHED_KEYS = (
    *("method", "source", "values", "kind", "lengths", "pairs", "evaluator", "features"),
    *("flaw", "note"),
)


def _published_value(text: str, where: str) -> Value:
    if not re.fullmatch(r"\d*\.\d+(±\d*\.\d+)?", text):
        raise ValueError(f"{where} has the value {text}, expected one like .502±.003 or {MISSING}")
    return Value(float(text.partition("±")[0]), text)


def _integer(told: dict, key: str) -> int | None:
    return int(told[key]) if key in told else None
