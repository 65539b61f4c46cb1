"""Embeddings of position, diffusion timestep and text."""

import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps, get_timestep_embedding
from torch import nn

from motionmamba.models.common import check_choice
from motionmamba.models.layers import Linear


class PositionalEmbedding(nn.Module):
    """Adds one vector a position: `learned` for `num_positions` of them, or `sinusoidal`."""

    def __init__(self, kind: str, num_positions: int, dim: int):
        super().__init__()
        check_choice("positional", kind, ("learned", "sinusoidal"))
        # uniform in [0, 1), as MLD initialises it
        self.weight = nn.Parameter(torch.rand(num_positions, dim)) if kind == "learned" else None

    def forward(self, x: torch.Tensor, start: int = 0) -> torch.Tensor:
        """Adds the embeddings of the positions from `start` on to x (B, L, D).

        Raises:
            ValueError: when learned positions do not reach that far.
        """
        stop = start + x.shape[1]
        if self.weight is None:
            positions = torch.arange(start, stop, device=x.device)
            return x + get_timestep_embedding(positions, x.shape[2]).to(x.dtype)
        if stop > len(self.weight):
            raise ValueError(
                f"the sequence reaches position {stop}, but {len(self.weight)} positions were "
                "learned; shorten it or use sinusoidal positions"
            )
        return x + self.weight[start:stop]


class ConditionEmbedding(nn.Module):
    """Timestep and text tokens at the width of the model, as in MLD (Chen et al. 2023).

    Args:
        text_channels: width of the text encoder's tokens and of the timestep's sinusoid.
        d_model: width D of the embeddings.
        text_activation: what precedes the linear projection of text, `relu` (MLD) or `none`.
    """

    def __init__(self, text_channels: int, d_model: int, text_activation: str = "relu"):
        super().__init__()
        check_choice("text_activation", text_activation, ("relu", "none"))
        self.sinusoid = Timesteps(text_channels, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(text_channels, d_model)
        self.activation = nn.ReLU() if text_activation == "relu" else nn.Identity()
        self.text_projection = Linear(text_channels, d_model)

    def forward(self, timestep, text: torch.Tensor, text_mask: torch.Tensor | None):
        """Embeds timestep (B,) or int and text (B, S, text_channels) with mask (B, S) or None.

        Returns:
            time (B, D), text (B, S, D) and the text's mask (B, S).
        """
        if text_mask is None:
            text_mask = text.new_ones(text.shape[:2], dtype=torch.bool)
        timestep = torch.as_tensor(timestep, device=text.device).expand(len(text))
        time = self.time_embedding(self.sinusoid(timestep).to(text.dtype))
        return time, self.text_projection(self.activation(text)), text_mask.bool()
