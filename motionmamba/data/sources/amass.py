"""HumanML3D (Guo et al., CVPR 2022) made from AMASS and a body model, as its notebooks make it.

Follows raw_pose_processing.ipynb of github.com/EricGuo5513/HumanML3D. Its quirks change numbers
and are kept: a stride of int(fps / 20) makes 29.5 fps of 59 and 20.8 of 250, bodies have 10 betas
and no DMPL, a gender that is no text, but bytes, is female, and slices may outrun their file.
Files that `motionmamba.motion.export` writes may also be of SMPL bodies, whose betas all count.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import Counter, defaultdict
from dataclasses import replace
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from motionmamba.data.packed import Caption, Prepared, Sample, Source
from motionmamba.data.progress import Progress, no_progress
from motionmamba.data.sources.humanml3d import (
    END_FRAMES,
    HUMANML3D_FOLDER,
    SPLITS,
    STATEMENT,
    TEXT_FPS,
)
from motionmamba.data.sources.recordings import (
    Recording,
    assign_splits,
    iter_files,
    read_recordings,
)
from motionmamba.data.text.lines import parse_lines
from motionmamba.data.text.sides import swap_sides
from motionmamba.motion.amass import RATES, AmassFile
from motionmamba.motion.skeleton import HUMANML3D
from motionmamba.motion.smpl import SmplModel

FPS = int(HUMANML3D.fps)
MIN_FRAMES = HUMANML3D_FOLDER.min_frames
JOINTS = HUMANML3D.num_joints  # come first in all of the bodies
NUM_BETAS = 10
KINDS = {"smpl": "SMPL", "smplh": "SMPL-H", "smplx": "SMPL-X"}
HUMANACT12 = "humanact12"
# What sub-datasets are called in newer releases of AMASS, and in index.csv.
RENAMED = {
    "BMLrub": "BioMotionLab_NTroje",
    "DFaust": "DFaust_67",
    "EyesJapanDataset": "Eyes_Japan_Dataset",
    "HDM05": "MPI_HDM05",
    "MoSh": "MPI_mosh",
    "PosePrior": "MPI_Limits",
    "SSM": "SSM_synced",
    "Transitions": "Transitions_mocap",
}
# Seconds of calibration poses that recordings begin with: slices count from their end.
TRIMS = {
    "Eyes_Japan_Dataset": 3.0,
    "MPI_HDM05": 3.0,
    "TotalCapture": 1.0,
    "MPI_Limits": 1.0,
    "Transitions_mocap": 0.5,
}
LONGEST = 200  # frames of a slice; shorter ones end where their recording ends
STRIDES = range(1, 14)  # of up to 270 fps
MAX_MISSING = 20  # frames by which a slice may outrun its recording and still be that meant


class Slice(NamedTuple):
    """A row of index.csv: the clip `name` is the frames from start to end of `file` at 20 fps."""

    name: str
    file: str
    start: int
    end: int

    @property
    def subset(self) -> str:
        return self.file.split("/")[0]

    @property
    def trim(self) -> int:
        return int(TRIMS.get(self.subset, 0) * FPS)


Part = tuple[Caption, float, float]  # with start and end in seconds
Bodies = dict[tuple[str, str], SmplModel]  # by kind and gender


def prepare_amass(
    source: Path,
    models: Path,
    index: Path,
    texts: Path,
    splits: Path | None = None,
    *,
    humanact12: Path | None = None,
    work: Path | None = None,
    progress: Progress = no_progress,
    workers: int | None = None,
) -> Prepared:
    """Cuts HumanML3D's clips from AMASS, with their mirrored copies.

    What became of each sub-dataset is in `settings["account"]`: files found and missing, clips
    made, clips dropped by reason, clips that end up to a second early, and files that give
    another frame rate than the index was made with.

    Args:
        source: folder or archive of AMASS's sub-datasets, with the names of any release. Where
            the index shows that a file gives another frame rate than the SMPL+H release did, as
            many a `*_stageii.npz` does, the index is believed.
        models: folder of SMPL-H or SMPL-X files, `.npz` or `.pkl`, whose names or folders tell
            the gender. A neutral body stands in for a gender that lacks.
        index: HumanML3D's index.csv.
        texts: folder or archive of its texts. A copy `M*` without one has left and right exchanged.
        splits: folder of its train.txt, val.txt and test.txt; by default each split has its share
            of every sub-dataset.
        humanact12: folder or archive of pose_data/humanact12, when it is not in the source.
        work: folder where what was read is kept, for a run that is interrupted.
        workers: processes; as many as there are cores by default.

    Raises:
        ValueError: when one of these cannot be read or nothing can be used for training.
    """
    source, index = Path(source), Path(index)
    slices = read_index(index)
    bodies, dropped = load_bodies(Path(models))
    captions = _Texts(Path(texts), dropped)
    split_of = _read_splits(Path(splits)) if splits else _shared_out(slices)
    places = (source, Path(humanact12)) if humanact12 else (source,)
    files = chain.from_iterable(iter_files(place, (".npz", ".npy")) for place in places)
    recordings, unread, inputs = read_recordings(
        (file for file in files if _key(file[0]) in slices),
        partial(_read_file, index=index, bodies=bodies),
        work=work,
        settings=_digest(index, bodies),
        progress=lambda what, done, _: progress(what, done, len(slices)),
        workers=workers,
    )
    if not inputs:
        raise ValueError(
            f"{source} holds none of the {len(slices)} recordings that {index} names; give the "
            "folder with AMASS's folders ACCAD, CMU, KIT and so on"
        )
    dropped |= unread
    build = _Build(recordings, inputs, dropped, split_of, captions)
    for key, pieces in slices.items():
        build.add(key, pieces)
    if not any(sample.split == "train" for sample in build.samples):
        first = next((f"; {name}: {reason}" for name, reason in dropped.items()), "")
        raise ValueError(f"{source} gives no clip for training{first}")
    subsets = dict.fromkeys(sample.source for sample in build.samples)
    settings = {"account": build.account, "bodies": sorted(" ".join(key) for key in bodies)}
    return Prepared(
        build.samples,
        {subset: _source(subset) for subset in subsets},
        dropped,
        inputs | captions.inputs | {index.name: _sha256(index.read_bytes())},
        settings,
    )


def _source(subset: str) -> Source:
    if subset == HUMANACT12:
        return Source(
            "HumanAct12 (Guo et al., ACM Multimedia 2020), described in HumanML3D",
            "No licence is stated where HumanML3D hands it out: ask its authors first.",
            STATEMENT,
        )
    title = f"{subset} of AMASS (Mahmood et al., ICCV 2019), cut and described as HumanML3D"
    return Source(title, HUMANML3D_FOLDER.source.licence, STATEMENT)


def read_index(path: Path) -> dict[str, list[Slice]]:
    """The rows of index.csv, by the key of the recording that they are cut from.

    Raises:
        ValueError: when it is something else.
    """
    slices, names = defaultdict(list), Counter()
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                recording = PurePosixPath(*PurePosixPath(row["source_path"]).parts[-3:])
                if HUMANACT12 not in recording.parts:
                    recording = recording.with_suffix(".npz")
                name = PurePosixPath(row["new_name"]).stem
                frames = int(row["start_frame"]), int(row["end_frame"])
                slices[_key(str(recording))].append(Slice(name, str(recording), *frames))
                names[name] += 1
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise ValueError(
            f"{path} is not HumanML3D's index.csv with the columns source_path, start_frame, "
            f"end_frame and new_name ({type(error).__name__}: {error}); get it from its repository"
        ) from error
    if not slices:
        raise ValueError(f"{path} has no rows; get HumanML3D's index.csv from its repository")
    if (most := names.most_common(1)[0])[1] > 1:
        raise ValueError(f"{path} has {most[1]} rows for the clip {most[0]}; take the official one")
    return dict(slices)


def load_bodies(folder: Path) -> tuple[Bodies, dict[str, str]]:
    """Bodies below a folder by kind and gender, and why other files are none.

    Raises:
        ValueError: when there is no SMPL-H or SMPL-X body.
    """
    bodies, flaws = {}, {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix().lower()
        gender = re.findall(r"(?<![a-z])(?:female|male|neutral)(?![a-z])", name)
        if not gender or not name.endswith((".npz", ".pkl")) or "dmpl" in name:
            continue
        try:
            body = SmplModel.load(path)
        except ValueError as error:
            flaws[f"models/{name}"] = str(error)
            continue
        if body.kind != "smpl":
            first = body.shape_directions[..., :NUM_BETAS].copy()
            body = replace(body, shape_directions=first)
        bodies.setdefault((body.kind, gender[-1]), body)
    if not bodies:
        reasons = f"; {next(iter(flaws.values()))}" if flaws else ""
        raise ValueError(
            f"{folder} has no SMPL-H or SMPL-X model, as smplh/male/model.npz or "
            f"SMPLX_FEMALE.npz; get one from the models' sites{reasons}"
        )
    return bodies, flaws


def _key(file: str) -> str:
    """What the names of a recording in all releases have in common; "" where that is nothing.

    Newer releases renamed sub-datasets, end in `_stageii.npz` and have no spaces.
    """
    parts = PurePosixPath(file).parts
    name = re.sub(r"(_poses|_stageii)?\.np[yz]$", "", parts[-1], flags=re.IGNORECASE)
    if len(parts) < 3 or HUMANACT12 in parts:
        return f"{HUMANACT12}/{name}".lower()
    subset = RENAMED.get(parts[-3], parts[-3])
    return re.sub(r"[\s_]+", "_", f"{subset}/{parts[-2]}/{name}").lower()


_known_index = lru_cache(read_index)  # once in each process


def _read_file(name: str, content: bytes, index: Path, bodies: Bodies) -> list[Recording]:
    """The clips that are cut from a file; their info has a `flaw` where they cannot be used."""
    pieces = _known_index(index)[_key(name)]
    if pieces[0].subset == HUMANACT12:
        joints, info = _read_joints(content), {}
    else:
        joints, info = _read_poses(content, pieces, bodies)
    return [_cut(joints, piece, info) for piece in pieces]


def _read_joints(content: bytes) -> np.ndarray:
    """Joints (T, 22, 3), which HumanML3D hands out in place of HumanAct12's recordings."""
    try:
        joints = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except Exception as error:  # numpy raises anything over damaged files
        raise ValueError("unreadable: it is no plain .npy array, or cut short") from error
    if joints.dtype.kind != "f" or joints.ndim != 3 or joints.shape[1] < JOINTS:
        raise ValueError(f"wrong shape: {joints.shape}, expected joints (T, {JOINTS}, 3)")
    return joints[:, :JOINTS].astype(np.float32)


