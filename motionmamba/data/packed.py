"""The packed data set: one folder that every source is turned into and every training reads.

dataset.json   name, skeleton, fps, sources with licences, settings, checksums, what was dropped
inputs.json    SHA-256 of every file that it was made from
clips.json     for each clip: name, take, split, source, rows, captions, how it was made
captions.json  the distinct captions that clips point to, with part-of-speech tags
mean.npy std.npy  (F,) statistics of the training split, or those that come with the source

and the motion, clips one after another, either as joints, from which features are computed when
they are read (a mirrored clip shares the rows of its original, and nothing is stored for it),

root.npy       (rows, 3) float32 metres
bones.npy      (rows, J - 1, 2) int16, directions of the uniform skeleton's bones

or, where a source comes as features, as they came: features.npy (rows, F) float32.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

import motionmamba
from motionmamba.data.directions import decode_directions, encode_directions
from motionmamba.data.progress import Progress, no_progress
from motionmamba.data.text.tokens import tag
from motionmamba.motion.features import canonical_joints, features_to_joints, joints_to_features
from motionmamba.motion.files import sha256_of
from motionmamba.motion.skeleton import HUMANML3D, Skeleton, get_skeleton, mirror_joints

SPLITS = ("train", "val", "test", "held_out")
TABLES = ("dataset.json", "clips.json", "captions.json", "mean.npy", "std.npy")
JOINT_FILES, FEATURE_FILES = ("root.npy", "bones.npy"), ("features.npy",)
BATCH = 64  # clips whose features are computed at once


class Caption(NamedTuple):
    """A text and its tokens as HumanML3D writes them, `a/DET person/NOUN walk/VERB`."""

    text: str
    tokens: str


class Part(NamedTuple):
    """A caption of a part of a clip: its index, start and end in seconds."""

    caption: int
    start: float
    end: float


@dataclass(frozen=True)
class Clip:
    """One clip of a packed set.

    `take` names the recording, and all clips of a take, mirrored ones too, are in one split.
    `start` is the clip's first row and `length` its frames of features, which is a row fewer than
    it has where joints are stored. `captions` are indices of captions of the whole clip. Joints of
    a `mirrored` clip are mirrored when read, and the root's path is scaled by `path_scale`. `made`
    says how the clip was made when it is no plain recording.
    """

    name: str
    take: str
    split: str
    source: str
    start: int
    length: int
    captions: list[int]
    parts: list[Part] = field(default_factory=list)
    mirrored: bool = False
    path_scale: float = 1.0
    made: str = ""


@dataclass
class Sample:
    """A stretch of motion on its way into a data set.

    Exactly one of `joints` (T + 1, 22, 3) in metres, anywhere and of any proportions, and
    `features` (T, F) is given. `parts` are captions of parts with start and end in seconds. With
    `mirrored_captions` the mirror image of the joints becomes a clip as well. Captions are texts,
    or `Caption` where tokens come with the source.
    """

    name: str
    take: str
    split: str
    captions: Sequence[str | Caption]
    joints: np.ndarray | None = None
    features: np.ndarray | None = None
    parts: Sequence[tuple[str | Caption, float, float]] = ()
    mirrored_captions: Sequence[str | Caption] = ()
    mirrored_parts: Sequence[tuple[str | Caption, float, float]] = ()
    made: str = ""
    source: str = ""


@dataclass(frozen=True)
class Source:
    """Where motion comes from; `statement` says how its captions came to be."""

    title: str
    licence: str
    statement: str


@dataclass
class Prepared:
    """What a source hands over to be written.

    Attributes:
        sources: by the key that samples name; samples that name none are of the first.
        dropped: what could not be used, and why.
        inputs: SHA-256 of the files that were read.
        settings: what the result depends on besides.
        statistics: mean and deviation (F,); of the training split by default.
    """

    samples: list[Sample]
    sources: dict[str, Source]
    dropped: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    settings: dict = field(default_factory=dict)
    skeleton: Skeleton = HUMANML3D
    statistics: tuple[np.ndarray, np.ndarray] | None = None


class MotionDataset:
    """A packed data set, its motion mapped from disk."""

    def __init__(self, folder: Path, info: dict, clips, captions, mean, std, motion):
        self.folder, self.info, self.clips = folder, info, clips
        self.captions = [caption.text for caption in captions]
        self.tokens = [caption.tokens for caption in captions]
        self.mean, self.std = mean, std
        self._motion = motion

    @property
    def name(self) -> str:
        return self.info["name"]

    @property
    def fps(self) -> float:
        return self.info["fps"]

    @cached_property
    def skeleton(self) -> Skeleton:
        return get_skeleton(self.info["skeleton"])

    @property
    def stores_joints(self) -> bool:
        return len(self._motion) == len(JOINT_FILES)

    @cached_property
    def _by_split(self) -> dict[str, list[Clip]]:
        return {split: [c for c in self.clips if c.split == split] for split in SPLITS}

    def split(self, name: str) -> list[Clip]:
        """Clips of `train`, `val`, `test` or `held_out`, the combinations that training lacks.

        Raises:
            ValueError: for another name.
        """
        if name not in SPLITS:
            raise ValueError(f"there is no split {name!r}; choose one of {', '.join(SPLITS)}")
        return self._by_split[name]

    def joints(self, clip: Clip) -> np.ndarray:
        """Joints (length + 1, J, 3) float32 of a clip; (length, J, 3) where features are stored."""
        if not self.stores_joints:
            return features_to_joints(self.features(clip), self.skeleton.name)
        return self._padded_joints([clip], "cpu")[0].numpy()

    def features(self, clip: Clip) -> np.ndarray:
        """Features (length, F) float32 of a clip, not normalised."""
        return self.expand([clip])[0].numpy()

    def expand(
        self, clips: Sequence[Clip], device: str | torch.device = "cpu"
    ) -> tuple[Tensor, Tensor]:
        """Features of clips one after another, (sum of lengths, F) float32, and their starts."""
        lengths = torch.tensor([clip.length for clip in clips])
        starts = lengths.cumsum(0) - lengths
        features = torch.empty(int(lengths.sum()), self.skeleton.num_features, device=device)
        if not self.stores_joints:
            for clip, start in zip(clips, starts.tolist(), strict=True):
                rows = np.array(self._motion[0][clip.start : clip.start + clip.length])
                features[start : start + clip.length] = torch.from_numpy(rows)
            return features, starts.to(device)
        # Clips of a length share a batch, so that little is computed for padding.
        for batch in lengths.argsort(stable=True).split(BATCH):
            chosen = [clips[i] for i in batch.tolist()]
            joints = self._padded_joints(chosen, device)
            frames = lengths[batch].to(device)
            rows = joints_to_features(
                joints, retarget=False, dataset=self.skeleton.name, lengths=frames + 1, fold=False
            )
            for row, start, clip in zip(rows, starts[batch].tolist(), chosen, strict=True):
                features[start : start + clip.length] = row[: clip.length]
        return features, starts.to(device)

    def _padded_joints(self, clips: Sequence[Clip], device) -> Tensor:
        """Joints (B, T, J, 3) of clips, the shorter ones standing still after their end."""
        rows = [slice(clip.start, clip.start + clip.length + 1) for clip in clips]
        root, codes = (
            torch.nn.utils.rnn.pad_sequence(
                [torch.from_numpy(np.array(array[r])) for r in rows], batch_first=True
            ).to(device)
            for array in self._motion
        )
        last = torch.tensor([clip.length for clip in clips], device=device)
        time = torch.minimum(torch.arange(root.shape[1], device=device), last[:, None])
        item = torch.arange(len(clips), device=device)[:, None]
        lengths = np.linalg.norm(self.skeleton.offsets[1:], axis=-1)
        bones = decode_directions(codes[item, time])
        bones = bones * torch.tensor(lengths, dtype=bones.dtype, device=device)[:, None]
        joints = [root[item, time]]
        for bone, parent in enumerate(self.skeleton.parents[1:]):
            joints.append(joints[parent] + bones[:, :, bone])
        joints = torch.stack(joints, dim=2)
        mirrored = torch.tensor([clip.mirrored for clip in clips], device=device)
        if mirrored.any():
            scale = torch.tensor([clip.path_scale for clip in clips], device=device)
            joints[mirrored] = _mirror(joints[mirrored], scale[mirrored], self.skeleton)
        return joints

    @classmethod
    def load(cls, folder: str | os.PathLike) -> MotionDataset:
        """Reads a folder that `write_dataset` made.

        Raises:
            ValueError: when a file is missing, damaged or at odds with another.
        """
        folder = Path(folder)
        stored = FEATURE_FILES if (folder / FEATURE_FILES[0]).is_file() else JOINT_FILES
        missing = [name for name in (*TABLES, *stored) if not (folder / name).is_file()]
        if missing:
            raise ValueError(
                f"{folder} is no packed data set: {missing[0]} is missing; make one with "
                "scripts/prepare_dataset.py"
            )
        try:
            info, clips, captions = (read_json(folder / name) for name in TABLES[:3])
            mean, std = (np.load(folder / name, allow_pickle=False) for name in TABLES[3:])
            motion = [np.load(folder / n, mmap_mode="r", allow_pickle=False) for n in stored]
            clips = [Clip(**c | {"parts": [Part(*p) for p in c["parts"]]}) for c in clips]
            captions = [Caption(**c) for c in captions]
            dataset = cls(folder, info, clips, captions, mean, std, motion)
            dataset._check()
        except (ValueError, TypeError, KeyError, EOFError) as error:
            raise ValueError(f"{folder} is damaged, prepare it again: {error}") from error
        return dataset

    def _check(self):
        size, joints = self.skeleton.num_features, self.skeleton.num_joints
        rows = len(self._motion[0])
        expected = [(rows, 3), (rows, joints - 1, 2)] if self.stores_joints else [(rows, size)]
        shapes = [array.shape for array in self._motion]
        if shapes != expected:
            raise ValueError(f"its motion is {shapes}, expected {expected}")
        for clip in self.clips:
            end = clip.start + clip.length + self.stores_joints
            if not (0 <= clip.start < end <= rows) or clip.length < 1 or clip.split not in SPLITS:
                raise ValueError(f"the clip {clip.name} lies outside of the data")
            indices = [*clip.captions, *(part.caption for part in clip.parts)]
            if not all(0 <= index < len(self.captions) for index in indices):
                raise ValueError(f"the clip {clip.name} has captions that do not exist")
        if not self.mean.shape == self.std.shape == (size,):
            raise ValueError(f"mean and std are {self.mean.shape} and {self.std.shape}")


def write_dataset(
    folder: str | os.PathLike,
    prepared: Prepared,
    name: str,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> MotionDataset:
    """Packs what a source prepared into `folder`, which appears whole or not at all.

    Samples whose joints make no features are added to what was dropped.

    Raises:
        ValueError: when there is no sample for training, two have one name, or the folder holds
            something already.
    """
    samples, dropped = prepared.samples, dict(prepared.dropped)
    repeated = [n for n, count in Counter(s.name for s in samples).items() if count > 1]
    if repeated:
        raise ValueError(f"several clips are called {repeated[0]}; give each a name of its own")
    if all(s.joints is not None for s in samples):
        stored = _pack_joints(samples, prepared.skeleton, dropped, progress)
        samples = [s for s in samples if s.name not in dropped]
    else:
        stored = {"features.npy": [np.asarray(s.features, np.float32) for s in samples]}
    clips, captions = _index(samples, prepared)
    info = {
        "name": name,
        "skeleton": prepared.skeleton.name,
        "fps": prepared.skeleton.fps,
        "sources": {key: asdict(source) for key, source in prepared.sources.items()},
        "settings": prepared.settings,
        "dropped": dropped,
    }
    return _write(
        Path(folder), info, clips, captions, stored, prepared.inputs, prepared.statistics, overwrite
    )


def merge_datasets(
    folders: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    name: str,
    overwrite: bool = False,
) -> MotionDataset:
    """Packs several packed sets into one, with statistics of all their training clips.

    Raises:
        ValueError: when they have different skeletons, are stored differently, share clips, or call
            different sources the same.
    """
    sets = [MotionDataset.load(folder) for folder in folders]
    kinds = {(s.info["skeleton"], s.stores_joints) for s in sets}
    if len(kinds) != 1:
        raise ValueError(
            f"{', '.join(s.name for s in sets)} differ in skeleton or in what is stored, joints or "
            "features; merge sets of one kind"
        )
    names = Counter(clip.name for s in sets for clip in s.clips)
    if names and (most := names.most_common(1)[0])[1] > 1:
        raise ValueError(f"several of the sets have a clip {most[0]}; merge each set once")
    sources = {}
    for s in sets:
        for key, source in s.info["sources"].items():
            if sources.setdefault(key, source) != source:
                raise ValueError(f"two of the sets have different sources called {key}")
    clips, captions, start = [], {}, 0
    for s in sets:
        pairs = zip(s.captions, s.tokens, strict=True)
        places = [captions.setdefault(Caption(*pair), len(captions)) for pair in pairs]
        for clip in s.clips:
            parts = [part._replace(caption=places[part.caption]) for part in clip.parts]
            moved = {"start": clip.start + start, "captions": [places[i] for i in clip.captions]}
            clips.append(Clip(**vars(clip) | moved | {"parts": parts}))
        start += len(s._motion[0])
    files = JOINT_FILES if sets[0].stores_joints else FEATURE_FILES
    stored = {file: [s._motion[i] for s in sets] for i, file in enumerate(files)}
    info = sets[0].info | {
        "name": name,
        "sources": sources,
        "settings": {s.name: s.info["settings"] for s in sets},
        "dropped": {key: reason for s in sets for key, reason in s.info["dropped"].items()},
    }
    inputs = {f"{s.name}/{f}": sha for s in sets for f, sha in s.info["files"].items()}
    return _write(Path(out), info, clips, list(captions), stored, inputs, None, overwrite)


def check_target(folder: Path, overwrite: bool):
    """Raises ValueError when a data set cannot be written to `folder`."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not overwrite):
        raise ValueError(f"{folder} exists already; choose another folder or pass --overwrite")
    if overwrite and folder.is_dir() and not (folder / "dataset.json").is_file():
        if any(folder.iterdir()):
            raise ValueError(f"{folder} holds something else than a data set; choose another")


