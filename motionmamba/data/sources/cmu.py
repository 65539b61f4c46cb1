"""The CMU Graphics Lab Motion Capture Database as training clips (mocap.cs.cmu.edu).

ASF/AMC as CMU publishes it, and cgspeed's DAZ-friendly BVH conversion. Trials are told by CMU's
descriptions where these hold of a clip, and by what is measured in it; or, with HumanML3D's index,
cut into the very segments that HumanML3D has of them.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from motionmamba.data.packed import Caption, Prepared, Sample, Source
from motionmamba.data.progress import Progress, no_progress
from motionmamba.data.sources.amass import Slice, read_index
from motionmamba.data.sources.cmu_captions import Telling, read_description, tell
from motionmamba.data.sources.cmu_segments import STILL, Body, Event, find_events
from motionmamba.data.sources.humanml3d import END_FRAMES, HUMANML3D_FOLDER, SPLITS
from motionmamba.data.sources.recordings import (
    MIN_FRAMES,
    File,
    Recording,
    assign_splits,
    iter_files,
    read_recordings,
    resample,
    windows,
)
from motionmamba.data.text.lines import parse_lines
from motionmamba.data.text.sides import swap_sides
from motionmamba.motion.asfamc import Asf, parse_amc, parse_asf
from motionmamba.motion.bvh import parse_bvh
from motionmamba.motion.joint_map import JointMap, load_joint_map
from motionmamba.motion.skeleton import HUMANML3D

TITLE = "CMU Graphics Lab Motion Capture Database (mocap.cs.cmu.edu)"
LICENCE = (
    "Free for use in research and commercial projects worldwide; not to be resold, even in "
    "converted form. The data used in this project was obtained from mocap.cs.cmu.edu. The "
    "database was created with funding from NSF EIA-0196217."
)
STATEMENT = (
    "Captions are templated: a grammar wrote them from CMU's descriptions of whole trials, as far "
    "as measured speed, turns, jumps, sitting and the like agree with them; nobody described clips."
)
HUMANML3D_STATEMENT = (
    "Clips are the segments of HumanML3D's index. Captions are those of HumanML3D's annotators "
    "where its texts were given, else a grammar wrote them from CMU's descriptions of whole "
    "trials, as far as measurement agrees with them."
)
FPS, SLOW_FPS = 120.0, 60.0
SLOW_SUBJECTS = ("60", "61")  # recorded at 60 frames a second
# Subjects recorded together, with trials of the same number: never in different splits.
PARTNERS = {"19": "18", "21": "20", "23": "22", "34": "33", "61": "60"}
MAX_SPEED = 18.0  # m/s of a joint; where one is faster the motion jumps
MARGIN = 0.05  # seconds before and after that are left out as well
MAX_BROKEN = 4  # places where it jumps, of a trial that can be used
LEAD = 0.5  # seconds at the start, or between jumps, that are no motion
REST = 10  # frames of standing still that are left before and after motion
T_POSE = (0.3, 0.9)  # of an arm: the most that it rises or sinks, the least that it goes outward
NAME = re.compile(r"^\d+_\d+$")
SHORTEST = HUMANML3D_FOLDER.min_frames  # of HumanML3D's clips


@dataclass(frozen=True)
class Trial:
    """What the tables say of a trial."""

    name: str
    fps: float = 0.0
    description: str = ""


@dataclass(frozen=True)
class Book:
    """All that it takes to read a trial."""

    trials: dict[str, Trial] = field(default_factory=dict)  # by path or name
    skeletons: dict[str, Asf] = field(default_factory=dict)  # by path without suffix
    asf_map: JointMap | None = None
    bvh_map: JointMap | None = None
    ends: dict[str, int] | None = None  # of the segments wanted of whole trials, at 20 fps

    def trial(self, path: str) -> Trial:
        parts = PurePosixPath(path).with_suffix("").parts
        for start in range(len(parts)):
            if trial := self.trials.get("/".join(parts[start:])):
                return trial
        telling = NAME.match(parts[-1]) or re.search("[a-zA-Z]", parts[-1])
        return Trial(parts[-1] if telling else "_".join(parts[-2:]))

    def skeleton(self, path: str) -> Asf:
        """The skeleton of the subject beside the trial, or anywhere if it has the subject's name.

        Raises ValueError where there is none, or which of several is not to be told.
        """
        folder, subject = PurePosixPath(path).parent, PurePosixPath(path).stem.partition("_")[0]
        beside = [name for name in self.skeletons if PurePosixPath(name).parent == folder]
        if len(beside) != 1:
            among = beside or self.skeletons
            beside = [name for name in among if PurePosixPath(name).name == subject]
        if len(beside) != 1:
            raise ValueError(f"{path} has no ASF skeleton beside it; add the subject's .asf file")
        return self.skeletons[beside[0]]


def prepare_cmu(
    source: Path,
    clips: Path | None = None,
    captions: Path | None = None,
    humanml3d_index: Path | None = None,
    texts: Path | None = None,
    seed: int = 0,
    *,
    work: Path | None = None,
    progress: Progress = no_progress,
    workers: int | None = None,
) -> Prepared:
    """Reads trials in a folder or archive and makes clips of them, mirrored ones too.

    Args:
        source: with `.amc` files and the `.asf` skeleton of each subject, or BVH conversions.
        clips: table with columns trial, path, fps, description; `clips.csv` of the source by
            default. Trials that are in no table are named by their files and taken for 120 fps,
            or 60 where HumanML3D's index or the subject shows that.
        captions: table with columns subject, trial, description; `captions.csv` of the source by
            default. Without any description clips are told by what is measured in them.
        humanml3d_index: HumanML3D's `index.csv`, to cut the segments that it names and no others.
            Split files beside it decide on splits.
        texts: HumanML3D's folder `texts`, for these segments.
        seed: of captions.
        work, progress, workers: as for `read_recordings`.

    Raises:
        ValueError: when the source holds no usable trial or a table is none.
    """
    source = Path(source)
    if texts is not None and not (humanml3d_index and Path(texts).is_dir()):
        raise ValueError(
            f"{texts} is no folder of texts for the segments of an index; give HumanML3D's folder "
            "texts together with its index.csv"
        )
    book, dropped, inputs = _read_book(source, clips, captions)
    index = _read_segments(humanml3d_index) if humanml3d_index else {}
    if index:
        inputs[humanml3d_index.name] = _sha256(humanml3d_index.read_bytes())
        book = replace(book, ends={trial: max(s.end for s in index[trial]) for trial in index})
    recordings, more_dropped, read = read_recordings(
        _one_file_a_trial(iter_files(source, (".amc", ".bvh")), book, dropped),
        partial(read_trial, book=book),
        work=work,
        settings=_sha256(repr(book).encode()),
        progress=progress,
        workers=workers,
    )
    dropped |= more_dropped
    if not recordings:
        reason = f": {next(iter(dropped.values()))}" if dropped else ""
        raise ValueError(f"{source} holds no usable .amc or .bvh trial{reason}")
    settings = {"seed": seed}
    statement = STATEMENT
    if index:
        samples = _index_samples(
            recordings, index, _official_splits(humanml3d_index.parent), texts, seed, dropped
        )
        wanted = sum(map(len, index.values()))
        settings |= {"humanml3d_segments": wanted, "humanml3d_segments_found": len(samples)}
        statement = HUMANML3D_STATEMENT
    else:
        samples = _described_samples(_without_copies(recordings, dropped), seed, dropped)
    if not samples:
        raise ValueError(
            f"{source} gives no clip: {len(dropped)} were dropped, the first because "
            f"{next(iter(dropped.values()))}"
        )
    sources = {"cmu": Source(TITLE, LICENCE, statement)}
    return Prepared(samples, sources, dropped, inputs | read, settings)


def read_trial(name: str, content: bytes, book: Book) -> list[Recording]:
    """The recordings of the file `name`: stretches without jumps, trimmed of what is no motion.

    Or, where segments of whole trials are wanted, one recording of all frames.

    Raises:
        ValueError: with the reason, where there is none.
    """
    trial = book.trial(name)
    held = book.ends is None and any(c.still for c in read_description(trial.description).contents)
    if name.lower().endswith(".amc"):
        asf = book.skeleton(name)
        amc = parse_amc(content, asf, name)
        joint_map, names = replace(book.asf_map, unit=asf.unit), asf.joint_names
        positions, fps = amc.positions(), trial.fps or _usual_fps(trial.name, len(amc.values), book)
    else:
        bvh = parse_bvh(content, name, end_sites=True)
        joint_map, names = book.bvh_map, bvh.joint_names
        positions, fps = bvh.positions(), trial.fps or bvh.fps
        if not trial.fps and NAME.match(trial.name):  # the conversion's headers are not reliable
            fps = _usual_fps(trial.name, len(bvh.values) - 1, book)
    joints = joint_map.apply(names, positions, name)
    if book.ends is not None:
        # Only the rest pose is no frame of the trial; what leads from it is held still.
        joints = np.concatenate([joints[:1]] * max(joint_map.first_frame - 1, 0) + [joints])
        return [_whole(trial, joints, fps)]
    broken = _broken(joints, fps)
    whole = all(start == 0 for start, _ in broken)
    if len(broken) > MAX_BROKEN:
        raise ValueError(f"the motion jumps at {len(broken)} places")
    ends = [0, *(frame for span in broken for frame in span), len(joints)]
    recordings = []
    for start, end in zip(ends[::2], ends[1::2], strict=True):
        if (end - start) / fps * HUMANML3D.fps <= MIN_FRAMES:
            continue
        stretch = _at_20_fps(joints[start:end], fps)
        stretch = stretch[_moving(stretch, held)]
        if len(stretch) > MIN_FRAMES:
            take = trial.name if whole else f"{trial.name}.{len(recordings)}"
            recordings.append(_measured(take, trial, stretch, whole))
    if not recordings:
        raise ValueError(f"no stretch of motion is as long as {MIN_FRAMES + 1} frames at 20 fps")
    recordings[0].info["broken"] = [(start / fps, end / fps) for start, end in broken]
    return recordings


def _usual_fps(trial: str, frames: int, book: Book) -> float:
    """The rate of a trial that is in no table: 120, or 60 where only so its segments fit."""
    needed = (book.ends or {}).get(trial, 0)
    slow = trial.partition("_")[0] in SLOW_SUBJECTS
    if needed:
        fitting = [fps for fps in (FPS, SLOW_FPS) if needed <= -(-frames * HUMANML3D.fps // fps)]
        slow = fitting == [SLOW_FPS]
    return SLOW_FPS if slow else FPS


def _broken(joints: np.ndarray, fps: float) -> list[tuple[int, int]]:
    """Spans of frames about which a joint gets faster than any body can, ends that soon follow."""
    steps = np.linalg.norm(np.diff(joints, axis=0), axis=-1).max(1)
    margin, spans = round(MARGIN * fps), []
    for jump in (np.flatnonzero(steps * fps > MAX_SPEED) + 1).tolist():
        start, end = max(jump - margin, 0), min(jump + margin, len(joints))
        if spans and start - spans[-1][1] < LEAD * fps:
            start = spans.pop()[0]
        spans.append((start, end))
    if spans and spans[0][0] < LEAD * fps:
        spans[0] = (0, spans[0][1])
    return spans


def _at_20_fps(joints: np.ndarray, fps: float) -> np.ndarray:
    stride = fps / HUMANML3D.fps
    if abs(stride - round(stride)) < 1e-3:
        return joints[:: round(stride)].astype(np.float32)
    return resample(joints, fps, HUMANML3D.fps)


def _whole(trial: Trial, joints: np.ndarray, fps: float) -> Recording:
    """All of a trial, a rest pose at the start replaced by the first pose of the motion."""
    broken = _broken(joints, fps)
    if broken and broken[0][0] == 0:
        first = min(broken.pop(0)[1], len(joints) - 1)
        joints[:first] = joints[first]
    recording = _measured(trial.name, trial, _at_20_fps(joints, fps), True)
    rate = HUMANML3D.fps / fps
    recording.info["broken"] = [(int(start * rate), int(end * rate) + 1) for start, end in broken]
    return recording


def _measured(take: str, trial: Trial, joints: np.ndarray, whole: bool) -> Recording:
    info = {"trial": trial.name, "description": trial.description, "whole": whole}
    info["events"] = [asdict(event) for event in find_events(joints)]
    info["moving"] = np.flatnonzero(Body(joints).motion >= STILL).tolist()
    return Recording(take, joints, info)


def _moving(joints: np.ndarray, held: bool) -> slice:
    """The frames from the first to the last that are no T-pose, nor standing if no pose is held."""
    wanted = ~_is_t_pose(joints)
    rest = 0
    if not held and (moving := wanted & (Body(joints).motion > STILL)).any():
        wanted, rest = moving, REST
    frames = np.flatnonzero(wanted)
    if not len(frames):
        return slice(0, 0)
    posing = np.flatnonzero(~_is_t_pose(joints))
    first, last = max(frames[0] - rest, posing[0]), min(frames[-1] + rest, posing[-1])
    return slice(int(first), int(last) + 1)


def _is_t_pose(joints: np.ndarray) -> np.ndarray:
    """(T,) whether both arms are stretched out sideways, and the legs down."""
    across = joints[:, 16] - joints[:, 17]
    across = across / np.linalg.norm(across, axis=-1, keepdims=True)
    posing = np.ones(len(joints), bool)
    for shoulder, wrist, sign in ((16, 20, 1.0), (17, 21, -1.0)):
        arm = joints[:, wrist] - joints[:, shoulder]
        arm = arm / np.linalg.norm(arm, axis=-1, keepdims=True)
        posing &= (np.abs(arm[:, 1]) < T_POSE[0]) & (sign * (arm * across).sum(-1) > T_POSE[1])
    for hip, ankle in ((1, 7), (2, 8)):
        leg = joints[:, hip] - joints[:, ankle]
        posing &= leg[:, 1] > 0.95 * np.linalg.norm(leg, axis=-1)
    return posing


def _one_file_a_trial(files: Iterable[File], book: Book, dropped: dict[str, str]) -> Iterator[File]:
    found = {}
    for name, content in files:
        trial = book.trial(name).name
        if first := found.setdefault(trial, name) != name:
            dropped[name] = f"the trial {trial} was read from another file"
        if not first:
            yield name, content


def _without_copies(recordings: list[Recording], dropped: dict[str, str]) -> list[Recording]:
    """Recordings without those that are equal to an earlier one under another name."""
    first: dict[bytes, str] = {}
    kept = []
    for recording in recordings:
        digest = hashlib.sha256(np.round(recording.joints, 3).tobytes()).digest()
        if first.setdefault(digest, recording.name) == recording.name:
            kept.append(recording)
        else:
            dropped[recording.name] = f"the same motion as {first[digest]}"
    return kept


def _described_samples(
    recordings: list[Recording], seed: int, dropped: dict[str, str]
) -> list[Sample]:
    """Clips of whole recordings, in windows where they are long."""
    splits = _splits(recordings)
    samples = []
    for recording in recordings:
        take = recording.info["trial"]
        for first, last in recording.info.get("broken", ()):
            dropped[f"{take} from {first:.1f} to {last:.1f} s"] = "the motion jumps"
        spans = windows(len(recording.joints))
        whole = len(spans) == 1 and recording.info["whole"]
        for number, (start, end) in enumerate(spans):
            name = recording.name if len(spans) == 1 else f"{recording.name}-{number}"
            try:
                telling = _tell(recording, start, end, whole)
            except ValueError as error:
                dropped[name] = str(error)
                continue
            joints = recording.joints[start:end]
            samples.append(_sample(name, take, splits[take], joints, telling, seed))
    return samples


def _index_samples(
    recordings: list[Recording],
    index: dict[str, list[Slice]],
    official: dict[str, str],
    texts: Path | None,
    seed: int,
    dropped: dict[str, str],
) -> list[Sample]:
    """The segments that HumanML3D's index names, as far as their trials are at hand."""
    by_trial = {recording.name: recording for recording in recordings}
    splits = _splits(recordings)
    samples = []
    for trial, segments in sorted(index.items()):
        recording = by_trial.get(trial)
        for segment in segments:
            name, _, start, end = segment
            if reason := _flaw(recording, segment):
                dropped[f"{name} ({trial} {start}:{end})"] = reason
                continue
            # Official splits are of segments, and may have those of a trial in several.
            take, split = (name, official.get(name)) if official else (trial, splits[trial])
            try:
                if split is None:
                    raise ValueError("in no split file")
                if texts is not None:
                    sample = _annotated(name, take, split, recording.joints[start:end], texts)
                else:
                    telling = _tell(recording, start, end, end - start == len(recording.joints))
                    sample = _sample(name, take, split, recording.joints[start:end], telling, seed)
                samples.append(sample)
            except ValueError as error:
                dropped[f"{name} ({trial} {start}:{end})"] = str(error)
    return samples