def _read_poses(content: bytes, pieces: list[Slice], bodies: Bodies) -> tuple[np.ndarray, dict]:
    """Joints (T, 22, 3), Y up, of a file of AMASS at its stride, and what was made of it."""
    stored = AmassFile(content)
    poses, kind = stored.poses()
    poses, trans, fps = poses[:, : 3 * JOINTS], stored.numbers("trans"), stored.fps()
    betas = stored.numbers("betas").ravel()
    if poses.shape[1:] != (3 * JOINTS,) or trans.shape != (len(poses), 3):
        raise ValueError(f"wrong shape: poses {poses.shape} and trans {trans.shape}")
    if fps.size != 1 or not FPS <= fps[0] < np.inf:
        raise ValueError(f"wrong frame rate: {fps.tolist()}, expected {FPS} or more")
    gender = stored.gender()
    body = bodies.get((kind, gender)) or bodies.get((kind, "neutral"))
    if body is None:
        raise ValueError(f"no body: it is of a {gender} {KINDS[kind]} body, which models lack")
    told = int(fps[0] / FPS)
    stride = told if RATES[0] in stored else _stride(len(poses), told, pieces)
    betas = betas[: body.shape_directions.shape[-1]]
    joints = body.joints(poses[::stride], trans[::stride], betas)
    # The notebook exchanges y and z, which makes a mirror image, and negates x of that.
    joints = joints[..., [0, 2, 1]] * np.float32([-1, 1, 1])
    return joints, {"fps": float(fps[0]), "told": told, "stride": stride}


