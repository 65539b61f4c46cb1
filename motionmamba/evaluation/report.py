"""Results of evaluations as files and tables, and which of them may stand side by side.

A result is what `motionmamba.evaluation.run` records, one JSON object. Published numbers are in
`published.yaml`. Two lines of a table are compared where nothing is known to forbid it; what
forbids it is told beneath the table, or puts a line into a table of its own.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from motionmamba.data.report import escape
from motionmamba.evaluation.comparison import (
    MISSING,
    Artifact,
    Row,
    frames_of,
    multimodality_of,
    number,
    read_published,
)
from motionmamba.evaluation.tables import KINDS, labels_of, legend, markdown_table, tables

VERSION = 1
OFFICIAL = ("HumanML3D, official", "KIT-ML, official")  # evaluators of published rows
GATED = {  # data that everyone gets for themselves
    "humanml3d": "gated: its motion is from AMASS, under a licence that one asks for",
    "kit": "gated: to be got from its authors",
}
REQUIRED = {
    "protocol": (
        *("split", "clips", "pairs", "replications", "seed", "lengths", "min_frames"),
        *("max_frames", "pool_size", "diversity_pairs", "multimodality"),
    ),
    "evaluator": ("name", "trained_on", "sha256"),
    "dataset": ("name", "skeleton", "fps", "sha256", "sources"),
    "environment": ("device", "python", "torch", "motionmamba"),
}
BAR = 40  # characters of the longest


def write_result(
    result: dict, folder: str | os.PathLike, others: Sequence[dict] = (), published: Sequence = ()
) -> None:
    """Writes `result.json` and `report.md` into `folder`, each whole or not at all.

    Args:
        others, published: results and published rows that the report sets beside, see `markdown`.

    Raises:
        ValueError: when it is no result, or holds NaN or infinity.
    """
    result = {"version": VERSION, **result}
    _check(result, "the result")
    files = {
        "report.md": markdown(result, others, published),
        "result.json": json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        partial = folder / f".{name}.partial"
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, folder / name)


def read_result(path: str | os.PathLike) -> dict:
    """The result in a file, or in `result.json` of a folder.

    Raises:
        ValueError: when there is none, or it is damaged, of another version or holds NaN.
    """
    result = read_json(path, "result.json", "eval_fid.py")
    _check(result, str(path))
    return result


def read_json(path: str | os.PathLike, name: str, writer: str):
    """What is in a file, or in the file of this name in a folder.

    Raises:
        ValueError: when there is none, or it is damaged or holds NaN.
    """
    path = Path(path)
    path = path / name if path.is_dir() else path
    if not path.is_file():
        raise ValueError(f"{path} does not exist; give a {name} that {writer} wrote")
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as JSON of {writer}: {error}") from None


def read_comparisons(names: Iterable[str]) -> tuple[list[dict], list[Row]]:
    """What is to be set beside a result: results and published rows.

    Args:
        names: each a table or a method of `published.yaml`, in any case of letters, or the path of
            a result.

    Raises:
        ValueError: when a name is none of these.
    """
    results, rows = [], []
    for name in map(str, names):
        named = [row for row in read_published() if name.lower() in (row.table, row.label.lower())]
        if named:
            rows += [row for row in named if row not in rows]
        elif Path(name).exists() or name.endswith(".json"):
            results.append(read_result(name))
        else:
            tables = ", ".join(dict.fromkeys(row.table for row in read_published()))
            raise ValueError(
                f"{name} is no file, no published table ({tables}) and no published method; see "
                "published.yaml for what there is"
            )
    return results, rows


# The report


def markdown(result: dict, others: Sequence[dict] = (), published: Sequence[Row] = ()) -> str:
    """The whole of `report.md`.

    Args:
        others, published: results and published rows to set beside.
    """
    results = [result, *others]
    sections = [
        f"# {escape(result['name'])}",
        escape(summary(result), 2000),
        "## Results",
        *_results(results, published),
        *_prompts(result.get("prompts")),
        *_lengths(result.get("histogram")),
        "## Protocol",
        _protocol(results),
        "## Default and gated",
        _origins(result),
    ]
    return "\n\n".join(sections) + "\n"


def summary(result: dict) -> str:
    """On what it was measured, and with what it compares."""
    protocol, trained_on = result["protocol"], result["evaluator"]["trained_on"]
    what = (
        f"{protocol['pairs']:,} pairs of a motion and a caption from the {protocol['split']} split "
        f"of {result['dataset']['name']}, drawn {protocol['replications']} times from seed "
        f"{protocol['seed']}; lengths: {protocol['lengths']}. "
    )
    if trained_on.startswith(OFFICIAL):
        who = (
            f"Scored by the official evaluator of {trained_on.partition(',')[0]}, as published "
            "rows are: they compare as far as data, split and lengths agree. Publications give no "
            "hash of their data or evaluator; that they used the same ones is taken on trust."
        )
    else:
        who = (
            f"Scored by an evaluator of our own, trained on {trained_on}: the numbers compare with "
            "those of the same evaluator on the same data, and not with published tables."
        )
    return what + who


def _results(results: Sequence[dict], published: Sequence[Row]) -> list[str]:
    shown = tables(results, published)
    parts = [f"### {one.title}\n\n{one.markdown()}" for one in shown]
    return [*parts, legend(shown, results[0]["protocol"]["replications"])]


def _prompts(found: dict | None) -> list[str]:
    if not found:
        return []
    rows = [
        [
            escape(prompt["prompt"]),
            f"{prompt['done']}/{prompt['total']}",
            "" if prompt["wrong_side"] is None else str(prompt["wrong_side"]),
            escape(_counts(prompt["misses"])),
        ]
        for prompt in found["prompts"]
    ]
    return [
        "## Does it do what it says?",
        f"{found['seeds']} motions of {found['seconds']:g} s of each prompt, measured on their "
        f"joints. **{_share(found['done'], found['total'])}** do what is said. Of those whose "
        "prompt names a side, "
        f"**{_share(found['wrong_side'], found['sided'])}** do it on the wrong one.",
        markdown_table([["prompt", "did", "wrong side", "missed"], *rows]),
    ]


def _counts(misses: dict[str, int]) -> str:
    return ", ".join(f"{check} ×{count}" for check, count in misses.items())


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({part / whole:.0%})" if whole else "0 of 0"


def _lengths(histogram: list[dict] | None) -> list[str]:
    if not histogram:
        return []
    longest = max(bin["count"] for bin in histogram)
    first = next(i for i, bin in enumerate(histogram) if bin["count"])
    lines = [
        f"{bin['seconds']:>3} to {bin['seconds'] + 1:>2} s {bin['count']:>7,}  "
        + "█" * round(BAR * bin["count"] / longest)
        for bin in histogram[first:]
    ]
    return ["## Lengths", "\n".join(["```text", *map(str.rstrip, lines), "```"])]


SETTINGS: dict[str, Callable[[dict], object]] = {
    "data set": lambda r: (
        f"{_artifact(r['dataset'])}, {r['dataset']['skeleton']}, {r['dataset']['fps']:g} fps"
    ),
    "sources": lambda r: ", ".join(r["dataset"]["sources"]),
    "split": lambda r: r["protocol"]["split"],
    "clips": lambda r: r["protocol"]["clips"],
    "left out": lambda r: _counts(r["protocol"].get("left_out") or {}),
    "pairs": lambda r: r["protocol"]["pairs"],
    "replications": lambda r: r["protocol"]["replications"],
    "seed": lambda r: r["protocol"]["seed"],
    "lengths": lambda r: r["protocol"]["lengths"],
    "frames of a motion": lambda r: frames_of(r["protocol"]),
    "pool size": lambda r: r["protocol"]["pool_size"],
    "Diversity": lambda r: f"of {r['protocol']['diversity_pairs']} pairs",
    "MModality": lambda r: multimodality_of(r["protocol"]) or "not measured",
    "evaluator": lambda r: _artifact(r["evaluator"]),
    "evaluator trained on": lambda r: r["evaluator"]["trained_on"],
    "model": lambda r: _artifact({"name": r["model"]["path"], **r["model"]}),
    "denoiser": lambda r: r["model"]["denoiser"],
    "VAE": lambda r: r["model"]["vae"],
    "text encoder": lambda r: r["model"]["text_encoder"],
    "parameters": lambda r: r["model"]["parameters"],
    "scheduler": lambda r: r["protocol"]["scheduler"],
    "steps": lambda r: r["protocol"]["num_inference_steps"],
    "guidance": lambda r: r["protocol"]["guidance_scale"],
    "precision": lambda r: r["protocol"]["precision"],
    "batch size": lambda r: r["protocol"]["batch_size"],
    "device": lambda r: r["environment"]["device"],
    "versions": lambda r: ", ".join(
        f"{name} {version}" for name, version in r["environment"].items() if name != "device"
    ),
    "seconds": lambda r: ", ".join(f"{name} {time:,.1f}" for name, time in r["seconds"].items()),
}


def _protocol(results: Sequence[dict]) -> str:
    rows = [
        [name, *(escape(_setting(find, result), 400) for result in results)]
        for name, find in SETTINGS.items()
    ]
    header = ["", *(map(escape, labels_of(results)) if len(results) > 1 else [""])]
    return markdown_table([header, *(row for row in rows if set(row[1:]) != {MISSING})])


def _setting(find: Callable[[dict], object], result: dict) -> str:
    try:
        return number(find(result)) or MISSING
    except (KeyError, TypeError):  # a run without a model has no denoiser, and so on
        return MISSING


def _artifact(found: dict) -> str:
    return str(Artifact(found["name"], found["sha256"]))


def _origins(result: dict) -> str:
    trained_on, name = result["evaluator"]["trained_on"], result["dataset"]["name"]
    evaluator = (
        "gated: its authors' networks, to be got from them"
        if trained_on.startswith(OFFICIAL)
        else "default: comes with the package"
        if result["evaluator"]["name"] == "shipped"
        else "own: trained with train_evaluator.py"
    )
    model = result.get("model")
    rows = [
        ["evaluator", f"{result['evaluator']['name']}, trained on {trained_on}", evaluator],
        ["data set", name, GATED.get(name, "open: prepared with prepare_dataset.py")],
    ]
    if model:
        shipped = model["path"] == "shipped"
        origin = "default: comes with the package" if shipped else "own checkpoint"
        rows.append(["model", model["path"], origin])
    return markdown_table([["", "what ran", ""], *([*map(escape, row)] for row in rows)])


# Checks


def _check(result: object, where: str) -> None:
    """Raises ValueError unless it is a result of this version with finite numbers."""
    if not isinstance(result, dict) or not isinstance(result.get("rows"), dict):
        raise ValueError(f"{where} is no result of an evaluation; give one that eval_fid.py wrote")
    if result.get("version") != VERSION:
        raise ValueError(
            f"{where} has the version {result.get('version')}, expected {VERSION}; evaluate again"
        )
    missing = [] if isinstance(result.get("name"), str) else ["name"]
    for part, keys in REQUIRED.items():
        found = result.get(part) if isinstance(result.get(part), dict) else {}
        missing += [f"{part}.{key}" for key in keys if key not in found]
    if missing:
        raise ValueError(f"{where} lacks {', '.join(missing)}; evaluate again")
    rows = result["rows"]
    measured = all(isinstance(metrics, dict) for metrics in rows.values())
    if not rows or not measured or not rows.keys() <= KINDS.keys():
        raise ValueError(
            f"{where} has the rows {list(rows)}, expected metrics of some of {', '.join(KINDS)}"
        )
    for row, metrics in rows.items():
        for metric, found in metrics.items():
            if not _is_finite(found):
                raise ValueError(
                    f"{where} has no finite mean, interval and values of {metric} in the row "
                    f"{row}; evaluate again"
                )


def _is_finite(found: object) -> bool:
    try:
        numbers = [found["mean"], found["interval"], *found["values"]]
        return len(numbers) > 2 and all(map(math.isfinite, numbers))
    except (KeyError, TypeError):
        return False


def _refuse(constant: str):
    raise ValueError(f"it holds {constant}, expected finite numbers")
