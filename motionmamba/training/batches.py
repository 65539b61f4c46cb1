"""Training batches drawn on the device that holds the whole split."""

from collections import Counter
from collections.abc import Callable
from statistics import fmean
from typing import NamedTuple

import numpy as np
import torch
from omegaconf import DictConfig

from motionmamba.data import MotionDataset
from motionmamba.data.crops import UNIT, Stretch, captioned_stretches, random_crops
from motionmamba.data.text.scenery import set_scene
from motionmamba.models.autoencoder import MotionAutoencoder
from motionmamba.training.text import CaptionEmbeddings


class Bucket(NamedTuple):
    """Motions of about one length: their indices (N,), the frames that hold their crops, and how
    likely one of the first 1 ... N is drawn."""

    items: torch.Tensor
    frames: int
    likely: torch.Tensor

    def draw(self, batch_size: int, generator: torch.Generator) -> torch.Tensor:
        """Indices (B,) of motions, with repetition."""
        chance = torch.rand(batch_size, generator=generator, device=self.items.device)
        place = torch.searchsorted(self.likely, chance.to(self.likely.dtype), right=True)
        return self.items[place.clamp(max=len(self.items) - 1)]


class Buckets:
    """Motions grouped by length, so that a batch of one group has little padding.

    Args:
        lengths: frames (N,) of all motions, at least one unit each.
        window: frames of the longest crop.
        count: groups, each as large as the others. More than one are for the processor: which
            one a batch is of decides its shape, and shapes are the host's.
        weights: how likely each motion (N,) is drawn, against the others; all alike by default.
    """

    def __init__(
        self, lengths: torch.Tensor, window: int, count: int, weights: torch.Tensor | None = None
    ):
        weights = torch.ones_like(lengths) if weights is None else weights.to(lengths.device)

        def bucket(items):
            longest = int(lengths[items].max()) // UNIT * UNIT
            likely = weights[items].double().cumsum(0)
            return Bucket(items, min(longest, window), likely / likely[-1])

        order = lengths.argsort(stable=True)
        self.everything = bucket(order)
        self.groups = [bucket(items) for items in order.tensor_split(count) if len(items)]
        self.sizes = torch.stack([weights[group.items].sum().float() for group in self.groups])

    def pick(self, generator: torch.Generator) -> Bucket:
        """A random group, as likely as all of its motions together."""
        if len(self.groups) == 1:
            return self.everything
        return self.groups[int(torch.multinomial(self.sizes, 1, generator=generator))]


def bucket_count(train: DictConfig, device: torch.device) -> int:
    """`train.buckets`; one where steps are a CUDA graph, which has one shape."""
    if train.buckets < 1:
        raise ValueError(f"train.buckets is {train.buckets}, expected 1 or more groups of clips")
    return train.buckets if device.type == "cpu" else 1