def _stride(frames: int, told: int, pieces: list[Slice]) -> int:
    """The stride with which a recording ends where the index says, else that of its frame rate.

    A slice that is shorter than the longest ends with its recording. Newer releases give other
    frame rates for some thousand recordings (github.com/nghorbani/amass/issues/49).
    """
    ends = [piece.end + piece.trim for piece in pieces if piece.end - piece.start < LONGEST]
    if not ends:
        return told
    fits = (s for s in (told, *STRIDES) if abs(-(-frames // s) - max(ends)) <= 1)
    return next(fits, told)


def _cut(joints: np.ndarray, piece: Slice, info: dict) -> Recording:
    missing = 0
    if piece.subset != HUMANACT12:
        whole = joints[piece.trim :]
        joints = whole[piece.start : piece.end].copy()  # lets go of the rest
        missing = max(piece.end - piece.start - len(joints), 0)
    frames = len(joints) - 1  # of features
    flaw = ""
    if missing > MAX_MISSING:
        flaw = f"past the end: {piece.start} to {piece.end} of {len(whole)} frames"
    elif not np.isfinite(joints).all():
        flaw = "NaN or infinite"
    elif frames < MIN_FRAMES:
        flaw = f"under {MIN_FRAMES} frames"
    elif frames >= END_FRAMES:
        flaw = f"{END_FRAMES} frames or more"
    if flaw:
        return Recording(piece.name, np.zeros((0, JOINTS, 3), np.float32), info | {"flaw": flaw})
    return Recording(piece.name, joints, info | {"missing": missing})


class _Texts:
    """HumanML3D's texts; what is wrong with one goes to `dropped`, what was read to `inputs`."""

    def __init__(self, source: Path, dropped: dict[str, str]):
        self._files = {PurePosixPath(n).stem: c for n, c in iter_files(source, (".txt",))}
        self._dropped = dropped
        self.inputs: dict[str, str] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def read(self, name: str, frames: int) -> tuple[list[Caption], list[Part], str]:
        """Captions of a whole clip, those of parts, and why there are none."""
        file = f"texts/{name}.txt"
        content = self._files.get(name)
        if content is None:
            return [], [], "no text"
        content = content.read_bytes() if isinstance(content, Path) else content
        self.inputs[file] = _sha256(content)
        lines, flaws = parse_lines(file, content)
        self._dropped |= flaws
        whole, parts = [], []
        for number, line in lines.items():
            length = len(range(frames)[int(line.start * TEXT_FPS) : int(line.end * TEXT_FPS)])
            if line.is_whole:
                whole.append(line.caption)
            elif not MIN_FRAMES <= length < END_FRAMES:
                self._dropped[f"{file}:{number}"] = f"part under {MIN_FRAMES} frames"
            else:
                parts.append((line.caption, line.start, line.end))
        return whole, parts, "" if whole or parts else "no caption in its text"


class _Build:
    """Clips in the making, and the account of every sub-dataset."""

    def __init__(self, recordings, inputs, dropped, split_of, texts: _Texts):
        self.samples: list[Sample] = []
        self.account: dict[str, dict] = {}
        self._dropped = dropped
        self._recordings = {recording.name: recording for recording in recordings}
        self._files = {_key(file): file for file in reversed(inputs)}
        self._split_of, self._texts = split_of, texts

    def add(self, key: str, pieces: list[Slice]):
        """Makes the clips that are cut from one recording."""
        counts = dict.fromkeys(("found", "missing", "other_rate", "clips", "shortened"), 0)
        account = self.account.setdefault(pieces[0].subset, counts | {"dropped": Counter()})
        file = self._files.get(key)
        account["missing" if file is None else "found"] += 1
        if file is None:
            self._dropped[pieces[0].file] = f"missing: {len(pieces)} clips are cut from it"
        recordings = [self._recordings.get(piece.name) for piece in pieces]
        for piece, recording in zip(pieces, recordings, strict=True):
            if recording is None:
                reason = self._dropped[file or piece.file]
            elif not (reason := recording.info.get("flaw") or self._add_clip(piece, recording)):
                account["clips"] += 1
                account["shortened"] += recording.info["missing"] > 0
                continue
            else:
                self._dropped[piece.name] = reason
            account["dropped"][reason.split(":")[0]] += 1
        info = next((recording.info for recording in recordings if recording), {})
        account["other_rate"] += info.get("stride") != info.get("told")

    def _add_clip(self, piece: Slice, recording: Recording) -> str:
        """Why a clip cannot be made; empty when it was."""
        name, mirror = piece.name, f"M{piece.name}"
        if name not in self._split_of:
            return "in no split list"
        frames = len(recording.joints) - 1
        captions, parts, reason = self._texts.read(name, frames)
        if reason:
            return reason
        mirrored, mirrored_parts = [], []
        if mirror in self._split_of and mirror in self._texts:
            mirrored, mirrored_parts, reason = self._texts.read(mirror, frames)
            if reason:
                self._dropped[mirror] = reason
        elif mirror in self._split_of:
            mirrored = [swap_sides(caption.text) for caption in captions]
            mirrored_parts = [(swap_sides(caption.text), *times) for caption, *times in parts]
        self.samples.append(
            Sample(
                name,
                name,
                self._split_of[name],
                captions,
                joints=recording.joints,
                parts=parts,
                mirrored_captions=mirrored,
                mirrored_parts=mirrored_parts,
                source=piece.subset,
            )
        )
        return ""


def _read_splits(folder: Path) -> dict[str, str]:
    """The split of every clip; a mirrored copy `M012314` has to be in that of `012314`."""
    split_of, originals = {}, {}
    for split in SPLITS:
        path = folder / f"{split}.txt"
        if not path.is_file():
            raise ValueError(
                f"the splits {folder} have no {path.name}; get HumanML3D's three lists"
            )
        for name in path.read_text(encoding="utf-8").split():
            split_of[name] = split
            if (other := originals.setdefault(name.removeprefix("M"), split)) != split:
                raise ValueError(
                    f"{name} or its mirrored copy is in {other}.txt and in {split}.txt of "
                    f"{folder}; take the official lists"
                )
    return split_of


def _shared_out(slices: dict[str, list[Slice]]) -> dict[str, str]:
    """Splits of all clips, those of one recording in one split."""
    shared = assign_splits({key: pieces[0].subset for key, pieces in slices.items()})
    names = {piece.name: shared[key] for key, pieces in slices.items() for piece in pieces}
    return names | {f"M{name}": split for name, split in names.items()}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digest(index: Path, bodies: Bodies) -> str:
    """What clips depend on besides the file that they are cut from."""
    digest = hashlib.sha256(index.read_bytes())
    for key, body in sorted(bodies.items()):
        digest.update(repr(key).encode() + body.template.tobytes())
        digest.update(body.shape_directions.tobytes())
    return digest.hexdigest()
