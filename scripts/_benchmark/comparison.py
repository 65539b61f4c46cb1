"""Runs the contestants at one shape after the other: agreement, memory, time."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial

import torch
from torch import Tensor

from .attempt import attempt, first_line, free
from .contestants import OPERATORS, Contestant, Shape
from .floors import Rates
from .timing import capture, peak_memory, time_in_turns

TOLERANCE = 2e-2
FORWARD, BOTH = "forward", "forward+backward"
SEED = 0


@dataclass(frozen=True)
class Settings:
    device: str
    dtype: torch.dtype
    n_state: int
    clock: Callable
    rates: Rates
    budget_ms: float

    def to_json(self) -> dict:
        return {
            "device": self.device,
            "dtype": str(self.dtype).removeprefix("torch."),
            "n_state": self.n_state,
            "rates": asdict(self.rates),
            "budget_ms": self.budget_ms,
        }


@dataclass
class Result:
    """What came out for one contestant at one shape.

    Attributes:
        status: "ok", or why there is no time.
        error: largest relative norm error of the output or, backward, of a gradient, against
            our torch backend in float32; None where there is nothing to compare with, and in
            the status where it exceeds TOLERANCE.
        call: times of eager calls.
        device: times of the same work as a CUDA graph, or why there are none.
        floors: of the selective scan at this shape, in ms.
        to_baseline, to_floor: times over the baseline's and over the larger floor.
    """

    shape: Shape
    contestant: str
    operator: str
    work: str
    status: str = "ok"
    error: float | None = None
    memory_bytes: int | None = None
    call: dict | None = None
    device: dict | str | None = None
    floors: dict | None = None
    to_baseline: dict = field(default_factory=dict)
    to_floor: float | None = None

    def milliseconds(self, timing: str) -> float | None:
        """The median of `timing`, "call" or "device", where it was measured."""
        times = getattr(self, timing)
        return times["median_ms"] if isinstance(times, dict) else None

    @property
    def memory_mib(self) -> float | None:
        return None if self.memory_bytes is None else self.memory_bytes / 2**20

    @property
    def best_ms(self) -> float | None:
        """On the device alone, or else of the calls."""
        return self.milliseconds("device") or self.milliseconds("call")

    def to_json(self) -> dict:
        return asdict(self) | {"shape": list(self.shape)}


def compare(
    shape: Shape, work: str, contestants: Sequence[Contestant], baseline: str, settings: Settings
) -> list[Result]:
    """Measures everyone who takes the shape; memory and CUDA graphs on a GPU only."""
    results, runs = [], []
    for name in OPERATORS:
        able = [c for c in contestants if c.has_gradients or work == FORWARD]
        group = [c for c in able if c.operator == name and c.takes(shape)]
        for result, run in _checked(name, shape, work, group, settings) if group else ():
            results.append(result)
            if result.status == "ok":
                runs.append((result, run))
    _time(runs, settings)
    _relate(results, baseline)
    return results


def _checked(operator: str, shape: Shape, work: str, group, settings: Settings):
    """Every contestant's result so far, and its work as a function without arguments."""
    inputs, gradient = _draw(operator, shape, settings)
    truth = _truth(operator, inputs, gradient, work)
    for contestant in group:
        result = Result(shape, contestant.name, operator, work)
        if OPERATORS[operator].has_floor:
            item_bytes = gradient.element_size()
            result.floors = settings.rates.floors(shape, settings.n_state, item_bytes, work == BOTH)
        run = _work(contestant.call, contestant.arrange, inputs, gradient, work)
        attempt(partial(_check, result, run, truth, settings), result)
        yield result, run


def _draw(operator: str, shape: Shape, settings: Settings) -> tuple[dict[str, Tensor], Tensor]:
    generator = torch.Generator(settings.device).manual_seed(SEED)
    options = dict(generator=generator, device=settings.device, dtype=settings.dtype)
    inputs = OPERATORS[operator].inputs(shape, settings.n_state, partial(torch.randn, **options))
    like_output = next(iter(inputs.values()))
    return inputs, torch.empty_like(like_output).normal_(generator=generator)


def _work(call, arrange, inputs: dict[str, Tensor], gradient: Tensor, work: str):
    """A function that computes the output, or the gradients of all inputs, as a tuple."""
    inputs = {name: arrange(x).detach() for name, x in inputs.items()}
    if work == FORWARD:
        return lambda: (call(**inputs),)
    leaves = [x.requires_grad_() for x in inputs.values()]
    gradient = arrange(gradient)
    return lambda: torch.autograd.grad(call(**inputs), leaves, gradient)


def _truth(operator: str, inputs, gradient, work: str) -> tuple[Tensor, ...] | None:
    call = OPERATORS[operator].truth
    if call is None:
        return None
    try:
        return _work(call, Tensor.float, inputs, gradient, work)()
    except RuntimeError:  # out of memory, say: the contestants still run, unchecked
        return None


def _check(result: Result, run, truth, settings: Settings) -> None:
    found = run()
    if truth is not None:
        errors = [_relative_error(x, y) for x, y in zip(found, truth, strict=True)]
        if all(error <= TOLERANCE for error in errors):
            result.error = max(errors)
        else:
            result.status = f"wrong: relative errors {', '.join(f'{x:.0e}' for x in errors)}"
    del found
    if settings.device == "cuda":
        result.memory_bytes = peak_memory(run)


def _relative_error(x: Tensor, truth: Tensor) -> float:
    return ((x.float() - truth).norm() / truth.norm()).item()


def _time(runs: list[tuple[Result, Callable]], settings: Settings) -> None:
    clock, budget = settings.clock, settings.budget_ms
    calls = time_in_turns([partial(attempt, run, result) for result, run in runs], clock, budget)
    runs = [(*run, times) for run, times in zip(runs, calls, strict=True) if run[0].status == "ok"]
    for result, run, times in runs:
        result.call = times
        if settings.device != "cuda":
            continue
        try:
            result.device = time_in_turns([capture(run)], clock, budget)[0]
        except RuntimeError as error:
            result.device = f"no CUDA graph: {first_line(error)}"
        free()


def _relate(results: list[Result], baseline: str) -> None:
    base = next((r for r in results if r.contestant == baseline), None)
    for result in results:
        if result.floors and result.best_ms:
            result.to_floor = result.best_ms / max(result.floors.values())
        for timing in ("call", "device"):
            ours, theirs = result.milliseconds(timing), base and base.milliseconds(timing)
            if ours and theirs:
                result.to_baseline[timing] = ours / theirs
