import pytest
import torch
import vae_checks

from motionmamba.models import TemporalMotionVAE


@pytest.fixture
def model():
    torch.manual_seed(0)
    return TemporalMotionVAE(num_features=7, latent_channels=6, width=32, dilations=(1, 3))


def test_padding(model):
    vae_checks.check_padding(model)


def test_gradients(model):
    vae_checks.check_gradients(model)


def test_round_trip(model, tmp_path):
    vae_checks.check_round_trip(model, tmp_path)


def test_learning(model):
    vae_checks.check_learning(model)


@pytest.mark.parametrize("frames, tokens", [(1, 1), (4, 1), (5, 2), (8, 2), (13, 4)])
def test_four_frames_a_token_rounded_up(model, frames, tokens):
    lengths = torch.tensor([frames])
    assert model.latent_lengths(lengths).tolist() == [tokens]
    latents = model.encode(torch.randn(1, frames, 7)).mean
    assert latents.shape == (1, tokens, 6)
    assert model.decode(latents, lengths).shape == (1, frames, 7)


def test_too_few_tokens_are_refused(model):
    with pytest.raises(ValueError, match="3 tokens, 13 frames need 4"):
        model.decode(torch.randn(1, 3, 6), torch.tensor([13]))


def test_latent_follows_time(model):
    features = torch.randn(1, 400, 7)
    changed = features.clone()
    changed[:, 380:] = 0.0
    difference = (model.encode(features).mean - model.encode(changed).mean).abs().sum(-1)[0]
    assert difference[-5:].all() and difference[:50].max() < 1e-6


def test_bfloat16_autocast_is_close(model):
    features, lengths = torch.randn(2, 20, 7), torch.tensor([20, 9])
    latents = model.encode(features, lengths).mean
    with torch.autocast("cpu", torch.bfloat16):
        half = model.encode(features, lengths).mean
        decoded = model.decode(half, lengths)
    assert decoded.dtype == torch.bfloat16
    torch.testing.assert_close(half, latents, atol=0.05, rtol=0.05)


def test_default_size():
    parameters = sum(p.numel() for p in TemporalMotionVAE().parameters())
    assert 5e6 < parameters < 8e6
