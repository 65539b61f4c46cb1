import pytest
import torch
from torch import nn

from motionmamba.models.skip_transformer import SkipTransformer


class Scale(nn.Module):
    def forward(self, x, factor):
        return x * factor


def test_even_depth_is_refused():
    with pytest.raises(ValueError, match="num_layers is 4"):
        SkipTransformer(Scale, 4, 2)


def test_links_join_mirrored_layers():
    model = SkipTransformer(Scale, 5, 2)
    model.norm = nn.Identity()
    # with the first half of each link zero only the skip passes: the last link's is layer 1
    for link in model.links:
        nn.init.zeros_(link.bias)
        with torch.no_grad():
            link.weight.copy_(torch.cat([torch.zeros(2, 2), torch.eye(2)], 1))
    x = torch.randn(3, 4, 2)
    torch.testing.assert_close(model(x, factor=3.0), 3.0 * (3.0 * x))


def test_inputs_reach_transformer_layers():
    model = SkipTransformer(lambda: nn.TransformerDecoderLayer(8, 2, 16, batch_first=True), 3, 8)
    model.eval()
    x, memory = torch.randn(2, 5, 8), torch.randn(2, 3, 8)
    assert not torch.allclose(model(x, memory=memory), model(x, memory=memory + 1))
