"""A whole evaluation: replications that survive an interruption, and a record of what was done."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from torch import nn

from motionmamba.evaluation.protocol import POOL, Evaluation
from motionmamba.evaluation.t2m import MAX_FRAMES
from motionmamba.models.common import weights_sha256


def describe_run(evaluation: Evaluation, model: dict, evaluator: str, sampling: dict) -> dict:
    """What a result depends on, as JSON: protocol, model, evaluator, data, versions, device.

    Args:
        model: from `describe_model`.
        evaluator: where the evaluator is from.
        sampling: how motions are generated: steps, guidance, scheduler and the like.
    """
    dataset = evaluation.dataset
    protocol, recordings = evaluation.protocol, evaluation.recordings
    settings = asdict(protocol)
    # the names of what it was made from depend on how an archive was unpacked
    files = {name: sha for name, sha in dataset.info["files"].items() if name != "inputs.json"}
    drawn = {name: settings.pop(name) for name in ("texts", "samples", "pairs")}
    return {
        "protocol": settings
        | {
            "clips": len(recordings),
            "pairs": len(recordings) // POOL * POOL,
            "left_out": recordings.left_out,
            "lengths": "ground truth",
            "min_frames": recordings.shortest,
            "max_frames": MAX_FRAMES,
            "pool_size": POOL,
            "multimodality": drawn if evaluation.sampled and protocol.texts else None,
            **sampling,
        },
        "model": model,
        "evaluator": {
            "name": evaluator,
            "trained_on": evaluation.evaluator.config.trained_on,
            "sha256": evaluation.evaluator.sha256,
        },
        "dataset": {
            "name": dataset.name,
            "skeleton": dataset.skeleton.name,
            "fps": dataset.fps,
            "sources": sorted(dataset.info["sources"]),
            "sha256": _sha256_of(files),
        },
        "environment": _environment(evaluation.evaluator.device),
    }


def describe_model(path: str, parts: dict[str, nn.Module], **others: str) -> dict:
    """The networks of a model by name, with a hash of their weights, and other parts' names."""
    networks = list(parts.values())
    return {
        "path": path,
        "sha256": weights_sha256(*networks),
        **{name: type(network).__name__ for name, network in parts.items()},
        "parameters": sum(p.numel() for network in networks for p in network.parameters()),
        **others,
    }


def replicate(
    evaluation: Evaluation, record: dict, out: Path, overwrite: bool, done: Callable[[int], None]
) -> list[dict]:
    """All replications, those that the folder `out` has of this very run read from it.

    Raises:
        ValueError: when the folder has another run.
    """
    folder = out / "replications"
    if overwrite:
        shutil.rmtree(folder, ignore_errors=True)
    _claim(folder, record)
    scores = []
    for replication in range(evaluation.protocol.replications):
        path = folder / f"{replication:03d}.json"
        if not path.is_file():
            _write_json(path, evaluation.replicate(replication))
        scores.append(json.loads(path.read_text()))
        done(replication + 1)
    return scores


def summarize(scores: list[dict]) -> dict:
    """Mean, 95 % interval and values of every metric of every row, over replications."""
    return {
        row: {metric: _interval([s[row][metric] for s in scores]) for metric in scores[0][row]}
        for row in scores[0]
    }


def _interval(values: list[float]) -> dict:
    # as the original does: 1.96 deviations of the mean, whatever the number of replications
    spread = 1.96 * np.std(values) / np.sqrt(len(values))
    return {"mean": float(np.mean(values)), "interval": float(spread), "values": values}


def _claim(folder: Path, record: dict):
    """Begins a run in `folder`, or makes sure that it is the one that was begun there."""
    path = folder / "run.json"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _write_json(path, record)
        return
    try:
        found = json.loads(path.read_text())
    except ValueError:
        found = {}
    differing = [key for key in record if found.get(key) != record[key]]
    if differing:
        raise ValueError(
            f"{folder.parent} has an evaluation with another {' and '.join(differing)}; choose "
            "another --out, or pass --overwrite to begin anew"
        )


def _environment(device: torch.device) -> dict:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    packages = ("motionmamba", "torch", "diffusers", "transformers", "numpy")
    return {
        "device": f"{device.type} ({name})",
        "python": platform.python_version(),
        **{package: _version(package) for package in packages},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _sha256_of(value) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _write_json(path: Path, value):
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(value, indent=1) + "\n")
    os.replace(partial, path)
