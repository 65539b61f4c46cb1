"""Finished folders of HumanML3D (Guo et al., CVPR 2022) and KIT-ML as training clips.

Clips are chosen as by the loader of EricGuo5513/text-to-motion: 40 (KIT-ML 24) to 199 frames, a
text line with times is a clip of its own. That loader draws one crop of at most 196 frames from a
clip, 3 frames fewer than the longest, so longer clips are cut to their first 196 and never counted
twice.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from motionmamba.data.packed import Prepared, Sample, Source
from motionmamba.data.progress import Progress, no_progress
from motionmamba.data.text.lines import parse_lines
from motionmamba.motion.skeleton import HUMANML3D, KIT, Skeleton

SPLITS = ("train", "val", "test")
CONTENTS = ("new_joint_vecs", "texts", "Mean.npy", "Std.npy", *(f"{s}.txt" for s in SPLITS))
END_FRAMES = 200
CROP = 196
TEXT_FPS = 20  # frames to a second of a text line, of KIT-ML's too
STATEMENT = (
    "Captions were written by annotators; those of mirrored clips have left and right exchanged."
)
MIRRORED = "mirrored by its authors"


@dataclass(frozen=True)
class Benchmark:
    """A data set that is published as such a folder."""

    skeleton: Skeleton
    min_frames: int
    source: Source


HUMANML3D_FOLDER = Benchmark(
    HUMANML3D,
    40,
    Source(
        "HumanML3D (Guo et al., CVPR 2022, github.com/EricGuo5513/HumanML3D)",
        "Texts and statistics of HumanML3D: MIT. Motion from AMASS (amass.is.tue.mpg.de), under "
        "its licence: research only, and it may not be redistributed, as neither may this data "
        "set.",
        STATEMENT,
    ),
)
KIT_FOLDER = Benchmark(
    KIT,
    24,
    Source(
        "KIT-ML (Plappert et al. 2016, motion-annotation.humanoids.kit.edu), processed by Guo et "
        "al., CVPR 2022",
        "No licence is stated where it is published: ask its authors before passing it on.",
        STATEMENT,
    ),
)


def prepare_humanml3d(source: Path, progress: Progress = no_progress) -> Prepared:
    """Reads the clips that the split files name, features and captions as they are.

    Args:
        source: folder with `new_joint_vecs`, `texts`, the split files, `Mean.npy` and `Std.npy`.

    Raises:
        ValueError: when the folder is not such a one, a take is in two splits, or nothing can be
            used for training.
    """
    return _prepare(Path(source), HUMANML3D_FOLDER, progress)


def prepare_kit(source: Path, progress: Progress = no_progress) -> Prepared:
    """As `prepare_humanml3d` for KIT-ML: 251 features of 21 joints, millimetres, 12.5 fps."""
    return _prepare(Path(source), KIT_FOLDER, progress)


def _prepare(source: Path, benchmark: Benchmark, progress: Progress) -> Prepared:
    missing = [name for name in CONTENTS if not (source / name).exists()]
    if missing:
        raise ValueError(
            f"{source} is no finished HumanML3D or KIT-ML folder: {', '.join(missing)} missing; "
            "build it as github.com/EricGuo5513/HumanML3D tells, and unpack texts.zip"
        )
    folder = _Folder(source, benchmark)
    statistics = folder.read_statistics()
    splits = folder.read_splits()
    samples = []
    for done, (name, split) in enumerate(splits.items(), 1):
        samples += folder.read_clips(name, split)
        progress("reading clips", done, len(splits))
    for path in sorted((source / "new_joint_vecs").glob("*.npy")):
        if path.stem not in splits:
            folder.dropped[f"new_joint_vecs/{path.name}"] = "in no split file"
    if not any(s.split == "train" for s in samples):
        first = next((f"; {name}: {reason}" for name, reason in folder.dropped.items()), "")
        raise ValueError(f"{source} has no clip in train.txt that can be used{first}")
    return Prepared(
        samples,
        {benchmark.skeleton.name: benchmark.source},
        folder.dropped,
        folder.inputs,
        skeleton=benchmark.skeleton,
        statistics=statistics,
    )


@dataclass
class _Folder:
    """A folder being read: the SHA-256 of what was read, and what could not be used and why."""

    source: Path
    benchmark: Benchmark
    inputs: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)

    def read_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """`Mean.npy` and `Std.npy`, (F,) float32 each."""
        size = self.benchmark.skeleton.num_features
        other = {KIT.num_features: "kit", HUMANML3D.num_features: "humanml3d"}
        statistics = []
        for name in ("Mean.npy", "Std.npy"):
            values = _plain_array(self._read(name))
            if values is not None and values.shape != (size,) and values.size in other:
                raise ValueError(
                    f"{self.source / name} is of {values.size} features, expected {size}; prepare "
                    f"this folder as {other[values.size]}"
                )
            if values is None or values.shape != (size,) or not np.isfinite(values).all():
                raise ValueError(
                    f"{self.source / name} is not {size} finite numbers; get the official one"
                )
            statistics.append(values)
        if not (statistics[1] > 0).all():
            raise ValueError(
                f"{self.source / 'Std.npy'} has deviations that are not above 0; get the official "
                "one"
            )
        return statistics[0], statistics[1]

    def read_splits(self) -> dict[str, str]:
        """The split of every id; a mirrored copy `M012314` has to be in that of `012314`."""
        splits, split_of_take = {}, {}
        for split in SPLITS:
            for name in self._read(f"{split}.txt").decode(errors="replace").split():
                other = split_of_take.setdefault(_take(name), split)
                if other != split:
                    raise ValueError(
                        f"{name} or its mirrored copy is in {other}.txt and in {split}.txt of "
                        f"{self.source}; take the official split files"
                    )
                splits[name] = split
        return splits

    def read_clips(self, name: str, split: str) -> list[Sample]:
        """Clips of one id; what cannot be used is added to `dropped`."""
        vectors, texts = f"new_joint_vecs/{name}.npy", f"texts/{name}.txt"
        for path in (vectors, texts):
            if not (self.source / path).is_file():
                self.dropped[path] = "missing"
                return []
        features = _plain_array(self._read(vectors))
        if reason := self._flaw(features):
            self.dropped[vectors] = reason
            return []
        whole, clips = [], []
        lines, flaws = parse_lines(texts, self._read(texts))
        self.dropped |= flaws
        for number, line in lines.items():
            if line.is_whole:
                whole.append(line.caption)
                continue
            part = features[int(line.start * TEXT_FPS) : int(line.end * TEXT_FPS)]
            if reason := self._length_flaw(len(part)):
                self.dropped[f"{texts}:{number}"] = f"part {reason}"
            else:
                clips.append((f"{name}.{number}", part, [line.caption]))
        if whole:
            clips.insert(0, (name, features, whole))
        take = _take(name)
        made = "" if name == take else MIRRORED
        return [Sample(n, take, split, c, features=x[:CROP], made=made) for n, x, c in clips]

    def _read(self, name: str) -> bytes:
        content = (self.source / name).read_bytes()
        self.inputs[name] = hashlib.sha256(content).hexdigest()
        return content

    def _flaw(self, features: np.ndarray | None) -> str:
        """Why a clip's features cannot be used; empty when they can."""
        size = self.benchmark.skeleton.num_features
        if features is None:
            return "no plain array of numbers"
        if features.ndim != 2 or features.shape[1] != size:
            return f"not (T, {size})"
        if not np.isfinite(features).all():
            return "NaN or infinite"
        return self._length_flaw(len(features))

    def _length_flaw(self, frames: int) -> str:
        if frames < self.benchmark.min_frames:
            return f"under {self.benchmark.min_frames} frames"
        return f"{END_FRAMES} frames or more" if frames >= END_FRAMES else ""


def _plain_array(content: bytes) -> np.ndarray | None:
    """A .npy file of real numbers as float32; None when it is something else, such as a pickle."""
    try:
        array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError):
        return None
    return array.astype(np.float32, copy=False) if array.dtype.kind == "f" else None


def _take(name: str) -> str:
    return name.removeprefix("M")
