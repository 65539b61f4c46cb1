"""What is in a packed data set, for people: `report.md` and a page of pictures, `report.png`."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from motionmamba.data.making.overlay import HELD_OUT
from motionmamba.data.packed import SPLITS, Clip, MotionDataset, read_json
from motionmamba.data.sources.humanml3d import MIRRORED
from motionmamba.motion.motion import Motion
from motionmamba.motion.skeleton import HUMANML3D

WAYS = {  # how `made` tells it
    "joined": r"joined of ",
    "at another pace": r".* times the pace",
    "overlaid": r"arms of .* on ",
    "standing": r"standing between ",
    "generated": r"generated",
}
PLAIN, OTHERWISE = "as they came", "made otherwise"
WORDS = 24  # most frequent ones of a kind that are told
EXAMPLES = 3
BAR = 40  # characters of the longest
PICTURES, COLUMNS = 16, 2
FRAMES, SIZE = 5, (132, 150)  # of a strip, and pixels of each
GAP = 12  # pixels
MARKUP = re.compile(r"[\\`*_\[\]|~$]|^[#+>-]")
LISTED = re.compile(r"^(\d+)([.)] )")
NUMBER = re.compile(r"[\d.,]+")


def write_report(dataset: MotionDataset, folder: str | os.PathLike | None = None) -> Path:
    """Writes `report.md` and `report.png` into `folder`, by default that of the data set.

    KIT-ML's joints have no figure, so such a set gets no picture.

    Returns:
        The path of `report.md`.
    """
    folder = Path(folder or dataset.folder)
    sections = [
        *_about(dataset),
        *_pictures(dataset, folder / "report.png"),
        *_counts(dataset),
        *_lengths(dataset),
        *_captions(dataset),
        *_held_out(dataset),
        *_dropped(dataset.info["dropped"]),
    ]
    path = folder / "report.md"
    path.write_text("\n".join(sections).strip() + "\n", encoding="utf-8")
    return path


def way_of(clip: Clip) -> str:
    """How a clip came to be, apart from mirroring."""
    if clip.made in ("", MIRRORED):
        return PLAIN
    return next((way for way, told in WAYS.items() if re.match(told, clip.made)), OTHERWISE)


def escape(text: str, longest: int = 200) -> str:
    """Text that Markdown shows as it is, in one line, cut short where it is long."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    return LISTED.sub(r"\1\\\2", MARKUP.sub(r"\\\g<0>", text))


def _about(dataset: MotionDataset) -> Iterator[str]:
    info = dataset.info
    yield f"# {escape(dataset.name)}\n"
    hours = sum(c.length for c in dataset.clips) / dataset.fps / 3600
    takes = len({c.take for c in dataset.clips})
    yield (
        f"{len(dataset.clips):,} clips of {takes:,} takes, {hours:.2f} hours at {dataset.fps:g} "
        f"frames per second on the skeleton {escape(dataset.skeleton.name)}, with "
        f"{len(dataset.captions):,} distinct captions.\n"
    )
    yield "## Sources\n"
    for key, source in info["sources"].items():
        yield f"- **{escape(key)}**: {escape(source['title'], 1000)}"
        yield f"  - Licence: {escape(source['licence'], 1000)}"
        yield f"  - Captions: {escape(source['statement'], 1000)}"
    yield "\n## Settings\n"
    inputs = dataset.folder / "inputs.json"
    count = len(read_json(inputs)) if inputs.is_file() else 0
    yield f"- input files: {count:,}, their SHA-256 in `inputs.json`"
    yield f"- motionmamba: {escape(info.get('motionmamba', '?'))}"
    for key, value in info["settings"].items():
        if _is_table(value):
            yield f"- {escape(key)}:\n"
            columns = list(dict.fromkeys(name for row in value.values() for name in row))
            rows = ([name, *(row.get(c, "") for c in columns)] for name, row in value.items())
            yield from _table(["", *columns], rows)
        else:
            yield f"- {escape(key)}: {escape(json.dumps(value, ensure_ascii=False))}"
    yield ""


def _is_table(value) -> bool:
    return (
        bool(value) and isinstance(value, dict) and all(isinstance(v, dict) for v in value.values())
    )


