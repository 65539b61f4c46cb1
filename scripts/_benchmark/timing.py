"""Clocks for calls in turns, for work without launch overhead, and for memory."""

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from statistics import median, quantiles

import torch

Run = Callable[[], object]

CACHE_BYTES = 256 * 2**20  # more than any GPU's L2
REPEATS = range(5, 100)


class CudaClock:
    """Milliseconds between two events around a call, after clearing the L2 cache."""

    def __init__(self):
        self.cache = torch.empty(CACHE_BYTES, dtype=torch.int8, device="cuda")

    def __call__(self, run: Run) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self.cache.zero_()
        start.record()
        run()
        end.record()
        end.synchronize()
        return start.elapsed_time(end)


def cpu_clock(run: Run) -> float:
    """Milliseconds of a call."""
    began = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - began)


def make_clock(device: str) -> Callable[[Run], float]:
    return CudaClock() if device == "cuda" else cpu_clock


def time_in_turns(
    runs: Sequence[Run], clock, budget_ms: float, repeats: range = REPEATS
) -> list[dict[str, float]]:
    """Times warm calls, alternating so that a busy machine is unfair to none.

    Each run gets about `budget_ms`, within `repeats`. Returns summaries, see `summarize`.
    """
    times = [[clock(run)] for run in runs]
    wanted = [min(max(int(budget_ms / t[0]), repeats.start), repeats.stop) for t in times]
    for turn in range(1, max(wanted, default=0)):
        for run, calls, measured in zip(runs, wanted, times, strict=True):
            if turn < calls:
                measured.append(clock(run))
    return [summarize(measured) for measured in times]


def summarize(times_ms: Sequence[float]) -> dict[str, float]:
    """The median and, as the spread, the 20th and the 80th percentile."""
    low, *_, high = quantiles(times_ms, n=5, method="inclusive")
    return {
        "median_ms": median(times_ms),
        "low_ms": low,
        "high_ms": high,
        "repeats": len(times_ms),
    }


def capture(run: Run) -> Run:
    """The same work as a CUDA graph. Raises RuntimeError where it cannot be captured."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def peak_memory(run: Run) -> int:
    """Bytes that a call holds on the GPU at most, over what is there before it."""
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def describe_machine(device: str, packages: Sequence[str] = ()) -> dict[str, object]:
    """The device, its driver, and the versions of python, torch, triton and `packages`."""
    import platform

    if device == "cuda":
        name, driver = torch.cuda.get_device_name(), _driver()
    else:
        name, driver = f"{platform.machine()}, {torch.get_num_threads()} threads", None
    packages = ("torch", "triton", *packages)
    versions = {"python": platform.python_version()} | {name: _version(name) for name in packages}
    return {"device": device, "name": name, "driver": driver, "versions": versions}


def _driver() -> str | None:
    if not shutil.which("nvidia-smi"):
        return None
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True).stdout.split("\n")[0].strip()


def _version(package: str) -> str | None:
    try:
        return getattr(import_module(package), "__version__", "unknown")
    except ImportError:
        return None
