"""What all models share: masks, norms and the checks of their options."""

import hashlib

import torch
from torch import nn


def length_mask(lengths: torch.Tensor, size: int) -> torch.Tensor:
    """Boolean mask (B, size), True where position < length, of lengths (B,)."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def mean_token(tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean (B, C) of those of the tokens (B, S, C) that the mask (B, S) has."""
    return (tokens * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


def check_choice(name: str, value, choices: tuple):
    """Raises ValueError unless the option `name` has one of the values `choices`."""
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} is {value!r}, expected one of {listed}")


def make_norm(kind: str, width: int) -> nn.Module:
    """`layer` or `rms` norm over the last dimension, or `none`."""
    check_choice("norm", kind, ("layer", "rms", "none"))
    if kind == "none":
        return nn.Identity()
    return nn.LayerNorm(width) if kind == "layer" else nn.RMSNorm(width, eps=1e-5)


def check_tokens(num_tokens: int, max_tokens: int):
    """Raises ValueError when there are more latent tokens than a denoiser was built for."""
    if num_tokens > max_tokens:
        raise ValueError(
            f"the sample has {num_tokens} tokens, this denoiser was built for {max_tokens}; "
            "give shorter motions or raise max_tokens"
        )


def weights_sha256(*modules: nn.Module) -> str:
    """SHA-256 of the names and values of all weights and buffers that are saved."""
    digest = hashlib.sha256()
    for module in modules:
        for name, value in sorted(module.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
