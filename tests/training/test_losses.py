import pytest
import torch
from diffusers import DDPMScheduler
from omegaconf import OmegaConf

from motionmamba.training.denoiser import diffusion_losses
from motionmamba.training.vae import vae_losses

WEIGHTS = OmegaConf.create(dict(features=1.0, joints=1.0, velocity=1.0, kl=1e-4, beta=0.05))


class Echo:
    """A VAE that gives back what it is told to, and knows no statistics."""

    def __init__(self, output):
        self.output = output

    def __call__(self, features, lengths, generator=None):
        class Posterior:
            @staticmethod
            def kl():
                return torch.tensor(3.0)

        return self.output, Posterior()

    def denormalize(self, features):
        return features


def features(seed=0, batch=3, frames=10):
    return torch.randn(batch, frames, 263, generator=torch.Generator().manual_seed(seed)) * 0.1


def test_a_perfect_reconstruction_costs_its_divergence_only():
    x = features()
    losses = vae_losses(Echo(x), x, torch.tensor([10, 4, 7]), WEIGHTS, Echo(x))
    assert losses["features"] == losses["joints"] == losses["velocity"] == 0
    assert losses["loss"] == pytest.approx(3e-4)


def test_padding_costs_nothing():
    x, lengths = features(), torch.tensor([10, 4, 7])
    spoilt = x.clone()
    spoilt[1, 4:] += 5.0
    assert vae_losses(Echo(spoilt), x, lengths, WEIGHTS, Echo(x))["loss"] == pytest.approx(3e-4)
    spoilt[1, 3] += 5.0
    assert vae_losses(Echo(spoilt), x, lengths, WEIGHTS, Echo(x))["loss"] > 0.01


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_diffusion_loss_is_zero_for_a_denoiser_that_knows_the_answer(prediction):
    schedule = DDPMScheduler(prediction_type=prediction, beta_schedule="squaredcos_cap_v2")
    latents = torch.randn(4, 6, 2, generator=torch.Generator().manual_seed(1))

    def oracle(noisy, timesteps, **_):
        alpha = schedule.alphas_cumprod[timesteps][:, None, None]
        noise = (noisy - alpha.sqrt() * latents) / (1 - alpha).sqrt()
        answers = {
            "epsilon": noise,
            "v_prediction": alpha.sqrt() * noise - (1 - alpha).sqrt() * latents,
            "sample": latents,
        }
        answer = answers[prediction].clone()
        answer[0, 3:] = 100.0  # beyond the length of the first one
        return answer

    batch = dict(latents=latents, lengths=torch.tensor([3, 6, 6, 6]), states=None, mask=None)
    loss = diffusion_losses(oracle, schedule, batch, torch.Generator().manual_seed(2))["loss"]
    assert loss < 1e-4


@pytest.mark.parametrize("prediction", ["v_prediction", "sample"])
def test_a_hidden_token_is_asked_for_without_its_noise(prediction):
    schedule = DDPMScheduler(prediction_type=prediction, beta_schedule="squaredcos_cap_v2")
    latents = torch.randn(4, 6, 2, generator=torch.Generator().manual_seed(1))
    hidden = torch.zeros(4, 6, dtype=torch.bool)
    hidden[:, 1:3] = True

    def oracle(noisy, timesteps, **_):
        assert not noisy[hidden].any() and noisy[~hidden].all()
        alpha = schedule.alphas_cumprod[timesteps][:, None, None]
        noise = (noisy - alpha.sqrt() * latents) / (1 - alpha).sqrt()
        noise = noise.masked_fill(hidden[..., None], 0.0)
        velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
        return velocity if prediction == "v_prediction" else latents

    batch = dict(latents=latents, lengths=torch.tensor([6] * 4), states=None, mask=None)
    generator = torch.Generator().manual_seed(2)
    assert diffusion_losses(oracle, schedule, batch, generator, hidden)["loss"] < 1e-4


def test_the_whole_is_asked_for_when_a_part_is_shown():
    x, lengths = features(), torch.tensor([10, 4, 7])
    shown = x.clone()
    shown[:, :2] = 0.0

    class Seen(Echo):
        def __call__(self, features, lengths, generator=None):
            return features, super().__call__(features, lengths)[1]

    assert vae_losses(Seen(x), x, lengths, WEIGHTS, Seen(x))["features"] == 0
    assert vae_losses(Seen(x), x, lengths, WEIGHTS, Seen(x), shown=shown)["features"] > 0
