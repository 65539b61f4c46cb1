"""More clips from the same takes: joined, at another pace, overlaid; and captions for all of them.

Clips of a split are made of its own takes only. Combinations of `overlay.HELD_OUT` are made of
takes of the test split only, and are a split of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

import numpy as np

from motionmamba.data.making.join import Made, Take, join_takes
from motionmamba.data.making.overlay import overlay_takes
from motionmamba.data.making.warp import warp_takes
from motionmamba.data.packed import Sample
from motionmamba.data.progress import Progress, no_progress
from motionmamba.data.sources.recordings import WINDOW
from motionmamba.data.text.captions import (
    Action,
    part_captions,
    write_captions,
    write_joined_captions,
    write_overlay_captions,
)
from motionmamba.data.text.vocabulary import PACES
from motionmamba.motion.features import canonical_joints
from motionmamba.motion.skeleton import HUMANML3D

SPLITS = ("train", "val", "test")  # of takes
MAX_FRAMES = WINDOW + 1  # joints have a frame more than features
CAPTIONS, MADE_CAPTIONS = 28, 12  # of a recorded and of a made clip
POOL = 160  # most captions of all clips that show the same
PACED = 4  # times as many captions are written where only those that tell a pace are wanted
BATCH = 64
WHOLE = 0.9  # share of a clip beyond which an overlaid gesture is no part of it


@dataclass(frozen=True)
class MadeCounts:
    """How many clips to make, mirror images not counted.

    Splits have their part of joined, warped and overlaid clips by their share of the takes.
    """

    joined: int = 0
    warped: int = 0
    overlaid: int = 0
    held_out: int = 0


def make_more(
    takes: Sequence[Take],
    splits: dict[str, str],
    counts: MadeCounts,
    rng: np.random.Generator,
    progress: Progress = no_progress,
) -> Iterator[Made]:
    """Yields clips made of takes, as many as asked for, or as fit together.

    Args:
        takes: joints (T, 22, 3) in metres, Y up, at 20 fps, of any proportions; those of flawed
            ones are passed over.
        splits: for each take's name train, val or test.
    """
    wanted = sum((counts.joined, counts.warped, counts.overlaid, counts.held_out))
    if not wanted:
        return
    takes = list(_on_uniform_skeleton(sorted(takes, key=lambda take: len(take.joints))))
    own = {split: [take for take in takes if splits[take.name] == split] for split in SPLITS}
    joined, warped, overlaid = (
        _shared(count, own) for count in (counts.joined, counts.warped, counts.overlaid)
    )
    jobs = []
    for split, some in own.items():
        jobs.append((split, partial(join_takes, some, joined[split])))
        jobs.append((split, partial(warp_takes, some, warped[split])))
        jobs.append((split, partial(overlay_takes, some, overlaid[split])))
    held_out = partial(overlay_takes, own["test"], counts.held_out, held_out=True)
    jobs.append(("held_out", held_out))
    done = 0
    # each has a generator of its own, so that no count has a say in the other clips
    for (split, make), own_rng in zip(jobs, rng.spawn(len(jobs)), strict=True):
        for clip in make(max_frames=MAX_FRAMES, rng=own_rng):
            done += 1
            progress("making clips", done, wanted)
            yield replace(clip, split=split)


def _shared(count: int, own: dict[str, list[Take]]) -> dict[str, int]:
    """A count by split, as the takes are."""
    takes = np.cumsum([0, *(len(some) for some in own.values())])
    bounds = np.round(count * takes / max(takes[-1], 1)).astype(int)
    return dict(zip(own, np.diff(bounds).tolist(), strict=True))


def _on_uniform_skeleton(takes: Sequence[Take]) -> Iterator[Take]:
    """Takes with joints on HumanML3D's uniform skeleton and on the floor, without flawed ones."""
    for i in range(0, len(takes), BATCH):
        batch = takes[i : i + BATCH]
        longest = max(len(take.joints) for take in batch)
        times = np.arange(longest)
        joints = [take.joints[np.minimum(times, len(take.joints) - 1)] for take in batch]
        try:
            joints = canonical_joints(np.stack(joints))
        except ValueError:  # one of them has no body; whoever writes the set tells which
            if len(batch) > 1:
                for take in batch:
                    yield from _on_uniform_skeleton([take])
            continue
        for take, row in zip(batch, joints, strict=True):
            yield replace(take, joints=row[: len(take.joints)])


