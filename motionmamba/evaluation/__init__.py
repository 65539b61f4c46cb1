"""Evaluation of generated motion."""

from motionmamba.evaluation.metrics import (
    diversity,
    frechet_distance,
    matching_score,
    multimodality,
    r_precision,
)

__all__ = ["diversity", "frechet_distance", "matching_score", "multimodality", "r_precision"]
