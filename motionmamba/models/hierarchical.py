"""Hierarchical Temporal Mamba (HTM) of Motion Mamba: isolated scans side by side."""

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch.nn import functional as F

from motionmamba.models.common import check_choice
from motionmamba.models.layers import Linear
from motionmamba.models.mamba import resolve_dt_rank
from motionmamba.models.mamba2 import PARALLEL_SSMS

NUM_BACKWARD = {"forward": lambda k: 0, "backward": lambda k: k, "alternate": lambda k: k // 2}


class HierarchicalTemporalMamba(ModelMixin, ConfigMixin):
    """One level of HTM, Algorithm 1 of Motion Mamba (Zhang et al. 2024).

    One linear layer feeds k state-space models with memories A_1 ... A_k of their own; what
    they give is aggregated and projected back. The paper leaves the rest open: options.

    Args:
        d_model: width D.
        num_scans: k.
        expand: inner width E over D.
        aggregate: `sum` of the scans, or `concat` of their channels before the last projection.
        gate: `scan` multiplies each scan by SiLU(z) as in Mamba, `none` leaves z out.
        scan_direction: `forward`, `backward`, or `alternate`: half of the scans, rounded down,
            run right to left.
        share_conv, share_x_proj: one convolution, one projection to (Δ, B, C) for all scans.
        ssm_type: `mamba`, or `mamba2`, whose states decay by one number per head.

    Raises:
        ValueError: for an unknown choice or less than one scan.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(
        self,
        d_model: int,
        num_scans: int,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 1,
        dt_rank: int | str = "auto",
        aggregate: str = "sum",
        gate: str = "scan",
        scan_direction: str = "forward",
        share_conv: bool = False,
        share_x_proj: bool = False,
        ssm_type: str = "mamba",
    ):
        super().__init__()
        check_choice("aggregate", aggregate, ("sum", "concat"))
        check_choice("gate", gate, ("scan", "none"))
        check_choice("scan_direction", scan_direction, tuple(NUM_BACKWARD))
        check_choice("ssm_type", ssm_type, tuple(PARALLEL_SSMS))
        if num_scans < 1:
            raise ValueError(f"num_scans is {num_scans}, expected at least 1")
        d_inner = expand * d_model
        self.in_proj = Linear(d_model, d_inner * (2 if gate == "scan" else 1), bias=False)
        self.ssm = PARALLEL_SSMS[ssm_type](
            num_scans,
            d_inner,
            resolve_dt_rank(dt_rank, d_model),
            d_state,
            d_conv,
            NUM_BACKWARD[scan_direction](num_scans),
            share_conv,
            share_x_proj,
        )
        d_aggregate = d_inner * (num_scans if aggregate == "concat" else 1)
        self.out_proj = Linear(d_aggregate, d_model, bias=False)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Maps x (B, L, D), of which tokens with a True mask (B, L) count, to (B, L, D)."""
        h = self.in_proj(x)[:, :, None]
        gated = self.config.gate == "scan"
        if gated:
            h, z = h.chunk(2, -1)
        y = self.ssm(h, mask)
        if self.config.aggregate == "sum":
            y = y.sum(2, keepdim=True)
        if gated:
            # all scans share z, so that the gate may follow their sum
            y = y * F.silu(z)
        return self.out_proj(y.flatten(2))