def to_samples(clips: Sequence[Made], rng: np.random.Generator, source: str = "") -> list[Sample]:
    """Clips with captions of the whole and of its parts, and with those of the mirror image.

    Clips for training and all others are told in forms of sentence that have none in common.
    """
    pools = _Pools(clips, rng)
    samples = []
    for clip in clips:
        mirrored = _mirrored(clip)
        samples.append(
            Sample(
                clip.name,
                clip.take,
                clip.split,
                pools.captions(clip),
                joints=clip.joints,
                parts=_parts(clip, rng),
                mirrored_captions=pools.captions(mirrored),
                mirrored_parts=_parts(mirrored, rng),
                made=clip.made,
                source=source,
            )
        )
    return samples


def _mirrored(clip: Made) -> Made:
    """What the mirror image shows."""
    return replace(
        clip,
        actions=tuple(action.mirrored() for action in clip.actions),
        arms=clip.arms and clip.arms.mirrored(),
    )


def _forms(clip: Made) -> str:
    return "train" if clip.split == "train" else "held_out"


def _shown(clip: Made) -> tuple:
    return clip.actions, clip.arms, clip.paced, _forms(clip)


class _Pools:
    """Captions for all clips that show the same, of which each one has some."""

    def __init__(self, clips: Sequence[Made], rng: np.random.Generator):
        self.rng = rng
        self.counts = Counter(_shown(c) for clip in clips for c in (clip, _mirrored(clip)))
        self.pools: dict[tuple, list[str]] = {}

    def captions(self, clip: Made) -> list[str]:
        shown, most = _shown(clip), MADE_CAPTIONS if clip.made else CAPTIONS
        if shown not in self.pools:
            count = min(most + 4 * self.counts[shown], POOL)
            self.pools[shown] = _write(*shown, self.rng, count)
        pool = self.pools[shown]
        picks = self.rng.choice(len(pool), size=min(most, len(pool)), replace=False)
        return [pool[i] for i in sorted(picks)]


def _write(
    actions: tuple[Action, ...],
    arms: Action | None,
    paced: bool,
    forms: str,
    rng: np.random.Generator,
    count: int,
) -> list[str]:
    if arms is not None:
        return write_overlay_captions(actions[0], arms, rng, count, forms=forms)
    if len(actions) > 1:
        return write_joined_captions(actions, rng, count, forms=forms)
    if not paced:
        return write_captions(actions[0], rng, count, forms=forms)
    pace = PACES[actions[0].pace]
    texts = write_captions(actions[0], rng, PACED * count, forms=forms)
    texts.sort(key=lambda text: not any(word in text for word in pace.adverbs + pace.phrases))
    return texts[:count]


def _parts(clip: Made, rng: np.random.Generator) -> list[tuple[str, float, float]]:
    """Captions of parts with start and end in seconds: of each action, or of the gesture."""
    if clip.arms is None:
        runs = [action for action, _ in groupby(clip.actions)]
        texts = part_captions(runs, rng, _forms(clip)) if clip.spans else []
        return [(text, *span) for text, span in zip(texts, clip.spans, strict=True)]
    [(start, end)] = clip.spans
    if (end - start) * HUMANML3D.fps > WHOLE * (len(clip.joints) - 1):
        return []
    text = min(_write(*_shown(clip), rng, 4), key=len)
    return [(text, start, end)]
