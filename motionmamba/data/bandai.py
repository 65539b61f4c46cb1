"""The Bandai-Namco Research Motiondataset 1 and 2 (CC BY-NC 4.0) as training clips.

Kobayashi et al., arXiv 2306.08861. One skeleton, centimetres, 30 fps; a take's file name tells
its content and style: `dataset-2_wave-left-hand_elderly_007.bvh`.
"""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from scipy.interpolate import CubicSpline

from motionmamba.data.captions import Action, write_captions, write_joined_captions
from motionmamba.data.join import Take, join_takes, turned
from motionmamba.data.packed import Sample
from motionmamba.data.vocabulary import STYLES
from motionmamba.motion.bvh import parse_bvh
from motionmamba.motion.features import joints_to_features
from motionmamba.motion.skeleton import HUMANML3D, mirror_joints

LICENCE = "CC BY-NC 4.0"
SOURCE = "Bandai-Namco Research Motiondataset 1 and 2 (arXiv 2306.08861)"
STATEMENT = (
    "Captions are templated: a grammar wrote them from the content and style in the file names "
    "and from measured height and speed; nobody described the recordings."
)
# HumanML3D's joints: a joint of the recordings, or a place between two. With the pelvis half way
# up to the spine and the collars out towards the arms, hips and shoulders have the directions of
# the target skeleton, whose lengths the bones are given later.
JOINTS: tuple[str | tuple[str, str, float], ...] = (
    *(("Hips", "Spine", 0.46), "UpperLeg_L", "UpperLeg_R", "Spine", "LowerLeg_L", "LowerLeg_R"),
    *(("Spine", "Chest", 0.7), "Foot_L", "Foot_R", "Chest", "Toes_L", "Toes_R", "Neck"),
    *(("Shoulder_L", "UpperArm_L", 0.6), ("Shoulder_R", "UpperArm_R", 0.6), "Head"),
    *("UpperArm_L", "UpperArm_R", "LowerArm_L", "LowerArm_R", "Hand_L", "Hand_R"),
)
# The recordings' ankles stand higher over the toes and their heads straighter over the necks than
# those of SMPL, whose joints HumanML3D has: degrees between the two when standing.
TOES_UP = 17.0
HEAD_FORWARD = 30.0
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
    "punch": ("punch", ""),  # measured
    "slash": ("slash", ""),
    "dance-short": ("dance", ""),
    "dance-long": ("dance", ""),
}
WINDOW = 196  # frames at 20 fps, the longest clip of HumanML3D
MIN_FRAMES = 16
CAPTIONS = 28  # of a clip
POOL = 160  # most captions of all clips that show the same
JOINED_POOL = 28
SPLIT_SHARES = {"test": 0.10, "val": 0.05}
CHUNK = 32

MIN_FOLD = 0.003  # half radians a frame

PELVIS, HEAD, NECK = 0, 15, 12
SHOULDERS, WRISTS = (16, 17), (20, 21)
# m/s below and above which a pace is called slow or fast: of the root, or of a raised hand
GAIT_PACES = {"walk": (0.8, 1.38), "turn": (0.8, 1.3), "run": (1.7, 3.0), "back": (0.6, 1.0)}
HAND_PACES = (1.0, 4.5)
REACHES = (-0.08, 0.1)  # metres of a wrist over the head joint: low, about the head, high
TURNS = {"turn": (55, 130), "uturn": (150, 220)}  # degrees
TURNED_BACK = 30
BOWS = (0.1, 0.2)  # metres that the head sinks: slight, ordinary, deep

Progress = Callable[[str, int, int], None]


def bandai_samples(
    source: Path,
    joined: int = 2000,
    seed: int = 0,
    progress: Progress = lambda *_: None,
    workers: int | None = None,
) -> tuple[list[Sample], dict[str, str]]:
    """Reads the recordings in a folder or archive and makes clips of them, mirrored ones too.

    Args:
        source: folder, .zip or .tar(.xz, .gz) with files `dataset-N_content_style_id.bvh`.
        joined: how many clips of several takes to add to the training split, since raised hands
            and runs last three seconds only.
        progress: called with what is being done, how much of it is done and how much there is.
        workers: processes; as many as there are cores by default.

    Returns:
        The clips, and the files that could not be used with the reason.

    Raises:
        ValueError: when the source holds no usable take.
    """
    rng = np.random.default_rng(seed)
    with ProcessPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        takes, skipped = read_takes(source, pool, progress)
        splits = assign_splits([t.name for t in takes])
        jobs = [job for take in takes for job in _windows(take, splits[take.name])]
        training = [t for t in takes if splits[t.name] == "train"]
        for done, (name, joints, actions) in enumerate(
            join_takes(training, joined, WINDOW + 1, rng), 1
        ):
            jobs.append(_Job(name, name, "train", joints, actions, joined=True))
            progress("joining takes", done, joined)
        jobs += [job.mirrored() for job in jobs]
        captions = _captions(jobs, rng)
        samples = []
        features = pool.map(_features, [j.joints for j in jobs], chunksize=CHUNK)
        for job, row, texts in zip(jobs, features, captions, strict=True):
            flags = {"mirrored": job.mirror, "joined": job.joined}
            samples.append(Sample(job.name, job.take, job.split, row, texts, **flags))
            progress("computing features", len(samples), len(jobs))
    return samples, skipped


