"""A convolutional motion VAE whose latent tokens follow time."""

import torch
from diffusers.configuration_utils import register_to_config
from torch import nn
from torch.nn import functional as F

from motionmamba.models.autoencoder import MotionAutoencoder, Posterior
from motionmamba.models.common import length_mask


class ResidualBlock(nn.Module):
    """Dilated bottleneck convolution with a residual path; padded frames stay zero.

    It has no norm: one over time would let padding into valid frames, and none was needed.
    """

    def __init__(self, width: int, dilation: int):
        super().__init__()
        self.dilated = nn.Conv1d(width, width // 2, 3, padding=dilation, dilation=dilation)
        self.pointwise = nn.Conv1d(width // 2, width, 1)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        h = F.silu(self.dilated(F.silu(x)))
        return (x + self.pointwise(h)) * mask


class ResidualStack(nn.ModuleList):
    """Residual blocks of growing dilation."""

    def __init__(self, width: int, dilations: tuple[int, ...]):
        super().__init__(ResidualBlock(width, dilation) for dilation in dilations)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        for block in self:
            x = block(x, mask)
        return x


class TemporalMotionVAE(MotionAutoencoder):
    """1-D convolutional VAE with one latent token for every few frames.

    Gives the denoiser a latent that grows with the motion, so that it knows its length and
    need not squeeze all of it into two tokens. Residual dilated blocks as in T2M-GPT's (Zhang
    et al. 2023) VQ-VAE, without quantisation. Frames beyond a motion's length never reach valid
    ones.

    Args:
        num_features: F of the motion features.
        latent_channels: C.
        width: channels at the latent's rate; half as many before it.
        num_downsamples: halvings of the rate; 2 give 4 frames a token.
        dilations: of the residual blocks at each rate.
        max_frames: longest motion to be made of these latents; the network takes any.
        scaling_factor: what latents are multiplied by for diffusion.
    """

    @register_to_config
    def __init__(
        self,
        num_features: int = 263,
        latent_channels: int = 64,
        width: int = 512,
        num_downsamples: int = 2,
        dilations: tuple[int, ...] = (1, 3, 9),
        max_frames: int = 196,
        scaling_factor: float = 1.0,
    ):
        super().__init__()
        widths = [width // 2] * num_downsamples + [width]
        steps = list(zip(widths[:-1], widths[1:], strict=True))
        self.encoder_in = nn.Conv1d(num_features, widths[0], 3, padding=1)
        self.encoder_stacks = nn.ModuleList(ResidualStack(w, dilations) for w in widths)
        self.downsamples = nn.ModuleList(nn.Conv1d(a, b, 4, 2, 1) for a, b in steps)
        self.encoder_out = nn.Conv1d(width, 2 * latent_channels, 1)
        self.decoder_in = nn.Conv1d(latent_channels, width, 3, padding=1)
        self.decoder_stacks = nn.ModuleList(ResidualStack(w, dilations) for w in widths[::-1])
        self.upsamples = nn.ModuleList(nn.Conv1d(b, a, 3, padding=1) for a, b in steps[::-1])
        self.decoder_out = nn.Conv1d(widths[0], num_features, 3, padding=1)
        self._register_statistics(num_features)

    @property
    def frames_per_token(self) -> int:
        return 2**self.config.num_downsamples

    def latent_lengths(self, lengths: torch.Tensor) -> torch.Tensor:
        """Latent tokens (B,) of motions of the given lengths (B,); the last may be partly used."""
        return (lengths + self.frames_per_token - 1) // self.frames_per_token

    def _masks(self, lengths: torch.Tensor, tokens: int) -> list[torch.Tensor]:
        """Boolean masks (B, 1, length) of every rate, finest first."""
        mask = length_mask(lengths, tokens * self.frames_per_token)[:, None]
        return [mask[..., :: 2**level] for level in range(self.config.num_downsamples + 1)]

    def encode(self, features: torch.Tensor, lengths: torch.Tensor | None = None) -> Posterior:
        """Posterior of normalised features (B, T, F), of which the first lengths (B,) count."""
        batch, frames, _ = features.shape
        if lengths is None:
            lengths = torch.full((batch,), frames, device=features.device)
        tokens = -(-frames // self.frames_per_token)
        masks = self._masks(lengths, tokens)
        x = F.pad(features.transpose(1, 2), (0, tokens * self.frames_per_token - frames))
        x = self.encoder_in(x * masks[0]) * masks[0]
        x = self.encoder_stacks[0](x, masks[0])
        rest = zip(self.downsamples, self.encoder_stacks[1:], masks[1:], strict=True)
        for downsample, stack, mask in rest:
            x = stack(downsample(x) * mask, mask)
        mean, logvar = self.encoder_out(x).transpose(1, 2).chunk(2, -1)
        return Posterior(mean, logvar, masks[-1][:, 0])

    def _decode(self, latents: torch.Tensor, lengths: torch.Tensor, frames: int) -> torch.Tensor:
        masks = self._masks(lengths, latents.shape[1])[::-1]
        x = self.decoder_in(latents.transpose(1, 2) * masks[0]) * masks[0]
        x = self.decoder_stacks[0](x, masks[0])
        rest = zip(self.upsamples, self.decoder_stacks[1:], masks[1:], strict=True)
        for upsample, stack, mask in rest:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = stack(upsample(x) * mask, mask)
        return (self.decoder_out(F.silu(x)) * masks[-1])[..., :frames].transpose(1, 2)
