"""The transformer with long skip connections that MLD builds its networks of."""

from collections.abc import Callable

import torch
from torch import nn


class SkipTransformer(nn.Module):
    """A stack of an odd number of layers, the first half linked to the mirrored second half.

    Each link concatenates two features and projects them back with a linear layer, as in MLD
    (Chen et al. 2023) and U-ViT (Bao et al. 2023). A layer norm ends the stack.

    Args:
        make_layer: makes one transformer layer of width `d_model`, batch first.
        num_layers: odd number of layers.
        d_model: width D.

    Raises:
        ValueError: when `num_layers` is even.
    """

    def __init__(self, make_layer: Callable[[], nn.Module], num_layers: int, d_model: int):
        super().__init__()
        if num_layers % 2 == 0:
            raise ValueError(f"num_layers is {num_layers}, a skip transformer needs an odd number")
        half = num_layers // 2
        self.input_layers = nn.ModuleList(make_layer() for _ in range(half))
        self.middle_layer = make_layer()
        self.output_layers = nn.ModuleList(make_layer() for _ in range(half))
        self.links = nn.ModuleList(nn.Linear(2 * d_model, d_model) for _ in range(half))
        self.norm = nn.LayerNorm(d_model)

    def forward(self, x: torch.Tensor, **inputs) -> torch.Tensor:
        """Maps x (B, L, D) to (B, L, D); `inputs` go to every layer."""
        skips = []
        for layer in self.input_layers:
            x = layer(x, **inputs)
            skips.append(x)
        x = self.middle_layer(x, **inputs)
        for link, layer in zip(self.links, self.output_layers, strict=True):
            x = layer(link(torch.cat([x, skips.pop()], -1)), **inputs)
        return self.norm(x)
