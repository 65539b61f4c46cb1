"""What all sources of joints share: finding files, reading them in parallel, splits, windows."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import zipfile
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import torch

import motionmamba
from motionmamba.data.progress import Progress, no_progress

WINDOW = 196  # frames at 20 fps, the longest clip of HumanML3D
MIN_FRAMES = 16
MAX_FILE = 1 << 28  # bytes of one recording, lest an archive unpacks without end
SPLIT_SHARES = {"test": 0.10, "val": 0.05}

File = tuple[str, "Path | bytes"]


@dataclass
class Recording:
    """One take on HumanML3D's skeleton.

    `joints` is (T, 22, 3) float32 in metres, Y up, at 20 fps, in the person's own proportions;
    `info` is what its source knows of it, as JSON has it.
    """

    name: str
    joints: np.ndarray
    info: dict = field(default_factory=dict)


def iter_files(source: Path, suffixes: tuple[str, ...]) -> Iterator[File]:
    """Files below a folder or in a .zip or .tar archive whose names end so, in any case.

    Yields each one's name, relative to the source with forward slashes, and its path or content.
    Nothing is unpacked to disk; links and other specials in archives are passed over.

    Raises:
        ValueError: when there is no such folder or archive, or a file in it has over 256 MiB.
    """
    source = Path(source)
    if not source.exists():
        raise ValueError(f"the source {source} does not exist; give a folder or an archive")
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            if path.is_file() and path.name.lower().endswith(suffixes):
                yield path.relative_to(source).as_posix(), path
        return
    try:
        yield from _archived(source, suffixes)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, RuntimeError) as error:
        raise ValueError(
            f"{source} is no readable folder, .zip or .tar archive: {error}"
        ) from error


def _archived(source: Path, suffixes: tuple[str, ...]) -> Iterator[File]:
    with source.open("rb") as file:
        zipped = file.read(2) == b"PK"  # is_zipfile takes a .tar that ends with a .npz for one
    if zipped:
        with zipfile.ZipFile(source) as archive:
            for member in archive.infolist():
                if member.filename.lower().endswith(suffixes) and not member.is_dir():
                    with archive.open(member) as file:
                        yield _plain(member.filename), _read_bounded(file, member.filename)
        return
    with tarfile.open(source, "r|*") as archive:
        for member in archive:
            if member.isfile() and member.name.lower().endswith(suffixes):
                yield _plain(member.name), _read_bounded(archive.extractfile(member), member.name)


def _plain(name: str) -> str:
    """An archive's name without what leads out of it."""
    return "/".join(p for p in PurePosixPath(name).parts if p not in ("/", "..", "."))


def _read_bounded(file, name: str) -> bytes:
    content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise ValueError(f"{name} has more than {MAX_FILE >> 20} MiB, which no recording has")
    return content


def read_recordings(
    files: Iterable[File],
    read: Callable[[str, bytes], Recording | list[Recording]],
    *,
    work: Path | None = None,
    settings: str = "",
    progress: Progress = no_progress,
    workers: int | None = None,
) -> tuple[list[Recording], dict[str, str], dict[str, str]]:
    """Reads files in parallel, and goes on from an interrupted run.

    Args:
        files: names with paths or contents, as `iter_files` gives them.
        read: makes recordings of a name and a content, or raises ValueError with the reason why
            not. It has to be picklable.
        work: folder where results are kept, by content and settings, until the data set is made.
        settings: all else that results depend on.
        workers: processes; as many as there are cores by default.

    Returns:
        The recordings sorted by name, the reason for each file that gave none, and the SHA-256 of
        every file.
    """
    if work is not None:
        work.mkdir(parents=True, exist_ok=True)
    found, dropped, inputs = {}, {}, {}
    pool = ProcessPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    try:
        tasks = ((name, content, read, work, settings) for name, content in files)
        for done, (name, digest, result) in enumerate(_bounded_map(pool, _read_one, tasks), 1):
            inputs[name] = digest
            if isinstance(result, str):
                dropped[name] = result
                result = []
            for recording in result:
                if recording.name in found:
                    dropped[name] = f"another file gave a recording {recording.name}"
                found.setdefault(recording.name, recording)
            progress("reading recordings", done, 0)
    finally:
        pool.shutdown(cancel_futures=True)
    return [found[name] for name in sorted(found)], dropped, inputs


def _bounded_map(pool: Executor, function: Callable, tasks: Iterable[tuple]) -> Iterator:
    """Results in order; unlike `Executor.map` it holds only a few tasks at a time in memory."""
    waiting = deque()
    for task in tasks:
        waiting.append(pool.submit(function, *task))
        if len(waiting) > 32:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _read_one(name: str, content, read, work: Path | None, settings: str):
    """A file's name, hash, and its recordings or the reason why it has none."""
    try:
        content = content.read_bytes() if isinstance(content, Path) else content
    except OSError as error:
        return name, "", f"cannot be read: {error.strerror}"
    digest = hashlib.sha256(content).hexdigest()
    kept = None
    if work is not None:
        told = f"{motionmamba.__version__}\n{name}\n{digest}\n{settings}"
        key = hashlib.sha256(told.encode()).hexdigest()[:32]
        kept = work / f"{key}.npz"
        if (result := _load_kept(kept)) is not None:
            return name, digest, result
    try:
        result = read(name, content)
        result = [result] if isinstance(result, Recording) else list(result)
    except ValueError as error:
        result = str(error)
    if kept is not None:
        _keep(kept, result)
    return name, digest, result


def _keep(path: Path, result: list[Recording] | str):
    index = result if isinstance(result, str) else [(r.name, r.info) for r in result]
    arrays = {} if isinstance(result, str) else {str(i): r.joints for i, r in enumerate(result)}
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.savez(file, index=np.array(json.dumps(index)), **arrays)
    os.replace(partial, path)


def _load_kept(path: Path) -> list[Recording] | str | None:
    if not path.is_file():
        return None
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as kept:
            index = json.loads(str(kept["index"]))
            if isinstance(index, str):
                return index
            return [Recording(n, kept[str(i)], info) for i, (n, info) in enumerate(index)]
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile):
        return None  # cut short: read the recording again


def assign_splits(
    groups: dict[str, str], shares: dict[str, float] = SPLIT_SHARES
) -> dict[str, str]:
    """The split of every name: the same shares of each group, chosen by the hash of the name.

    Args:
        groups: for each name, the group (content, subject) of which each split has its share.
    """
    members = defaultdict(list)
    for name, group in groups.items():
        members[group].append(name)
    splits = dict.fromkeys(groups, "train")
    for names in members.values():
        names.sort(key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        first = 0
        for split, share in shares.items():
            count = round(share * len(names))
            splits.update(dict.fromkeys(names[first : first + count], split))
            first += count
    return splits


def resample(joints: np.ndarray, fps: float, target_fps: float) -> np.ndarray:
    """Joints (T, J, 3), at least 4 frames, at another frame rate, by cubic interpolation."""
    from scipy.interpolate import CubicSpline

    times = np.arange(len(joints)) / fps
    wanted = np.arange(int(times[-1] * target_fps + 1e-6) + 1) / target_fps
    return CubicSpline(times, joints)(wanted).astype(np.float32)


def windows(frames: int, size: int = WINDOW + 1) -> list[tuple[int, int]]:
    """Evenly spread (start, end) of a take's joints; a joints frame more than features have."""
    count = -(-frames // size)
    starts = np.linspace(0, max(frames - size, 0), count).astype(int)
    return [(int(start), int(min(start + size, frames))) for start in starts]
