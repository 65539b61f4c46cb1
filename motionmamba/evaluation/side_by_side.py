"""Trained models in one table: what they do, how they were trained, what a sentence takes.

Where `report` tells what does not compare, nothing but what compares gets into this table.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from motionmamba.data.report import escape
from motionmamba.evaluation.comparison import (
    Artifact,
    Reason,
    Row,
    Value,
    comparable,
    conditions_of,
)
from motionmamba.evaluation.report import read_json, read_result, summary
from motionmamba.evaluation.tables import APART, METRICS, Table, legend, make_table, values_of

REQUIRED = (*APART, "number of pairs")  # in common
VAE_FID = "VAE FID"
SCORES = (*METRICS["Text and motion"], "Foot skate", VAE_FID)
PARAMETERS = "Parameters"
STEPS, TRAINING = "Steps × batch", "Training (h:min:s)"
TRAINING_KEYS = ("steps", "batch_size", "seconds", "precision", "processes", "device", "torch")
TIMING_KEYS = ("machine", "settings", "contestants", "results")
GRAPH = "CUDA graph"


@dataclass(frozen=True)
class Model:
    """A model with what is known of it.

    Attributes:
        result: of its evaluation.
        training: what its run wrote when it ended.
        times: of a sentence, by batch and kind of machine, of `benchmark.py sentences`.
    """

    label: str
    result: dict
    training: dict | None = None
    times: Mapping[str, dict] = field(default_factory=dict)


def read_models(
    results: Sequence[str],
    trainings: Sequence[str] = (),
    timings: Sequence[dict] = (),
) -> list[Model]:
    """Models that may stand in one table.

    Args:
        results: result.json of each or its folder, as NAME=PATH or under the result's own name.
        trainings: training.json or its run's folder, as NAME=PATH or under the folder's name.
        timings: from `read_timing`, of a machine each; of their contestants those that have the
            name of a model.

    Raises:
        ValueError: when a result has no generated motions or does not compare with the first, a
            training or all times are of none of the models, or two timings of one kind of machine.
    """
    found: dict[str, dict] = {}
    for name, path in map(split_name, results):
        result = read_result(path)
        name = name or result["name"]
        if name in found:
            raise ValueError(f"two results are called {name}; name one with NAME={path}")
        found[name] = result
    _check_comparable(found)
    runs = {}
    for name, path in map(split_name, trainings):
        content = _read_keys(path, "training.json", "a training script", TRAINING_KEYS)
        runs[name or _run_name(path)] = content
    times = _times(timings)
    _check_known("a training", runs, found)
    if timings and not times.keys() & found.keys():
        raise ValueError(
            f"times are of {', '.join(times)}, none of which is a model here ({', '.join(found)}); "
            "name results so, as in mld=runs/eval"
        )
    return [Model(name, r, runs.get(name), times.get(name, {})) for name, r in found.items()]


def read_timing(path: str | os.PathLike) -> dict:
    """What `benchmark.py sentences` wrote into a file or folder.

    Raises:
        ValueError: when there is none, or it is something else.
    """
    return _read_keys(path, "sentences.json", "benchmark.py sentences", TIMING_KEYS)


def _read_keys(path, name: str, writer: str, keys: Sequence[str]) -> dict:
    content = read_json(path, name, writer)
    missing = [key for key in keys if not isinstance(content, dict) or key not in content]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}; give a {name} that {writer} wrote")
    return content


def split_name(text: str) -> tuple[str, str]:
    """NAME=PATH in two; what is only a path, even one with such a sign in it, has no name."""
    name, equals, path = text.partition("=")
    return (name, path) if equals and not Path(text).exists() else ("", text)


def _run_name(path: str) -> str:
    path = Path(path).resolve()
    return path.name if path.is_dir() else path.parent.name


def _check_known(what: str, names: Iterable[str], known: Iterable[str]):
    for name in names:
        if name not in known:
            raise ValueError(
                f"{what} is of {name}, which is no model here ({', '.join(known)}); give NAME=PATH"
            )


def _check_comparable(results: dict[str, dict]):
    for name, result in results.items():
        if "generated" not in result["rows"]:
            raise ValueError(f"{name} has no generated motions; evaluate a whole pipeline")
    (first, reference), *others = results.items()
    for name, result in others:
        found = comparable(result, reference)
        reasons = {
            reason.condition: reason.text for reason in found if reason.condition in REQUIRED
        }
        if reasons:
            told = " and the ".join(reasons.values())
            raise ValueError(f"{name} does not belong into one table with {first}: the {told}")


def _times(timings: Sequence[dict]) -> dict[str, dict[str, dict]]:
    """Of motions of one length, by contestant, batch and machine; as CUDA graphs where they are."""
    times: dict[str, dict[str, dict]] = {}
    kinds = [_kind(timing) for timing in timings]
    repeated = [kind for kind in set(kinds) if kinds.count(kind) > 1]
    if repeated:
        raise ValueError(f"two timings are of a {repeated[0]}; give one of each kind of machine")
    for timing, kind in zip(timings, kinds, strict=True):
        for found in timing["results"]:
            if found["frames"] == timing["settings"]["frames"]:
                key = f"batch {found['batch']}, {kind}"
                of_model = times.setdefault(found["contestant"], {})
                if key not in of_model or (found["mode"] == GRAPH and found["sentence_ms"]):
                    of_model[key] = found
    return times


def _kind(timing: dict) -> str:
    return "CPU" if timing["machine"]["device"] == "cpu" else "GPU"


# The table


def table(models: Sequence[Model]) -> Table:
    """Recordings and models, of which the best of a column is marked."""
    rows = _rows(models)
    return make_table("Models side by side", "", models[0].label, _columns(rows), rows)


def tables(models: Sequence[Model]) -> list[Table]:
    """The same as two tables, of scores and of costs, which a terminal has the width for."""
    rows = _rows(models)
    scores = [name for name in _columns(rows) if name in SCORES]
    costs = [name for name in _columns(rows) if name not in SCORES]
    return [
        make_table("Scores", "", models[0].label, scores, rows),
        make_table("Costs", "", models[0].label, costs, [(row, []) for row, _ in rows]),
    ]


def _rows(models: Sequence[Model]) -> list[tuple[Row, list[Reason]]]:
    reference = models[0].result
    real = Row("recordings", "real", _scores(reference["rows"]["real"]), {})
    rows = [(real, [])]
    for model in models:
        row = Row(model.label, "generated", _values(model), conditions_of(model.result))
        rows.append((row, comparable(model.result, reference)))
    return rows


def _columns(rows: list[tuple[Row, list[Reason]]]) -> list[str]:
    names = dict.fromkeys(name for row, _ in rows for name in row.values)
    return sorted(names, key=lambda name: SCORES.index(name) if name in SCORES else len(SCORES))


def _scores(metrics: dict[str, dict]) -> dict[str, Value]:
    return {name: value for name, value in values_of(metrics).items() if name in SCORES}


def _values(model: Model) -> dict[str, Value]:
    result, training = model.result, model.training
    count = result["model"]["parameters"]
    values = _scores(result["rows"]["generated"])
    if "vae" in result["rows"]:
        values[VAE_FID] = values_of(result["rows"]["vae"])["FID"]
    values[PARAMETERS] = Value(count, f"{count / 1e6:.1f} M")
    if training:
        steps, batch, seconds = (training[key] for key in ("steps", "batch_size", "seconds"))
        values[STEPS] = Value(steps, f"{steps:,} × {batch:,}")
        values[TRAINING] = Value(seconds, str(timedelta(seconds=round(seconds))))
    for setting, found in model.times.items():
        time = found["sentence_ms"]
        text = found["status"] if time is None else f"{time:,.{1 if time < 1000 else 0}f}"
        values[f"Sentence, {setting} (ms)"] = Value(time or 0.0, text.partition(":")[0])
    return values


def markdown(models: Sequence[Model], timings: Sequence[dict] = ()) -> str:
    """The table and what it holds for, a document of its own."""
    shown = table(models)
    told = [escape(text, 2000) for text in notes(models, timings)]
    return "\n\n".join([f"# {shown.title}", shown.markdown(), *told]) + "\n"


def notes(models: Sequence[Model], timings: Sequence[dict] = ()) -> list[str]:
    """All that stands beneath the table."""
    replications = models[0].result["protocol"]["replications"]
    return [legend([table(models)], replications), *_statements(models, timings)]


def _statements(models: Sequence[Model], timings: Sequence[dict]) -> list[str]:
    """What the numbers hold for."""
    reference = models[0].result
    parts = [
        summary(reference),
        f"Data set {Artifact(reference['dataset']['name'], reference['dataset']['sha256'])}, "
        f"evaluator {_evaluator(reference)}, measured on "
        + _each({model.label: model.result["environment"]["device"] for model in models}),
        "Motions: " + _each({model.label: _sampling(model.result) for model in models}),
        "Parameters are of VAE and denoiser.",
    ]
    trained = {model.label: _told(model.training) for model in models if model.training}
    if trained:
        parts.append(f"Training, batches over all processes: {_each(trained)}")
    parts += [_timed(models, timing) for timing in timings]
    return [part if part.endswith(".") else f"{part}." for part in parts]


def _evaluator(result: dict) -> str:
    evaluator = result["evaluator"]
    trained_on = f"{evaluator['name']}, trained on {evaluator['trained_on']}"
    return str(Artifact(trained_on, evaluator["sha256"]))


def _sampling(result: dict) -> str:
    held = result["protocol"]
    return (
        f"{held['num_inference_steps']} steps of {held['scheduler']}, guidance "
        f"{held['guidance_scale']:g}, {held['precision']}"
    )


def _told(training: dict) -> str:
    count = training["processes"]
    processes = f"{count} process{'es' if count > 1 else ''}"
    precision = "float32" if training["precision"] == "no" else training["precision"]
    return f"{training['device']}, {processes}, {precision}, torch {training['torch']}"


def _timed(models: Sequence[Model], timing: dict) -> str:
    settings, machine, kind = timing["settings"], timing["machine"], _kind(timing)
    times = {
        model.label: {key: found for key, found in model.times.items() if key.endswith(kind)}
        for model in models
    }
    modes = {key: found["mode"] for of_model in times.values() for key, found in of_model.items()}
    told = (
        f"Times on a {kind} are from a sentence, its embedding included, to {settings['frames']} "
        f"frames: {settings['num_inference_steps']} steps of {settings['scheduler']} for all, "
        f"guidance {settings['guidance_scale']:g}, {settings['dtype']}, {settings['weights']} "
        f"weights, {_each(modes)}, {machine['name']}, torch {machine['versions']['torch']}"
    )
    for model in models:
        built = {found["parameters"] for found in times[model.label].values()}
        count = model.result["model"]["parameters"]
        if built - {count, None}:
            told += f"; {model.label} was timed with {max(built - {None}) / 1e6:.2f} M parameters"
    return told


def _each(told: dict[str, str]) -> str:
    """What is told of all once, else with the labels of which it is told."""
    if len(set(told.values())) == 1:
        return next(iter(told.values()))
    labels: dict[str, list[str]] = {}
    for label, text in told.items():
        labels.setdefault(text, []).append(label)
    return "; ".join(f"{text} ({', '.join(names)})" for text, names in labels.items())
