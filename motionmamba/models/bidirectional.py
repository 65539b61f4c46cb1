"""Bidirectional Spatial Mamba (BSM) of Motion Mamba: scans along the latent's channels."""

from functools import reduce

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch.nn import functional as F

from motionmamba.models.common import check_choice, make_norm
from motionmamba.models.layers import Linear
from motionmamba.models.mamba import resolve_dt_rank
from motionmamba.models.mamba2 import PARALLEL_SSMS

DIRECTIONS = {"both": (2, 1), "forward": (1, 0), "backward": (1, 1)}


class BidirectionalSpatialMamba(ModelMixin, ConfigMixin):
    """BSM, Algorithm 2 of Motion Mamba (Zhang et al. 2024).

    The sequence is turned on its side: the channels are scanned in both directions, and the
    tokens are the features of each step. So their number is fixed; where there are fewer, the
    rest is zero.

    Args:
        num_tokens: T, the most tokens of a sequence.
        expand: inner width over T.
        norm: `layer`, `rms` or `none`, over the tokens.
        direction: `both`, `forward` or `backward`.
        projection: `separate` gives each direction its own input projection (the paper's figure),
            `shared` one for both (its algorithm).
        gate: whether SiLU(z) multiplies the sum of the directions, z being projected with them.
        ssm_type: `mamba`, or `mamba2`, whose states decay by one number per head.

    Raises:
        ValueError: for an unknown choice.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(
        self,
        num_tokens: int,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 1,
        dt_rank: int | str = "auto",
        norm: str = "layer",
        direction: str = "both",
        projection: str = "separate",
        gate: bool = False,
        ssm_type: str = "mamba",
    ):
        super().__init__()
        check_choice("direction", direction, tuple(DIRECTIONS))
        check_choice("projection", projection, ("separate", "shared"))
        check_choice("ssm_type", ssm_type, tuple(PARALLEL_SSMS))
        num_scans, num_backward = DIRECTIONS[direction]
        num_inputs = num_scans if projection == "separate" else 1
        d_inner = expand * num_tokens
        self.token_norm = make_norm(norm, num_tokens)
        self.in_proj = Linear(num_tokens, d_inner * num_inputs, bias=False)
        self.gate_proj = Linear(num_tokens, d_inner, bias=False) if gate else None
        self.ssm = PARALLEL_SSMS[ssm_type](
            num_scans,
            d_inner,
            resolve_dt_rank(dt_rank, num_tokens),
            d_state,
            d_conv,
            num_backward,
        )
        self.out_proj = Linear(d_inner, num_tokens, bias=False)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Maps x (B, L, D), L <= T, of which tokens with a True mask (B, L) count, to (B, L, D).

        Raises:
            ValueError: when there are more than T tokens.
        """
        length, num_tokens = x.shape[1], self.config.num_tokens
        if length > num_tokens:
            raise ValueError(
                f"the sequence has {length} tokens, this model was built for {num_tokens}; "
                "shorten it or build the model with more"
            )
        if mask is not None:
            x = x * mask[..., None]
        x = self.token_norm(F.pad(x.transpose(1, 2), (0, num_tokens - length)))
        d_inner = self.out_proj.in_features
        # two summands are faster added than reduced
        y = reduce(torch.add, self.ssm(self.in_proj(x).unflatten(2, (-1, d_inner))).unbind(2))
        if self.gate_proj is not None:
            y = y * F.silu(self.gate_proj(x))
        y = self.out_proj(y)[..., :length].transpose(1, 2)
        return y if mask is None else y * mask[..., None]
