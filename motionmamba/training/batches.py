"""Training batches drawn on the device that holds the whole data set."""

import numpy as np
import torch

from motionmamba.data import MotionDataset
from motionmamba.models.text_encoder import TextEmbedding


class WindowSampler:
    """Draws random windows of normalised features for the VAE.

    Args:
        dataset: the packed data set; clips of `split` are used.
        mean, std: feature statistics (F,).
        window: frames of a window; shorter clips are padded with zeros.
        device: where features and batches live.
    """

    def __init__(self, dataset: MotionDataset, split: str, mean, std, window: int, device):
        clips = dataset.split(split)
        if not clips:
            raise ValueError(f"the data set {dataset.name} has no clips in its {split} split")
        mean, std = (torch.as_tensor(x, dtype=torch.float32, device=device) for x in (mean, std))
        features = torch.from_numpy(np.array(dataset.features)).to(device)
        self.features = (features - mean) / std
        self.starts = torch.tensor([c.start for c in clips], device=device)
        self.lengths = torch.tensor([c.length for c in clips], device=device)
        self.window = window

    def __call__(self, batch_size: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Gives `features` (B, T, F) and `lengths` (B,)."""
        device = self.starts.device
        clip = torch.randint(len(self.starts), (batch_size,), generator=generator, device=device)
        slack = (self.lengths[clip] - self.window).clamp(min=0)
        chance = torch.rand(batch_size, generator=generator, device=device)
        offset = (chance * (slack + 1)).long().clamp(max=slack)
        return self.gather(self.starts[clip] + offset, self.lengths[clip].clamp(max=self.window))

    def gather(self, starts: torch.Tensor, lengths: torch.Tensor) -> dict[str, torch.Tensor]:
        """Windows that begin at the frames `starts` (B,) and are valid for `lengths` (B,)."""
        frames = torch.arange(self.window, device=starts.device)
        valid = frames < lengths[:, None]
        index = (starts[:, None] + frames).clamp(max=len(self.features) - 1)
        return {"features": self.features[index] * valid[..., None], "lengths": lengths}


class LatentSampler:
    """Draws VAE latents, resampled from their posterior each time, with a caption's embedding.

    The whole data set is encoded once: mean and standard deviation stay on the device.
    """

    def __init__(self, dataset: MotionDataset, split: str, vae, text: TextEmbedding, device):
        clips = dataset.split(split)
        longest = vae.config.max_frames
        windows = WindowSampler(dataset, split, vae.mean, vae.std, longest, device)
        lengths = windows.lengths.clamp(max=longest)
        self.mean, self.std = _encode_all(vae, windows, lengths)
        self.lengths = vae.latent_lengths(lengths)
        self.tokens, self.mask = text.tokens.to(device), text.mask.to(device)
        most = max(len(c.captions) for c in clips)
        rows = [(c.captions * most)[:most] for c in clips]
        self.captions = torch.tensor(rows, device=device)
        self.caption_counts = torch.tensor([len(c.captions) for c in clips], device=device)

    def __call__(self, batch_size: int, generator: torch.Generator, caption_dropout: float):
        """Gives `latents` (B, L, C), `lengths` (B,), `states` (B, S, C) and `mask` (B, S).

        The last embedded caption is the empty one; it replaces `caption_dropout` of the others.
        """
        device = self.mean.device
        chance = torch.rand(2, batch_size, generator=generator, device=device)
        clip = torch.randint(len(self.mean), (batch_size,), generator=generator, device=device)
        mean, std = self.mean[clip].float(), self.std[clip].float()
        noise = torch.randn(mean.shape, generator=generator, device=device)
        caption = self.captions[clip, (chance[0] * self.caption_counts[clip]).long()]
        caption = torch.where(chance[1] < caption_dropout, len(self.tokens) - 1, caption)
        return {
            "latents": mean + std * noise,
            "lengths": self.lengths[clip],
            "states": self.tokens[caption].float(),
            "mask": self.mask[caption],
        }


@torch.no_grad()
def _encode_all(vae, windows: WindowSampler, lengths: torch.Tensor, batch_size: int = 256):
    means, stds = [], []
    for i in range(0, len(lengths), batch_size):
        batch = windows.gather(windows.starts[i : i + batch_size], lengths[i : i + batch_size])
        posterior = vae.encode(batch["features"], batch["lengths"])
        means.append(posterior.mean.half())
        stds.append((0.5 * posterior.logvar).exp().half())
    scale = vae.config.scaling_factor
    return torch.cat(means) * scale, torch.cat(stds) * scale
