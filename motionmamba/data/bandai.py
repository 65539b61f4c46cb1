"""The Bandai-Namco Research Motiondataset 1 and 2 (CC BY-NC 4.0) as training clips.

Kobayashi et al., arXiv 2306.08861. One skeleton, centimetres, 30 fps; a take's file name tells
its content and style: `dataset-2_wave-left-hand_elderly_007.bvh`.
"""

import hashlib
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from scipy.interpolate import CubicSpline

from motionmamba.data.captions import STYLES, Action, write_captions, write_joined_captions
from motionmamba.data.join import join
from motionmamba.data.packed import Sample
from motionmamba.motion.bvh import parse_bvh
from motionmamba.motion.features import joints_to_features
from motionmamba.motion.skeleton import HUMANML3D, mirror_joints

LICENCE = "CC BY-NC 4.0"
SOURCE = "Bandai-Namco Research Motiondataset 1 and 2 (arXiv 2306.08861)"
STATEMENT = (
    "Captions are templated: a grammar wrote them from the content and style in the file names; "
    "nobody described the recordings."
)
# HumanML3D joint by joint; the recordings have one spine joint less, which is put half way
SPINE_GAP = ("Spine", "Chest")
JOINTS = (
    *("Hips", "UpperLeg_L", "UpperLeg_R", "Spine", "LowerLeg_L", "LowerLeg_R", SPINE_GAP),
    *("Foot_L", "Foot_R", "Chest", "Toes_L", "Toes_R", "Neck", "Shoulder_L", "Shoulder_R"),
    *("Head", "UpperArm_L", "UpperArm_R", "LowerArm_L", "LowerArm_R", "Hand_L", "Hand_R"),
)
# contents to actions and sides; sides were read off the recordings where names do not tell
ACTIONS = {
    "walk": ("walk", ""),
    "run": ("run", ""),
    "dash": ("sprint", ""),
    "walk-back": ("back", ""),
    "walk-left": ("diagonal", "left"),
    "walk-right": ("diagonal", "right"),
    "walk-turn-left": ("turn", "left"),
    "walk-turn-right": ("turn", "right"),
    "raise-up-left-hand": ("raise", "left"),
    "raise-up-right-hand": ("raise", "right"),
    "raise-up-both-hands": ("raise", "both"),
    "wave-left-hand": ("wave", "left"),
    "wave-right-hand": ("wave", "right"),
    "wave-both-hands": ("wave", "both"),
    "bye": ("wave", "right"),
    "byebye": ("wave", "both"),
    "respond": ("raise", "left"),
    "guide": ("guide", "right"),
    "bow": ("bow", ""),
    "call": ("call", ""),
    "kick": ("kick", "right"),
    "punch": ("punch", ""),
    "slash": ("slash", ""),
    "dance-short": ("dance", ""),
    "dance-long": ("dance", ""),
}
WINDOW = 196  # frames at 20 fps, the longest clip of HumanML3D
MIN_FRAMES = 16
CAPTIONS = 24  # of a clip, out of a POOL for its action or so many SEQUENCES of two actions
POOL = 240
SEQUENCES = 24
PACED = ("walk", "run", "turn", "back")
SPLIT_SHARES = {"test": 0.10, "val": 0.05}
PACE_QUANTILES = (0.2, 0.8)
CHUNK = 64


@dataclass
class Take:
    """A recording: joints (T, 22, 3) in metres at 20 fps, and what it shows."""

    name: str
    joints: np.ndarray
    action: Action
    split: str = "train"


Progress = Callable[[str, int, int], None]


