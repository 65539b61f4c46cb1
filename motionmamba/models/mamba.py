"""The Mamba block, and the parallel state-space models that HTM and BSM are built of."""

import math
from dataclasses import dataclass

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn
from torch.nn import functional as F

from motionmamba.models.layers import grouped_linear
from motionmamba.ops import (
    causal_conv1d,
    causal_conv1d_update,
    selective_scan,
    selective_state_update,
)

DT_MIN, DT_MAX, DT_FLOOR = 1e-3, 0.1, 1e-4


def initial_a_log(d_inner: int, d_state: int) -> torch.Tensor:
    """S4D-real initialisation: log of 1 ... N in every channel, (d_inner, N)."""
    return torch.arange(1.0, d_state + 1).log().repeat(d_inner, 1)


def initial_dt_bias(d_inner: int) -> torch.Tensor:
    """Bias whose softplus is log-uniform in [DT_MIN, DT_MAX], (d_inner,)."""
    low, high = math.log(DT_MIN), math.log(DT_MAX)
    dt = torch.exp(torch.rand(d_inner) * (high - low) + low).clamp(min=DT_FLOOR)
    return dt + torch.log(-torch.expm1(-dt))


def resolve_dt_rank(dt_rank: int | str, d_model: int) -> int:
    return math.ceil(d_model / 16) if dt_rank == "auto" else dt_rank


@dataclass
class MambaState:
    """What a `Mamba` remembers of the steps before, E being its inner width.

    Args:
        conv: (B, E, d_conv - 1), the convolution's last inputs.
        ssm: (B, E, N), the scan's state, float32.
    """

    conv: torch.Tensor
    ssm: torch.Tensor


