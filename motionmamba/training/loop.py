"""The training loop that VAE, denoiser and evaluator share."""

import json
import signal
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration, is_tensorboard_available
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from omegaconf import DictConfig
from torch import nn
from tqdm.auto import tqdm

from motionmamba.motion.files import write_whole
from motionmamba.training.checkpoints import Checkpoints

Losses = dict[str, torch.Tensor]
ROLLBACKS = 3  # from one checkpoint; then the run is given up


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
    goes on with exactly the batches, noise and dropout that an uninterrupted one would see. A
    single process that is told to stop, by SIGTERM or Ctrl+C, writes a checkpoint first. When the
    loss is no longer finite, training goes back to the newest checkpoint and draws anew.

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
        FloatingPointError: when the loss is no longer finite and there is nothing to go back to,
            or it does not help.
        KeyboardInterrupt: when told to stop.
    """
    return _Run(accelerator, model, compute_losses, train, run, capture).fit(resume, show_samples)


class _Run:
    """A run of `fit`: all that changes from step to step."""

    def __init__(self, accelerator, model, compute_losses, train, run, capture):
        self.accelerator, self.train, self.compute_losses = accelerator, train, compute_losses
        device = accelerator.device
        self.graphed = capture and device.type == "cuda"
        optimizer = torch.optim.AdamW(
            _parameter_groups(model, train.weight_decay),
            lr=train.learning_rate,
            fused=device.type == "cuda",
        )
        self.schedule = get_scheduler(
            train.lr_schedule,
            optimizer,
            num_warmup_steps=train.warmup_steps,
            num_training_steps=train.steps,
        )
        self.average = EMAModel(
            model.parameters(), decay=train.ema_decay, use_ema_warmup=True, power=0.75, foreach=True
        )
        # a graph cannot hold the hooks that average gradients: it gets the bare model
        self.model = accelerator.prepare_model(model, evaluation_mode=self.graphed)
        self.plain = accelerator.unwrap_model(self.model)
        self.average.to(device)
        self.optimizer = accelerator.prepare_optimizer(optimizer)
        self.clock = _Clock(device)
        # the schedule counts steps of the run, not of its processes: it stays as it is
        accelerator.register_for_checkpointing(self.average, self.schedule, self.clock)
        self.checkpoints = Checkpoints(accelerator, run)
        self.run = run
        self.generator = torch.Generator(device)
        self.rollbacks = 0

    def fit(self, resume: bool, show_samples) -> nn.Module:
        accelerator, train = self.accelerator, self.train
        step = first = self._restore() if resume else 0
        accelerator.init_trackers("")
        self.model.train()
        gradients = self._backward
        if self.graphed:
            shared = _share_gradients(self.plain) if accelerator.num_processes > 1 else None
            gradients = _capture(gradients, self.generator, shared)
        bar = tqdm(
            initial=first,
            total=train.steps,
            disable=not accelerator.is_local_main_process,
            dynamic_ncols=True,
            mininterval=2.0,
        )
        self.clock.start(first)
        with bar, _asked_to_stop(accelerator) as asked:
            while step < train.steps:
                self._seed(step)
                self.clock.mark(end=False)
                losses = gradients()
                self._update()
                self.clock.mark(end=True)
                step += 1
                bar.update()
                last = step == train.steps
                sound = (
                    self._log(bar, losses, step) if last or step % train.log_every == 0 else True
                )
                if sound and (last or step % train.checkpoint_every == 0 or asked):
                    sound = self._save(step)
                if not sound:
                    step = bar.n = self._roll_back(losses, step)
                    continue
                if asked:
                    accelerator.print(
                        f"\nstopped after step {step}; go on from there with --resume"
                    )
                    raise KeyboardInterrupt
                if show_samples and train.sample_every and step % train.sample_every == 0:
                    self._show(show_samples, step)
        return self._finish()

    def _backward(self) -> Losses:
        self.optimizer.zero_grad(set_to_none=False)
        losses = self.compute_losses(self.model, self.generator)
        self.accelerator.backward(losses["loss"])
        return {name: value.detach() for name, value in losses.items()}

    def _update(self):
        self.accelerator.clip_grad_norm_(self.model.parameters(), self.train.max_grad_norm)
        self.optimizer.step()
        self.schedule.step()
        self.average.step(self.plain.parameters())

    def _seed(self, step: int):
        value = (self.train.seed * 1_000_003 + step) * 1_009 + self.accelerator.process_index
        value += self.rollbacks * 998_244_353
        torch.manual_seed(value)  # dropout
        self.generator.manual_seed(value)

    def _log(self, bar, losses: Losses, step: int) -> bool:
        """Tells the losses, which waits for the device; whether they are finite everywhere."""
        values = {name: value.item() for name, value in losses.items()}
        rates = self.clock.rates(step, self.train.batch_size * self.accelerator.num_processes)
        shown = {name: f"{value:.4f}" for name, value in values.items()}
        bar.set_postfix(shown | {"samples/s": f"{rates['samples/s']:.0f}"})
        rates["learning_rate"] = self.schedule.get_last_lr()[0]
        self.accelerator.log(values | rates, step=step)
        total = torch.stack([*losses.values()]).sum()
        return bool(self.accelerator.reduce(total).isfinite())

    def _roll_back(self, losses: Losses, step: int) -> int:
        self.rollbacks += 1
        told = f"the loss is {losses['loss'].item()} at step {step}, or the weights are spoiled"
        if not len(self.checkpoints) or self.rollbacks > ROLLBACKS:
            raise FloatingPointError(f"{told}; go on or start again with a smaller learning rate")
        back = self._restore()
        self.clock.start(back)
        self.accelerator.print(f"{told}: going back to step {back} with other draws")
        return back

    def _save(self, step: int) -> bool:
        """A checkpoint, unless the last update has spoiled the weights; whether it is there."""
        norms = torch._foreach_norm([p.detach() for p in self.plain.parameters()])
        sound = bool(torch.stack(norms).isfinite().all())
        if sound:
            self.rollbacks = 0
            self.checkpoints.save(step)
        return sound

    def _restore(self) -> int:
        step = self.checkpoints.restore()
        self.average.to(self.accelerator.device)  # restored, it is on the processor
        return step

    def _show(self, show_samples, step: int):
        if self.accelerator.is_main_process:
            self.average.store(self.plain.parameters())
            self.average.copy_to(self.plain.parameters())
            self.plain.eval()
            show_samples(self.plain, step)
            self.plain.train()
            self.average.restore(self.plain.parameters())
        self.accelerator.wait_for_everyone()

    def _finish(self) -> nn.Module:
        self.accelerator.wait_for_everyone()
        for tracker in self.accelerator.trackers:  # end_training also takes leave of the others
            tracker.finish()
        if self.accelerator.is_main_process:
            self._write_summary()
        self.average.copy_to(self.plain.parameters())
        return self.plain.eval()

    def _write_summary(self):
        accelerator, device = self.accelerator, self.accelerator.device
        cuda = device.type == "cuda"
        summary = {
            "steps": self.train.steps,
            "batch_size": self.train.batch_size * accelerator.num_processes,
            "seconds": round(self.clock.state_dict()["seconds"], 3),
            "parameters": sum(p.numel() for p in self.plain.parameters()),
            "precision": accelerator.mixed_precision,
            "processes": accelerator.num_processes,
            "device": torch.cuda.get_device_name(device) if cuda else device.type,
            "torch": torch.__version__,
        } | {name: round(value, 3) for name, value in self.clock.latest.items()}
        write_whole(self.run / "training.json", json.dumps(summary, indent=1).encode())


def _capture(
    work: Callable[[], Losses], generator: torch.Generator, gradients: torch.Tensor | None
) -> Callable[[], Losses]:
    """Records `work` as a CUDA graph; `gradients` are averaged over all processes after it.

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
        if gradients is not None:
            torch.distributed.all_reduce(gradients, torch.distributed.ReduceOp.AVG)
        return losses

    return replay


