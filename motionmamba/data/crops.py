"""What is shown of a clip: the stretches that have captions, and random crops of them."""

from __future__ import annotations

from typing import NamedTuple

import torch

from motionmamba.data.packed import MotionDataset

UNIT = 4  # frames: crops are multiples of it, as in the loader of EricGuo5513/text-to-motion
SHORTER = 1 / 3  # chance of a crop one unit shorter: that loader's `single, single, double`


class Stretch(NamedTuple):
    """Frames of a clip of a split, and the indices of their captions."""

    clip: int
    start: int
    length: int
    captions: list[int]


def captioned_stretches(dataset: MotionDataset, split: str) -> list[Stretch]:
    """The clips of a split and their parts, as far as they have captions.

    Raises:
        ValueError: when none has.
    """
    captions: dict[tuple[int, int, int], list[int]] = {}
    for i, clip in enumerate(dataset.split(split)):
        if clip.captions:
            captions[i, 0, clip.length] = list(clip.captions)
        for part in clip.parts:
            first, end = (int(seconds * dataset.fps) for seconds in (part.start, part.end))
            part_of_clip = i, first, min(end, clip.length) - first
            captions.setdefault(part_of_clip, []).append(part.caption)
    if not captions:
        raise ValueError(f"the data set {dataset.name} has no captions in its {split} split")
    return [Stretch(*key, indices) for key, indices in captions.items()]


def random_crops(
    lengths: torch.Tensor, window: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Offsets and lengths (B,) of crops of stretches of `lengths` (B,), all in frames.

    A crop has as many whole units as fit into the stretch, or one less, and no more than `window`.
    """
    chance = torch.rand(2, len(lengths), generator=generator, device=lengths.device)
    units = lengths // UNIT - (chance[0] < SHORTER).long()
    cropped = units.clamp(1, window // UNIT) * UNIT
    slack = lengths - cropped
    # rounding may lift chance times a number to that number
    return torch.minimum((chance[1] * (slack + 1)).long(), slack), cropped
