"""Looks through a data set for what is wrong: a packed one, or a finished HumanML3D or KIT folder.

An error spoils training or what is measured after it; a warning is for what published sets have
too, or what may be meant. Nothing in a file is ever run: pickles are named, not loaded.
"""

from __future__ import annotations

import csv
import math
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import torch

from motionmamba.data.checking.findings import (
    Finding,
    Kind,
    Unusable,
    sort_findings,
    summarise,
    warning,
)
from motionmamba.data.checking.motion_checks import (
    Facts,
    check_axes,
    check_body,
    check_features,
    check_finite,
    check_origin,
    check_sides,
    check_statistics,
    facts_of,
    find_copies,
    local_joints,
    moments_of,
    read_array,
)
from motionmamba.data.packed import TABLES, Clip, MotionDataset, read_json
from motionmamba.data.progress import Progress, no_progress
from motionmamba.data.sources.humanml3d import (
    CONTENTS,
    END_FRAMES,
    HUMANML3D_FOLDER,
    KIT_FOLDER,
    SPLITS,
    TEXT_FPS,
)
from motionmamba.data.sources.recordings import (
    MIN_FRAMES,
)
from motionmamba.motion.features import features_to_joints
from motionmamba.motion.files import sha256_of
from motionmamba.motion.skeleton import HUMANML3D, KIT, Skeleton, get_skeleton

__all__ = ["Finding", "Kind", "check_folder", "summarise"]

BENCHMARKS = {benchmark.skeleton.name: benchmark for benchmark in (HUMANML3D_FOLDER, KIT_FOLDER)}
APART = 0.05  # metres between new_joints and the joints of the features
LATE = 0.1  # seconds that a part may end late: annotators wrote one decimal
SAMPLED = 1000  # training clips of a packed set that its statistics are compared with
ENOUGH = 0.9  # share of a finished training split without which statistics cannot be compared
BATCH = 64
FEW = 200  # clips that are not worth processes


def check_folder(
    folder: str | os.PathLike, progress: Progress = no_progress, workers: int | None = None
) -> list[Finding]:
    """Looks through a packed set, or a finished HumanML3D or KIT-ML folder.

    Args:
        progress: called with what is being done, how much of it is done and how much there is.
        workers: processes for a finished folder; as many as there are cores by default.

    Returns:
        All that is wrong, errors first, then by kind.

    Raises:
        ValueError: when the folder is neither of these.
    """
    folder = Path(folder)
    if any((folder / name).is_file() for name in TABLES[:3]):
        return sort_findings(_check_packed(folder, progress))
    if any((folder / name).exists() for name in ("new_joint_vecs", "texts", "train.txt")):
        return sort_findings(_check_finished(folder, progress, workers))
    raise ValueError(
        f"{folder} is neither a packed data set (dataset.json) nor a finished HumanML3D or KIT-ML "
        "folder (new_joint_vecs, texts, train.txt); give one of these"
    )


@dataclass
class _Examined:
    """What came of a batch of clips: captions with their splits, moments of training features."""

    findings: list[Finding] = field(default_factory=list)
    facts: list[Facts] = field(default_factory=list)
    captions: list[tuple[str, str]] = field(default_factory=list)
    moments: np.ndarray | float = 0.0

    def add(self, other: _Examined):
        self.findings += other.findings
        self.facts += other.facts
        self.captions += other.captions
        self.moments = self.moments + other.moments


def _examine_all(
    examine: Callable[[Sequence], _Examined], items: Sequence, progress: Progress, map_over=map
) -> _Examined:
    """What comes of all items; `map_over` calls `examine` with batches of them."""
    whole = _Examined()
    batches = [items[i : i + BATCH] for i in range(0, len(items), BATCH)]
    for done, result in enumerate(map_over(examine, batches), 1):
        whole.add(result)
        progress("checking clips", min(done * BATCH, len(items)), len(items))
    return whole


