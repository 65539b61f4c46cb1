"""Motion Mamba's denoiser: a U of HTM and BSM blocks around one attention layer."""

from collections.abc import Sequence

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn
from torch.nn import functional as F

from motionmamba.models.bidirectional import BidirectionalSpatialMamba
from motionmamba.models.common import check_choice, check_tokens, length_mask, make_norm, mean_token
from motionmamba.models.embeddings import ConditionEmbedding, PositionalEmbedding
from motionmamba.models.hierarchical import HierarchicalTemporalMamba
from motionmamba.models.layers import Attention, Linear

BSM_DIRECTIONS = {
    "block": ("both", "both"),
    "layer": ("forward", "backward"),
    "single": ("forward", "forward"),
}


class MotionMambaBlock(nn.Module):
    """x + Linear(x) ⊙ BSM(HTM(x)), optionally modulated by time and attending to text.

    Args:
        htm: its `HierarchicalTemporalMamba`, or `SelfAttention` in its place.
        bsm: its `BidirectionalSpatialMamba`, or None to leave it out.
        norm: `layer`, `rms` or `none`, over the block's input.
        residual: whether the input is added to the output.
        gated: whether the multiplicative side path exists.
        modulated: whether shift, scale and output gate come from a condition, as in DiT.
        text_heads: heads of the cross-attention to text that ends the block, 0 for none.
    """

    def __init__(
        self,
        d_model: int,
        htm: nn.Module,
        bsm: nn.Module | None,
        norm: str,
        residual: bool,
        gated: bool,
        modulated: bool,
        text_heads: int,
        dropout: float,
    ):
        super().__init__()
        self.htm, self.bsm, self.residual = htm, bsm, residual
        self.norm = make_norm(norm, d_model)
        self.gate = Linear(d_model, d_model) if gated else None
        self.modulation = Linear(d_model, 3 * d_model) if modulated else None
        self.dropout = nn.Dropout(dropout)
        self.text_attention = None
        if text_heads:
            self.text_norm = make_norm(norm, d_model)
            # attending to zero as well keeps a text without valid tokens finite
            self.text_attention = Attention(d_model, text_heads, dropout, add_zero_attn=True)

    def forward(self, x, mask, condition, text, text_mask) -> torch.Tensor:
        """Maps x (B, L, D) to (B, L, D), given condition (B, D) and text (B, S, D)."""
        h = self.norm(x)
        if self.modulation is not None:
            modulation = self.modulation(F.silu(condition))[:, None]
            shift, scale, strength = modulation.chunk(3, -1)
            h = h * (1 + scale) + shift
        y = self.htm(h, mask)
        if self.bsm is not None:
            y = self.bsm(y, mask)
        if self.gate is not None:
            y = self.gate(h) * y
        if self.modulation is not None:
            y = strength * y
        y = self.dropout(y)
        x = x + y if self.residual else y
        if self.text_attention is not None:
            x = x + self.text_attention(self.text_norm(x), text, text_mask)
        return x


class SelfAttention(nn.Module):
    """What takes the place of HTM and BSM in the attention blocks of a hybrid."""

    def __init__(self, d_model: int, num_heads: int, dropout: float):
        super().__init__()
        self.attention = Attention(d_model, num_heads, dropout)

    def forward(self, x, mask) -> torch.Tensor:
        """Maps x (B, L, D), of which tokens with a True mask (B, L) count, to (B, L, D)."""
        return self.attention(x, x, mask)


class AttentionMixer(nn.Module):
    """One post-norm transformer layer as in MLD, attending to a given context."""

    def __init__(self, d_model: int, num_heads: int, ff_size: int, dropout: float):
        super().__init__()
        self.attention = Attention(d_model, num_heads, dropout)
        self.feed_forward = nn.Sequential(
            Linear(d_model, ff_size), nn.GELU(), nn.Dropout(dropout), Linear(ff_size, d_model)
        )
        self.attention_norm = nn.LayerNorm(d_model)
        self.feed_forward_norm = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, context, context_mask) -> torch.Tensor:
        """Maps x (B, L, D) to (B, L, D), given context (B, S, D) and its mask (B, S)."""
        x = self.attention_norm(x + self.dropout(self.attention(x, context, context_mask)))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))


