"""Properties that both denoisers have."""

import torch


def inputs(model, batch=3, tokens=None, text_tokens=4):
    """Random arguments of the forward pass; the last sample and the last text are shorter."""
    config = model.config
    tokens = tokens or config.max_tokens
    text_lengths = torch.full((batch,), text_tokens)
    text_lengths[-1] = max(1, text_tokens - 2)
    lengths = torch.full((batch,), tokens)
    lengths[-1] = max(1, tokens - 2)
    return dict(
        sample=torch.randn(batch, tokens, config.latent_channels),
        timestep=torch.arange(batch) * 100,
        encoder_hidden_states=torch.randn(batch, text_tokens, config.text_channels),
        encoder_attention_mask=torch.arange(text_tokens) < text_lengths[:, None],
        lengths=lengths,
    )


def disturb(model):
    """Moves parameters off the zeros that some start at."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def check_padding(model):
    """Neither padding's content nor its amount reaches a valid token."""
    arguments = inputs(disturb(model))
    lengths, text_mask = arguments["lengths"], arguments["encoder_attention_mask"]
    expected = model(**arguments)
    for i, (length, text_length) in enumerate(
        zip(lengths.tolist(), text_mask.sum(1).tolist(), strict=True)
    ):
        alone = model(
            arguments["sample"][i : i + 1, :length],
            int(arguments["timestep"][i]),
            arguments["encoder_hidden_states"][i : i + 1, :text_length],
        )
        torch.testing.assert_close(alone[0], expected[i, :length], atol=1e-5, rtol=1e-4)
    noisy = dict(arguments)
    noisy["sample"] = arguments["sample"].clone()
    noisy["sample"][-1, lengths[-1] :] = 1e3
    noisy["encoder_hidden_states"] = arguments["encoder_hidden_states"].clone()
    noisy["encoder_hidden_states"][-1, ~text_mask[-1]] = 1e3
    valid = slice(0, int(lengths[-1]))
    torch.testing.assert_close(model(**noisy)[-1, valid], expected[-1, valid], atol=1e-5, rtol=1e-4)


def check_conditions(model):
    """Time and text change every valid latent token."""
    arguments = inputs(disturb(model), batch=1)
    del arguments["lengths"], arguments["encoder_attention_mask"]
    expected = model(**arguments)
    other_time = model(**{**arguments, "timestep": 999})
    text = arguments["encoder_hidden_states"] + 1.0
    other_text = model(**{**arguments, "encoder_hidden_states": text})
    for other in (other_time, other_text):
        assert ((expected - other).abs().amax(-1) > 1e-7).all()


def check_gradients(model):
    """No parameter is left without gradient."""
    disturb(model).train()(**inputs(model)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


def check_learning(model, steps=30, lr=3e-3, below=0.6):
    """The loss starts at about one, and Adam brings it down on a fixed batch."""
    arguments = inputs(model, batch=4)
    noise = torch.randn_like(arguments["sample"])
    optimizer = torch.optim.Adam(model.parameters(), lr)
    losses = []
    for _ in range(steps):
        loss = (model(**arguments) - noise).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert 0.5 < losses[0] < 2.5, losses
    assert losses[-1] < below * losses[0], losses


def check_round_trip(model, folder):
    disturb(model).save_pretrained(folder)
    assert (folder / "diffusion_pytorch_model.safetensors").is_file()
    arguments = inputs(model)
    assert torch.equal(type(model).from_pretrained(folder)(**arguments), model(**arguments))