def bandai_samples(
    source: Path, joined: int = 2000, seed: int = 0, progress: Progress = lambda *_: None
) -> tuple[list[Sample], dict[str, str]]:
    """Reads the recordings in a folder or archive and makes clips of them, mirrored ones too.

    Args:
        source: folder, .zip or .tar(.xz, .gz) with files `dataset-N_content_style_id.bvh`.
        joined: how many clips of two takes to add to the training split, since raised hands and
            runs last three seconds only.
        progress: called with what is being done, how much of it is done and how much there is.

    Returns:
        The clips, and the files that could not be used with the reason.

    Raises:
        ValueError: when the source holds no usable take.
    """
    takes, skipped = read_takes(source, progress)
    assign_splits(takes)
    rng = np.random.default_rng(seed)
    jobs = [job for take in takes for job in _windows(take)]
    training = [t for t in takes if t.split == "train"]
    jobs += [
        _Job(f"{a.name}+{b.name}", f"{a.name}+{b.name}", "train", joints, (a.action, b.action))
        for a, b, joints in join(training, joined, WINDOW + 1, rng)
    ]
    jobs += [job.mirrored() for job in jobs]
    captions = _captions(jobs, rng)
    samples = []
    with _pool() as pool:
        features = pool.map(joints_to_features, [j.joints for j in jobs], chunksize=CHUNK)
        for job, row, texts in zip(jobs, features, captions, strict=True):
            flags = {"mirrored": job.mirror, "joined": len(job.actions) > 1}
            samples.append(Sample(job.name, job.take, job.split, row, texts, **flags))
            progress("computing features", len(samples), len(jobs))
    return samples, skipped


def read_takes(source: Path, progress: Progress = lambda *_: None):
    """All usable takes of a source, sorted by name, and reasons for the others by file name."""
    source = Path(source)
    if not source.exists():
        raise ValueError(f"the source {source} does not exist; give the Bandai-Namco folder")
    takes, skipped = [], {}
    files = _files(source)
    with _pool() as pool:
        for done, (name, take) in enumerate(pool.map(_read_take, files, chunksize=CHUNK), 1):
            if isinstance(take, str):
                skipped[name] = take
            else:
                takes.append(take)
            progress("reading takes", done, 0)
    if not takes:
        reasons = f", the first one because {next(iter(skipped.values()))}" if skipped else ""
        raise ValueError(
            f"{source} holds no usable take: {len(skipped)} of {len(skipped)} BVH files named "
            f"dataset-N_content_style_id.bvh were skipped{reasons}"
        )
    return sorted(takes, key=lambda t: t.name), skipped


def assign_splits(takes: list[Take]):
    """Puts every take into a split by the hash of its name, in fixed shares of each content."""
    by_content = defaultdict(list)
    for take in takes:
        by_content[take.name.split("_")[1]].append(take)
    for group in by_content.values():
        group.sort(key=lambda t: hashlib.sha256(t.name.encode()).hexdigest())
        first = 0
        for split, share in SPLIT_SHARES.items():
            count = round(share * len(group))
            for take in group[first : first + count]:
                take.split = split
            first += count


def _pool() -> ProcessPoolExecutor:
    # processes share the cores; threads within them would only wait for each other
    return ProcessPoolExecutor(initializer=torch.set_num_threads, initargs=(1,))


def _files(source: Path) -> Iterator[tuple[str, bytes | Path]]:
    """Names and contents (or paths) of the BVH files in a folder or archive."""
    if source.is_dir():
        yield from ((p.name, p) for p in sorted(source.rglob("dataset-*.bvh")))
        return
    try:
        if zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as archive:
                for member in archive.namelist():
                    if _is_take(member):
                        yield PurePosixPath(member).name, archive.read(member)
            return
        with tarfile.open(source, "r|*") as archive:
            for member in archive:
                if member.isfile() and _is_take(member.name):
                    yield PurePosixPath(member.name).name, archive.extractfile(member).read()
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise ValueError(
            f"{source} is no readable folder, .zip or .tar archive: {error}"
        ) from error


def _is_take(member: str) -> bool:
    name = PurePosixPath(member).name
    return name.startswith("dataset-") and name.endswith(".bvh")


def _read_take(file: tuple[str, bytes | Path]) -> tuple[str, Take | str]:
    """The name of a file with its take, or with the reason why it has none."""
    name, content = file
    try:
        return name, _parse_take(name, content)
    except (ValueError, OSError) as error:
        return name, str(error)