def _flaw(recording: Recording | None, segment: Slice) -> str:
    """Why a segment cannot be cut; empty where it can."""
    if not PurePosixPath(segment.file).parent.name.isdigit():
        return "its folder is of two people, and does not tell whose trial is meant"
    if recording is None:
        return "its trial is not in the source"
    if segment.end > len(recording.joints):
        return "its trial ends before it"
    if any(start < segment.end and end > segment.start for start, end in recording.info["broken"]):
        return "the motion jumps in it"
    frames = segment.end - segment.start - 1  # of features
    if frames < SHORTEST:
        return f"under {SHORTEST} frames"
    return f"{END_FRAMES} frames or more" if frames >= END_FRAMES else ""


def _tell(recording: Recording, start: int, end: int, whole: bool) -> Telling:
    """What is said of frames `start` to `end` of a recording."""
    events = []
    for values in recording.info["events"]:
        event = Event(**values)
        first, last = max(event.start, start), min(event.end, end)
        if last > first:
            events.append(replace(event, start=first - start, end=last - start))
    moving = np.isin(np.arange(start, end), recording.info["moving"]).mean()
    plan = read_description(recording.info["description"])
    return tell(plan, recording.joints[start:end], events, float(moving), whole)


def _sample(
    name: str, take: str, split: str, joints: np.ndarray, telling: Telling, seed: int
) -> Sample:
    rng = np.random.default_rng([seed, *name.encode()])
    forms = "train" if split == "train" else "held_out"
    other = telling.mirrored()
    return Sample(
        name,
        take,
        split,
        telling.captions(rng, forms),
        joints,
        parts=telling.parts(rng, forms),
        mirrored_captions=other.captions(rng, forms),
        mirrored_parts=other.parts(rng, forms),
    )