def read_takes(
    source: Path, pool: ProcessPoolExecutor, progress: Progress = lambda *_: None
) -> tuple[list[Take], dict[str, str]]:
    """All usable takes of a source, sorted by name, and reasons for the others by file name."""
    source = Path(source)
    if not source.exists():
        raise ValueError(f"the source {source} does not exist; give the Bandai-Namco folder")
    takes, skipped = {}, {}
    for done, (name, take) in enumerate(pool.map(_read_take, _files(source), chunksize=CHUNK), 1):
        if isinstance(take, str):
            skipped[name] = take
        else:
            takes[take.name] = take
        progress("reading takes", done, 0)
    if not takes:
        reasons = f", the first one because {next(iter(skipped.values()))}" if skipped else ""
        raise ValueError(
            f"{source} holds no usable take: {len(skipped)} of {len(skipped)} BVH files named "
            f"dataset-N_content_style_id.bvh were skipped{reasons}"
        )
    return [takes[name] for name in sorted(takes)], skipped


def assign_splits(names: list[str]) -> dict[str, str]:
    """The split of every take: fixed shares of each content, chosen by the hash of the name."""
    by_content = defaultdict(list)
    for name in names:
        by_content[name.split("_")[1]].append(name)
    splits = dict.fromkeys(names, "train")
    for group in by_content.values():
        group.sort(key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        first = 0
        for split, share in SPLIT_SHARES.items():
            count = round(share * len(group))
            splits.update(dict.fromkeys(group[first : first + count], split))
            first += count
    return splits


def _files(source: Path) -> Iterator[tuple[str, bytes | Path]]:
    """Names and contents (or paths) of the BVH files in a folder or archive."""
    if source.is_dir():
        yield from ((p.name, p) for p in sorted(source.rglob("dataset-*.bvh")))
        return
    try:
        if zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as archive:
                for member in filter(_is_take, archive.namelist()):
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
    column = dict(zip(bvh.joint_names, (bvh.positions() / 100.0).transpose(1, 0, 2), strict=True))
    joints = to_humanml3d(column, name)
    frames = int((len(joints) - 1) / bvh.fps * HUMANML3D.fps + 1e-6) + 1
    if frames <= MIN_FRAMES:
        raise ValueError(f"{name} is shorter than {MIN_FRAMES + 1} frames at 20 fps")
    joints = resample(joints, bvh.fps, HUMANML3D.fps)
    action = Action(*ACTIONS[parts[1]], parts[2])
    if action.kind == "turn":
        action = _measure_turn(joints, action, name)
    return Take(stem, joints, describe(joints, action))


def _measure_turn(joints: np.ndarray, action: Action, name: str) -> Action:
    """The turn that is made: a few takes turn to the other side than their name says, or back."""
    angles = turned(joints)
    side = "left" if angles[-1] > 0 else "right"
    back = -angles.min() if side == "left" else angles.max()
    for kind, (least, most) in TURNS.items():
        if least < abs(angles[-1]) < most and back < TURNED_BACK:
            return replace(action, kind=kind, side=side)
    raise ValueError(
        f"{name} turns by {angles.min():.0f} to {angles.max():.0f} degrees, which is no plain turn"
    )


def to_humanml3d(column: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Joints of HumanML3D (T, 22, 3) from positions (T, 3) of the recordings' named joints.

    Raises ValueError, naming the file, where joints lack or lie on one another.
    """
    wanted = {n for joint in JOINTS for n in ((joint,) if isinstance(joint, str) else joint[:2])}
    if missing := sorted(wanted - set(column)):
        raise ValueError(f"{name} lacks the joints {', '.join(missing)}")
    joints = np.stack([_place(column, joint) for joint in JOINTS], axis=1)
    bones = np.linalg.norm(joints[:, 1:] - joints[:, HUMANML3D.parents[1:]], axis=-1)
    if bones.min() < 1e-3:
        raise ValueError(f"{name} has joints that lie on one another")
    for ankle, toes in HUMANML3D.feet:
        shin = joints[:, HUMANML3D.parents[ankle]] - joints[:, ankle]
        foot = joints[:, toes] - joints[:, ankle]
        joints[:, toes] = joints[:, ankle] + _tilt(foot, shin, TOES_UP)
    neck = joints[:, HEAD] - joints[:, NECK]
    forward = np.cross(joints[:, SHOULDERS[0]] - joints[:, SHOULDERS[1]], neck)
    joints[:, HEAD] = joints[:, NECK] + _tilt(neck, forward, HEAD_FORWARD)
    if not np.isfinite(joints).all():
        raise ValueError(f"{name} has feet or a head without direction")
    return joints


def _place(column: dict[str, np.ndarray], joint: str | tuple[str, str, float]) -> np.ndarray:
    if isinstance(joint, str):
        return column[joint]
    first, second, share = joint
    return column[first] + share * (column[second] - column[first])


def _tilt(bone: np.ndarray, toward: np.ndarray, degrees: float) -> np.ndarray:
    """Bones (T, 3) turned by an angle in the plane of `bone` and `toward`, to the latter."""
    length = np.linalg.norm(bone, axis=-1, keepdims=True)
    along = bone / length
    across = toward - (toward * along).sum(-1, keepdims=True) * along
    across = across / np.linalg.norm(across, axis=-1, keepdims=True)
    angle = np.radians(degrees)
    return length * (np.cos(angle) * along + np.sin(angle) * across)


def resample(joints: np.ndarray, fps: float, target_fps: float) -> np.ndarray:
    """Joints (T, J, 3), at least 4 frames, at another frame rate, by cubic interpolation."""
    times = np.arange(len(joints)) / fps
    wanted = np.arange(int(times[-1] * target_fps + 1e-6) + 1) / target_fps
    return CubicSpline(times, joints)(wanted).astype(np.float32)


def describe(joints: np.ndarray, action: Action) -> Action:
    """The action with the pace and extent that its joints (T, 22, 3) at 20 fps show."""
    if action.kind in GAIT_PACES:
        speed = np.linalg.norm(np.diff(joints[:, PELVIS, ::2], axis=0), axis=-1).mean()
        return replace(action, pace=_band(speed * HUMANML3D.fps, GAIT_PACES[action.kind], _PACES))
    if action.kind in ("raise", "wave"):
        hands = {"left": [WRISTS[0]], "right": [WRISTS[1]]}.get(action.side, list(WRISTS))
        reach = (joints[:, hands, 1] - joints[:, [HEAD], 1]).max(0).min()
        speed = np.linalg.norm(np.diff(joints[:, hands], axis=0), axis=-1).max() * HUMANML3D.fps
        extent = _band(reach, REACHES, ("low", "head", "high"))
        return replace(action, pace=_band(speed, HAND_PACES, _PACES), extent=extent)
    if action.kind == "punch":
        travel = [np.linalg.norm(np.ptp(joints[:, w] - joints[:, NECK], axis=0)) for w in WRISTS]
        return replace(action, side=("left", "right")[int(np.argmax(travel))])
    if action.kind == "bow":
        depth = joints[0, HEAD, 1] - joints[:, HEAD, 1].min()
        return replace(action, extent=_band(depth, BOWS, ("slight", "", "deep")))
    return action


_PACES = ("slow", "", "fast")


def _band(value: float, limits: tuple[float, float], names: tuple[str, str, str]) -> str:
    return names[int(np.searchsorted(limits, value))]


@dataclass
class _Job:
    """A clip before its features are known."""

    name: str
    take: str
    split: str
    joints: np.ndarray
    actions: tuple[Action, ...]
    mirror: bool = False
    joined: bool = False

    def mirrored(self) -> _Job:
        return replace(
            self,
            name=f"M{self.name}",
            joints=mirror_joints(self.joints),
            actions=tuple(action.mirrored() for action in self.actions),
            mirror=True,
        )


def _windows(take: Take, split: str) -> Iterator[_Job]:
    """The whole take, or evenly spread windows of it; joints have a frame more than features."""
    size = WINDOW + 1
    count = -(-len(take.joints) // size)
    starts = np.linspace(0, max(len(take.joints) - size, 0), count).astype(int)
    for i, start in enumerate(starts):
        name = take.name if count == 1 else f"{take.name}.{i}"
        joints = take.joints[start : start + size]
        yield _Job(name, take.name, split, joints, (describe(joints, take.action),))


def _features(joints: np.ndarray) -> np.ndarray:
    """Features of joints, without the fold of the original process.

    Where the heading passes Z-, its yaw velocity has the wrong sign for a frame, which would make
    walks in a circle jerk.
    """
    features = joints_to_features(joints)
    yaw = features[:, 0]
    around = (yaw[:-2] + yaw[2:]) / 2
    folded = (np.abs(yaw[1:-1] + around) < np.abs(around) / 2) & (yaw[:-2] * yaw[2:] > 0)
    yaw[1:-1][folded & (np.abs(around) > MIN_FOLD)] *= -1
    return features


def _captions(jobs: list[_Job], rng: np.random.Generator) -> list[list[str]]:
    """Captions of every clip, drawn from a pool for all clips that show the same."""
    pools = {}
    for actions, clips in Counter(job.actions for job in jobs).items():
        if len(actions) == 1:
            pools[actions] = write_captions(actions[0], rng, min(CAPTIONS + 4 * clips, POOL))
        else:
            pools[actions] = write_joined_captions(actions, rng, JOINED_POOL)
    chosen = []
    for job in jobs:
        pool = pools[job.actions]
        picks = rng.choice(len(pool), size=min(CAPTIONS, len(pool)), replace=False)
        chosen.append([pool[i] for i in sorted(picks)])
    return chosen
