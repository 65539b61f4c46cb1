"""A finished HumanML3D folder (Guo et al., CVPR 2022) as training clips.

Clips are chosen as by the loader of EricGuo5513/text-to-motion: 40 to 199 frames, a text line with
times is a clip of its own. That loader draws one crop of at most 196 frames from a clip, 3 frames
fewer than the longest, so longer clips are cut to their first 196 and never counted twice.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from motionmamba.data.packed import SPLITS, Sample
from motionmamba.motion.skeleton import HUMANML3D, KIT

SOURCE = "HumanML3D (Guo et al., CVPR 2022, github.com/EricGuo5513/HumanML3D)"
LICENCE = (
    "Texts and statistics of HumanML3D: MIT. Motion from AMASS (amass.is.tue.mpg.de), under its "
    "licence: research only, and it may not be redistributed, as neither may this data set."
)
STATEMENT = (
    "Captions were written by annotators; those of mirrored clips have left and right exchanged."
)
CONTENTS = (
    *("new_joint_vecs", "texts", "Mean.npy", "Std.npy"),
    *(f"{split}.txt" for split in SPLITS),
)
MIN_FRAMES, END_FRAMES = 40, 200
CROP = 196

Progress = Callable[[str, int, int], None]


def humanml3d_samples(
    source: Path, progress: Progress = lambda *_: None
) -> tuple[list[Sample], dict[str, str]]:
    """Reads the clips that the split files name, features and captions as they are.

    Args:
        source: folder with `new_joint_vecs`, `texts`, the split files, `Mean.npy` and `Std.npy`.
        progress: called with what is being done, how much of it is done and how much there is.

    Returns:
        The clips, and the files and text lines that could not be used with the reason.

    Raises:
        ValueError: when the folder is not such a one, a take is in two splits, or nothing can be
            used for training.
    """
    source = Path(source)
    check_folder(source)
    splits = read_splits(source)
    samples, skipped = [], {}
    for done, (name, split) in enumerate(splits.items(), 1):
        samples += _clips(source, name, split, skipped)
        progress("reading clips", done, len(splits))
    for path in sorted((source / "new_joint_vecs").glob("*.npy")):
        if path.stem not in splits:
            skipped[f"new_joint_vecs/{path.name}"] = "in no split file"
    if not any(s.split == "train" for s in samples):
        first = next((f"; {name}: {reason}" for name, reason in skipped.items()), "")
        raise ValueError(f"{source} has no clip in train.txt that can be used{first}")
    return samples, skipped


def check_folder(source: Path):
    """Raises ValueError when something that every HumanML3D folder has is missing."""
    missing = [name for name in CONTENTS if not (source / name).exists()]
    if missing:
        raise ValueError(
            f"{source} is no finished HumanML3D folder: {', '.join(missing)} missing; build it as "
            "github.com/EricGuo5513/HumanML3D tells, and unpack texts.zip"
        )


def read_statistics(source: Path) -> tuple[np.ndarray, np.ndarray]:
    """`Mean.npy` and `Std.npy`, (263,) float32 each.

    Raises:
        ValueError: when they are of KIT-ML or no statistics.
    """
    source = Path(source)
    check_folder(source)
    mean, std = (_read_array(source / name) for name in ("Mean.npy", "Std.npy"))
    size = HUMANML3D.num_features
    if mean is not None and mean.shape == (KIT.num_features,):
        raise ValueError(
            f"{source} is KIT-ML with {KIT.num_features} features a frame, and packed data sets "
            f"and VAEs have HumanML3D's {size}; give a HumanML3D folder"
        )
    for name, values in (("Mean.npy", mean), ("Std.npy", std)):
        if values is None or values.shape != (size,) or not np.isfinite(values).all():
            raise ValueError(f"{source / name} is not {size} finite numbers; get the official one")
    if not (std > 0).all():
        raise ValueError(f"{source / 'Std.npy'} has deviations that are not above 0")
    return mean, std


def read_splits(source: Path) -> dict[str, str]:
    """The split of every id; a mirrored copy `M012314` has to be in that of `012314`."""
    splits, split_of_take = {}, {}
    for split in SPLITS:
        for name in (source / f"{split}.txt").read_text(encoding="utf-8").split():
            other = split_of_take.setdefault(_take(name), split)
            if other != split:
                raise ValueError(
                    f"{name} or its mirrored copy is in {other}.txt and in {split}.txt of "
                    f"{source}; take the official split files"
                )
            splits[name] = split
    return splits


@dataclass(frozen=True)
class TextLine:
    """A caption and the seconds that it is about; both 0 for the whole clip."""

    caption: str
    start: float
    end: float

    @property
    def is_whole(self) -> bool:
        return self.start == self.end == 0


def parse_line(line: str) -> TextLine:
    """Parses `caption#word/POS word/POS#start#end`; times that are nan count as 0.

    Raises:
        ValueError: when the line is anything else.
    """
    caption, _, *times = line.strip().split("#")
    start, end = (0.0 if math.isnan(t) else t for t in map(float, times))
    if not caption or not (0 <= start < math.inf and 0 <= end < math.inf):
        raise ValueError(f"{line!r} has no caption or no times")
    return TextLine(caption, start, end)


def _clips(source: Path, name: str, split: str, skipped: dict[str, str]) -> list[Sample]:
    """Clips of one id; what cannot be used is added to `skipped`."""
    vectors, texts = f"new_joint_vecs/{name}.npy", f"texts/{name}.txt"
    features = _read_array(source / vectors)
    if reason := _flaw(source / vectors, features):
        skipped[vectors] = reason
        return []
    if not (source / texts).is_file():
        skipped[texts] = "missing"
        return []
    whole, clips = [], []
    for number, line in _read_lines(source / texts, texts, skipped):
        if line.is_whole:
            whole.append(line.caption)
            continue
        part = features[int(line.start * HUMANML3D.fps) : int(line.end * HUMANML3D.fps)]
        if reason := _length_flaw(len(part)):
            skipped[f"{texts}:{number}"] = f"part {reason}"
        else:
            clips.append((f"{name}.{number}", part, [line.caption]))
    if whole:
        clips.insert(0, (name, features, whole))
    take = _take(name)
    return [Sample(n, take, split, x[:CROP], c, mirrored=name != take) for n, x, c in clips]


def _read_lines(path: Path, label: str, skipped: dict[str, str]) -> list[tuple[int, TextLine]]:
    """The usable lines with their numbers from 1."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError:
        skipped[label] = "not UTF-8"
        return []
    parsed = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            parsed.append((number, parse_line(line)))
        except ValueError:
            skipped[f"{label}:{number}"] = "not caption#tokens#start#end"
    if not parsed:
        skipped[label] = "no caption"
    return parsed


def _flaw(path: Path, features: np.ndarray | None) -> str:
    """Why a clip's features cannot be used; empty when they can."""
    if features is None:
        return "no plain array of numbers" if path.is_file() else "missing"
    if features.ndim != 2 or features.shape[1] != HUMANML3D.num_features:
        return f"not (T, {HUMANML3D.num_features})"
    if not np.isfinite(features).all():
        return "NaN or infinite"
    return _length_flaw(len(features))


def _length_flaw(frames: int) -> str:
    if frames < MIN_FRAMES:
        return f"under {MIN_FRAMES} frames"
    return f"{END_FRAMES} frames or more" if frames >= END_FRAMES else ""


def _read_array(path: Path) -> np.ndarray | None:
    """A .npy file of real numbers as float32; None when there is none, or a pickle in its place."""
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, EOFError):
        return None
    return array.astype(np.float32, copy=False) if array.dtype.kind == "f" else None


def _take(name: str) -> str:
    return name.removeprefix("M")
