"""The operators that are compared, their inputs, and who computes them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from motionmamba.ops import selective_scan
from motionmamba.ops.backends import HAS_NUMBA
from motionmamba.ops.ssd import ssd

HEAD_WIDTH = SSD_STATE = 64
ATTENTION_HEADS, ATTENTION_WIDTH = 4, 256
# softplus of these spans the steps that Mamba starts with, 0.001 to 0.1
STEP_BIAS = (-6.9, -2.25)


class Shape(NamedTuple):
    batch: int
    channels: int
    length: int

    @property
    def tokens(self) -> int:
        return self.batch * self.length

    @classmethod
    def parse(cls, text: str) -> "Shape":
        """Reads BxDxL. Raises ValueError where the text is something else."""
        sizes = text.lower().split("x")
        if len(sizes) != 3 or not all(size.isdecimal() and int(size) for size in sizes):
            raise ValueError(f"--shapes has {text!r}, expected BxDxL as in 8x512x200.")
        return cls(*map(int, sizes))

    def __str__(self):
        return f"({self.batch}, {self.channels}, {self.length})"


@dataclass(frozen=True)
class Operator:
    """What is computed.

    Args:
        inputs: draws the arguments at a shape, the first one laid out like the result.
        truth: what every contestant has to agree with, called in float32.
        has_floor: whether `Rates.floors` holds for it.
    """

    inputs: Callable[[Shape, int, Callable[..., Tensor]], dict[str, Tensor]]
    truth: Callable[..., Tensor] | None
    has_floor: bool = False


@dataclass(frozen=True)
class Contestant:
    """Who computes an operator.

    Args:
        layout: in words, how its inputs lie in memory.
        arrange: brings an input into that layout.
        max_length, max_tokens: the largest L and B L that are reasonable for it.
        has_gradients: whether it can be run forward and backward.
    """

    name: str
    operator: str
    layout: str
    call: Callable[..., Tensor]
    arrange: Callable[[Tensor], Tensor] = lambda x: x
    max_length: float = float("inf")
    max_tokens: float = float("inf")
    has_gradients: bool = True

    def takes(self, shape: Shape) -> bool:
        fits = self.operator != "ssd" or shape.channels % HEAD_WIDTH == 0
        return fits and shape.length <= self.max_length and shape.tokens <= self.max_tokens


def scan_inputs(shape: Shape, n_state: int, draw) -> dict[str, Tensor]:
    """u, delta, z (B, D, L) and B, C (B, 1, N, L), all with the channels contiguous."""
    batch, channels, length = shape
    steps = [draw(batch, length, channels).transpose(1, 2) for _ in range(3)]
    matrices = [draw(batch, 1, length, n_state).transpose(2, 3) for _ in range(2)]
    device = steps[0].device
    return dict(
        u=steps[0],
        delta=steps[1],
        A=-torch.arange(1.0, n_state + 1, device=device).repeat(channels, 1),
        B=matrices[0],
        C=matrices[1],
        D=draw(channels).float(),
        z=steps[2],
        delta_bias=torch.linspace(*STEP_BIAS, channels, device=device),
    )


def ssd_inputs(shape: Shape, _, draw) -> dict[str, Tensor]:
    """x, z (B, L, H, P) with H P = D, dt (B, L, H), B, C (B, L, 1, N); P = N = 64."""
    batch, channels, length = shape
    heads = channels // HEAD_WIDTH
    x, z = (draw(batch, length, heads, HEAD_WIDTH) for _ in range(2))
    B, C = (draw(batch, length, 1, SSD_STATE) for _ in range(2))
    return dict(
        x=x,
        dt=draw(batch, length, heads),
        A=-torch.linspace(1, 16, heads, device=x.device),
        B=B,
        C=C,
        D=draw(heads).float(),
        z=z,
        dt_bias=torch.linspace(*STEP_BIAS, heads, device=x.device),
    )


def attention_inputs(shape: Shape, _, draw) -> dict[str, Tensor]:
    """query, key, value (B, 4, L, 64) as views of (B, L, 4, 64)."""
    size = (shape.batch, shape.length, ATTENTION_HEADS, ATTENTION_WIDTH // ATTENTION_HEADS)
    return {name: draw(*size).transpose(1, 2) for name in ("query", "key", "value")}


def scan_loop(u, delta, A, B, C, D, z, delta_bias) -> Tensor:
    """The selective scan as a loop over time, vectorised over B, D and N."""
    time_first = (2, 0, 1)
    delta = F.softplus(delta + delta_bias[:, None])
    steps = delta.permute(time_first).contiguous()
    inputs = (delta * u).permute(time_first).contiguous()
    B, C = (x[:, 0].permute(time_first).contiguous() for x in (B, C))
    state = u.new_zeros(*u.shape[:2], A.shape[1])
    outputs = []
    for step, x, b, c in zip(steps, inputs, B, C, strict=True):
        state = torch.exp(step[..., None] * A) * state + x[..., None] * b[:, None]
        outputs.append((state @ c[..., None])[..., 0])
    return (torch.stack(outputs, -1) + D[:, None] * u) * F.silu(z)


def scan_by_pscan(pscan, u, delta, A, B, C, D, z, delta_bias) -> Tensor:
    """The selective scan around mambapy's parallel scan of (B, L, D, N), as mambapy has it."""
    u_last, delta, z = (x.transpose(1, 2) for x in (u, delta, z))
    B, C = (x[:, 0].transpose(1, 2) for x in (B, C))
    delta = F.softplus(delta + delta_bias)
    states = pscan(torch.exp(delta[..., None] * A), (delta * u_last)[..., None] * B[:, :, None, :])
    out = (states @ C[..., None])[..., 0] + D * u_last
    return (out * F.silu(z)).transpose(1, 2)