class Mamba(ModelMixin, ConfigMixin):
    """The selective state-space block of Gu and Dao (2023).

    Names and shapes of parameters are those of `mamba_ssm.Mamba`, whose state dict loads.

    Args:
        d_model: width D.
        d_state: state N of each channel.
        d_conv: width of the causal convolution.
        expand: inner width over D.
        dt_rank: rank of the step size's projection; `auto` is D / 16.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(
        self,
        d_model: int,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        dt_rank: int | str = "auto",
        conv_bias: bool = True,
        bias: bool = False,
    ):
        super().__init__()
        d_inner, rank = expand * d_model, resolve_dt_rank(dt_rank, d_model)
        self.in_proj = nn.Linear(d_model, 2 * d_inner, bias=bias)
        self.conv1d = nn.Conv1d(d_inner, d_inner, d_conv, groups=d_inner, bias=conv_bias)
        self.x_proj = nn.Linear(d_inner, rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(rank, d_inner)
        self.A_log = nn.Parameter(initial_a_log(d_inner, d_state))
        self.D = nn.Parameter(torch.ones(d_inner))
        self.out_proj = nn.Linear(d_inner, d_model, bias=bias)
        nn.init.uniform_(self.dt_proj.weight, -(rank**-0.5), rank**-0.5)
        with torch.no_grad():
            self.dt_proj.bias.copy_(initial_dt_bias(d_inner))

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Maps (B, L, D) to (B, L, D), causally."""
        x, z = self.in_proj(hidden_states).transpose(1, 2).chunk(2, 1)
        x = causal_conv1d(x, self.conv1d.weight[:, 0], self.conv1d.bias, activation="silu")
        delta, B, C = (m.transpose(1, 2) for m in self._select(x.transpose(1, 2)))
        y = selective_scan(
            x,
            delta,
            -torch.exp(self.A_log.float()),
            B,
            C,
            self.D.float(),
            z=z,
            delta_bias=self.dt_proj.bias.float(),
            delta_softplus=True,
        )
        return self.out_proj(y.transpose(1, 2))

    def initial_state(self, batch_size: int) -> MambaState:
        """The state before the first step."""
        weight = self.conv1d.weight
        return MambaState(
            weight.new_zeros(batch_size, weight.shape[0], weight.shape[2] - 1),
            weight.new_zeros(batch_size, *self.A_log.shape, dtype=torch.float32),
        )

    @torch.no_grad()
    def step(self, hidden_states: torch.Tensor, state: MambaState) -> torch.Tensor:
        """Maps the next token (B, D) to (B, D) as `forward` does; advances `state` in place."""
        x, z = self.in_proj(hidden_states).chunk(2, 1)
        x = causal_conv1d_update(
            x, state.conv, self.conv1d.weight[:, 0], self.conv1d.bias, activation="silu"
        )
        delta, B, C = self._select(x)
        y = selective_state_update(
            state.ssm,
            x,
            delta,
            -torch.exp(self.A_log.float()),
            B,
            C,
            self.D.float(),
            z=z,
            dt_bias=self.dt_proj.bias.float(),
            dt_softplus=True,
        )
        return self.out_proj(y)

    def _select(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The step sizes before their bias (..., E), B and C (..., N) that x (..., E) chooses."""
        sizes = [self.dt_proj.in_features, self.config.d_state, self.config.d_state]
        dt, B, C = self.x_proj(x).split(sizes, -1)
        return F.linear(dt, self.dt_proj.weight), B, C


class ParallelSSM(nn.Module):
    """K isolated selective state-space models, each with its convolution, in one scan.

    Args:
        num_scans: K.
        d_inner: channels E of each scan.
        dt_rank: rank of the step sizes' projections.
        num_backward: how many of the scans, the last ones, run right to left.
        share_conv, share_x_proj: one convolution, one projection to (Δ, B, C) for all scans.
    """

    def __init__(
        self,
        num_scans: int,
        d_inner: int,
        dt_rank: int,
        d_state: int = 16,
        d_conv: int = 4,
        num_backward: int = 0,
        share_conv: bool = False,
        share_x_proj: bool = False,
    ):
        super().__init__()
        self.num_scans = num_scans
        self.reverse = [scan >= num_scans - num_backward for scan in range(num_scans)]
        self.sizes = [dt_rank, d_state, d_state]
        convs, projections = 1 if share_conv else num_scans, 1 if share_x_proj else num_scans
        self.conv_weight = _uniform((convs, d_inner, d_conv), d_conv)
        self.conv_bias = _uniform((convs, d_inner), d_conv)
        self.x_proj = _uniform((projections, d_inner, sum(self.sizes)), d_inner)
        self._add_memories(d_inner, dt_rank, d_state)

    def _add_memories(self, d_inner: int, dt_rank: int, d_state: int):
        self.dt_proj = _uniform((self.num_scans, dt_rank, d_inner), dt_rank)
        self.dt_bias = nn.Parameter(initial_dt_bias(self.num_scans * d_inner))
        self.A_log = nn.Parameter(initial_a_log(self.num_scans * d_inner, d_state))
        self.D = nn.Parameter(torch.ones(self.num_scans * d_inner))

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Scans x (B, L, 1 or K, E) along L to (B, L, K, E).

        Where mask (B, L) is False nothing enters a state, and the output is zero.
        """
        batch, length, _, d_inner = x.shape
        if mask is not None:
            mask = mask[:, :, None]
            x = x * mask[..., None]
        u = x.expand(-1, -1, self.num_scans, -1).flatten(2).transpose(1, 2)
        weight = self.conv_weight.expand(self.num_scans, -1, -1).flatten(0, 1)
        bias = self.conv_bias.expand(self.num_scans, -1).flatten()
        u = causal_conv1d(u, weight, bias, activation="silu", reverse=self.reverse).transpose(1, 2)
        if mask is not None:
            # the convolution's bias reaches padding, too
            u = u * mask
        return self._scan(u).reshape(batch, length, self.num_scans, d_inner)

    def _scan(self, u: torch.Tensor) -> torch.Tensor:
        """The state-space models of all scans on u (B, L, K*E)."""
        dt, B, C = self._select(u)
        delta = grouped_linear(dt, self.dt_proj).flatten(2)
        y = selective_scan(
            u.transpose(1, 2),
            delta.transpose(1, 2),
            -torch.exp(self.A_log.float()),
            B.permute(0, 2, 3, 1),
            C.permute(0, 2, 3, 1),
            self.D.float(),
            delta_bias=self.dt_bias.float(),
            delta_softplus=True,
            reverse=self.reverse,
        )
        return y.transpose(1, 2)

    def _select(self, u: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The step sizes before their projection, B and C, (B, L, K, ·), of u (B, L, K*E)."""
        x_proj = self.x_proj.expand(self.num_scans, -1, -1)
        return grouped_linear(u.unflatten(2, (self.num_scans, -1)), x_proj).split(self.sizes, -1)


def _uniform(shape: tuple[int, ...], fan_in: int) -> nn.Parameter:
    bound = fan_in**-0.5
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
