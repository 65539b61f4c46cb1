"""Any collection of BVH files as training clips."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from motionmamba.data.packed import Prepared
from motionmamba.data.progress import Progress, no_progress
from motionmamba.data.sources.captioned import find_captions, take_name
from motionmamba.data.sources.recordings import (
    MIN_FRAMES,
    Recording,
    read_recordings,
    resample,
)
from motionmamba.motion.bvh import Bvh, BvhError, parse_bvh
from motionmamba.motion.joint_guess import guess_joint_map
from motionmamba.motion.joint_map import AUTO, JointMap, load_joint_map
from motionmamba.motion.skeleton import HUMANML3D

GUESS_TAKES = 16  # of a skeleton, that a guess looks at
HEADER = 1 << 17  # bytes in which most hierarchies end
MIN_FPS = 10.0
NO_MAP = "no joint map can be guessed"

Names = tuple[str, ...]  # of a skeleton's joints, without end sites
logger = logging.getLogger(__name__)


def prepare_bvh(
    source: Path,
    joint_map: str = AUTO,
    captions: Path | None = None,
    name_pattern: str | None = None,
    *,
    licence: str,
    title: str,
    splits: Path | None = None,
    work: Path | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
    workers: int | None = None,
) -> Prepared:
    """Reads a folder or archive of BVH files; clips are mirrored as well.

    Args:
        joint_map: name of a packaged joint map, a .yaml file, or "auto", which guesses a map for
            every skeleton; guesses are logged. Settings tell the maps as their files would, and
            what guesses rest on.
        captions: CSV file with the columns file, caption, and perhaps start and end in seconds.
        name_pattern: what file names tell, as `{content}_{style}_{id}`; the caption is the words
            of style and content. With neither, captions are text files beside the recordings,
            `NAME.txt` of HumanML3D's lines `caption#tokens#start#end`.
        splits: folder of train.txt, val.txt and test.txt that list files; by default each split
            has its share, of every content where names tell it.
        work: folder where what was read is kept, for a run that is interrupted.
        seed: of the choice of takes that guesses look at.
        progress: called with what is being done, how much of it is done and how much there is.
        workers: processes; as many as there are cores by default.

    Raises:
        ValueError: when source, map, captions or splits cannot be read, or nothing can be used.
    """
    source = Path(source)
    fixed = None if joint_map == AUTO else load_joint_map(joint_map)
    skeletons = _Skeletons(np.random.default_rng(seed))
    look = skeletons.add if fixed is None else None
    known = find_captions(source, ".bvh", captions, name_pattern, look, progress)
    split_of = known.assign_splits(splits)
    guessed = skeletons.guess()
    for guess in guessed.values():
        logger.info("%s", guess if isinstance(guess, str) else guess.describe())
    recordings, dropped, inputs = read_recordings(
        known.files(split_of),
        partial(_read_take, fixed=fixed, guessed=guessed),
        work=work,
        settings=repr((fixed, guessed)),
        progress=progress,
        workers=workers,
    )
    maps = [fixed] if fixed else [m for m in guessed.values() if isinstance(m, JointMap)]
    described = {m.name: m.describe() for m in maps}
    settings = {"joint_map": str(joint_map), "joint_maps": described, "seed": seed}
    return known.to_prepared(recordings, split_of, dropped, inputs, title, licence, settings)


class _Skeletons:
    """The skeletons of a collection, and some takes of each, chosen at random."""

    def __init__(self, rng: np.random.Generator):
        self._rng = rng
        self._seen: dict[Names, int] = {}
        self._takes: dict[Names, list[Path | bytes]] = {}

    def add(self, name: str, content: Path | bytes):
        try:
            names = _joint_names(_header(content))
        except OSError:
            return  # told when the recording is read
        takes = self._takes.setdefault(names, [])
        seen = self._seen[names] = self._seen.get(names, 0) + 1
        place = len(takes) if len(takes) < GUESS_TAKES else int(self._rng.integers(seen))
        if place < GUESS_TAKES:
            takes[place : place + 1] = [content]

    def guess(self) -> dict[Names, JointMap | str]:
        """A map for each skeleton, or why there is none."""
        guessed = {}
        for names, takes in self._takes.items():
            parsed = list(filter(None, map(_try_parse, takes)))
            if not parsed:
                continue  # told when the recordings are read
            first = parsed[0]
            alike = [bvh for bvh in parsed if bvh.joint_names == first.joint_names]
            try:
                joint_map = guess_joint_map(
                    first.joint_names, first.parents, *(bvh.positions() for bvh in alike)
                )
                number = f" {len(guessed) + 1}" if len(self._takes) > 1 else ""
                guessed[names] = replace(joint_map, name=f"guessed{number}")
            except ValueError as error:
                guessed[names] = f"{NO_MAP}: {error}"
        return guessed


def _header(content: Path | bytes) -> bytes:
    """The hierarchy; of a file only as much is read, if that is possible."""
    if isinstance(content, Path):
        with content.open("rb") as file:
            start = file.read(HEADER)
            content = start if b"MOTION" in start else start + file.read()
    return content.partition(b"MOTION")[0]


def _joint_names(header: bytes) -> Names:
    names, tokens = [], iter(header.decode("utf-8-sig", "replace").split())
    for token in tokens:
        if token.upper() in ("ROOT", "JOINT"):
            names.append(" ".join(iter(lambda: next(tokens, "{"), "{")))
    return tuple(names)


def _try_parse(content: Path | bytes) -> Bvh | None:
    try:
        content = content.read_bytes() if isinstance(content, Path) else content
        return parse_bvh(content, "it", end_sites=True)
    except (BvhError, OSError):
        return None


def _read_take(
    name: str, content: bytes, fixed: JointMap | None, guessed: dict[Names, JointMap | str]
) -> Recording:
    bvh = parse_bvh(content, "it", end_sites=True)
    joint_map = fixed or guessed.get(_joint_names(_header(content)), NO_MAP)
    if isinstance(joint_map, str):
        raise ValueError(joint_map)
    if bvh.fps < MIN_FPS:
        raise ValueError(f"it has {bvh.fps:.3g} frames a second, too few for motion")
    joints = joint_map.apply(bvh.joint_names, bvh.positions(), "it")
    if len(joints) < 4 or (len(joints) - 1) / bvh.fps * HUMANML3D.fps < MIN_FRAMES:
        raise ValueError(f"it is shorter than {MIN_FRAMES + 1} frames at 20 fps")
    joints = resample(joints, bvh.fps, HUMANML3D.fps)
    info = {"file": name, "start": joint_map.first_frame / bvh.fps}
    return Recording(take_name(name), joints, info)