def _check_set(examined: _Examined, skeleton: Skeleton) -> Iterator[Finding]:
    if examined.facts:
        yield from check_axes(examined.facts, skeleton)
        yield from check_sides(examined.facts, skeleton)
        yield from find_copies(examined.facts, skeleton)
    by_split = defaultdict(set)
    for split, caption in examined.captions:
        by_split[split].add(" ".join(caption.lower().split()).rstrip("."))
    for split in sorted(by_split.keys() - {"train"}):
        if shared := by_split[split] & by_split["train"]:
            message = f"{len(shared)} of {len(by_split[split])} are in train word for word"
            yield warning(f"captions of {split}", Kind.SHARED, message)


def _check_text(where: str, text: str, tokens: str) -> Iterator[Finding]:
    """A caption and its tokens, each of which the official loader splits at its one slash."""
    flaw, stripped = "", text.strip()
    if not stripped:
        flaw = "the caption is empty"
    elif stripped.lower() in ("nan", "none", "null"):
        flaw = f"the caption is the word {stripped!r}"
    elif broken := [c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Co", "Cn")]:
        flaw = f"the caption has the control character {broken[0]!a}"
    elif "\ufffd" in text:
        flaw = "the caption has letters that were lost in decoding"
    elif not any(c.isalpha() for c in text):
        flaw = "the caption has no word"
    elif not tokens.strip():
        flaw = "the caption has no tokens"
    elif odd := [t for t in tokens.split() if not re.fullmatch(r"[^/]+/[^/]+", t)]:
        flaw = f"the token {odd[0]!r} is not word/POS"
    if flaw:
        yield Finding(where, Kind.CAPTION, flaw)


def _check_span(
    where: str, start: float, end: float, seconds: float, shortest: float
) -> Iterator[Finding]:
    """Times of a part of a clip that has so many seconds."""
    if not (0 <= start < math.inf and 0 <= end < math.inf):
        yield Finding(where, Kind.CAPTION, f"the part has the times {start:g} to {end:g} s")
    elif start >= end:
        yield Finding(where, Kind.CAPTION, f"the part ends at {end:g} s, not after {start:g} s")
    elif start >= seconds:
        message = f"the part starts at {start:g} s, the clip ends at {seconds:.2f} s"
        yield Finding(where, Kind.CAPTION, message)
    elif min(end, seconds) - start < shortest - 1e-6:
        message = f"the part has {min(end, seconds) - start:.2f} s, under {shortest:.2f} s"
        yield warning(where, Kind.TOO_SHORT, message)
    elif end > seconds + LATE:
        message = f"the part ends at {end:g} s, the clip at {seconds:.2f} s"
        yield warning(where, Kind.CAPTION, message)


def _check_length(where: str, frames: int, shortest: int, longest: int) -> Iterator[Finding]:
    if frames < shortest:
        yield warning(where, Kind.TOO_SHORT, f"under {shortest} frames")
    if frames > longest:
        yield warning(where, Kind.TOO_LONG, f"over {longest} frames")


# Packed sets


def _check_packed(folder: Path, progress: Progress) -> list[Finding]:
    found = list(_check_files(folder, progress))
    try:
        dataset = MotionDataset.load(folder)
    except ValueError as error:
        return [*found, Finding(folder.name, Kind.INDEX, str(error))]
    found += _check_index(dataset)
    found += _check_captions(dataset)
    # A mirrored clip shares the rows of its original, which are looked at once.
    originals = {clip.start: clip for clip in reversed(dataset.clips)}
    examine = partial(_examine_packed, dataset)
    examined = _examine_all(examine, list(originals.values())[::-1], progress)
    examined.captions = [
        (clip.split, dataset.captions[i])
        for clip in dataset.clips
        for i in (*clip.captions, *(part.caption for part in clip.parts))
    ]
    found += examined.findings
    found += _check_set(examined, dataset.skeleton)
    names = {facts.name for facts in examined.facts}
    usable = {start for start, clip in originals.items() if clip.name in names}
    training = [clip for clip in dataset.split("train") if clip.start in usable]
    moments = _sampled_moments(dataset, training) if training else None
    return [*found, *check_statistics(dataset.mean, dataset.std, moments, dataset.skeleton)]


def _check_files(folder: Path, progress: Progress) -> Iterator[Finding]:
    try:
        files = dict(read_json(folder / "dataset.json")["files"])
    except (OSError, ValueError, TypeError, KeyError):
        return  # loading the set tells
    for done, (name, expected) in enumerate(files.items(), 1):
        path = folder / Path(name).name
        if not path.is_file():
            yield Finding(name, Kind.MISSING, "dataset.json names it")
        elif not path.stat().st_size or expected != sha256_of(path):
            yield Finding(name, Kind.CHANGED, "its SHA-256 is not that in dataset.json")
        progress("comparing checksums", done, len(files))


def _check_index(dataset: MotionDataset) -> Iterator[Finding]:
    clips = dataset.clips
    for name, count in Counter(clip.name for clip in clips).items():
        if count > 1:
            yield Finding(name, Kind.INDEX, f"{count} clips have this name")
    splits = defaultdict(set)
    for clip in clips:  # held-out combinations are made of takes for testing
        splits[clip.take].add("test" if clip.split == "held_out" else clip.split)
    for take, names in splits.items():
        if len(names) > 1:
            yield Finding(take, Kind.LEAK, f"clips of this take are in {', '.join(sorted(names))}")
    for clip in clips:
        if clip.source not in dataset.info.get("sources", ()):
            yield Finding(clip.name, Kind.INDEX, f"its source {clip.source!r} is not described")
        if not clip.captions and not clip.parts:
            yield Finding(clip.name, Kind.NO_TEXT, "the clip has no caption")
        yield from _check_length(clip.name, clip.length, MIN_FRAMES, END_FRAMES - 1)
    yield from _check_made(clips)
    counts = dict(Counter(clip.split for clip in clips))
    if counts != dataset.info.get("clips"):
        message = f"it counts {dataset.info.get('clips')}, clips.json has {counts}"
        yield Finding("dataset.json", Kind.INDEX, message)


def _check_made(clips: list[Clip]) -> Iterator[Finding]:
    """Clips for training that are made of others, or the other way round."""
    split_of = {clip.take: clip.split for clip in clips} | {clip.name: clip.split for clip in clips}
    for clip in clips:
        for word in re.findall(r"[^\s,]+", clip.made):
            split = split_of.get(word, clip.split)
            if (split == "train") != (clip.split == "train"):
                message = f"it is in {clip.split}, made of {word}, which is in {split}"
                yield Finding(clip.name, Kind.LEAK, message)


def _check_captions(dataset: MotionDataset) -> Iterator[Finding]:
    for i, (text, tokens) in enumerate(zip(dataset.captions, dataset.tokens, strict=True)):
        yield from _check_text(f"captions.json, entry {i}", text, tokens)
    for clip in dataset.clips:
        for part in clip.parts:
            seconds = clip.length / dataset.fps
            yield from _check_span(clip.name, part.start, part.end, seconds, 1 / dataset.fps)


def _examine_packed(dataset: MotionDataset, clips: Sequence[Clip]) -> _Examined:
    examined = _Examined()
    for clip in clips:
        try:
            joints = _checked_joints(dataset, clip, examined.findings)
        except Unusable as flaw:
            examined.findings.append(flaw.at(clip.name))
            continue
        examined.facts.append(facts_of(clip.name, clip.take, clip.split, joints, dataset.skeleton))
    return examined


def _checked_joints(dataset: MotionDataset, clip: Clip, found: list[Finding]) -> np.ndarray:
    """Joints of a clip in either form; what is wrong with them is added to `found`."""
    skeleton = dataset.skeleton
    if dataset.stores_joints:
        joints = dataset.joints(clip)
        check_finite(joints)
        found += check_body(clip.name, joints, skeleton, placed=True)
        found += check_origin(clip.name, joints, skeleton)
        return joints
    features = dataset.features(clip)
    check_finite(features)
    # A clip may be cut out of a longer one, which started elsewhere.
    found += check_features(clip.name, features, skeleton, placed=False)
    return local_joints(features, skeleton)


def _sampled_moments(dataset: MotionDataset, clips: list[Clip]) -> np.ndarray:
    chosen = clips[:: math.ceil(len(clips) / SAMPLED)]
    return sum(
        moments_of(dataset.expand(chosen[i : i + BATCH])[0].numpy())
        for i in range(0, len(chosen), BATCH)
    )


# Finished folders


def _check_finished(folder: Path, progress: Progress, workers: int | None) -> list[Finding]:
    found = [
        Finding(name, Kind.MISSING, "every finished folder has it")
        for name in CONTENTS
        if not (folder / name).exists()
    ]
    splits = _read_splits(folder, found)
    found += _check_overlaps(folder, splits)
    vectors = folder / "new_joint_vecs"
    present = {path.stem for path in vectors.glob("*.npy")}
    if vectors.is_dir():
        found += [
            Finding(name, Kind.NO_DATA, f"it is in {split}.txt, but not in new_joint_vecs")
            for name, split in splits.items()
            if name not in present
        ]
    for name in sorted(present - splits.keys()):
        found.append(warning(name, Kind.NO_SPLIT, "no split file names it"))
    skeleton = _skeleton_of(folder, sorted(present))
    items = [(name, split) for name, split in splits.items() if name in present]
    examine = partial(_examine_files, folder, skeleton.name)
    if len(items) < FEW:
        examined = _examine_all(examine, items, progress)
    else:
        with ProcessPoolExecutor(workers, None, torch.set_num_threads, (1,)) as pool:
            examined = _examine_all(examine, items, progress, pool.map)
    found += examined.findings
    found += _check_set(examined, skeleton)
    read = Counter(facts.split for facts in examined.facts)["train"]
    enough = read and read >= ENOUGH * Counter(splits.values())["train"]
    return [*found, *_check_mean_std(folder, examined.moments if enough else None, skeleton)]


def _read_splits(folder: Path, found: list[Finding]) -> dict[str, str]:
    """The split of each id, the first one where there are two."""
    splits, by_take = {}, {}
    for split in SPLITS:
        for name, count in Counter(_read_names(folder / f"{split}.txt", found)).items():
            if count > 1:
                found.append(warning(name, Kind.INDEX, f"it is {count} times in {split}.txt"))
            other, first = by_take.setdefault(name.removeprefix("M"), (name, split))
            if name in splits:
                message = f"it is in {splits[name]}.txt and in {split}.txt"
                found.append(Finding(name, Kind.LEAK, message))
            elif first != split:
                message = f"it is in {split}.txt, its mirror image {other} in {first}.txt"
                found.append(Finding(name, Kind.LEAK, message))
            splits.setdefault(name, split)
    for name in _read_names(folder / "train_val.txt", found):
        if splits.get(name) == "test":
            found.append(Finding(name, Kind.LEAK, "it is in test.txt and in train_val.txt"))
    return splits


def _read_names(path: Path, found: list[Finding]) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split() if path.is_file() else []
    except (OSError, ValueError):
        found.append(Finding(path.name, Kind.UNREADABLE, "it cannot be read as UTF-8 text"))
        return []


def _check_overlaps(folder: Path, splits: dict[str, str]) -> Iterator[Finding]:
    """Clips of different splits that share frames of a recording, where index.csv tells."""
    if not (folder / "index.csv").is_file():
        return
    recordings = defaultdict(list)
    try:
        with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                name, end = Path(row["new_name"]).stem, int(row["end_frame"])
                span = int(row["start_frame"]), math.inf if end < 0 else end, name
                if name in splits:
                    recordings[row["source_path"]].append(span)
    except (KeyError, TypeError, ValueError, csv.Error):
        message = "it is no table of source_path, start_frame, end_frame, new_name"
        yield Finding("index.csv", Kind.UNREADABLE, message)
        return
    pairs = [
        f"{first[2]} and {second[2]}"
        for spans in recordings.values()
        for first, second in combinations(sorted(spans), 2)
        if second[0] < first[1] and splits[first[2]] != splits[second[2]]
    ]
    if pairs:
        message = f"{len(pairs)} pairs of clips share frames across splits, as {pairs[0]}"
        yield warning("index.csv", Kind.LEAK, message)


def _skeleton_of(folder: Path, names: list[str]) -> Skeleton:
    """That of most of a few clips and of the mean."""
    sizes = Counter()
    for path in [folder / "new_joint_vecs" / f"{n}.npy" for n in names[:8]] + [folder / "Mean.npy"]:
        try:
            sizes[read_array(path).shape[-1:]] += 1
        except Unusable:
            continue  # told where it is checked
    return KIT if sizes[(KIT.num_features,)] > sizes[(HUMANML3D.num_features,)] else HUMANML3D


def _examine_files(folder: Path, dataset: str, items: Sequence[tuple[str, str]]) -> _Examined:
    skeleton, examined = get_skeleton(dataset), _Examined()
    for name, split in items:
        where, frames = f"new_joint_vecs/{name}.npy", 0
        try:
            features = read_array(folder / where, (skeleton.num_features,))
        except Unusable as flaw:
            examined.findings.append(flaw.at(where))
        else:
            frames = len(features)
            examined.findings += _check_clip(folder, name, features, skeleton)
            joints, take = local_joints(features, skeleton), name.removeprefix("M")
            examined.facts.append(facts_of(name, take, split, joints, skeleton))
            if split == "train":
                examined.moments = examined.moments + moments_of(features)
        if (folder / "texts").is_dir():
            captions: list[str] = []
            examined.findings += _check_lines(folder, name, frames, skeleton, captions)
            examined.captions += [(split, caption) for caption in captions]
    return examined


def _check_clip(
    folder: Path, name: str, features: np.ndarray, skeleton: Skeleton
) -> Iterator[Finding]:
    yield from _check_length(
        name, len(features), BENCHMARKS[skeleton.name].min_frames, END_FRAMES - 1
    )
    yield from check_features(name, features, skeleton, placed=True)
    where = f"new_joints/{name}.npy"
    if not (folder / where).is_file():
        if (folder / "new_joints").is_dir():
            yield warning(where, Kind.MISSING, "its features are there")
        return
    try:
        joints = read_array(folder / where, (skeleton.num_joints, 3))
    except Unusable as flaw:
        yield flaw.at(where)
        return
    yield from check_origin(where, joints, skeleton)
    frames = min(len(joints), len(features))
    expected = features_to_joints(features[:frames], skeleton.name)
    apart = np.abs(joints[:frames] - expected).max() * skeleton.unit
    if abs(len(joints) - len(features)) > 1:
        message = f"{len(joints)} frames of joints, {len(features)} of features"
        yield Finding(where, Kind.DISAGREE, message)
    elif apart > APART:
        yield Finding(where, Kind.DISAGREE, f"joints are up to {apart:.2g} m off the features")


def _check_lines(
    folder: Path, name: str, frames: int, skeleton: Skeleton, captions: list[str]
) -> Iterator[Finding]:
    """Lines of a text file, whose captions are added to `captions`; frames are 0 if not known."""
    where = f"texts/{name}.txt"
    if not (folder / where).is_file():
        yield Finding(where, Kind.NO_TEXT, "the file is missing")
        return
    try:
        lines = (folder / where).read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError):
        yield Finding(where, Kind.UNREADABLE, "it cannot be read as UTF-8 text")
        return
    if not any(map(str.strip, lines)):
        yield Finding(where, Kind.NO_TEXT, "the file has no caption")
    for number, line in enumerate(lines, 1):
        if line.strip():
            captions.append(line.partition("#")[0])
            yield from _check_line(f"{where}:{number}", line.strip(), frames, skeleton)


def _check_line(where: str, line: str, frames: int, skeleton: Skeleton) -> Iterator[Finding]:
    try:
        text, tokens, *times = line.split("#")
        start, end = map(float, times)
    except ValueError:
        yield Finding(where, Kind.CAPTION, "the line is not caption#tokens#start#end")
        return
    yield from _check_text(where, text, tokens)
    if math.isnan(start) or math.isnan(end):
        yield warning(where, Kind.CAPTION, "a time is nan, which loaders read as 0")
        start, end = (0.0 if math.isnan(time) else time for time in (start, end))
    if frames and (start or end):
        shortest = BENCHMARKS[skeleton.name].min_frames / TEXT_FPS
        yield from _check_span(where, start, end, frames / TEXT_FPS, shortest)


def _check_mean_std(
    folder: Path, moments: np.ndarray | None, skeleton: Skeleton
) -> Iterator[Finding]:
    arrays = []
    for name in ("Mean.npy", "Std.npy"):
        if (folder / name).is_file():
            try:
                arrays.append(read_array(folder / name))
            except Unusable as flaw:
                yield flaw.at(name)
    if len(arrays) == 2:
        yield from check_statistics(*arrays, moments, skeleton)