def _annotated(name: str, take: str, split: str, joints: np.ndarray, texts: Path) -> Sample:
    """A segment with HumanML3D's texts; a mirror image without one has left and right exchanged."""
    if not (texts / f"{name}.txt").is_file():
        raise ValueError("HumanML3D's texts lack it")
    whole, parts = _read_texts(texts / f"{name}.txt")
    if (texts / f"M{name}.txt").is_file():
        others, other_parts = _read_texts(texts / f"M{name}.txt")
    else:
        others = [swap_sides(caption.text) for caption in whole]
        other_parts = [(swap_sides(caption.text), *times) for caption, *times in parts]
    return Sample(
        name,
        take,
        split,
        whole,
        joints,
        parts=parts,
        mirrored_captions=others,
        mirrored_parts=other_parts,
    )


def _read_texts(path: Path) -> tuple[list[Caption], list[tuple[Caption, float, float]]]:
    """Captions of a whole clip, and those of parts with their start and end."""
    found, flaws = parse_lines(path.name, path.read_bytes())
    if flaws:
        raise ValueError(": ".join(next(iter(flaws.items()))))
    lines = found.values()
    whole = [line.caption for line in lines if line.is_whole]
    return whole, [(line.caption, line.start, line.end) for line in lines if not line.is_whole]


