"""Disturbed motions, from which an evaluator learns what recordings do not look like."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d

KINDS = ("noise", "shuffle", "smooth")
SMOOTHED_OVER = 17  # frames


def disturb(
    features: Tensor, lengths: Tensor, kinds: Sequence[str], deviation: Tensor, generator
) -> tuple[Tensor, Tensor]:
    """Each motion disturbed in one of `kinds`, at random, and how much.

    Noise is white, of up to one deviation; shuffled motions have all their frames in random order;
    smooth ones are blended with their running mean.

    Args:
        features: (B, T, F), beyond its length zero.
        lengths: (B,) in frames.
        kinds: some of `KINDS`.
        deviation: (F,) of recordings, in the unit of the features.
        generator: on the device of the features.

    Returns:
        Features (B, T, F) and levels (B,) from 0, undisturbed, to 1; 1 for shuffled ones.
    """
    batch, frames, _ = features.shape
    device = features.device
    inside = torch.arange(frames, device=device) < lengths[:, None]
    level = torch.rand(batch, generator=generator, device=device)
    chosen = torch.randint(len(kinds), (batch,), generator=generator, device=device)
    disturbed = features
    for i, kind in enumerate(kinds):
        how = level[:, None, None]
        if kind == "noise":
            noise = torch.randn(features.shape, generator=generator, device=device)
            changed = features + how * deviation * noise
        elif kind == "shuffle":
            level = torch.where(chosen == i, 1.0, level)
            changed = _shuffled(features, inside, generator)
        else:
            changed = features.lerp(_running_mean(features, inside), how)
        disturbed = torch.where((chosen == i)[:, None, None], changed, disturbed)
    return disturbed * inside[..., None], level


def _shuffled(features: Tensor, inside: Tensor, generator) -> Tensor:
    keys = torch.rand(inside.shape, generator=generator, device=inside.device)
    order = keys.masked_fill(~inside, 2.0).argsort(dim=1)  # what is beyond the end stays there
    return features.gather(1, order[..., None].expand_as(features))


def _running_mean(features: Tensor, inside: Tensor) -> Tensor:
    def mean(x):
        return avg_pool1d(x, SMOOTHED_OVER, stride=1, padding=SMOOTHED_OVER // 2)

    counts = mean(inside[:, None].to(features.dtype))
    return (mean(features.transpose(1, 2)) / counts.clamp(min=1e-6)).transpose(1, 2)
