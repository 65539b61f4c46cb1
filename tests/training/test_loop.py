import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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


def test_of_a_damaged_checkpoint_the_one_before_is_used(tmp_path):
    whole = weights(train(tmp_path / "whole"))
    with pytest.raises(Interrupted):
        train(tmp_path / "cut", interrupted_at(10))
    cut = tmp_path / "cut" / "checkpoints" / "step-00000008" / "optimizer.bin"
    os.truncate(cut, cut.stat().st_size // 2)
    with pytest.warns(UserWarning, match="step-00000008 is damaged"):
        assert torch.equal(weights(train(tmp_path / "cut", resume=True)), whole)
    for left in (tmp_path / "cut" / "checkpoints").iterdir():
        (left / "contents.json").unlink()
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="no whole checkpoint"):
        train(tmp_path / "cut", resume=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_writes_a_checkpoint_and_goes_on_from_there(tmp_path, number):
    whole = weights(train(tmp_path / "whole"))

    def compute(network, generator, calls=[]):  # noqa: B006
        calls.append(None)
        if len(calls) == 7:
            os.kill(os.getpid(), number)
        return losses(network, generator)

    handler = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", compute)
    assert signal.getsignal(number) is handler
    assert (tmp_path / "parts" / "checkpoints" / "step-00000007").is_dir()
    assert torch.equal(weights(train(tmp_path / "parts", resume=True)), whole)


def test_killed_at_any_moment_it_goes_on_to_the_same_weights(tmp_path):
    options = dict(steps=120, checkpoint_every=1)  # so that most of the time is spent in writing
    whole = weights(train(tmp_path / "whole", **options))
    run = tmp_path / "parts"
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from pathlib import Path\n"
        "from test_loop import train\n"
        f"run = Path({str(run)!r})\n"
        f"train(run, resume=(run / 'checkpoints').is_dir(), **{options})"
    )
    for wanted in (3, 30, 60):
        process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
        until = time.monotonic() + 120
        while newest(run) < wanted and time.monotonic() < until:
            time.sleep(0.001)
        process.kill()
        process.wait()
        assert wanted <= newest(run) < 120
    assert torch.equal(weights(train(run, resume=True, **options)), whole)


def newest(run):
    steps = [int(path.name.split("-")[1]) for path in run.glob("checkpoints/step-*")]
    return max(steps, default=0)


def test_training_learns_and_gives_averaged_weights(tmp_path):
    before, trained = model().eval(), train(tmp_path, steps=300, checkpoint_every=300)
    x = torch.randn(256, 3, generator=torch.Generator().manual_seed(9))
    error = [(m(x) - x.sum(-1, keepdim=True)).square().mean() for m in (before, trained)]
    assert error[1] < 0.3 * error[0] and not trained.training


def test_there_is_nothing_to_resume(tmp_path):
    with pytest.raises(ValueError, match="no whole checkpoint"):
        train(tmp_path, resume=True)


def nan_at(*steps):
    calls = []

    def compute(network, generator):
        calls.append(None)
        factor = float("nan") if len(calls) in steps else 1.0
        return {"loss": losses(network, generator)["loss"] * factor}

    return compute


def test_after_nan_it_goes_back_and_draws_anew(tmp_path, capfd):
    trained = weights(train(tmp_path, nan_at(7)))
    assert trained.isfinite().all() and "the loss is nan at step 8" in capfd.readouterr().out
    assert not torch.equal(trained, weights(train(tmp_path / "other")))


@pytest.mark.parametrize("last", [8, 12])
def test_weights_that_are_spoiled_are_never_a_checkpoint(tmp_path, last):
    # an update spoils them, and no loss tells before the next
    def compute(network, generator, calls=[]):  # noqa: B006
        calls.append(None)
        loss = losses(network, generator)["loss"]
        if len(calls) == last:
            loss = loss + (next(network.parameters()) * 0).sum().sqrt()  # its slope is infinite
        return {"loss": loss}

    assert weights(train(tmp_path, compute)).isfinite().all()


def test_nan_that_does_not_go_away_ends_the_run(tmp_path):
    with pytest.raises(FloatingPointError, match="step 2"):
        train(tmp_path / "first", nan_at(1, 2))
    assert not list((tmp_path / "first" / "checkpoints").glob("*"))
    with pytest.raises(FloatingPointError, match="step 6"):
        train(tmp_path / "later", nan_at(*range(5, 1000)))
    assert [p.name for p in (tmp_path / "later" / "checkpoints").iterdir()] == ["step-00000004"]


def test_a_run_tells_how_long_it_took(tmp_path):
    with pytest.raises(Interrupted):
        train(tmp_path, interrupted_at(10))
    train(tmp_path, resume=True)
    summary = json.loads((tmp_path / "training.json").read_text())
    assert summary["steps"] == 12 and summary["seconds"] > 0 and summary["parameters"] == 81
    assert summary["samples/s"] > 0
