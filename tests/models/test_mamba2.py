import denoiser_checks
import pytest
import torch
from test_denoiser import TEMPORAL, make
from torch.nn import functional as F

from motionmamba.models import BidirectionalSpatialMamba, HierarchicalTemporalMamba, Mamba2
from motionmamba.models.mamba import ParallelSSM
from motionmamba.models.mamba2 import ParallelSSM2


def stepwise(model: Mamba2, hidden_states: torch.Tensor) -> torch.Tensor:
    """The block's definition, one token and one head at a time."""
    config = model.config
    width, heads, groups, state = config.headdim, len(model.D), config.ngroups, config.d_state
    inner = heads * width
    outputs = []
    for sequence in hidden_states:
        states = torch.zeros(heads, width, state)
        window = torch.zeros(*model.conv1d.weight[:, 0].shape)
        for token in sequence:
            projected = model.in_proj(token)
            z, xBC, dt = projected[:inner], projected[inner:-heads], projected[-heads:]
            window = torch.cat([window[:, 1:], xBC[:, None]], 1)
            xBC = F.silu((window * model.conv1d.weight[:, 0]).sum(1) + model.conv1d.bias)
            x = xBC[:inner].view(heads, width)
            B, C = xBC[inner:].view(2, groups, state)
            dt = F.softplus(dt + model.dt_bias)
            y = []
            for h in range(heads):
                g = h * groups // heads
                decay = torch.exp(-dt[h] * model.A_log[h].exp())
                states[h] = decay * states[h] + dt[h] * x[h][:, None] * B[g]
                y.append(states[h] @ C[g] + model.D[h] * x[h])
            y = (torch.cat(y) * F.silu(z)).view(groups, -1)
            y = y / (y.square().mean(1, keepdim=True) + 1e-5).sqrt()
            outputs.append(model.out_proj(y.flatten() * model.norm.weight))
    return torch.stack(outputs).unflatten(0, hidden_states.shape[:2])


@torch.no_grad()
def test_block_equals_its_recurrence():
    torch.manual_seed(0)
    model = denoiser_checks.disturb(Mamba2(6, d_state=5, d_conv=3, headdim=3, ngroups=2))
    x = torch.randn(2, 7, 6)
    torch.testing.assert_close(model(x), stepwise(model, x), atol=1e-5, rtol=1e-4)


def test_state_dict_has_the_names_and_shapes_of_mamba_ssm():
    model = Mamba2(64, ngroups=2)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert shapes == {
        "dt_bias": (2,),
        "A_log": (2,),
        "D": (2,),
        "in_proj.weight": (2 * 128 + 2 * 2 * 128 + 2, 64),
        "conv1d.weight": (128 + 2 * 2 * 128, 1, 4),
        "conv1d.bias": (128 + 2 * 2 * 128,),
        "norm.weight": (128,),
        "out_proj.weight": (64, 128),
    }


@pytest.mark.skipif(not torch.cuda.is_available(), reason="mamba_ssm needs a GPU")
def test_equals_mamba_ssm():
    theirs = pytest.importorskip("mamba_ssm").Mamba2(256, device="cuda", use_mem_eff_path=False)
    ours = Mamba2(256).cuda()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 100, 256, device="cuda")
    with torch.no_grad():
        # their kernels multiply in tf32
        torch.testing.assert_close(ours(x), theirs(x), atol=5e-3, rtol=5e-3)


def test_initial_step_sizes_and_decays():
    model = Mamba2(512)
    dt, rates = F.softplus(model.dt_bias), model.A_log.exp()
    assert dt.min() > 0.9e-3 and dt.max() < 0.11
    assert rates.min() >= 1 and rates.max() <= 16


def test_every_parameter_learns():
    model = Mamba2(8, d_state=4, headdim=4, bias=True)
    model(torch.randn(2, 5, 8)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


def test_round_trip(tmp_path):
    model = Mamba2(8, d_state=4, headdim=4)
    model.save_pretrained(tmp_path)
    x = torch.randn(1, 5, 8)
    assert torch.equal(Mamba2.from_pretrained(tmp_path)(x), model(x))


def test_heads_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="headdim is 64, expected a divisor of the width 48"):
        Mamba2(24)
    with pytest.raises(ValueError, match="ngroups is 3, expected a divisor of the 2 heads"):
        Mamba2(64, ngroups=3)