class WindowSampler:
    """Draws random crops of normalised features: whole units, of a long motion `window` frames.

    Args:
        dataset: the packed data set; clips of `split` are used.
        mean, std: feature statistics (F,).
        window: frames of the longest crop; shorter ones are padded with zeros.
        device: where features and batches live.
        buckets: groups of motions of about one length that a batch is drawn from.
        stretches: what to draw from, all clips by default.
        weights: as in `Buckets`, of the stretches.

    Raises:
        ValueError: when there is nothing to draw, or something shorter than a unit.
    """

    def __init__(
        self,
        dataset: MotionDataset,
        split: str,
        mean,
        std,
        window: int,
        device,
        buckets: int = 1,
        stretches: list[Stretch] | None = None,
        weights: torch.Tensor | None = None,
    ):
        clips = dataset.split(split)
        if not clips:
            raise ValueError(f"the data set {dataset.name} has no clips in its {split} split")
        if window < UNIT:
            raise ValueError(f"the window has {window} frames, expected {UNIT} or more")
        stretches = stretches or [Stretch(i, 0, c.length, []) for i, c in enumerate(clips)]
        for stretch in stretches:
            if stretch.length < UNIT:
                raise ValueError(
                    f"the clip {clips[stretch.clip].name} or a part of it has {stretch.length} "
                    f"frames, training needs {UNIT} or more; prepare the data set without it"
                )
        features, starts = dataset.expand(clips, device)
        mean, std = (torch.as_tensor(x, dtype=torch.float32, device=device) for x in (mean, std))
        self.features = features.sub_(mean).div_(std)
        clip, first, self.lengths = torch.tensor([s[:3] for s in stretches], device=device).T
        self.starts = starts[clip] + first
        self.window = window // UNIT * UNIT
        self.buckets = Buckets(self.lengths, self.window, buckets, weights)

    def __call__(
        self, batch_size: int, generator: torch.Generator, bucket: Bucket | None = None
    ) -> dict[str, torch.Tensor]:
        """Gives `features` (B, T, F) and `lengths` (B,), of a random bucket or the given one."""
        bucket = bucket or self.buckets.pick(generator)
        return self.crop(bucket.draw(batch_size, generator), bucket.frames, generator)

    def crop(
        self, items: torch.Tensor, frames: int, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """A random crop of each of the motions `items` (B,), padded to `frames`."""
        lengths = self.lengths[items]
        offset, cropped = random_crops(lengths, self.window, generator)
        return self.gather(self.starts[items] + offset, cropped, frames)

    def gather(
        self, starts: torch.Tensor, lengths: torch.Tensor, frames: int
    ) -> dict[str, torch.Tensor]:
        """What begins at the rows `starts` (B,), `lengths` (B,) of `frames` being valid."""
        time = torch.arange(frames, device=starts.device)
        valid = time < lengths[:, None]
        index = (starts[:, None] + time).clamp(max=len(self.features) - 1)
        return {"features": self.features[index] * valid[..., None], "lengths": lengths}


class LatentSampler:
    """Draws VAE latents, sampled from their posterior each time, with a caption's embedding.

    A caption of a part of a clip goes with that part, the others with the whole clip.

    Args:
        embed: gives the embeddings of the texts that it is called with: captions of the split,
            each followed by its `scenes`, and, last, the empty one.
        random_crops: encode a new crop of a motion each time. Otherwise all motions are encoded
            once, from their first frame, and posteriors stay on the device in place of features.
        buckets: as in `WindowSampler`.
        balance: how much more often what is rare is drawn, see `rarity`.
        scenes: how often each caption is told again with somebody and somewhere, see `set_scene`.

    Raises ValueError when `scenes` is negative.
    """

    def __init__(
        self,
        dataset: MotionDataset,
        split: str,
        vae: MotionAutoencoder,
        embed: Callable[[list[str]], CaptionEmbeddings],
        device,
        random_crops: bool = True,
        buckets: int = 1,
        balance: float = 0.0,
        scenes: int = 0,
    ):
        if scenes < 0:
            raise ValueError(f"train.scenes is {scenes}, expected 0 or more of each caption")
        stretches = captioned_stretches(dataset, split)
        weights = rarity(dataset, stretches, balance)
        longest = vae.config.max_frames
        windows = WindowSampler(
            dataset, split, vae.mean, vae.std, longest, device, buckets, stretches, weights
        )
        self.vae, self.buckets = vae, windows.buckets
        self.windows = windows if random_crops else None
        self.posteriors = None if random_crops else _encode_all(vae, windows)
        used = sorted({index for s in stretches for index in s.captions})
        texts = told_with_scenes([dataset.captions[index] for index in used], scenes)
        self.text = embed([*texts, ""]).to(device)
        wordings = {
            index: range(i * (scenes + 1), (i + 1) * (scenes + 1)) for i, index in enumerate(used)
        }
        told = [[place for index in s.captions for place in wordings[index]] for s in stretches]
        most = max(map(len, told))
        self.captions = torch.tensor([(row * most)[:most] for row in told], device=device)
        self.caption_counts = torch.tensor([len(row) for row in told], device=device)

    def __call__(
        self, batch_size: int, generator: torch.Generator, caption_dropout: float
    ) -> dict[str, torch.Tensor]:
        """Gives `latents` (B, L, C), `lengths` (B,), `states` (B, S, C) and `mask` (B, S).

        The last embedded caption is the empty one; it replaces `caption_dropout` of the others.
        """
        bucket = self.buckets.pick(generator)
        items = bucket.draw(batch_size, generator)
        latents, lengths = self._latents(items, bucket.frames, generator)
        chance = torch.rand(2, batch_size, generator=generator, device=items.device)
        caption = self.captions[items, (chance[0] * self.caption_counts[items]).long()]
        caption = torch.where(chance[1] < caption_dropout, len(self.text) - 1, caption)
        states, mask = self.text.padded(caption)
        return {"latents": latents, "lengths": lengths, "states": states.float(), "mask": mask}

    @torch.no_grad()
    def _latents(
        self, items: torch.Tensor, frames: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self.windows is not None:
            batch = self.windows.crop(items, frames, generator)
            posterior = self.vae.encode(batch["features"], batch["lengths"])
            latents = posterior.sample(generator) * self.vae.config.scaling_factor
            return latents, self.vae.latent_lengths(batch["lengths"])
        means, stds, lengths = self.posteriors
        tokens = _tokens(self.vae, frames)
        mean, std = (x[items, :tokens].float() for x in (means, stds))
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        return mean + std * noise, lengths[items]


def told_with_scenes(captions: list[str], scenes: int) -> list[str]:
    """Each caption and, after it, `scenes` others of it; the same ones in every run."""
    rng = np.random.default_rng(0)
    return [
        text
        for caption in captions
        for text in (caption, *(set_scene(caption, rng) for _ in range(scenes)))
    ]


def rarity(dataset: MotionDataset, stretches: list[Stretch], power: float) -> torch.Tensor:
    """How rare is what is told of each stretch: count ** -power, averaged over verbs and captions.

    The count is that of stretches with the verb; 0 weighs all alike, 1 each verb as much as any
    other. A mean, so that one caption's rare word does not make a rare motion of a walk.
    """
    verbs = [
        [
            word
            for word, _, tag in (token.rpartition("/") for token in tokens.split())
            if tag == "VERB"
        ]
        for tokens in dataset.tokens
    ]
    counts = Counter(verb for s in stretches for verb in {v for i in s.captions for v in verbs[i]})

    def weigh(caption: int) -> float:
        return fmean(counts[verb] ** -power for verb in verbs[caption] or [None])

    counts[None] = len(stretches)
    return torch.tensor([fmean(weigh(i) for i in s.captions) for s in stretches])


def _tokens(vae: MotionAutoencoder, frames: int) -> int:
    return int(vae.latent_lengths(torch.tensor([frames])))


@torch.no_grad()
def _encode_all(vae: MotionAutoencoder, windows: WindowSampler, batch_size: int = 256):
    """Scaled means and deviations (N, L, C) of all motions, float16, and their lengths (N,)."""
    lengths = (windows.lengths // UNIT * UNIT).clamp(max=windows.window)
    everything = windows.buckets.everything
    size = len(lengths), _tokens(vae, everything.frames), vae.config.latent_channels
    means, stds = torch.zeros(2, *size, dtype=torch.half, device=lengths.device)
    for items in everything.items.split(batch_size):
        batch = windows.gather(windows.starts[items], lengths[items], int(lengths[items].max()))
        posterior = vae.encode(batch["features"], batch["lengths"])
        deviation = (0.5 * posterior.logvar).exp() * posterior.mask
        tokens = posterior.mean.shape[1]
        means[items, :tokens] = (posterior.mean * vae.config.scaling_factor).half()
        stds[items, :tokens] = (deviation * vae.config.scaling_factor).half()
    return means, stds, vae.latent_lengths(lengths)