def _counts(dataset: MotionDataset) -> Iterator[str]:
    yield "## Clips\n"
    clips = dataset.clips
    order = [split for split in SPLITS if dataset.split(split)]
    yield from _counted(dataset, "split", order, lambda clip: clip.split)
    if len(dataset.info["sources"]) > 1:
        yield from _counted(dataset, "source", dataset.info["sources"], lambda clip: clip.source)
    ways = [w for w in (PLAIN, *WAYS, OTHERWISE) if w in {way_of(clip) for clip in clips}]
    yield from _counted(dataset, "how", ways, way_of)


def _counted(
    dataset: MotionDataset, title: str, order: Iterable[str], key: Callable[[Clip], str]
) -> Iterator[str]:
    groups = defaultdict(list)
    for clip in dataset.clips:
        groups[key(clip)].append(clip)

    def row(name: str, clips: list[Clip]) -> list:
        frames = sum(clip.length for clip in clips)
        mirrored = sum(clip.mirrored or clip.made == MIRRORED for clip in clips)
        made = sum(way_of(clip) != PLAIN for clip in clips)
        mean = frames / dataset.fps / max(len(clips), 1)
        hours = frames / dataset.fps / 3600
        return [
            name,
            f"{len(clips):,}",
            f"{mirrored:,}",
            f"{made:,}",
            f"{mean:.1f}",
            f"{hours:.2f}",
        ]

    header = [title, "clips", "of them mirrored", "made", "mean seconds", "hours"]
    rows = [row(name, groups[name]) for name in order]
    yield from _table(header, [*rows, row("all", dataset.clips)])


def _lengths(dataset: MotionDataset) -> Iterator[str]:
    seconds = np.array([clip.length for clip in dataset.clips]) / dataset.fps
    width = max(1, round(seconds.max() / 10))
    counts = np.bincount((seconds / width).astype(int))
    yield "## Lengths\n"
    yield "```text"
    for i, count in enumerate(counts):
        bar = "#" * round(BAR * count / counts.max())
        yield f"{i * width:>4} to {(i + 1) * width:>3} s  {count:>7,}  {bar}".rstrip()
    yield "```\n"


def _captions(dataset: MotionDataset) -> Iterator[str]:
    yield "## Captions\n"
    per_clip = [len(clip.captions) for clip in dataset.clips]
    parts = sum(len(clip.parts) for clip in dataset.clips)
    words = [len(text.split()) for text in dataset.captions]
    yield f"- {len(dataset.captions):,} distinct ones, {sum(per_clip):,} uses for whole clips"
    yield f"- for a clip {min(per_clip)} to {max(per_clip)}, on average {np.mean(per_clip):.1f}"
    yield f"- {parts:,} of parts of clips, with times"
    yield f"- {min(words)} to {max(words)} words, on average {np.mean(words):.1f}"
    own = {split: _used(dataset.split(split)) for split in SPLITS if dataset.split(split)}
    for split, used in own.items():
        shared = f", {len(used & own['train']):,} of them in train too" if split != "train" else ""
        yield f"- {escape(split)}: {len(used):,} distinct{shared}"
    counts = defaultdict(Counter)
    for tokens in dataset.tokens:
        for token in tokens.split():
            word, _, tag = token.rpartition("/")
            counts[tag][word] += 1
    kinds = {"verbs": "VERB", "nouns": "NOUN", "adjectives": "ADJ", "adverbs": "ADV"}
    yield "\nMost frequent words, with how many captions have them:\n"
    for name, tag in kinds.items():
        some = (f"{escape(w)} {n:,}" for w, n in counts[tag].most_common(WORDS))
        yield f"- {name}: {', '.join(some) or 'none'}"
    yield ""


def _used(clips: Sequence[Clip]) -> set[int]:
    return {i for clip in clips for i in (*clip.captions, *(p.caption for p in clip.parts))}