class MotionMambaDenoiser(ModelMixin, ConfigMixin):
    """ε_θ = {E_1 ... E_N, M, D_1 ... D_N} of Motion Mamba (Zhang et al. 2024).

    The paper leaves much open. Each gap is an option here; the defaults are this project's
    canonical reading, filled from MLD (Chen et al. 2023) where Motion Mamba says nothing.
    `residual=False, norm="none", gate="none"` is the paper's figure taken literally.

    Args:
        latent_channels: C of the latents.
        d_model: width D.
        max_tokens: the most latent tokens L.
        text_channels: width of the text encoder's tokens.
        scans: parallel scans of each encoder level; the decoder mirrors them. Five levels and
            the mixer make the paper's 11 layers.
        d_state, d_conv, expand, dt_rank: of all state-space models.
        scan_direction, share_conv, share_x_proj, aggregate, gate: of `HierarchicalTemporalMamba`.
        norm: `layer`, `rms` or `none`.
        residual: whether a block adds its input.
        block_gate: whether a block multiplies by a linear map of its input.
        use_bsm: whether blocks have a `BidirectionalSpatialMamba`.
        bsm_direction: `block` scans both ways in every block, `layer` alternates from block to
            block, `single` scans forward.
        bsm_projection, bsm_gate: `projection` and `gate` of `BidirectionalSpatialMamba`.
        mixer: M attends to the sequence (`self`) or to time and text (`cross`).
        num_heads, ff_size, dropout: of M; text cross-attention has as many heads.
        skip: `concat` and project, `add` or `none`.
        time_conditioning: `token` in the sequence, `add` to all tokens, or `adaln` in each block.
        text_conditioning: tokens in the scanned `sequence`, `cross_attention` in each block, or
            in the `mixer` alone. With `adaln` the mean of the text's tokens joins the time.
        max_text_tokens: text tokens in the sequence; further ones are cut.
        condition_order: tokens of time and text stand `first` or `last` in the sequence. A
            forward scan passes nothing from the last tokens to latents.
        positional: `learned`, `sinusoidal` or `none`.
        text_activation: before the projection of text, `relu` (MLD) or `none`.
        ssm: `mamba`, or `mamba2`, whose states decay by one number per head.
        attention_every: n makes every n-th block an attention block, self-attention in the place
            of HTM and BSM, counted from the first of the encoder to the last of the decoder; 0
            makes none.

    Raises:
        ValueError: for an unknown choice or one that contradicts another.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 256,
        d_model: int = 256,
        max_tokens: int = 2,
        text_channels: int = 768,
        scans: Sequence[int] = (9, 7, 5, 3, 1),
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 1,
        dt_rank: int | str = "auto",
        scan_direction: str = "forward",
        share_conv: bool = False,
        share_x_proj: bool = False,
        aggregate: str = "sum",
        gate: str = "scan",
        norm: str = "layer",
        residual: bool = True,
        block_gate: bool = True,
        use_bsm: bool = True,
        bsm_direction: str = "block",
        bsm_projection: str = "separate",
        bsm_gate: bool = False,
        mixer: str = "self",
        num_heads: int = 4,
        ff_size: int = 1024,
        dropout: float = 0.1,
        skip: str = "concat",
        time_conditioning: str = "token",
        text_conditioning: str = "sequence",
        max_text_tokens: int = 1,
        condition_order: str = "first",
        positional: str = "learned",
        text_activation: str = "relu",
        ssm: str = "mamba",
        attention_every: int = 0,
    ):
        super().__init__()
        check_choice("bsm_direction", bsm_direction, tuple(BSM_DIRECTIONS))
        check_choice("mixer", mixer, ("self", "cross"))
        check_choice("skip", skip, ("concat", "add", "none"))
        check_choice("time_conditioning", time_conditioning, ("token", "add", "adaln"))
        check_choice(
            "text_conditioning", text_conditioning, ("sequence", "cross_attention", "mixer")
        )
        check_choice("condition_order", condition_order, ("first", "last"))
        check_choice("ssm", ssm, ("mamba", "mamba2"))
        if not scans or any(k < 1 for k in scans):
            raise ValueError(f"scans are {list(scans)}, expected at least one scan at each level")
        if attention_every < 0:
            raise ValueError(f"attention_every is {attention_every}, expected 0 or more")
        if time_conditioning == "adaln" and not residual:
            raise ValueError("time_conditioning 'adaln' gates the residual; set residual=True")

        self.num_conditions = (time_conditioning == "token") + (
            max_text_tokens if text_conditioning == "sequence" else 0
        )
        num_tokens = max_tokens + self.num_conditions
        self.condition_embedding = ConditionEmbedding(text_channels, d_model, text_activation)
        self.in_proj = Linear(latent_channels, d_model)
        self.positions = None
        if positional != "none":
            self.positions = PositionalEmbedding(positional, num_tokens, d_model)

        scan = dict(d_state=d_state, d_conv=d_conv, expand=expand, dt_rank=dt_rank, ssm_type=ssm)

        def make_scans(index: int, num_scans: int) -> tuple[nn.Module, nn.Module | None]:
            if attention_every and (index + 1) % attention_every == 0:
                return SelfAttention(d_model, num_heads, dropout), None
            htm = HierarchicalTemporalMamba(
                d_model,
                num_scans,
                **scan,
                aggregate=aggregate,
                gate=gate,
                scan_direction=scan_direction,
                share_conv=share_conv,
                share_x_proj=share_x_proj,
            )
            bsm = None
            if use_bsm:
                bsm = BidirectionalSpatialMamba(
                    num_tokens,
                    **scan,
                    norm=norm,
                    direction=BSM_DIRECTIONS[bsm_direction][index % 2],
                    projection=bsm_projection,
                    gate=bsm_gate,
                )
            return htm, bsm

        def make_block(index: int, num_scans: int) -> MotionMambaBlock:
            return MotionMambaBlock(
                d_model,
                *make_scans(index, num_scans),
                norm,
                residual,
                gated=block_gate,
                modulated=time_conditioning == "adaln",
                text_heads=num_heads if text_conditioning == "cross_attention" else 0,
                dropout=dropout,
            )

        depth = len(scans)
        self.encoder = nn.ModuleList(make_block(i, k) for i, k in enumerate(scans))
        self.attention_mixer = AttentionMixer(d_model, num_heads, ff_size, dropout)
        self.decoder = nn.ModuleList(make_block(depth + i, k) for i, k in enumerate(scans[::-1]))
        self.links = None
        if skip == "concat":
            self.links = nn.ModuleList(Linear(2 * d_model, d_model) for _ in scans)
        self.out_norm = make_norm(norm, d_model)
        self.out_proj = Linear(d_model, latent_channels)
        self._initialize()

    def _initialize(self):
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for block in [*self.encoder, *self.decoder]:
            if block.gate is not None:
                nn.init.ones_(block.gate.bias)  # opens the gate
            if block.modulation is not None:
                nn.init.zeros_(block.modulation.weight)
        nn.init.zeros_(self.out_proj.weight)

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor | int,
        encoder_hidden_states: torch.Tensor,
        encoder_attention_mask: torch.Tensor | None = None,
        lengths: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Predicts noise (or what the scheduler asks for) of shape (B, L, C).

        Args:
            sample: noisy latents (B, L, C).
            timestep: diffusion step, (B,) or one for all.
            encoder_hidden_states: text tokens (B, S, text_channels).
            encoder_attention_mask: (B, S), True at valid text tokens; all by default.
            lengths: valid latent tokens (B,); all by default. What lies beyond them never
                changes the rest.

        Raises:
            ValueError: when L exceeds `max_tokens`.
        """
        num_latents = sample.shape[1]
        check_tokens(num_latents, self.config.max_tokens)
        time, text, text_mask = self.condition_embedding(
            timestep, encoder_hidden_states, encoder_attention_mask
        )
        x, mask = self._sequence(sample, lengths, time, text, text_mask)
        condition = time + mean_token(text, text_mask)

        skips = []
        for block in self.encoder:
            x = block(x, mask, condition, text, text_mask)
            skips.append(x)
        x = self.attention_mixer(x, *self._mixer_context(x, mask, time, text, text_mask))
        for level, block in enumerate(self.decoder):
            x = block(self._link(level, x, skips.pop()), mask, condition, text, text_mask)

        start = self.num_conditions if self.config.condition_order == "first" else 0
        return self.out_proj(self.out_norm(x[:, start : start + num_latents]))

    def _sequence(self, sample, lengths, time, text, text_mask):
        """Tokens (B, L', D) of latents and conditions, and their mask (B, L')."""
        latents = self.in_proj(sample)
        if lengths is None:
            mask = text_mask.new_ones(latents.shape[:2])
        else:
            mask = length_mask(lengths, latents.shape[1])
        conditions = []
        if self.config.time_conditioning == "token":
            conditions.append((time[:, None], text_mask.new_ones(len(text), 1)))
        if self.config.text_conditioning == "sequence":
            limit = self.config.max_text_tokens
            conditions.append(_resize(text[:, :limit], text_mask[:, :limit], limit))
        parts = [*conditions, (latents, mask)]
        if self.config.condition_order == "last":
            # conditions keep their place however many latents there are
            parts = [_resize(latents, mask, self.config.max_tokens), *conditions]
        x, mask = (torch.cat(part, 1) for part in zip(*parts, strict=True))
        if self.positions is not None:
            x = self.positions(x)
        if self.config.time_conditioning == "add":
            x = x + time[:, None]
        return x, mask

    def _mixer_context(self, x, mask, time, text, text_mask):
        if self.config.mixer == "cross":
            present = text_mask.new_ones(len(text), 1)
            return torch.cat([time[:, None], text], 1), torch.cat([present, text_mask], 1)
        if self.config.text_conditioning == "mixer":
            return torch.cat([x, text], 1), torch.cat([mask, text_mask], 1)
        return x, mask

    def _link(self, level: int, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        if self.links is not None:
            return self.links[level](torch.cat([x, skip], -1))
        return x + skip if self.config.skip == "add" else x


def _resize(tokens: torch.Tensor, mask: torch.Tensor, size: int):
    """Pads tokens (B, S, D) and mask (B, S) to `size`."""
    missing = size - tokens.shape[1]
    return F.pad(tokens, (0, 0, 0, missing)), F.pad(mask, (0, missing))
