"""Scenes that follow each other as one motion."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from motionmamba.app.limits import Refused
from motionmamba.data.making.transition import best_seam, connect

_SEARCH = 20  # frames at the end of one scene and the start of the next to look for a seam
_SHORTER = (1.0, 0.5, 0.25)  # of the search, where legs would not reach


def join_scenes(scenes: Sequence[np.ndarray]) -> np.ndarray:
    """Joints (T, 22, 3) of scenes (T_i, 22, 3), each going on where the one before leaves off.

    A seam lies where pose and movement of both agree best, so that up to a second of each scene
    is left out. Raises Refused where no step leads from one to the next.
    """
    joined = np.asarray(scenes[0], np.float32)
    for number, scene in enumerate(scenes[1:], 2):
        joined = _join(joined, np.asarray(scene, np.float32), number)
    return joined


def _join(first: np.ndarray, second: np.ndarray, number: int) -> np.ndarray:
    for share, changes in product(_SHORTER, (True, False)):
        tail, lead = (max(round(share * _reach(each)), 3) for each in (first, second))
        seam = best_seam(first, tail, second, lead, changes=changes)
        if np.isfinite(seam.error) and (made := connect(first, second, seam)) is not None:
            return made[0]
    raise Refused(
        f"Scene {number} cannot go on from the scene before it; make one of them longer, or try "
        "another seed."
    )


def _reach(joints: np.ndarray) -> int:
    return min(_SEARCH, len(joints) // 3)
