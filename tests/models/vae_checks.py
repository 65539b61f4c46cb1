"""Properties that both motion VAEs have."""

import torch


def check_padding(model):
    """What lies beyond a motion's length, and how far it is padded, changes nothing."""
    model.eval()
    lengths = torch.tensor([13, 6, 8])
    features = torch.randn(3, 13, model.config.num_features)
    posterior = model.encode(features, lengths)
    noisy = features.clone()
    noisy[1, 6:] = 1e3
    noisy[2, 8:] = 1e3
    torch.testing.assert_close(model.encode(noisy, lengths).mean, posterior.mean)
    wide = torch.cat([noisy, torch.full((3, 8, features.shape[2]), -1e3)], 1)
    again = model.encode(wide, lengths)
    tokens = posterior.mean.shape[1]
    for one, other in ((posterior.mean, again.mean), (posterior.logvar, again.logvar)):
        torch.testing.assert_close(other[:, :tokens], one, atol=1e-5, rtol=1e-4)
        assert not other[:, tokens:].any()

    padded = posterior.mean.detach().clone()
    for latent, length in zip(padded, model.latent_lengths(lengths), strict=True):
        latent[length:] = 1e3
    decoded = model.decode(padded, lengths)
    assert decoded.shape == features.shape and not decoded[1, 6:].any()
    for i, length in enumerate(lengths.tolist()):
        alone = model.encode(features[i : i + 1, :length])
        mean = posterior.mean[i, : alone.mean.shape[1]]
        torch.testing.assert_close(alone.mean[0], mean, atol=1e-5, rtol=1e-4)
        single = model.decode(alone.mean, lengths[i : i + 1])
        torch.testing.assert_close(single[0], decoded[i, :length], atol=1e-5, rtol=1e-4)


def check_gradients(model):
    """Every parameter learns, through both outputs of the forward pass."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    features, lengths = torch.randn(2, 12, model.config.num_features), torch.tensor([12, 7])
    reconstruction, posterior = model(features, lengths, torch.Generator().manual_seed(0))
    assert reconstruction.shape == features.shape
    (reconstruction.square().mean() + posterior.kl()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


def check_round_trip(model, folder):
    """Weights, configuration and statistics come back from disk."""
    size = model.config.num_features
    model.set_statistics(torch.arange(size), torch.arange(size) + 1.0)
    model.save_pretrained(folder)
    assert (folder / "diffusion_pytorch_model.safetensors").is_file()
    loaded = type(model).from_pretrained(folder)
    assert loaded.config.latent_channels == model.config.latent_channels
    features = torch.randn(2, 9, size)
    torch.testing.assert_close(loaded.denormalize(model.normalize(features)), features)
    model.eval()
    assert torch.equal(loaded.encode(features).mean, model.encode(features).mean)


def check_learning(model):
    """A few steps of Adam on one batch bring the error down."""
    torch.manual_seed(0)
    steps = torch.linspace(0, 6, 16)[None, :, None]
    features = torch.sin(steps + torch.randn(4, 1, model.config.num_features))
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    errors = []
    for _ in range(40):
        reconstruction, posterior = model(features)
        error = (reconstruction - features).square().mean()
        optimizer.zero_grad()
        (error + 1e-4 * posterior.kl()).backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.5 * errors[0], errors