def feature_blocks(skeleton: Skeleton) -> tuple[int, ...]:
    """Where blocks of features begin that share one deviation, as in the original statistics.

    They are yaw velocity, root velocity, height, positions, rotations, velocities, contacts.
    """
    joints = skeleton.num_joints
    positions, rotations = 4 + 3 * (joints - 1), 4 + 9 * (joints - 1)
    return (0, 1, 3, 4, positions, rotations, rotations + 3 * joints, skeleton.num_features)


def read_json(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def _write(folder, info, clips, captions, stored, inputs, statistics, overwrite) -> MotionDataset:
    check_target(folder, overwrite)
    if not any(clip.split == "train" for clip in clips):
        raise ValueError(f"{info['name']} has no clip for training; nothing was written")
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        motion = [_write_rows(partial / name, rows) for name, rows in stored.items()]
        dataset = MotionDataset(partial, info, clips, captions, None, None, motion)
        mean, std = statistics or _statistics(dataset)
        np.save(partial / "mean.npy", mean)
        np.save(partial / "std.npy", std)
        del dataset, motion  # no folder with mapped files can be moved on Windows
        _write_json(partial / "clips.json", [asdict(clip) for clip in clips])
        _write_json(partial / "captions.json", [caption._asdict() for caption in captions])
        _write_json(partial / "inputs.json", inputs)
        written = {path.name: sha256_of(path) for path in sorted(partial.iterdir())}
        about = {
            "motionmamba": motionmamba.__version__,
            "files": written,
            "clips": dict(Counter(clip.split for clip in clips)),
        }
        _write_json(partial / "dataset.json", info | about)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return MotionDataset.load(folder)


def _pack_joints(
    samples: list[Sample], skeleton: Skeleton, dropped: dict[str, str], progress: Progress
) -> dict[str, list[np.ndarray]]:
    """Root and bones of all samples on the uniform skeleton; flawed ones go to `dropped`."""
    packed: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    order = sorted(samples, key=lambda s: len(s.joints))
    for i in range(0, len(order), BATCH):
        for sample, joints in _canonical(order[i : i + BATCH], skeleton, dropped):
            bones = joints[:, 1:] - joints[:, list(skeleton.parents[1:])]
            packed[sample.name] = joints[:, 0].astype(np.float32), encode_directions(bones)
        progress("fitting the skeleton", min(i + BATCH, len(order)), len(order))
    kept = [packed[s.name] for s in samples if s.name in packed]
    return {name: [rows[i] for rows in kept] for i, name in enumerate(JOINT_FILES)}


def _mirror(joints: Tensor, path_scale: Tensor, skeleton: Skeleton) -> Tensor:
    """The mirror image of joints on the uniform skeleton, fitted to it again."""
    mirrored = mirror_joints(joints, skeleton)
    mirrored = mirrored + mirrored[..., :1, :] * (path_scale[:, None, None, None] - 1)
    return canonical_joints(mirrored, dataset=skeleton.name).to(joints.dtype)


def _path_scale(joints: np.ndarray, skeleton: Skeleton) -> float:
    """What the path of a mirror image has to be scaled by before it is fitted again.

    Fitting scales the root's path by one leg. Legs are not of one length, neither the person's
    nor the uniform skeleton's, and the mirror image is measured by the other one.
    """
    leg = list(skeleton.leg)
    other = [skeleton.mirror[joint] for joint in leg]
    bones = joints[0] - joints[0][list(skeleton.parents)]
    person, uniform = (np.linalg.norm(b, axis=-1) for b in (bones, skeleton.offsets))
    scale = person[leg].sum() / person[other].sum() * uniform[other].sum() / uniform[leg].sum()
    return round(float(scale), 6)


def _canonical(
    batch: list[Sample], skeleton: Skeleton, dropped: dict[str, str]
) -> Iterator[tuple[Sample, np.ndarray]]:
    """Samples with their joints on the uniform skeleton; those of which that fails are dropped."""
    longest = max(len(s.joints) for s in batch)
    padded = np.stack(
        [np.pad(s.joints, ((0, longest - len(s.joints)), (0, 0), (0, 0)), "edge") for s in batch]
    )
    try:
        joints = canonical_joints(padded, dataset=skeleton.name)
    except ValueError as error:
        if len(batch) == 1:
            dropped[batch[0].name] = str(error)
            return
        for sample in batch:
            yield from _canonical([sample], skeleton, dropped)
        return
    for sample, row in zip(batch, joints, strict=True):
        yield sample, row[: len(sample.joints)]


def _statistics(dataset: MotionDataset) -> tuple[np.ndarray, np.ndarray]:
    """Mean (F,) of the training features and their deviation, averaged over each block."""
    total = squares = 0.0
    clips = sorted(dataset.split("train"), key=lambda clip: clip.length)
    for i in range(0, len(clips), 8 * BATCH):
        features = dataset.expand(clips[i : i + 8 * BATCH])[0].double()
        total, squares = total + features.sum(0), squares + features.square().sum(0)
    frames = sum(clip.length for clip in clips)
    mean = total / frames
    std = (squares / frames - mean.square()).clamp(min=0).sqrt().numpy()
    blocks = feature_blocks(dataset.skeleton)
    for first, end in zip(blocks, blocks[1:], strict=False):
        std[first:end] = std[first:end].mean()
    return mean.numpy().astype(np.float32), np.maximum(std, 1e-4).astype(np.float32)


def _index(samples: list[Sample], prepared: Prepared) -> tuple[list[Clip], list[Caption]]:
    index: dict[Caption, int] = {}
    default_source = next(iter(prepared.sources))

    def place(caption: str | Caption) -> int:
        if not isinstance(caption, Caption):
            caption = Caption(caption, tag(caption))
        return index.setdefault(caption, len(index))

    def clip(sample: Sample, name: str, captions, parts, **mirror) -> Clip:
        return Clip(
            name=name,
            take=sample.take,
            split=sample.split,
            source=sample.source or default_source,
            start=start,
            length=length,
            captions=[place(caption) for caption in captions],
            parts=[Part(place(c), round(a, 3), round(b, 3)) for c, a, b in parts],
            made=sample.made,
            **mirror,
        )

    clips, start = [], 0
    for s in samples:
        rows = len(s.features if s.joints is None else s.joints)
        length = rows - (s.joints is not None)
        clips.append(clip(s, s.name, s.captions, s.parts))
        if s.mirrored_captions or s.mirrored_parts:
            scale = _path_scale(s.joints, prepared.skeleton)
            told = s.mirrored_captions, s.mirrored_parts
            clips.append(clip(s, f"M{s.name}", *told, mirrored=True, path_scale=scale))
        start += rows
    return clips, list(index)


def _write_rows(path: Path, parts: Sequence[np.ndarray]) -> np.ndarray:
    """Writes arrays one after another, gigabytes of them perhaps, and gives them as mapped."""
    shape = (sum(map(len, parts)), *parts[0].shape[1:])
    rows = np.lib.format.open_memmap(path, "w+", parts[0].dtype, shape)
    np.concatenate(parts, out=rows)
    rows.flush()
    return rows


def _write_json(path: Path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
