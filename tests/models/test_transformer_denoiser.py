import denoiser_checks
import pytest
import torch

from motionmamba.models import TransformerDenoiser


@pytest.fixture
def model():
    torch.manual_seed(0)
    return TransformerDenoiser(
        latent_channels=6,
        d_model=16,
        max_tokens=5,
        text_channels=8,
        num_layers=3,
        num_heads=2,
        ff_size=32,
        dropout=0.0,
    )


def test_padding(model):
    denoiser_checks.check_padding(model)


def test_gradients(model):
    denoiser_checks.check_gradients(model)


def test_conditions(model):
    denoiser_checks.check_conditions(model)


def test_learning(model):
    denoiser_checks.check_learning(model)


def test_round_trip(model, tmp_path):
    denoiser_checks.check_round_trip(model, tmp_path)


def test_size_is_that_of_mld():
    parameters = sum(p.numel() for p in TransformerDenoiser().parameters())
    assert 8.2e6 < parameters < 8.6e6


def test_too_many_tokens_are_refused(model):
    with pytest.raises(ValueError, match="6 tokens"):
        model(torch.randn(1, 6, 6), 0, torch.randn(1, 1, 8))
