import pytest
import torch

from motionmamba.models import HierarchicalTemporalMamba, Mamba


def as_mambas(model: HierarchicalTemporalMamba) -> list[Mamba]:
    """The scans as blocks of their own, which share both outer projections."""
    config, ssm = model.config, model.ssm
    blocks = []
    for i in range(config.num_scans):
        block = Mamba(config.d_model, config.d_state, config.d_conv, config.expand, config.dt_rank)
        d_inner = block.D.numel()
        part = slice(i * d_inner, (i + 1) * d_inner)
        weights = {
            "in_proj.weight": model.in_proj.weight,
            "out_proj.weight": model.out_proj.weight,
            "conv1d.weight": ssm.conv_weight[i][:, None],
            "conv1d.bias": ssm.conv_bias[i],
            "x_proj.weight": ssm.x_proj[i].T,
            "dt_proj.weight": ssm.dt_proj[i].T,
            "dt_proj.bias": ssm.dt_bias[part],
            "A_log": ssm.A_log[part],
            "D": ssm.D[part],
        }
        block.load_state_dict(weights)
        blocks.append(block)
    return blocks


def disturbed(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("expand", [1, 2])
@pytest.mark.parametrize("direction", ["forward", "backward", "alternate"])
def test_scans_are_isolated_mambas(direction, expand):
    torch.manual_seed(0)
    model = disturbed(
        HierarchicalTemporalMamba(6, 3, d_state=4, expand=expand, scan_direction=direction)
    )
    x = torch.randn(2, 7, 6)
    backward = {"forward": [0, 0, 0], "backward": [1, 1, 1], "alternate": [0, 0, 1]}[direction]
    expected = sum(
        block(x.flip(1)).flip(1) if turned else block(x)
        for block, turned in zip(as_mambas(model), backward, strict=True)
    )
    torch.testing.assert_close(model(x), expected, atol=1e-5, rtol=1e-4)


def test_concatenation_with_equal_blocks_is_the_sum():
    torch.manual_seed(0)
    summed = HierarchicalTemporalMamba(6, 3)
    joined = HierarchicalTemporalMamba(6, 3, aggregate="concat")
    weights = summed.state_dict()
    weights["out_proj.weight"] = weights["out_proj.weight"].repeat(1, 3)
    joined.load_state_dict(weights)
    x = torch.randn(2, 5, 6)
    torch.testing.assert_close(joined(x), summed(x), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("direction", ["forward", "backward", "alternate"])
def test_padding_changes_nothing(direction):
    torch.manual_seed(0)
    model = disturbed(HierarchicalTemporalMamba(6, 3, scan_direction=direction))
    x = torch.randn(2, 8, 6)
    mask = torch.arange(8) < torch.tensor([[8], [3]])
    short = model(x[1:, :3])
    torch.testing.assert_close(model(x, mask)[1:, :3], short, atol=1e-6, rtol=1e-4)


def test_forward_scans_are_causal_and_alternate_ones_are_not():
    x = torch.randn(1, 6, 4)
    changed = torch.cat([x[:, :5], x[:, 5:] + 1], 1)
    forward = HierarchicalTemporalMamba(4, 3)
    torch.testing.assert_close(forward(x)[:, :5], forward(changed)[:, :5])
    alternate = HierarchicalTemporalMamba(4, 3, scan_direction="alternate")
    assert not torch.allclose(alternate(x)[:, 0], alternate(changed)[:, 0], atol=1e-7)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gate": "none"},
        {"aggregate": "concat"},
        {"share_conv": True, "share_x_proj": True},
        {"scan_direction": "alternate", "dt_rank": 3},
    ],
)
def test_every_parameter_learns(options):
    torch.manual_seed(0)
    model = HierarchicalTemporalMamba(6, 3, **options)
    model(torch.randn(2, 5, 6)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


@pytest.mark.parametrize(
    "options",
    [{"aggregate": "mean"}, {"gate": "block"}, {"scan_direction": "zigzag"}, {"num_scans": 0}],
)
def test_bad_options_are_refused(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} is"):
        HierarchicalTemporalMamba(4, **{"num_scans": 2, **options})


def test_round_trip(tmp_path):
    model = HierarchicalTemporalMamba(8, 3, aggregate="concat")
    model.save_pretrained(tmp_path)
    x = torch.randn(1, 5, 8)
    assert torch.equal(HierarchicalTemporalMamba.from_pretrained(tmp_path)(x), model(x))
