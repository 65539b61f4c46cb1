"""Taking the noise out of joints, and nothing else."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solveh_banded

_CLEAN = 0.0005  # metres of noise that need no smoothing
_CUTOFFS = np.geomspace(0.02, 0.4, 9)  # cycles per frame that are halved, from strong to weak


def smooth(joints: np.ndarray) -> np.ndarray:
    """Joints (T, J, 3) without their noise.

    The noise is what the fourth differences of the calmest joints show. Each joint is smoothed by
    penalised least squares on third differences (Eilers 2003), as strongly as makes the expected
    error least by Stein's unbiased estimate (1981).
    """
    frames = len(joints)
    if frames < 12:
        return joints
    flat = joints.reshape(frames, -1)
    difference = np.median(np.abs(np.diff(flat, 4, axis=0)), axis=0) / 0.6745 / np.sqrt(70)
    noise = np.percentile(difference.reshape(-1, 3).mean(1), 25)
    if noise < _CLEAN:
        return joints
    best, risk = flat, np.full(flat.shape[1] // 3, 3.0 * frames * noise**2)
    frequency = np.pi * np.arange(frames) / frames
    bands = _third_differences(frames)
    for cutoff in _CUTOFFS:
        weight = (2 * np.sin(np.pi * cutoff)) ** -6.0
        penalty = weight * bands
        penalty[-1] += 1
        smoothed = solveh_banded(penalty, flat, check_finite=False)
        freedom = (1 / (1 + weight * (2 * np.sin(frequency / 2)) ** 6)).sum()
        left = ((smoothed - flat) ** 2).sum(0).reshape(-1, 3).sum(1)
        expected = left + 3 * noise**2 * (2 * freedom - frames)
        better = np.repeat(expected < risk, 3)
        best, risk = np.where(better, smoothed, best), np.minimum(risk, expected)
    return best.reshape(joints.shape)


def _third_differences(frames: int) -> np.ndarray:
    """The upper bands (4, T) of D'D, where D takes third differences of T values."""
    bands = np.zeros((4, frames))
    stencil = (-1.0, 3.0, -3.0, 1.0)
    for i, a in enumerate(stencil):
        for j, b in enumerate(stencil[i:], i):
            bands[3 - (j - i), j : frames - 3 + j] += a * b
    return bands
