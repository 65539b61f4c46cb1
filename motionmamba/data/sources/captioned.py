"""Recordings with the captions that users bring, and the clips that they make."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from motionmamba.data.packed import SPLITS, Caption, Prepared, Sample, Source
from motionmamba.data.progress import Progress, no_progress
from motionmamba.data.sources.recordings import (
    MIN_FRAMES,
    File,
    Recording,
    assign_splits,
    iter_files,
    windows,
)
from motionmamba.data.text.lines import TextLine, parse_lines
from motionmamba.data.text.sides import swap_sides
from motionmamba.motion.skeleton import HUMANML3D

FIELDS = ("style", "content", "id")  # of a name pattern; captions are made of the first two
NO_CAPTION = "no caption"
MIN_GROUP = 20  # files, of which each split has at least one
STATEMENTS = {
    "sidecar": "Captions came as text files beside the recordings",
    "table": "Captions came as a table",
    "name": "Captions are the words of file names by the pattern {pattern}",
}
MIRRORED = "; mirrored clips have left and right exchanged."
_FPS = HUMANML3D.fps
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z']+")


def find_captions(
    source: Path,
    suffix: str,
    table: Path | None = None,
    name_pattern: str | None = None,
    look: Callable[[str, Path | bytes], None] | None = None,
    progress: Progress = no_progress,
) -> Captions:
    """Finds recordings in a folder or archive, and captions in a table, their names, or beside.

    Args:
        look: is shown the name and the path or content of each recording.

    Raises:
        ValueError: when the source, table or pattern is none, or there is no recording.
    """
    names, texts, unreadable = [], {}, {}
    for done, (name, content) in enumerate(iter_files(source, (suffix, ".txt")), 1):
        if name.lower().endswith(suffix):
            names.append(name)
            if look is not None:
                look(name, content)
        else:
            try:
                texts[name] = content.read_bytes() if isinstance(content, Path) else content
            except OSError as error:
                unreadable[name] = f"cannot be read: {error.strerror}"
        progress("looking for recordings", done, 0)
    if not names:
        raise ValueError(f"{source} holds no {suffix} file; give a folder or archive that does")
    captions = Captions(source, suffix, names, dropped=unreadable)
    if table is not None:
        captions.read_table(Path(table))
    elif name_pattern is not None:
        captions.read_names(name_pattern)
    else:
        captions.read_sidecars(texts)
    return captions


@dataclass
class Captions:
    """What is known of the recordings of a source.

    Attributes:
        names: of their files, relative to the source.
        lines: captions by file.
        groups: by file, of which each split has its share.
        statement: how captions came to be.
        dropped: what could not be used, and why.
        inputs: SHA-256 of files with captions.
    """

    source: Path
    suffix: str
    names: list[str]
    lines: dict[str, list[TextLine]] = field(default_factory=lambda: defaultdict(list))
    groups: dict[str, str] = field(default_factory=dict)
    statement: str = ""
    dropped: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        paths = {name: PurePosixPath(name) for name in self.names}
        bases = Counter(path.stem for path in paths.values())
        self._by_key = {}
        for name, path in paths.items():
            if bases[path.stem] == 1:
                self._by_key |= {path.stem: name, path.name: name}
        for name, path in paths.items():
            self._by_key |= {str(path.with_suffix("")): name, name: name}

    def find(self, key: str) -> str | None:
        """The recording's file of a path, with or without suffix, or of a name that is unique."""
        return self._by_key.get(key.removeprefix("./"))

    def read_sidecars(self, texts: dict[str, bytes]):
        """Takes files `NAME.txt` of lines `caption#tokens#start#end`, as HumanML3D has them."""
        self.statement = STATEMENTS["sidecar"] + MIRRORED
        for text_name, content in texts.items():
            name = self.find(str(PurePosixPath(text_name).with_suffix("")))
            parsed, flaws = parse_lines(text_name, content)
            if name is None and parsed:
                flaws = {text_name: "no recording of that name"}
            if name is not None or parsed:
                self.dropped |= flaws
            if name is not None:
                self.lines[name] += parsed.values()
                self.inputs[text_name] = hashlib.sha256(content).hexdigest()

    def read_table(self, path: Path):
        """Takes a CSV file with the columns file, caption, and perhaps start and end in seconds.

        Raises:
            ValueError: when it is no such file.
        """
        self.statement = STATEMENTS["table"] + MIRRORED
        try:
            content = path.read_bytes()
            table = csv.DictReader(io.StringIO(content.decode("utf-8-sig")), strict=True)
            columns, rows = table.fieldnames or (), list(table)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"the captions {path} cannot be read: {error}") from error
        if missing := {"file", "caption"} - set(columns):
            raise ValueError(
                f"the captions {path} lack the column {' and '.join(sorted(missing))}; their first "
                "line has to be file,caption or file,caption,start,end"
            )
        self.inputs[path.name] = hashlib.sha256(content).hexdigest()
        for number, row in enumerate(rows, 2):
            name, caption = self.find((row["file"] or "").strip()), (row["caption"] or "").strip()
            try:
                start, end = (float(row.get(key) or 0) for key in ("start", "end"))
            except ValueError:
                start, end = -1.0, -1.0
            if reason := _row_flaw(row, name, caption, start, end):
                self.dropped[f"{path.name}:{number}"] = reason
            else:
                self.lines[name].append(TextLine(Caption(caption, ""), start, end))

    def read_names(self, pattern: str):
        """Takes captions from file names, such as `{content}_{style}_{id}`.

        Raises:
            ValueError: when the pattern names other things, or neither content nor style.
        """
        self.statement = STATEMENTS["name"].format(pattern=pattern) + MIRRORED
        expression = _name_expression(pattern)
        for name in self.names:
            match = expression.fullmatch(PurePosixPath(name).stem)
            if match is None:
                self.dropped[name] = f"its name does not follow the pattern {pattern}"
                continue
            told = match.groupdict()
            style, content = (_words(told.get(key) or "") for key in FIELDS[:2])
            caption = f"{style} {content}".strip()
            if not caption:
                self.dropped[name] = f"its name has no words where {pattern} has them"
                continue
            self.lines[name].append(TextLine(Caption(caption, ""), 0.0, 0.0))
            self.groups[name] = content or style

    def assign_splits(self, folder: Path | None = None) -> dict[str, str]:
        """The split of every file with captions: as lists in a folder say, or by shares of groups.

        Files without captions, or that no list names, are dropped.

        Raises:
            ValueError: when no file has a caption, there are no lists, or a file is in two.
        """
        captioned = [name for name in self.names if self.lines.get(name)]
        for name in set(self.names) - set(captioned):
            self.dropped.setdefault(name, NO_CAPTION)
        if not captioned:
            raise ValueError(
                f"{self.source} has {len(self.names)} {self.suffix} files and no caption for any"
                f"{self._first_dropped()}; give captions as a table, text files or a name pattern"
            )
        if folder is None:
            sizes = Counter(self.groups.get(name, "") for name in captioned)
            groups = {name: self.groups.get(name, "") for name in captioned}
            return assign_splits({n: g if sizes[g] >= MIN_GROUP else "" for n, g in groups.items()})
        listed = self._read_splits(Path(folder))
        for name in captioned:
            if name not in listed:
                self.dropped[name] = "in no split list"
        return {name: listed[name] for name in captioned if name in listed}

    def files(self, splits: dict[str, str]) -> Iterator[File]:
        """The files of recordings that have a split, to be read."""
        return (file for file in iter_files(self.source, (self.suffix,)) if file[0] in splits)

    def to_prepared(
        self,
        recordings: Iterable[Recording],
        splits: dict[str, str],
        dropped: dict[str, str],
        inputs: dict[str, str],
        title: str,
        licence: str,
        settings: dict,
    ) -> Prepared:
        """Clips of recordings, whose info tells the `file`, and its second at which they `start`.

        A recording of at most 197 frames is a clip, with its timed captions as parts. Longer ones
        are cut into windows, and what a timed caption is about is a clip of its own, as it is
        where no caption is about the whole.

        Raises:
            ValueError: when there is no clip for training.
        """
        samples = [clip for r in recordings for clip in self._clips(r, splits[r.info["file"]])]
        self.dropped |= dropped
        if not any(sample.split == "train" for sample in samples):
            raise ValueError(
                f"{self.source} gives no clip for training of {len(self.names)} {self.suffix} files"
                f"{self._first_dropped()}"
            )
        key = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or self.suffix[1:]
        source = Source(title, licence, self.statement)
        return Prepared(samples, {key: source}, self.dropped, self.inputs | inputs, settings)

    def _first_dropped(self) -> str:
        first = next((f"{name}: {reason}" for name, reason in self.dropped.items()), "")
        return first and f" ({len(self.dropped)} dropped, such as {first})"

    def _read_splits(self, folder: Path) -> dict[str, str]:
        lists = {split: folder / f"{split}.txt" for split in SPLITS}
        if not lists["train"].is_file():
            raise ValueError(f"the splits {folder} have no train.txt")
        splits = {}
        for split, path in lists.items():
            for line in path.read_text("utf-8", "replace").split("\n") if path.is_file() else ():
                name = self.find(line.strip())
                if name is None and line.strip():
                    self.dropped[f"{path.name}: {line.strip()}"] = "no recording of that name"
                elif name is not None and splits.setdefault(name, split) != split:
                    raise ValueError(
                        f"{line.strip()} is in {splits[name]}.txt and {split}.txt of {folder}; "
                        "a recording can be in one split only"
                    )
        return splits

    def _clips(self, recording: Recording, split: str) -> list[Sample]:
        file, frames = recording.info["file"], len(recording.joints)
        whole, timed = [], defaultdict(list)
        for line in self.lines[file]:
            caption = line.caption if line.caption.tokens else line.caption.text
            if line.is_whole:
                whole.append(caption)
                continue
            start, end = (
                seconds - recording.info.get("start", 0.0) for seconds in (line.start, line.end)
            )
            start, end = max(start, 0.0), min(end, (frames - 1) / _FPS)
            if int(end * _FPS) - int(start * _FPS) < MIN_FRAMES:
                about = f"{file} {line.start:g}-{line.end:g} s"
                self.dropped[about] = f"under {MIN_FRAMES} frames of it were recorded"
            else:
                timed[start, end].append(caption)
        spans = windows(frames)
        if whole and len(spans) == 1:
            parts = [(caption, *times) for times, captions in timed.items() for caption in captions]
            return [_sample(recording, recording.name, (0, frames), split, whole, parts)]
        clips = [(recording.name, 0, frames, whole)] if whole else []
        for number, ((start, end), captions) in enumerate(timed.items()):
            first, last = int(start * _FPS), int(end * _FPS) + 1
            clips.append((f"{recording.name}.part{number}", first, last, captions))
        samples = []
        for name, first, last, captions in clips:
            spans = windows(last - first)
            for i, (a, b) in enumerate(spans):
                clip_name = name if len(spans) == 1 else f"{name}.{i}"
                span = first + a, first + b
                samples.append(_sample(recording, clip_name, span, split, captions))
        return samples


