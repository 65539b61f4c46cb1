import denoiser_checks
import pytest
import torch

from motionmamba.models import MotionMambaDenoiser

CANONICAL = {}
LITERAL = dict(residual=False, norm="none", gate="none")
TEMPORAL = dict(
    text_conditioning="cross_attention",
    time_conditioning="adaln",
    scan_direction="alternate",
    text_activation="none",
)
READINGS = {"canonical": CANONICAL, "literal": LITERAL, "temporal": TEMPORAL}
OPTIONS = {
    **READINGS,
    "time added": dict(time_conditioning="add"),
    "text at the mixer": dict(text_conditioning="mixer"),
    "text at a crossing mixer": dict(text_conditioning="mixer", mixer="cross"),
    "conditions last": dict(condition_order="last", scan_direction="backward", max_text_tokens=3),
    "conditions last, alternate": dict(condition_order="last", scan_direction="alternate"),
    "text tokens in sequence": dict(max_text_tokens=3, mixer="cross"),
    "modulated by text in sequence": dict(time_conditioning="adaln", max_text_tokens=6),
    "skips added": dict(skip="add", bsm_direction="layer", positional="sinusoidal"),
    "no skips": dict(skip="none", bsm_direction="single", positional="none"),
    "no spatial scan": dict(use_bsm=False, norm="rms"),
    "gates moved": dict(block_gate=False, bsm_gate=True, bsm_projection="shared"),
    "shared": dict(share_conv=True, share_x_proj=True, aggregate="concat", expand=2, dt_rank=2),
}


def make(**options):
    torch.manual_seed(0)
    sizes = dict(latent_channels=6, d_model=16, max_tokens=5, text_channels=8, scans=(3, 1))
    sizes |= dict(d_state=4, num_heads=2, ff_size=32, dropout=0.0)
    return MotionMambaDenoiser(**(sizes | options))


each_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
each_reading = pytest.mark.parametrize("options", READINGS.values(), ids=READINGS.keys())


@each_option
def test_padding(options):
    denoiser_checks.check_padding(make(**options))


@each_option
def test_gradients(options):
    denoiser_checks.check_gradients(make(**options))


@each_option
def test_conditions(options):
    denoiser_checks.check_conditions(make(**options))


@each_reading
def test_learning(options):
    denoiser_checks.check_learning(make(**options))


@each_reading
def test_round_trip(options, tmp_path):
    denoiser_checks.check_round_trip(make(**options), tmp_path)


def test_condition_last_is_not_heard_by_forward_scans_alone():
    model = denoiser_checks.disturb(
        make(condition_order="last", use_bsm=False, mixer="cross", text_conditioning="sequence")
    )
    model.attention_mixer.forward = lambda x, context, mask: x
    arguments = denoiser_checks.inputs(model)
    moved = {**arguments, "timestep": arguments["timestep"] + 500}
    assert torch.equal(model(**arguments), model(**moved))


def test_each_decoder_block_gets_its_mirror_block():
    model = make(scans=(3, 2, 1), skip="add")
    outputs, skips = [], []
    for block in model.encoder:
        block.register_forward_hook(lambda _, __, output: outputs.append(output))
    model._link = lambda level, x, skip: skips.append(skip) or x
    model(**denoiser_checks.inputs(model))
    assert all(a is b for a, b in zip(skips, reversed(outputs), strict=True))


@pytest.mark.parametrize(
    "scheme, directions",
    [
        ("block", ["both"] * 4),
        ("layer", ["forward", "backward"] * 2),
        ("single", ["forward"] * 4),
    ],
)
def test_spatial_directions_by_block(scheme, directions):
    model = make(bsm_direction=scheme)
    blocks = [*model.encoder, *model.decoder]
    assert [block.bsm.config.direction for block in blocks] == directions


def test_text_beyond_the_sequence_is_cut():
    model = denoiser_checks.disturb(make(max_text_tokens=2))
    arguments = denoiser_checks.inputs(model, batch=1)
    arguments["encoder_attention_mask"] = None
    cut = {**arguments, "encoder_hidden_states": arguments["encoder_hidden_states"][:, :2]}
    torch.testing.assert_close(model(**arguments), model(**cut))


def test_text_without_valid_tokens_is_finite():
    model = denoiser_checks.disturb(make(**TEMPORAL))
    arguments = denoiser_checks.inputs(model)
    arguments["encoder_attention_mask"] = torch.zeros_like(arguments["encoder_attention_mask"])
    assert model(**arguments).isfinite().all()


def test_default_is_the_canonical_reading():
    model = MotionMambaDenoiser()
    assert [block.htm.config.num_scans for block in model.encoder] == [9, 7, 5, 3, 1]
    assert [block.htm.config.num_scans for block in model.decoder] == [1, 3, 5, 7, 9]
    assert model.encoder[0].bsm.config.num_tokens == 4
    # two latents; the arithmetic of the paper's design gives about 5.6 M
    assert 5.5e6 < sum(p.numel() for p in model.parameters()) < 6e6


def test_bfloat16_autocast_is_close():
    model = denoiser_checks.disturb(make(**TEMPORAL))
    arguments = denoiser_checks.inputs(model)
    expected = model(**arguments)
    with torch.autocast("cpu", torch.bfloat16):
        half = model(**arguments)
    torch.testing.assert_close(half.float(), expected, atol=0.1, rtol=0.1)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(scans=()), "at least one scan"),
        (dict(scans=(3, 0)), r"\[3, 0\]"),
        (dict(mixer="mamba"), "mixer is 'mamba'"),
        (dict(skip="dense"), "skip is"),
        (dict(norm="batch"), "norm is"),
        (dict(bsm_direction="both"), "bsm_direction is"),
        (dict(time_conditioning="film"), "time_conditioning is"),
        (dict(text_conditioning="pooled"), "text_conditioning is"),
        (dict(condition_order="middle"), "condition_order is"),
        (dict(time_conditioning="adaln", residual=False), "set residual=True"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_too_many_tokens_are_refused():
    model = make()
    with pytest.raises(ValueError, match="6 tokens, this denoiser was built for 5"):
        model(torch.randn(1, 6, 6), 0, torch.randn(1, 1, 8))
