import pytest
import torch

from motionmamba.models import BidirectionalSpatialMamba


def make(num_tokens=5, **options):
    torch.manual_seed(0)
    model = BidirectionalSpatialMamba(num_tokens, d_state=4, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def test_backward_is_forward_on_reversed_channels():
    forward, backward = make(direction="forward"), make(direction="backward")
    backward.load_state_dict(forward.state_dict())
    x = torch.randn(2, 5, 12)
    torch.testing.assert_close(backward(x), forward(x.flip(2)).flip(2), atol=1e-6, rtol=1e-4)


def test_both_is_the_sum_of_the_directions():
    both, forward, backward = (make(direction=d) for d in ("both", "forward", "backward"))
    weights = both.state_dict()
    for i, single in enumerate((forward, backward)):
        part = {}
        for name in single.state_dict():
            shared = name.startswith(("token_norm", "out_proj"))
            part[name] = weights[name] if shared else weights[name].chunk(2)[i]
        single.load_state_dict(part)
    x = torch.randn(2, 5, 12)
    torch.testing.assert_close(both(x), forward(x) + backward(x), atol=1e-6, rtol=1e-4)


def test_scans_run_along_channels():
    model = make(direction="forward", norm="none")
    x = torch.randn(1, 5, 12)
    changed = torch.cat([x[..., :8], x[..., 8:] + 1], -1)
    y, z = model(x), model(changed)
    torch.testing.assert_close(y[..., :8], z[..., :8])
    assert (y[..., 8] - z[..., 8]).abs().min() > 0  # every token hears of it


@pytest.mark.parametrize("norm", ["layer", "rms", "none"])
def test_padding_changes_nothing(norm):
    model = make(norm=norm, gate=True)
    x = torch.randn(2, 5, 12)
    mask = torch.arange(5) < torch.tensor([[5], [3]])
    y = model(x, mask)
    torch.testing.assert_close(y[1:, :3], model(x[1:, :3]), atol=1e-6, rtol=1e-4)
    assert not y[1, 3:].any()


@pytest.mark.parametrize("direction", ["both", "forward", "backward"])
@pytest.mark.parametrize("projection", ["separate", "shared"])
@pytest.mark.parametrize("gate", [False, True])
def test_every_parameter_learns(direction, projection, gate):
    model = make(direction=direction, projection=projection, gate=gate, expand=2)
    model(torch.randn(2, 5, 12)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


def test_too_many_tokens_and_bad_options_are_refused():
    with pytest.raises(ValueError, match="6 tokens, this model was built for 5"):
        make()(torch.randn(1, 6, 12))
    for option in ("norm", "direction", "projection"):
        with pytest.raises(ValueError, match=f"{option} is 'odd'"):
            make(**{option: "odd"})


def test_round_trip(tmp_path):
    model = make(gate=True)
    model.save_pretrained(tmp_path)
    x = torch.randn(1, 5, 8)
    assert torch.equal(BidirectionalSpatialMamba.from_pretrained(tmp_path)(x), model(x))