class _Clock:
    """Tells how long a run has trained, in all its parts, and what for.

    Args:
        device: a GPU's steps are timed on it.
    """

    def __init__(self, device: torch.device):
        self.seconds = 0.0  # until the last checkpoint
        self.latest = {}  # rates
        self._events = None
        if device.type == "cuda":
            self._events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]

    def start(self, step: int):
        self._began = self._logged = time.perf_counter()
        self._step = step

    def mark(self, end: bool):
        """The beginning or the end of a step."""
        if self._events:
            self._events[end].record()

    def rates(self, step: int, batch_size: int) -> dict[str, float]:
        """Of the steps since the last call: samples a second, and a GPU's share of the time.

        That is the device's time for the last step, when others wait in its queue, for each.
        """
        now = time.perf_counter()
        seconds, steps = now - self._logged, step - self._step
        self._logged, self._step = now, step
        self.latest = {"samples/s": steps * batch_size / seconds}
        if self._events:
            busy = self._events[0].elapsed_time(self._events[1]) / 1e3 * steps
            self.latest["compute"] = busy / seconds
        return dict(self.latest)

    def state_dict(self) -> dict[str, float]:
        return {"seconds": self.seconds + time.perf_counter() - self._began}

    def load_state_dict(self, state: dict[str, float]):
        self.seconds = state["seconds"]
        self._began = time.perf_counter()


def _share_gradients(model: nn.Module) -> torch.Tensor:
    """One tensor of which all parameters' gradients are parts; the parameters of process 0."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradients = parameters[0].new_zeros(sum(p.numel() for p in parameters))
    parts = gradients.split([p.numel() for p in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        torch.distributed.broadcast(parameter.data, 0)
        parameter.grad = part.view_as(parameter)
    return gradients


@contextmanager
def _asked_to_stop(accelerator: Accelerator):
    """A list that has an item as soon as the process was told to stop.

    Of several processes each would stop at another step: those end at once.
    """
    asked = []
    if accelerator.num_processes > 1 or threading.current_thread() is not threading.main_thread():
        yield asked
        return
    signals = signal.SIGTERM, signal.SIGINT
    before = [signal.signal(each, lambda number, _: asked.append(number)) for each in signals]
    try:
        yield asked
    finally:
        for each, handler in zip(signals, before, strict=True):
            signal.signal(each, handler)


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Decays matrices only: not biases, norms or the state decay of a scan, as in Mamba."""
    groups = {True: [], False: []}
    for name, parameter in model.named_parameters():
        groups[parameter.ndim > 1 and not name.endswith("A_log")].append(parameter)
    return [
        {"params": groups[True], "weight_decay": weight_decay},
        {"params": groups[False], "weight_decay": 0.0},
    ]
