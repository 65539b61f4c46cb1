"""The packed data set: one folder that every source is turned into and every training reads.

dataset.json   name, fps, source, licence, statement on captions, counts, what was skipped
features.npy   (frames, 263) float32, not normalised, clips one after another
clips.json     for each clip: name, take, split, start, length, mirrored, joined, captions
captions.json  the distinct captions that clips point to
mean.npy std.npy  (263,) statistics of the training split, or those that come with the source
"""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from motionmamba.motion.skeleton import HUMANML3D

SPLITS = ("train", "val", "test")
# Blocks of the 263 features that share one deviation, as in the original statistics: yaw
# velocity, root velocity, height, positions, rotations, velocities, contacts.
STD_BLOCKS = (0, 1, 3, 4, 67, 193, 259, 263)
FILES = ("dataset.json", "features.npy", "clips.json", "captions.json", "mean.npy", "std.npy")


@dataclass(frozen=True)
class Clip:
    """One clip: `length` rows of the features from `start`, and indices of its captions.

    `take` names the recording; all clips of a take, mirrored ones too, are in one split.
    """

    name: str
    take: str
    split: str
    start: int
    length: int
    captions: list[int]
    mirrored: bool = False
    joined: bool = False


@dataclass
class Sample:
    """A clip on its way into a data set: features (T, 263) and its captions as text."""

    name: str
    take: str
    split: str
    features: np.ndarray
    captions: list[str]
    mirrored: bool = False
    joined: bool = False


@dataclass
class MotionDataset:
    """A packed data set, its features mapped from disk."""

    folder: Path
    info: dict
    features: np.ndarray
    clips: list[Clip]
    captions: list[str]
    mean: np.ndarray
    std: np.ndarray
    _by_split: dict[str, list[Clip]] = field(init=False, repr=False)

    def __post_init__(self):
        self._by_split = {s: [c for c in self.clips if c.split == s] for s in SPLITS}

    @property
    def name(self) -> str:
        return self.info["name"]

    @property
    def fps(self) -> float:
        return self.info["fps"]

    def split(self, name: str) -> list[Clip]:
        """Clips of `train`, `val` or `test`."""
        return self._by_split[name]

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "MotionDataset":
        """Reads a folder that `write_dataset` made.

        Raises:
            ValueError: when a file is missing, damaged or at odds with another.
        """
        folder = Path(folder)
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise ValueError(
                f"{folder} is no packed data set: {missing[0]} is missing; make one with "
                "scripts/prepare_dataset.py"
            )
        try:
            info, clips, captions = (
                json.loads((folder / name).read_text(encoding="utf-8"))
                for name in ("dataset.json", "clips.json", "captions.json")
            )
            features = np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False)
            mean, std = (np.load(folder / f"{n}.npy", allow_pickle=False) for n in ("mean", "std"))
            dataset = cls(folder, info, features, [Clip(**c) for c in clips], captions, mean, std)
            dataset._check()
        except (ValueError, TypeError, KeyError, EOFError) as error:
            raise ValueError(f"{folder} is damaged, prepare it again: {error}") from error
        return dataset

    def _check(self):
        frames = sum(clip.length for clip in self.clips)
        if self.features.shape != (frames, HUMANML3D.num_features):
            raise ValueError(f"features.npy is {self.features.shape}, its clips have {frames} rows")
        for clip in self.clips:
            if not 0 <= clip.start <= frames - clip.length or clip.split not in SPLITS:
                raise ValueError(f"the clip {clip.name} lies outside of the data")
            if not all(0 <= index < len(self.captions) for index in clip.captions):
                raise ValueError(f"the clip {clip.name} has captions that do not exist")
        if not self.mean.shape == self.std.shape == self.features.shape[1:]:
            raise ValueError(f"mean and std are {self.mean.shape} and {self.std.shape}")


def write_dataset(
    folder: str | os.PathLike,
    samples: Iterable[Sample],
    *,
    name: str,
    source: str,
    licence: str,
    statement: str,
    skipped: dict[str, str] | None = None,
    statistics: tuple[np.ndarray, np.ndarray] | None = None,
    overwrite: bool = False,
) -> MotionDataset:
    """Packs samples into `folder`, which appears whole or not at all.

    Args:
        statement: how the captions came to be.
        skipped: what could not be used, and why.
        statistics: mean and deviation (263,); of the training split by default.

    Raises:
        ValueError: when there is no sample for training or the folder holds something already.
    """
    folder = Path(folder)
    check_target(folder, overwrite)
    samples = list(samples)
    if not any(s.split == "train" for s in samples):
        raise ValueError(f"no clip of {source} can be used for training; nothing was written")
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        clips, captions = _index(samples)
        mean, std = statistics or _statistics(samples)
        info = {
            "name": name,
            "fps": HUMANML3D.fps,
            "source": source,
            "licence": licence,
            "statement": statement,
            "sha256": _write_features(partial / "features.npy", samples),
            "clips": dict(Counter(clip.split for clip in clips)),
            "skipped": skipped or {},
        }
        np.save(partial / "mean.npy", mean)
        np.save(partial / "std.npy", std)
        _write_json(partial / "clips.json", [asdict(clip) for clip in clips])
        _write_json(partial / "captions.json", captions)
        _write_json(partial / "dataset.json", info)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return MotionDataset.load(folder)


def check_target(folder: Path, overwrite: bool):
    """Raises ValueError when a data set cannot be written to `folder`."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not overwrite):
        raise ValueError(f"{folder} exists already; choose another folder or pass --overwrite")
    if overwrite and folder.is_dir() and not (folder / "dataset.json").is_file():
        if any(folder.iterdir()):
            raise ValueError(f"{folder} holds something else than a data set; choose another")


def feature_std(features: np.ndarray) -> np.ndarray:
    """Deviation of features (T, 263) -> (263,), averaged over each block; never zero."""
    std = features.std(0, dtype=np.float64)
    for first, end in zip(STD_BLOCKS, STD_BLOCKS[1:], strict=False):
        std[first:end] = std[first:end].mean()
    return np.maximum(std, 1e-4).astype(np.float32)


def _statistics(samples: list[Sample]) -> tuple[np.ndarray, np.ndarray]:
    training = np.concatenate([s.features for s in samples if s.split == "train"])
    return training.mean(0, dtype=np.float64).astype(np.float32), feature_std(training)


def _write_features(path: Path, samples: list[Sample]) -> str:
    """Writes all features straight to disk, gigabytes of them perhaps; gives their SHA-256."""
    shape = (sum(len(s.features) for s in samples), HUMANML3D.num_features)
    features = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    np.concatenate([s.features for s in samples], out=features, casting="same_kind")
    features.flush()
    return hashlib.sha256(features).hexdigest()


def _index(samples: list[Sample]) -> tuple[list[Clip], list[str]]:
    index: dict[str, int] = {}
    clips, start = [], 0
    for s in samples:
        captions = [index.setdefault(text, len(index)) for text in s.captions]
        length = len(s.features)
        clips.append(Clip(s.name, s.take, s.split, start, length, captions, s.mirrored, s.joined))
        start += length
    return clips, list(index)


def _write_json(path: Path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
