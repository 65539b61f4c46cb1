"""The Mamba-2 block, and its scans in the place of Mamba's in HTM and BSM."""

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn
from torch.nn import functional as F

from motionmamba.models.mamba import ParallelSSM, initial_dt_bias
from motionmamba.ops import causal_conv1d, ssd

A_MIN, A_MAX = 1.0, 16.0
HEAD_DIM = 64


def initial_head_a_log(num_heads: int) -> torch.Tensor:
    """log of -A, uniform in [A_MIN, A_MAX], (num_heads,)."""
    return torch.empty(num_heads).uniform_(A_MIN, A_MAX).log()


class GatedRMSNorm(nn.Module):
    """RMS norm of x * SiLU(z), over each of the groups of channels by itself."""

    def __init__(self, width: int, groups: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.groups = groups

    def forward(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Maps x and z (..., D) to (..., D)."""
        x = (x.float() * F.silu(z.float())).unflatten(-1, (self.groups, -1))
        x = F.rms_norm(x, x.shape[-1:], eps=1e-5).flatten(-2)
        return (x * self.weight).to(z.dtype)


class Mamba2(ModelMixin, ConfigMixin):
    """The state-space block of Dao and Gu (2024), arXiv 2405.21060.

    Names and shapes of parameters are those of `mamba_ssm.Mamba2`, whose state dict loads.

    Args:
        d_model: width D.
        d_state: state N of each channel.
        d_conv: width of the causal convolution.
        expand: inner width over D.
        headdim: width P of each head.
        ngroups: groups G of heads that share B and C.

    Raises:
        ValueError: if heads do not divide the inner width, or groups the heads.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(
        self,
        d_model: int,
        d_state: int = 128,
        d_conv: int = 4,
        expand: int = 2,
        headdim: int = 64,
        ngroups: int = 1,
        conv_bias: bool = True,
        bias: bool = False,
    ):
        super().__init__()
        d_inner = expand * d_model
        if d_inner % headdim:
            raise ValueError(f"headdim is {headdim}, expected a divisor of the width {d_inner}")
        num_heads = d_inner // headdim
        if num_heads % ngroups:
            raise ValueError(f"ngroups is {ngroups}, expected a divisor of the {num_heads} heads")
        d_matrix = ngroups * d_state
        conv_width = d_inner + 2 * d_matrix
        self.sizes = [d_inner, d_matrix, d_matrix]
        self.in_proj = nn.Linear(d_model, d_inner + conv_width + num_heads, bias=bias)
        self.conv1d = nn.Conv1d(conv_width, conv_width, d_conv, groups=conv_width, bias=conv_bias)
        self.dt_bias = nn.Parameter(initial_dt_bias(num_heads))
        self.A_log = nn.Parameter(initial_head_a_log(num_heads))
        self.D = nn.Parameter(torch.ones(num_heads))
        self.norm = GatedRMSNorm(d_inner, ngroups)
        self.out_proj = nn.Linear(d_inner, d_model, bias=bias)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Maps (B, L, D) to (B, L, D), causally."""
        num_heads, groups = len(self.D), self.config.ngroups
        z, xBC, dt = self.in_proj(hidden_states).split(
            [self.sizes[0], sum(self.sizes), num_heads], -1
        )
        xBC = causal_conv1d(
            xBC.transpose(1, 2), self.conv1d.weight[:, 0], self.conv1d.bias, activation="silu"
        )
        x, B, C = xBC.transpose(1, 2).split(self.sizes, -1)
        y = ssd(
            x.unflatten(2, (num_heads, -1)),
            dt,
            -torch.exp(self.A_log.float()),
            B.unflatten(2, (groups, -1)),
            C.unflatten(2, (groups, -1)),
            self.D.float(),
            dt_bias=self.dt_bias.float(),
            dt_softplus=True,
        )
        return self.out_proj(self.norm(y.flatten(2), z))


class ParallelSSM2(ParallelSSM):
    """`ParallelSSM` with Mamba-2's state-space models: one decay and step size for each head.

    The arguments are the same, but dt_rank has no use: a scan's few step sizes are projected
    directly. Heads are as wide as the largest divisor of E up to 64.
    """

    def __init__(self, num_scans: int, d_inner: int, dt_rank: int, *args, **kwargs):
        head_dim = max(width for width in range(1, HEAD_DIM + 1) if d_inner % width == 0)
        # step sizes stand where those of Mamba have their low-rank projection
        super().__init__(num_scans, d_inner, d_inner // head_dim, *args, **kwargs)

    def _add_memories(self, d_inner: int, num_heads: int, d_state: int):
        num_heads *= self.num_scans
        self.dt_bias = nn.Parameter(initial_dt_bias(num_heads))
        self.A_log = nn.Parameter(initial_head_a_log(num_heads))
        self.D = nn.Parameter(torch.ones(num_heads))

    def _scan(self, u: torch.Tensor) -> torch.Tensor:
        dt, B, C = self._select(u)
        y = ssd(
            u.unflatten(2, (len(self.D), -1)),
            dt.flatten(2),
            -torch.exp(self.A_log.float()),
            B,
            C,
            self.D.float(),
            dt_bias=self.dt_bias.float(),
            dt_softplus=True,
            reverse=self.reverse,
        )
        return y.flatten(2)


PARALLEL_SSMS = {"mamba": ParallelSSM, "mamba2": ParallelSSM2}