def _splits(recordings: list[Recording]) -> dict[str, str]:
    """The split of every trial: a share of each subject's, partners together."""
    together = {}
    for recording in recordings:
        subject, _, number = recording.info["trial"].partition("_")
        subject = PARTNERS.get(subject, subject)
        together[recording.info["trial"]] = (f"{subject}_{number}", subject)
    splits = assign_splits(dict(together.values()))
    return {trial: splits[key] for trial, (key, _) in together.items()}


def _official_splits(folder: Path) -> dict[str, str]:
    """The split of each clip, where HumanML3D's split files are in the folder."""
    paths = {split: folder / f"{split}.txt" for split in SPLITS}
    if not all(path.is_file() for path in paths.values()):
        return {}
    return {name: split for split, path in paths.items() for name in path.read_text().split()}


def _read_segments(path: Path) -> dict[str, list[Slice]]:
    """The segments of each CMU trial in HumanML3D's index."""
    segments = {}
    for slices in read_index(path).values():
        if slices[0].subset == "CMU":
            stem = PurePosixPath(slices[0].file).stem.removesuffix("_poses")
            segments.setdefault(stem, []).extend(slices)
    if not segments:
        raise ValueError(f"{path} names no CMU trial; give HumanML3D's index.csv")
    return segments


def _read_book(
    source: Path, clips: Path | None, captions: Path | None
) -> tuple[Book, dict[str, str], dict[str, str]]:
    """Tables and skeletons, the reason for each skeleton that is none, and SHA-256 of them all."""
    trials: dict[str, Trial] = {}
    skeletons, dropped, inputs, tables = {}, {}, {}, {}
    for name, content in iter_files(source, (".asf", "clips.csv", "captions.csv")):
        content = content.read_bytes() if isinstance(content, Path) else content
        inputs[name] = _sha256(content)
        path = PurePosixPath(name)
        if path.suffix.lower() == ".csv":
            tables[path.name.lower()] = content
            continue
        try:
            skeletons[str(path.with_suffix(""))] = parse_asf(content, name)
        except ValueError as error:
            dropped[name] = str(error)
    for table, name in ((clips, "clips.csv"), (captions, "captions.csv")):
        if table is not None:
            tables[name] = _read_table(Path(table))
            inputs[Path(table).name] = _sha256(tables[name])
    for row in _rows(tables.get("captions.csv"), ("subject", "trial", "description")):
        name = f"{row['subject'].zfill(2)}_{row['trial'].zfill(2)}"
        trials[name] = Trial(name, 0.0, row["description"])
    for row in _rows(tables.get("clips.csv"), ("trial", "path", "fps", "description")):
        if not (row["trial"] or row["path"]):
            raise ValueError("the table of trials has a row with neither trial nor path")
        name = row["trial"] or Book().trial(row["path"]).name
        trials[name] = Trial(name, _fps(row), row["description"])
        if row["path"]:
            trials[str(PurePosixPath(row["path"]).with_suffix(""))] = trials[name]
    maps = load_joint_map("cmu_asf"), load_joint_map("cmu_bvh")
    return Book(trials, skeletons, *maps), dropped, inputs


def _read_table(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"the table {path} cannot be read: {error.strerror}") from error


def _rows(table: bytes | None, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Rows of a table with the columns, if there is one."""
    if table is None:
        return
    rows = csv.DictReader(io.StringIO(table.decode("utf-8-sig", "replace")))
    if missing := [column for column in columns if column not in (rows.fieldnames or ())]:
        raise ValueError(
            f"the table of trials has no column {missing[0]!r}; it needs {', '.join(columns)}"
        )
    for row in rows:
        yield {column: (row[column] or "").strip() for column in columns}


def _fps(row: dict[str, str]) -> float:
    """Frames a second that a row tells, 0 where it does not."""
    try:
        fps = float(row["fps"] or 0)
    except ValueError:
        fps = -1.0
    if not 0 <= fps < 1000:
        trial = row["trial"] or row["path"]
        raise ValueError(f"the table of trials gives {trial} {row['fps']!r} frames a second")
    return fps


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