def take_name(file: str) -> str:
    """The name of a recording by its file's, relative to the source."""
    return str(PurePosixPath(file).with_suffix("")).replace("/", "_")


def _sample(recording, name, span, split, captions, parts=()) -> Sample:
    captions = list(dict.fromkeys(captions))
    return Sample(
        name,
        recording.name,
        split,
        captions,
        joints=recording.joints[slice(*span)],
        parts=parts,
        mirrored_captions=[_mirrored(caption) for caption in captions],
        mirrored_parts=[(_mirrored(caption), *times) for caption, *times in parts],
    )


def _mirrored(caption: str | Caption) -> str | Caption:
    text = caption.text if isinstance(caption, Caption) else caption
    swapped = swap_sides(text)
    return caption if swapped == text else swapped


def _words(text: str) -> str:
    """`walkFast-left_02` -> walk fast left."""
    return " ".join(_WORD.findall(text)).lower()


def _row_flaw(row: dict, name: str | None, caption: str, start: float, end: float) -> str:
    if name is None:
        return f"no recording {row['file']!r}, or several"
    if not caption:
        return NO_CAPTION
    return "" if start == end == 0 or 0 <= start < end else "start and end are no times in seconds"


def _name_expression(pattern: str) -> re.Pattern:
    parts = re.split(r"\{(\w+)\}", pattern)
    told = parts[1::2]
    unknown = sorted(set(told) - set(FIELDS))
    doubled = [name for name in FIELDS[:2] if told.count(name) > 1]
    if unknown or doubled or not set(told) & set(FIELDS[:2]):
        raise ValueError(
            f"the name pattern {pattern!r} has to have {{content}}, {{style}} or both once, and "
            "else only {id}, which is passed over"
        )
    expression = re.escape(parts[0])
    for name, literal in zip(told, parts[2::2], strict=True):
        group = f"(?P<{name}>.+?)" if name != "id" else ".+?"
        expression += group + re.escape(literal)
    return re.compile(expression)
