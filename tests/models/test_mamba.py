import pytest
import torch
from torch.nn import functional as F

from motionmamba.models import Mamba
from motionmamba.models.mamba import ParallelSSM


def stepwise(model: Mamba, hidden_states: torch.Tensor) -> torch.Tensor:
    """The block's definition, one token at a time."""
    width, rank = model.conv1d.weight.shape[-1], model.dt_proj.in_features
    A = -torch.exp(model.A_log)
    outputs = []
    for sequence in hidden_states:
        state = torch.zeros_like(A)
        window = torch.zeros(A.shape[0], width)
        for token in sequence:
            x, z = model.in_proj(token).chunk(2)
            window = torch.cat([window[:, 1:], x[:, None]], 1)
            x = F.silu((window * model.conv1d.weight[:, 0]).sum(1) + model.conv1d.bias)
            dt, B, C = model.x_proj(x).split([rank, A.shape[1], A.shape[1]])
            delta = F.softplus(model.dt_proj(dt))[:, None]
            state = torch.exp(delta * A) * state + delta * B * x[:, None]
            outputs.append(model.out_proj(((state * C).sum(1) + model.D * x) * F.silu(z)))
    return torch.stack(outputs).unflatten(0, hidden_states.shape[:2])


def test_block_equals_its_recurrence():
    torch.manual_seed(0)
    model = Mamba(6, d_state=4, d_conv=3, dt_rank=2)
    x = torch.randn(2, 7, 6)
    torch.testing.assert_close(model(x), stepwise(model, x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("d_conv", [1, 4])
def test_steps_equal_forward(d_conv):
    torch.manual_seed(0)
    model = Mamba(6, d_state=4, d_conv=d_conv, dt_rank=2)
    x = torch.randn(2, 7, 6)
    state = model.initial_state(2)
    steps = [model.step(token, state) for token in x.unbind(1)]
    torch.testing.assert_close(torch.stack(steps, 1), model(x), atol=1e-5, rtol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="mamba_ssm needs CUDA")
def test_state_dict_of_mamba_ssm_gives_its_output():
    # its default install leaves the kernel of Mamba-1 out
    pytest.importorskip("selective_scan_cuda")
    mamba_ssm = pytest.importorskip("mamba_ssm")
    torch.manual_seed(0)
    original = mamba_ssm.Mamba(32).cuda()
    model = Mamba(32).cuda()
    model.load_state_dict(original.state_dict())
    x = torch.randn(2, 77, 32, device="cuda")
    torch.testing.assert_close(model(x), original(x), atol=1e-5, rtol=1e-5)


def test_state_dict_has_the_names_and_shapes_of_mamba_ssm():
    shapes = {name: tuple(value.shape) for name, value in Mamba(32).state_dict().items()}
    assert shapes == {
        "A_log": (64, 16),
        "D": (64,),
        "in_proj.weight": (128, 32),
        "conv1d.weight": (64, 1, 4),
        "conv1d.bias": (64,),
        "x_proj.weight": (34, 64),
        "dt_proj.weight": (64, 2),
        "dt_proj.bias": (64,),
        "out_proj.weight": (32, 64),
    }


def test_parameters_at_the_size_of_mld():
    assert sum(p.numel() for p in Mamba(256).parameters()) == 437_760
    assert sum(p.numel() for p in Mamba(256, expand=1).parameters()) == 218_880


def test_initial_step_sizes():
    dt = F.softplus(Mamba(256).dt_proj.bias)
    assert dt.min() > 0.9e-3 and dt.max() < 0.11


def test_round_trip(tmp_path):
    model = Mamba(8)
    model.save_pretrained(tmp_path)
    x = torch.randn(1, 5, 8)
    assert torch.equal(Mamba.from_pretrained(tmp_path)(x), model(x))


def test_padding_never_enters_a_state():
    torch.manual_seed(0)
    model = ParallelSSM(4, 6, 2, d_state=4, num_backward=2)
    x = torch.randn(2, 9, 1, 6)
    mask = torch.arange(9) < torch.tensor([[9], [5]])
    y = model(x, mask)
    torch.testing.assert_close(y[1:, :5], model(x[1:, :5]), atol=1e-6, rtol=1e-4)
    assert not y[1, 5:].any()


@pytest.mark.parametrize("masked", [False, True])
def test_a_backward_scan_is_a_forward_scan_turned(masked):
    torch.manual_seed(0)
    both = ParallelSSM(3, 6, 2, d_state=4, num_backward=1)
    forward = ParallelSSM(3, 6, 2, d_state=4)
    forward.load_state_dict(both.state_dict())
    x = torch.randn(2, 9, 3, 6)
    mask = torch.rand(2, 9) > 0.4 if masked else None
    y = both(x, mask)
    torch.testing.assert_close(y[:, :, :2], forward(x, mask)[:, :, :2])
    turned = forward(x.flip(1), mask if mask is None else mask.flip(1)).flip(1)
    torch.testing.assert_close(y[:, :, 2], turned[:, :, 2])


def test_sharing_leaves_one_of_each():
    model = ParallelSSM(3, 6, 2, share_conv=True, share_x_proj=True)
    assert len(model.conv_weight) == len(model.conv_bias) == len(model.x_proj) == 1
    # equal convolutions and projections, other memories
    with torch.no_grad():
        model.A_log.view(3, 6, -1)[1] -= 3.0
        model.dt_proj.copy_(model.dt_proj[:1].expand(3, -1, -1))
        model.dt_bias.view(3, 6).copy_(model.dt_bias[:6].expand(3, 6))
    y = model(torch.randn(1, 5, 1, 6))
    torch.testing.assert_close(y[:, :, 0], y[:, :, 2])
    assert not torch.allclose(y[:, :, 0], y[:, :, 1])
