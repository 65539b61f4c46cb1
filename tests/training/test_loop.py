import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from motionmamba.training.loop import fit, make_accelerator


def settings(**changes):
    values = dict(
        steps=12,
        batch_size=4,
        learning_rate=1e-2,
        lr_schedule="cosine",
        warmup_steps=2,
        weight_decay=0.1,
        max_grad_norm=1.0,
        ema_decay=0.9,
        seed=0,
        device="cpu",
        mixed_precision="no",
        log_every=2,
        checkpoint_every=4,
        sample_every=0,
    )
    return OmegaConf.create(values | changes)


def model():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 16), nn.Dropout(0.5), nn.Linear(16, 1))


def losses(network, generator):
    x = torch.randn(4, 3, generator=generator)
    return {"loss": (network(x) - x.sum(-1, keepdim=True)).square().mean()}


def train(run, compute=losses, resume=False, **changes):
    config = settings(**changes)
    return fit(make_accelerator(config, run), model(), compute, config, run, resume)


def weights(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


class Interrupted(Exception):
    pass


def interrupted_at(step):
    calls = []

    def compute(network, generator):
        calls.append(None)
        if len(calls) > step:
            raise Interrupted
        return losses(network, generator)

    return compute


def test_a_resumed_run_ends_with_the_same_weights(tmp_path):
    whole = weights(train(tmp_path / "whole"))
    with pytest.raises(Interrupted):
        train(tmp_path / "parts", interrupted_at(10))
    names = sorted(p.name for p in (tmp_path / "parts" / "checkpoints").iterdir())
    assert names == ["step-00000004", "step-00000008"]
    assert torch.equal(weights(train(tmp_path / "parts", resume=True)), whole)


def test_a_checkpoint_cut_short_is_never_taken_for_one(tmp_path):
    train(tmp_path)
    (tmp_path / "checkpoints" / ".step-00000016.partial").mkdir()
    (tmp_path / "checkpoints" / ".step-00000016.partial" / "model.safetensors").touch()
    train(tmp_path, resume=True, steps=14)
    names = [p.name for p in (tmp_path / "checkpoints").glob("step-*")]
    assert sorted(names) == ["step-00000012", "step-00000014"]


def test_training_learns_and_gives_averaged_weights(tmp_path):
    before, trained = model().eval(), train(tmp_path, steps=300, checkpoint_every=300)
    x = torch.randn(256, 3, generator=torch.Generator().manual_seed(9))
    error = [(m(x) - x.sum(-1, keepdim=True)).square().mean() for m in (before, trained)]
    assert error[1] < 0.3 * error[0] and not trained.training


def test_nothing_to_resume_and_nan(tmp_path):
    with pytest.raises(ValueError, match="no checkpoint"):
        train(tmp_path, resume=True)
    with pytest.raises(FloatingPointError, match="step 2"):
        train(tmp_path, lambda m, g: {"loss": losses(m, g)["loss"] * float("nan")})
    assert not list((tmp_path / "checkpoints").glob("*"))
