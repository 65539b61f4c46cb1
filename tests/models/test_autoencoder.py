import torch
from torch.distributions import Normal, kl_divergence

from motionmamba.models.autoencoder import Posterior


def test_divergence_is_the_mean_over_valid_entries():
    mean, logvar = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    each = kl_divergence(Normal(mean, torch.exp(logvar / 2)), Normal(0.0, 1.0))
    torch.testing.assert_close(Posterior(mean, logvar, mask).kl(), each[mask].mean())
    torch.testing.assert_close(Posterior(mean, logvar).kl(), each.mean())


def test_samples_follow_the_generator_and_the_deviation():
    posterior = Posterior(torch.full((1, 2, 5000), 3.0), torch.full((1, 2, 5000), -2.0))
    sample = posterior.sample(torch.Generator().manual_seed(1))
    assert torch.equal(sample, posterior.sample(torch.Generator().manual_seed(1)))
    assert not torch.equal(sample, posterior.sample(torch.Generator().manual_seed(2)))
    assert abs(sample.mean() - 3.0) < 0.02 and abs(sample.std() - 0.368) < 0.01


def test_padding_is_zero():
    mask = torch.tensor([[True, False]])
    posterior = Posterior(torch.randn(1, 2, 3), torch.randn(1, 2, 3), mask)
    assert not posterior.mean[:, 1].any() and not posterior.sample()[:, 1].any()
