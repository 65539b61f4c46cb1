"""The training loop that VAE, denoiser and evaluator share."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration, is_tensorboard_available
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from omegaconf import DictConfig
from torch import nn
from tqdm.auto import tqdm

Losses = dict[str, torch.Tensor]
CHECKPOINTS_KEPT = 2


def make_accelerator(train: DictConfig, run: Path) -> Accelerator:
    """An accelerator for this run; `mixed_precision: auto` is bf16 on CUDA and off elsewhere."""
    precision = train.mixed_precision
    if precision == "auto":
        precision = "bf16" if torch.cuda.is_available() else "no"
    torch.set_float32_matmul_precision("high")
    return Accelerator(
        cpu=train.device == "cpu",
        mixed_precision=precision,
        log_with="tensorboard" if is_tensorboard_available() else None,
        project_config=ProjectConfiguration(project_dir=str(run), logging_dir=str(run / "logs")),
    )


def fit(
    accelerator: Accelerator,
    model: nn.Module,
    compute_losses: Callable[[nn.Module, torch.Generator], Losses],
    train: DictConfig,
    run: Path,
    resume: bool = False,
    show_samples: Callable[[nn.Module, int], None] | None = None,
    capture: bool = True,
) -> nn.Module:
    """Trains `model` and returns it with its averaged (EMA) weights.

    Every step draws from generators seeded by (seed, step, process) alone, so that a resumed run
    goes on with exactly the batches, noise and dropout that an uninterrupted one would see.

    Args:
        compute_losses: called with the model and a device generator; gives named scalar losses,
            `loss` being the one to minimise. It draws the batch itself.
        train: the `train` group of the configuration.
        run: folder for checkpoints and logs.
        resume: go on from the newest checkpoint in `run`.
        show_samples: called on the main process with the averaged model and the step.
        capture: replay steps as a CUDA graph on a GPU; `compute_losses` must not wait for it then.

    Raises:
        ValueError: when there is nothing to resume from.
        FloatingPointError: when the loss is no longer finite.
    """
    optimizer = torch.optim.AdamW(
        _parameter_groups(model, train.weight_decay),
        lr=train.learning_rate,
        fused=accelerator.device.type == "cuda",
    )
    schedule = get_scheduler(
        train.lr_schedule,
        optimizer,
        num_warmup_steps=train.warmup_steps,
        num_training_steps=train.steps,
    )
    average = EMAModel(
        model.parameters(), decay=train.ema_decay, use_ema_warmup=True, power=0.75, foreach=True
    )
    model, optimizer = accelerator.prepare(model, optimizer)
    # the schedule counts steps of the run, not of its processes: it stays as it is
    accelerator.register_for_checkpointing(average, schedule)
    first = _restore(accelerator, run) if resume else 0
    average.to(accelerator.device)  # restored, it is on the processor
    generator = torch.Generator(accelerator.device)

    def backward() -> Losses:
        optimizer.zero_grad(set_to_none=False)
        losses = compute_losses(model, generator)
        accelerator.backward(losses["loss"])
        return {name: value.detach() for name, value in losses.items()}

    graphed = capture and accelerator.device.type == "cuda" and accelerator.num_processes == 1
    accelerator.init_trackers("")

    bar = tqdm(
        range(first, train.steps),
        initial=first,
        total=train.steps,
        disable=not accelerator.is_local_main_process,
        dynamic_ncols=True,
        mininterval=2.0,
    )
    model.train()
    if graphed:
        backward = _capture(backward, generator)
    began = time.perf_counter()
    for step in bar:
        _seed_step(train.seed, step, accelerator.process_index, generator)
        losses = backward()
        accelerator.clip_grad_norm_(model.parameters(), train.max_grad_norm)
        optimizer.step()
        schedule.step()
        average.step(accelerator.unwrap_model(model).parameters())
        done = step + 1
        if done % train.log_every == 0 or done == train.steps:
            rate = (done - first) * train.batch_size / (time.perf_counter() - began)
            _log(accelerator, bar, losses, schedule.get_last_lr()[0], rate, done)
        if done % train.checkpoint_every == 0 or done == train.steps:
            _save(accelerator, run, done)
        if show_samples and train.sample_every and done % train.sample_every == 0:
            _show(accelerator, model, average, show_samples, done)
    accelerator.wait_for_everyone()
    for tracker in accelerator.trackers:  # end_training also takes leave of the other processes
        tracker.finish()
    trained = accelerator.unwrap_model(model)
    average.copy_to(trained.parameters())
    return trained.eval()


def _capture(work: Callable[[], Losses], generator: torch.Generator) -> Callable[[], Losses]:
    """Records `work` as a CUDA graph.

    A step is some thousand short kernels, which a processor cannot launch as fast as a GPU runs
    them. Replays draw anew from the generators' current seeds.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(generator)
    with torch.cuda.graph(graph):
        losses = work()

    def replay() -> Losses:
        graph.replay()
        return losses

    return replay


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Decays matrices only: not biases, norms or the state decay of a scan, as in Mamba."""
    groups = {True: [], False: []}
    for name, parameter in model.named_parameters():
        groups[parameter.ndim > 1 and not name.endswith("A_log")].append(parameter)
    return [
        {"params": groups[True], "weight_decay": weight_decay},
        {"params": groups[False], "weight_decay": 0.0},
    ]


def _seed_step(seed: int, step: int, process: int, generator: torch.Generator):
    value = (seed * 1_000_003 + step) * 1_009 + process
    torch.manual_seed(value)  # dropout
    generator.manual_seed(value)


def _log(accelerator, bar, losses: Losses, rate_of_learning: float, samples: float, step: int):
    values = {name: value.item() for name, value in losses.items()}
    if not all(torch.isfinite(torch.tensor(v)) for v in values.values()):
        raise FloatingPointError(
            f"the loss is {values['loss']} at step {step}; resume from the last checkpoint with a "
            "smaller train.learning_rate"
        )
    bar.set_postfix({k: f"{v:.4f}" for k, v in values.items()} | {"samples/s": f"{samples:.0f}"})
    accelerator.log(values | {"learning_rate": rate_of_learning, "samples/s": samples}, step=step)


def _show(accelerator, model, average: EMAModel, show_samples, step: int):
    if accelerator.is_main_process:
        plain = accelerator.unwrap_model(model)
        average.store(plain.parameters())
        average.copy_to(plain.parameters())
        plain.eval()
        show_samples(plain, step)
        plain.train()
        average.restore(plain.parameters())
    accelerator.wait_for_everyone()


def has_checkpoint(run: Path) -> bool:
    """Whether `fit` can resume in this run."""
    return bool(_checkpoints(run))


def _checkpoints(run: Path) -> list[Path]:
    return sorted((run / "checkpoints").glob("step-*"))


def _save(accelerator: Accelerator, run: Path, step: int):
    """Writes `checkpoints/step-N` beside its name first: a reader never sees half of one."""
    final = run / "checkpoints" / f"step-{step:08d}"
    partial = final.with_name(f".{final.name}.partial")
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        shutil.rmtree(final, ignore_errors=True)
        os.replace(partial, final)
        for old in _checkpoints(run)[:-CHECKPOINTS_KEPT]:
            shutil.rmtree(old)


def _restore(accelerator: Accelerator, run: Path) -> int:
    found = _checkpoints(run)
    if not found:
        raise ValueError(f"there is no checkpoint in {run / 'checkpoints'} to resume from")
    accelerator.load_state(str(found[-1]))
    return int(found[-1].name.split("-")[1])