scan = partial(selective_scan, delta_softplus=True)
# on a GPU the torch backend is a launch for every step: minutes beyond this many tokens
MAX_LAUNCHED_TOKENS = 2**15


def scan_truth(u: Tensor, *args, **kwargs) -> Tensor:
    """The torch backend, or where it would take minutes, whatever the device has."""
    slow = u.is_cuda and u.shape[0] * u.shape[2] > MAX_LAUNCHED_TOKENS
    return scan(u, *args, **kwargs, backend="auto" if slow else "torch")


OPERATORS = {
    "selective scan": Operator(scan_inputs, scan_truth, has_floor=True),
    "ssd": Operator(ssd_inputs, partial(ssd, dt_softplus=True, backend="torch")),
    "attention": Operator(attention_inputs, None),
}
CHANNEL_LAST = "u, delta, z: (B, D, L) views of (B, L, D); B, C: (B, 1, N, L), N contiguous"
CHANNEL_FIRST = "u, delta, z: (B, D, L) contiguous; B, C: (B, 1, N, L) contiguous"
HEADS = f"x, z: (B, L, D / 64, 64), N = {SSD_STATE}, contiguous"


def find_contestants(device: str) -> tuple[list[Contestant], dict[str, str]]:
    """Everyone who can run on the device, and why the others cannot."""
    launched = {"max_tokens": MAX_LAUNCHED_TOKENS} if device == "cuda" else {}
    found = [_ours("torch", **launched), _ours("reference", max_tokens=512)]
    absent = {}
    peers = {"mamba_ssm": _mamba_ssm} if device == "cuda" else {"mambapy": _mambapy}
    if device == "cuda":
        found.insert(0, _ours("triton"))
    else:
        absent |= {"ours, triton": "needs CUDA", "mamba_ssm": "needs CUDA"}
        if HAS_NUMBA:
            found.insert(0, _ours("numba", has_gradients=False))
        else:
            absent["ours, numba"] = "needs the package numba"
        found.append(Contestant("loop", "selective scan", CHANNEL_LAST, scan_loop, max_length=4096))
    for name, peer in peers.items():
        try:
            found += peer()
        except ImportError as error:
            absent[name] = f"cannot be imported ({error})"
    found.append(Contestant("ours, ssd", "ssd", HEADS, partial(ssd, dt_softplus=True)))
    found.append(_attention())
    return sorted(found, key=lambda c: list(OPERATORS).index(c.operator)), absent


def _ours(backend: str, **limits) -> Contestant:
    call = partial(scan, backend=backend)
    return Contestant(f"ours, {backend}", "selective scan", CHANNEL_LAST, call, **limits)


def _mamba_ssm() -> list[Contestant]:
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
    from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined

    call = partial(selective_scan_fn, delta_softplus=True)
    chunked = partial(mamba_chunk_scan_combined, chunk_size=256, dt_softplus=True)
    return [
        Contestant("mamba_ssm", "selective scan", CHANNEL_FIRST, call, torch.Tensor.contiguous),
        Contestant("mamba_ssm, ssd", "ssd", HEADS, chunked),
    ]


def _mambapy() -> list[Contestant]:
    from mambapy.pscan import pscan

    call = partial(scan_by_pscan, pscan)
    limit = 2**13  # its memory is B D L N, several times
    return [Contestant("mambapy", "selective scan", CHANNEL_LAST, call, max_tokens=limit)]


def _attention() -> Contestant:
    call = partial(F.scaled_dot_product_attention, is_causal=True)
    layout = "query, key, value: (B, 4, L, 64) views of (B, L, 4, 64)"
    return Contestant("PyTorch attention", "attention", layout, call, max_length=2**16)