@pytest.mark.parametrize(
    ("width", "heads"), [(1, 1), (56, 1), (64, 1), (96, 2), (128, 2), (384, 6), (67, 67)]
)
def test_heads_of_parallel_scans(width, heads):
    assert len(ParallelSSM2(3, width, 1).D) == 3 * heads


@pytest.mark.parametrize("share", [False, True])
def test_parallel_scans_are_those_of_mamba_with_one_decay_in_a_head(share):
    torch.manual_seed(0)
    new = ParallelSSM2(3, 96, 5, d_state=4, num_backward=1, share_conv=share, share_x_proj=share)
    old = ParallelSSM(3, 96, 2, d_state=4, num_backward=1, share_conv=share, share_x_proj=share)
    with torch.no_grad():
        for name in ("conv_weight", "conv_bias", "x_proj"):
            getattr(old, name).copy_(getattr(new, name))
        # a head's step size goes to its 48 channels
        old.dt_proj.copy_(torch.eye(2).repeat_interleave(48, 1))
        for name in ("dt_bias", "D"):
            getattr(old, name).copy_(getattr(new, name).repeat_interleave(48))
        old.A_log.copy_(new.A_log.repeat_interleave(48)[:, None])
    x, mask = torch.randn(2, 9, 1, 96), torch.arange(9) < torch.tensor([[9], [5]])
    torch.testing.assert_close(new(x, mask), old(x, mask), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("layer", [HierarchicalTemporalMamba, BidirectionalSpatialMamba])
def test_layers_scan_with_mamba2_and_refuse_others(layer):
    sizes = (8, 2) if layer is HierarchicalTemporalMamba else (8,)
    assert isinstance(layer(*sizes, ssm_type="mamba2").ssm, ParallelSSM2)
    with pytest.raises(ValueError, match="ssm_type is 's4'"):
        layer(*sizes, ssm_type="s4")


DENOISERS = {
    "mamba2": dict(ssm="mamba2"),
    "mamba2, temporal": dict(ssm="mamba2", **TEMPORAL),
    "mamba2, shared": dict(ssm="mamba2", share_conv=True, share_x_proj=True, expand=2),
    "hybrid": dict(ssm="mamba2", attention_every=2),
    "hybrid of mamba": dict(attention_every=3, **TEMPORAL),
    "attention alone": dict(attention_every=1),
}
each_denoiser = pytest.mark.parametrize("options", DENOISERS.values(), ids=DENOISERS.keys())


@each_denoiser
def test_denoiser_padding(options):
    denoiser_checks.check_padding(make(**options))


@each_denoiser
def test_denoiser_gradients(options):
    denoiser_checks.check_gradients(make(**options))


@each_denoiser
def test_denoiser_conditions(options):
    denoiser_checks.check_conditions(make(**options))


@each_denoiser
def test_denoiser_round_trip(options, tmp_path):
    denoiser_checks.check_round_trip(make(**options), tmp_path)


@pytest.mark.parametrize("name", ["mamba2", "hybrid"])
def test_denoiser_learns(name):
    denoiser_checks.check_learning(make(**DENOISERS[name]))


@pytest.mark.parametrize(
    ("every", "attention"),
    [(0, []), (1, [0, 1, 2, 3, 4, 5]), (2, [1, 3, 5]), (4, [3]), (7, [])],
)
def test_every_nth_block_attends(every, attention):
    model = make(scans=(3, 2, 1), attention_every=every)
    blocks = [*model.encoder, *model.decoder]
    scans = [isinstance(block.htm, HierarchicalTemporalMamba) for block in blocks]
    assert [i for i, scanned in enumerate(scans) if not scanned] == attention
    assert [block.bsm is not None for block in blocks] == scans


@pytest.mark.parametrize("options", [{"attention_every": -1}, {"ssm": "s4"}])
def test_bad_options_are_refused(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} is"):
        make(**options)
