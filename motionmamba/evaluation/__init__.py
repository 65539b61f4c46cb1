"""Evaluation of generated motion."""

from motionmamba.evaluation.metrics import (
    diversity,
    frechet_distance,
    matching_score,
    multimodality,
    r_precision,
)

__all__ = [
    "T2MEvaluator",
    "diversity",
    "frechet_distance",
    "matching_score",
    "multimodality",
    "r_precision",
]


def __getattr__(name: str):
    # the metrics need NumPy alone, and do not wait for torch and diffusers
    if name == "T2MEvaluator":
        from motionmamba.evaluation.t2m import T2MEvaluator

        return T2MEvaluator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