def _parse_take(name: str, content: bytes | Path) -> Take:
    stem = PurePosixPath(name).stem
    parts = stem.split("_")
    if len(parts) != 4 or parts[1] not in ACTIONS or parts[2] not in STYLES:
        raise ValueError(f"{name} names no known content and style")
    bvh = parse_bvh(content.read_bytes() if isinstance(content, Path) else content, name)
    missing = sorted({n for j in JOINTS for n in _names(j)} - set(bvh.joint_names))
    if missing:
        raise ValueError(f"{name} lacks the joints {', '.join(missing)}")
    positions = bvh.positions() / 100.0
    column = {n: positions[:, i] for i, n in enumerate(bvh.joint_names)}
    joints = np.stack([np.mean([column[n] for n in _names(j)], axis=0) for j in JOINTS], axis=1)
    joints = resample(joints, bvh.fps, HUMANML3D.fps)
    if len(joints) <= MIN_FRAMES:
        raise ValueError(f"{name} has only {len(joints)} frames at 20 fps")
    kind, side = ACTIONS[parts[1]]
    return Take(stem, joints, Action(kind, side, parts[2]))


def _names(joint: str | tuple[str, ...]) -> tuple[str, ...]:
    return (joint,) if isinstance(joint, str) else joint


def resample(joints: np.ndarray, fps: float, target_fps: float) -> np.ndarray:
    """Joints (T, J, 3) at another frame rate, by cubic interpolation."""
    if len(joints) < 4:
        raise ValueError(f"there are only {len(joints)} frames")
    times = np.arange(len(joints)) / fps
    wanted = np.arange(int(times[-1] * target_fps + 1e-6) + 1) / target_fps
    return CubicSpline(times, joints)(wanted).astype(np.float32)


@dataclass
class _Job:
    """A clip before its features are known."""

    name: str
    take: str
    split: str
    joints: np.ndarray
    actions: tuple[Action, ...]
    mirror: bool = False

    def mirrored(self) -> "_Job":
        actions = tuple(a.mirrored() for a in self.actions)
        joints = mirror_joints(self.joints)
        return _Job(f"M{self.name}", self.take, self.split, joints, actions, True)


def _windows(take: Take) -> Iterator[_Job]:
    """The whole take, or evenly spread windows of it; joints have a frame more than features."""
    size = WINDOW + 1
    count = -(-(len(take.joints) - MIN_FRAMES) // size) or 1
    starts = np.linspace(0, max(len(take.joints) - size, 0), count).astype(int)
    for i, start in enumerate(starts):
        name = take.name if count == 1 else f"{take.name}.{i}"
        yield _Job(name, take.name, take.split, take.joints[start : start + size], (take.action,))


def _captions(jobs: list[_Job], rng: np.random.Generator) -> Iterator[list[str]]:
    """Captions of every clip, drawn from a pool for each action.

    A clip among the slowest or fastest of its kind may be called so.
    """
    speeds = defaultdict(list)
    for job in jobs:
        speeds[job.actions[0].kind].append(_speed(job.joints))
    limits = {kind: np.quantile(values, PACE_QUANTILES) for kind, values in speeds.items()}
    pools: dict[tuple[Action, ...], list[str]] = {}
    for job in jobs:
        actions = job.actions
        if len(actions) == 1 and actions[0].kind in PACED:
            slow, fast = limits[actions[0].kind]
            speed = _speed(job.joints)
            pace = "slow" if speed < slow else "fast" if speed > fast else ""
            actions = (replace(actions[0], pace=pace),)
        if actions not in pools:
            write = write_captions if len(actions) == 1 else write_joined_captions
            size = POOL if len(set(actions)) == 1 else SEQUENCES
            pools[actions] = write(*actions, rng, size)
        pool = pools[actions]
        yield [pool[i] for i in rng.permutation(len(pool))[:CAPTIONS]]


def _speed(joints: np.ndarray) -> float:
    """Mean speed of the root over the ground, metres per frame."""
    return float(np.linalg.norm(np.diff(joints[:, 0, ::2], axis=0), axis=-1).mean())
