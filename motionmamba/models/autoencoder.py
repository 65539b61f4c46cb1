"""What both motion VAEs share: the posterior, feature statistics and the forward pass."""

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.utils.torch_utils import randn_tensor


class Posterior:
    """Diagonal Gaussian over latents.

    Args:
        mean, logvar: (B, L, C).
        mask: (B, L), True at valid tokens, or None when all are. Elsewhere mean, samples and
            divergence are zero.
    """

    def __init__(self, mean: torch.Tensor, logvar: torch.Tensor, mask: torch.Tensor | None = None):
        if mask is None:
            mask = mean.new_ones(mean.shape[:2], dtype=torch.bool)
        self.mask = mask[..., None]
        self.mean = mean.float() * self.mask
        self.logvar = logvar.float().clamp(-30.0, 20.0) * self.mask

    def sample(self, generator: torch.Generator | None = None) -> torch.Tensor:
        """Reparameterised sample (B, L, C)."""
        noise = randn_tensor(
            self.mean.shape, generator, device=self.mean.device, dtype=self.mean.dtype
        )
        return self.mean + torch.exp(0.5 * self.logvar) * noise * self.mask

    def kl(self) -> torch.Tensor:
        """Divergence from the standard normal, the mean over all valid entries."""
        divergence = 0.5 * (self.mean.square() + self.logvar.exp() - 1.0 - self.logvar)
        return (divergence * self.mask).sum() / (self.mask.sum() * self.mean.shape[-1])


class MotionAutoencoder(ModelMixin, ConfigMixin):
    """Base of the motion VAEs; a subclass gives `encode`, `latent_lengths` and `_decode`."""

    config_name = "config.json"

    def _register_statistics(self, num_features: int):
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("std", torch.ones(num_features))

    def set_statistics(self, mean, std):
        """Stores the data set's mean and standard deviation (F,), saved with the weights."""
        self.mean.copy_(torch.as_tensor(mean))
        self.std.copy_(torch.as_tensor(std))

    def normalize(self, features: torch.Tensor) -> torch.Tensor:
        """Features (..., F) to zero mean and unit deviation."""
        return (features - self.mean) / self.std

    def denormalize(self, features: torch.Tensor) -> torch.Tensor:
        """The inverse of `normalize`."""
        return features * self.std + self.mean

    def decode(self, latents: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Decodes latents (B, L, C) to normalised features (B, T, F).

        Args:
            lengths: frames (B,); T is the longest, frames beyond each length are zero.

        Raises:
            ValueError: when there are too few latent tokens for the lengths.
        """
        needed = int(self.latent_lengths(lengths).max())
        if latents.shape[1] < needed:
            raise ValueError(
                f"latents have {latents.shape[1]} tokens, {int(lengths.max())} frames need "
                f"{needed}; give latent_lengths(lengths) tokens"
            )
        return self._decode(latents, lengths, int(lengths.max()))

    def forward(
        self,
        features: torch.Tensor,
        lengths: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[torch.Tensor, Posterior]:
        """Reconstructs normalised features (B, T, F) of lengths (B,) from a posterior sample."""
        if lengths is None:
            lengths = torch.full((len(features),), features.shape[1], device=features.device)
        posterior = self.encode(features, lengths)
        return self._decode(posterior.sample(generator), lengths, features.shape[1]), posterior
