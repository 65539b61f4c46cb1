import pytest
import torch
from torch import nn

from motionmamba.models.captured import MOST_GRAPHS, CapturedModel

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="records on CUDA only")


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.calls = 0

    def forward(self, x, scale=None, mask=None):
        self.calls += 1
        x = self.linear(x) if scale is None else self.linear(x) * scale
        return x if mask is None else x * mask


def _inputs(batch: int, device):
    generator = torch.Generator().manual_seed(batch)
    x = torch.randn(batch, 4, generator=generator).to(device)
    return x, torch.rand(batch, 1, generator=generator).to(device)


def test_elsewhere_the_model_is_called_as_it_is():
    model = Scaled()
    x, scale = _inputs(3, "cpu")
    torch.testing.assert_close(CapturedModel(model)(x, scale=scale), model(x, scale))
    CapturedModel(model)(x).sum().backward()
    assert model.linear.weight.grad is not None


@needs_cuda
@torch.no_grad()
def test_replays_equal_calls_whatever_comes_in():
    model = Scaled().cuda()
    captured = CapturedModel(model)
    for batch in (2, 5, 2, 5):
        for mask in (None, torch.ones(batch, 1, device="cuda")):
            x, scale = _inputs(batch, "cuda")
            first = captured(x, scale=scale, mask=mask)
            second = captured(2 * x, scale=scale, mask=mask)  # does not change the first result
            torch.testing.assert_close(first, model(x, scale, mask))
            torch.testing.assert_close(second, model(2 * x, scale, mask))
    calls = model.calls
    captured(*_inputs(2, "cuda"))
    captured(*_inputs(2, "cuda"))
    assert model.calls == calls + 3  # two to warm up, one to record


@needs_cuda
@torch.no_grad()
def test_weights_that_move_are_recorded_anew_and_few_graphs_are_kept():
    model = Scaled().cuda()
    captured = CapturedModel(model)
    for batch in range(1, MOST_GRAPHS + 4):
        captured(_inputs(batch, "cuda")[0])
    assert len(captured._graphs) == MOST_GRAPHS
    x = _inputs(1, "cuda")[0]
    kept = captured(x)
    model.cpu().cuda()
    model.linear.weight.data *= 2
    assert not torch.equal(captured(x), kept)
    torch.testing.assert_close(captured(x), model(x))