def _held_out(dataset: MotionDataset) -> Iterator[str]:
    clips = dataset.split("held_out")
    if not clips:
        return
    yield "## Held-out combinations\n"
    yield (
        f"{len(clips):,} clips of combinations that no other split has, though each part of them "
        "occurs in training: they measure how well a model generalises.\n"
    )
    if any(clip.made.startswith("arms of") for clip in clips):
        rows = [
            (legs, arms, "both hands" if s == "both" else f"{s} hand") for legs, arms, s in HELD_OUT
        ]
        yield from _table(["legs", "arms", "with"], rows)
    step = max(len(clips) // EXAMPLES, 1)
    for clip in clips[::step][:EXAMPLES]:
        texts = [dataset.captions[i] for i in clip.captions[:1]]
        yield f"- {escape(clip.name)}, {escape(clip.made)}: {escape(' '.join(texts))}"
    yield ""


def _dropped(dropped: dict[str, str]) -> Iterator[str]:
    yield "## Dropped\n"
    if not dropped:
        yield "Nothing.\n"
        return
    yield f"{len(dropped):,} files, lines or clips; each with its reason is in `dataset.json`.\n"
    rows = []
    for reason, names in by_reason(dropped):
        more = " …" if len(names) > EXAMPLES else ""
        rows.append([f"{len(names):,}", reason, ", ".join(names[:EXAMPLES]) + more])
    yield from _table(["count", "reason", "as"], rows)


def by_reason(dropped: dict[str, str]) -> list[tuple[str, list[str]]]:
    """Reasons, most frequent first, with the names of what was dropped for them.

    Reasons that differ in numbers only, or in the name itself, are one.
    """
    groups = defaultdict(list)
    for name, reason in dropped.items():
        reason = _without_name(name, reason)
        groups[re.sub(r"-?\b\d+(\.\d+)?\b", "N", reason)].append((name, reason))
    told = []
    for general, group in sorted(groups.items(), key=lambda item: -len(item[1])):
        reasons = {reason for _, reason in group}
        told.append((general if len(reasons) > 1 else reasons.pop(), [name for name, _ in group]))
    return told


def _without_name(name: str, reason: str) -> str:
    for own in (name, Path(name).name, Path(name).stem):
        reason = re.sub(rf"(?<!\w){re.escape(own)}(?!\w)", "it", reason)
    return reason.removeprefix("it ")


def _table(header: Sequence[str], rows: Iterable[Sequence]) -> Iterator[str]:
    """Columns of numbers are set to the right."""
    rows = [[escape(cell, 400) for cell in row] for row in rows]
    numeric = [all(map(NUMBER.fullmatch, column)) for column in zip(*rows, strict=True)]
    yield f"| {' | '.join(map(escape, header))} |"
    yield f"|{''.join('---:|' if number else '---|' for number in numeric)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def _pictures(dataset: MotionDataset, path: Path) -> Iterator[str]:
    motions = [] if dataset.skeleton is not HUMANML3D else _chosen(dataset)
    if not motions:
        return
    _draw_sheet(motions, path)
    yield "![Key frames of some clips](report.png)\n"


def _chosen(dataset: MotionDataset) -> list[Motion]:
    """A few clips of every source, split and way of making in turn, chosen by a fixed seed."""
    rng = np.random.default_rng(0)
    groups = defaultdict(list)
    for i in rng.permutation(len(dataset.clips)):
        clip = dataset.clips[i]
        groups[SPLITS.index(clip.split), clip.source, way_of(clip)].append(clip)
    turns = [
        group[i] for i in range(PICTURES) for _, group in sorted(groups.items()) if i < len(group)
    ]
    motions = []
    for clip in turns:
        joints = dataset.joints(clip)
        if len(motions) < PICTURES and np.isfinite(joints).all():
            motions.append(Motion(joints=joints, fps=dataset.fps, prompt=_told(dataset, clip, rng)))
    return motions


def _told(dataset: MotionDataset, clip: Clip, rng: np.random.Generator) -> str:
    indices = clip.captions or [part.caption for part in clip.parts]
    caption = dataset.captions[rng.choice(indices)] if indices else ""
    way = way_of(clip)
    notes = [clip.split, *([way] if way != PLAIN else []), *(["mirrored"] if clip.mirrored else [])]
    return f"{caption}  [{', '.join(notes)}]"


def _draw_sheet(motions: list[Motion], path: Path):
    """Strips of key frames with their captions, in columns."""
    from motionmamba.motion.render import render_strip

    per_column = -(-len(motions) // COLUMNS)
    columns = []
    with tempfile.TemporaryDirectory() as folder:
        for first in range(0, len(motions), per_column):
            part = motions[first : first + per_column]
            strip = render_strip(
                part, Path(folder) / "strip.png", frames=FRAMES, size=SIZE, body="skeleton"
            )
            with Image.open(strip) as picture:
                columns.append(picture.convert("RGB"))
    width = sum(c.width for c in columns) + GAP * (len(columns) - 1)
    sheet = Image.new("RGB", (width, max(c.height for c in columns)), "white")
    left = 0
    for column in columns:
        sheet.paste(column, (left, 0))
        left += column.width + GAP
    # 128 colours are enough for it and make the file a quarter as large
    sheet.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
