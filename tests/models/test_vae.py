import pytest
import torch
import vae_checks

from motionmamba.models import MotionVAE

TINY = dict(num_features=7, latent_channels=16, num_layers=3, num_heads=2, ff_size=32, dropout=0.0)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return MotionVAE(**TINY, max_frames=24)


def test_padding(model):
    vae_checks.check_padding(model)


def test_gradients(model):
    vae_checks.check_gradients(model)


def test_round_trip(model, tmp_path):
    vae_checks.check_round_trip(model, tmp_path)


def test_learning(model):
    vae_checks.check_learning(model)


def test_latent_is_two_tokens_whatever_the_length(model):
    assert model.latent_lengths(torch.tensor([4, 24])).tolist() == [2, 2]
    assert model.encode(torch.randn(3, 11, 7)).sample().shape == (3, 2, 16)
    with pytest.raises(ValueError, match="1 tokens, 9 frames need 2"):
        model.decode(torch.randn(1, 1, 16), torch.tensor([9]))


def test_frames_beyond_learned_positions():
    with pytest.raises(ValueError, match="use sinusoidal"):
        MotionVAE(**TINY, max_frames=8).decode(torch.randn(1, 2, 16), torch.tensor([9]))
    long = MotionVAE(**TINY, max_frames=8, positional="sinusoidal")
    assert long.decode(torch.randn(1, 2, 16), torch.tensor([9])).shape == (1, 9, 7)


def test_default_latent_is_two_by_256():
    config = MotionVAE.from_config(MotionVAE(num_layers=1).config).config
    assert (config.num_latents, config.latent_channels) == (2, 256)
