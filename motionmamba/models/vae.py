"""MLD's motion VAE: a whole motion in a fixed number of latent tokens."""

from functools import partial

import torch
from diffusers.configuration_utils import register_to_config
from torch import nn

from motionmamba.models.autoencoder import MotionAutoencoder, Posterior
from motionmamba.models.common import length_mask
from motionmamba.models.embeddings import PositionalEmbedding
from motionmamba.models.skip_transformer import SkipTransformer


class MotionVAE(MotionAutoencoder):
    """Transformer VAE with a global latent, after MLD (Chen et al. 2023).

    The encoder reads two learned tokens for each latent, one for its mean and one for its
    log-variance, before the frames; the decoder's queries are positions only and attend to the
    latents. Motion Mamba (Zhang et al. 2024) uses two latents.

    Args:
        num_features: F of the motion features.
        latent_channels: C, also the width of the transformers.
        num_latents: L, the same for motions of every length.
        num_layers: odd number of layers of encoder and decoder each.
        positional: `learned` (MLD) or `sinusoidal`, which also reaches beyond `max_frames`.
        max_frames: longest motion.
        scaling_factor: what latents are multiplied by for diffusion.
    """

    @register_to_config
    def __init__(
        self,
        num_features: int = 263,
        latent_channels: int = 256,
        num_latents: int = 2,
        num_layers: int = 9,
        num_heads: int = 4,
        ff_size: int = 1024,
        dropout: float = 0.1,
        positional: str = "learned",
        max_frames: int = 196,
        scaling_factor: float = 1.0,
    ):
        super().__init__()
        width = latent_channels
        layer_arguments = dict(
            d_model=width,
            nhead=num_heads,
            dim_feedforward=ff_size,
            dropout=dropout,
            activation="gelu",
            batch_first=True,
        )
        encoder_layer = partial(nn.TransformerEncoderLayer, **layer_arguments)
        decoder_layer = partial(nn.TransformerDecoderLayer, **layer_arguments)
        self.feature_embedding = nn.Linear(num_features, width)
        self.distribution_tokens = nn.Parameter(torch.randn(2 * num_latents, width))
        self.encoder_positions = PositionalEmbedding(
            positional, max_frames + 2 * num_latents, width
        )
        self.encoder = SkipTransformer(encoder_layer, num_layers, width)
        self.decoder_positions = PositionalEmbedding(positional, max_frames, width)
        self.decoder = SkipTransformer(decoder_layer, num_layers, width)
        self.feature_projection = nn.Linear(width, num_features)
        self._register_statistics(num_features)

    def latent_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Latent tokens (B,) of motions of the given lengths (B,): always `num_latents`."""
        return torch.full_like(lengths, self.config.num_latents, dtype=torch.long)

    def encode(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> Posterior:
        """Posterior of normalised features (B, T, F), of which the first lengths (B,) count."""
        batch, frames, _ = features.shape
        tokens = self.distribution_tokens.expand(batch, -1, -1)
        x = torch.cat([tokens, self.feature_embedding(features)], 1)
        padding = None
        if lengths is not None:
            # the distribution tokens stand before the frames and always count
            padding = ~length_mask(lengths + tokens.shape[1], x.shape[1])
        x = self.encoder(self.encoder_positions(x), src_key_padding_mask=padding)
        mean, logvar = x[:, : tokens.shape[1]].chunk(2, 1)
        return Posterior(mean, logvar)

    def _decode(self, latents: torch.Tensor, lengths: torch.Tensor, frames: int) -> torch.Tensor:
        mask = length_mask(lengths, frames)
        queries = latents.new_zeros(len(latents), frames, latents.shape[2])
        queries = self.decoder_positions(queries)
        x = self.decoder(queries, memory=latents, tgt_key_padding_mask=~mask)
        return self.feature_projection(x) * mask[..., None]
