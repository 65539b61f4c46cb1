"""MLD's denoiser, the transformer baseline."""

from functools import partial

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn

from motionmamba.models.common import check_tokens, length_mask
from motionmamba.models.embeddings import ConditionEmbedding, PositionalEmbedding
from motionmamba.models.skip_transformer import SkipTransformer


class TransformerDenoiser(ModelMixin, ConfigMixin):
    """Skip transformer over latents, timestep and text, after MLD (Chen et al. 2023).

    Args:
        latent_channels: C of the latents.
        d_model: width D.
        max_tokens: the most latent tokens L; the positions of time and text come after them.
        text_channels: width of the text encoder's tokens.
        num_layers: odd number of layers.
        num_positions: learned positions, for latents, timestep and text together.
        positional: `learned` (MLD's code) or `sinusoidal`.
        text_activation: before the projection of text, `relu` (MLD) or `none`.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 256,
        d_model: int = 256,
        max_tokens: int = 2,
        text_channels: int = 768,
        num_layers: int = 9,
        num_heads: int = 4,
        ff_size: int = 1024,
        dropout: float = 0.1,
        num_positions: int = 500,
        positional: str = "learned",
        text_activation: str = "relu",
    ):
        super().__init__()
        self.condition_embedding = ConditionEmbedding(text_channels, d_model, text_activation)
        self.in_proj = nn.Linear(latent_channels, d_model)
        self.positions = PositionalEmbedding(positional, num_positions, d_model)
        make_layer = partial(
            nn.TransformerEncoderLayer,
            d_model,
            num_heads,
            ff_size,
            dropout,
            activation="gelu",
            batch_first=True,
        )
        self.transformer = SkipTransformer(make_layer, num_layers, d_model)
        self.out_proj = nn.Linear(d_model, latent_channels)

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor | int,
        encoder_hidden_states: torch.Tensor,
        encoder_attention_mask: torch.Tensor | None = None,
        lengths: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Predicts noise (or what the scheduler asks for) of shape (B, L, C).

        Arguments as of `MotionMambaDenoiser.forward`.

        Raises:
            ValueError: when L exceeds `max_tokens`, or text the learned positions.
        """
        batch, num_latents, _ = sample.shape
        check_tokens(num_latents, self.config.max_tokens)
        time, text, text_mask = self.condition_embedding(
            timestep, encoder_hidden_states, encoder_attention_mask
        )
        latents = self.positions(self.in_proj(sample))
        # a fixed start, so that the padding of latents does not move the conditions
        conditions = torch.cat([time[:, None], text], 1)
        conditions = self.positions(conditions, start=self.config.max_tokens)
        mask = text_mask.new_ones(batch, num_latents)
        if lengths is not None:
            mask = length_mask(lengths, num_latents)
        mask = torch.cat([mask, text_mask.new_ones(batch, 1), text_mask], 1)
        x = torch.cat([latents, conditions], 1)
        x = self.transformer(x, src_key_padding_mask=~mask)
        return self.out_proj(x[:, :num_latents])
