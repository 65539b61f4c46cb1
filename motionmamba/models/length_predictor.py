"""How long a motion of a sentence takes: the length estimator of text-to-motion."""

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn

from motionmamba.models.common import mean_token

UNIT = 4  # frames: Guo et al. 2022 tell lengths apart in these


class LengthPredictor(ModelMixin, ConfigMixin):
    """The distribution of a motion's length given its text, as Guo et al. 2022 estimate it.

    Theirs is a recurrent network over words. This one sees the mean of a frozen text encoder's
    tokens, which is much smaller and has less to learn a few thousand motions by heart with.
    Lengths are whole units of 4 frames, at the rate of the motions that it was trained on.

    Args:
        text_channels: width C of the text encoder's tokens.
        hidden_size: width of the one hidden layer.
        dropout: of the mean token and of the hidden layer.
        max_frames: longest motion.
    """

    @register_to_config
    def __init__(
        self,
        text_channels: int = 384,
        hidden_size: int = 256,
        dropout: float = 0.4,
        max_frames: int = 196,
    ):
        super().__init__()
        if max_frames < UNIT:
            raise ValueError(f"max_frames is {max_frames}, expected {UNIT} or more")
        self.layers = nn.Sequential(
            nn.LayerNorm(text_channels),
            nn.Dropout(dropout),
            nn.Linear(text_channels, hidden_size),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_size, max_frames // UNIT),
        )

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits (B, U) of 1 ... U units, of text tokens (B, S, C) with their mask (B, S).

        Raises:
            ValueError: when the tokens are those of another text encoder.
        """
        if states.shape[-1] != self.config.text_channels:
            raise ValueError(
                f"the text has {states.shape[-1]} channels, this length predictor was trained on "
                f"{self.config.text_channels}; use the text encoder that it was trained with"
            )
        return self.layers(mean_token(states.float(), mask).to(self.dtype))

    def classes(self, lengths: torch.Tensor) -> torch.Tensor:
        """The logit (B,) that stands for each of the lengths (B,) in frames.

        A length counts as the whole units in it, as motions are cropped; what is longer than the
        longest, as the longest.
        """
        return (lengths // UNIT).clamp(1, self.config.max_frames // UNIT) - 1

    @torch.no_grad()
    def predict(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The median length (B,) in frames, of text tokens (B, S, C) with their mask (B, S).

        A median is never at the edge of what is likely, as a drawn length may be, and has the
        smallest mean absolute error.
        """
        return median_length(self._probabilities(states, mask))

    @torch.no_grad()
    def sample(
        self, states: torch.Tensor, mask: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """A random length (B,) in frames, drawn on the generator's device."""
        probabilities = self._probabilities(states, mask).to(generator.device)
        units = torch.multinomial(probabilities, 1, generator=generator)[:, 0] + 1
        return units.to(states.device) * UNIT

    def _probabilities(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self(states, mask).float().softmax(-1)


def median_length(probabilities: torch.Tensor) -> torch.Tensor:
    """The median (...) in frames, of how likely lengths of 1 ... U units are (..., U)."""
    return ((probabilities.cumsum(-1) < 0.5).sum(-1) + 1) * UNIT
