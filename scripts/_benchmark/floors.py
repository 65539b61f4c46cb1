"""What no selective scan can beat: its bytes, and its exponentials, at rates measured here."""

import importlib.util
from dataclasses import dataclass

import torch

from .contestants import Shape
from .timing import time_in_turns

H100_EXPONENTIALS = 3.6e12
BUDGET_MS = 200


@dataclass(frozen=True)
class Rates:
    """Bytes moved and exponentials computed in a second."""

    bytes: float
    exponentials: float

    def floors(self, shape: Shape, n_state: int, item_bytes: int, backward: bool) -> dict:
        """Milliseconds at least: every input read once and every output written once.

        The backward pass reads what the forward pass reads and the output's gradient, writes a
        gradient for every input, and needs the exponentials again.
        """
        large = shape.tokens * shape.channels
        small = 2 * shape.tokens * n_state
        moved = 4 * large + small
        if backward:
            moved += 4 * large + small + 3 * large + small
        exponentials = large * n_state * (2 if backward else 1)
        return {
            "bytes_ms": 1e3 * moved * item_bytes / self.bytes,
            "exponentials_ms": 1e3 * exponentials / self.exponentials,
        }


def measure_rates(device: str, clock) -> Rates:
    return Rates(_copy_rate(device, clock), _exponential_rate(device, clock))


def _copy_rate(device: str, clock) -> float:
    """Bytes a second of a copy, read and written ones."""
    source = torch.randn(2**28 if device == "cuda" else 2**24, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _seconds(lambda: target.copy_(source), clock)


def _exponential_rate(device: str, clock) -> float:
    if device == "cpu":
        x = torch.randn(2**16)
        out = torch.empty_like(x)
        return x.numel() / _seconds(lambda: torch.exp(x, out=out), clock)
    if importlib.util.find_spec("triton") is None:
        return H100_EXPONENTIALS
    from .exponential_kernel import launch

    return launch() / _seconds(launch, clock)


def _seconds(run, clock) -> float:
    run()
    return time_in_turns([run], clock, BUDGET_MS)[0]["median_ms"] / 1e3
