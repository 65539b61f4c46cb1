"""The causal depthwise convolution of Mamba, with a choice of backends."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from motionmamba.ops.backends import choose_backend
from motionmamba.ops.causal_conv1d_reference import causal_conv1d_reference
from motionmamba.ops.causal_conv1d_torch import causal_conv1d_torch
from motionmamba.ops.checks import check_floating, check_same_device, check_shapes

TRITON_MAX_WIDTH = 8


def causal_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    activation: str | None = None,
    reverse: bool | Sequence[bool] = False,
    backend: str = "auto",
    *,
    initial_state: Tensor | None = None,
    return_last_state: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Convolves every channel with its own W taps; the last tap weighs the current step.

    The same results as `causal_conv1d.causal_conv1d_fn`. Transposed views of channel-last tensors
    are the fastest layout and are not copied.

    Args:
        x: (B, D, L).
        weight: (D, W).
        bias: (D,).
        activation: None or "silu".
        reverse: whether a step sees the steps after it instead of those before it; G values set
            each of G equal groups of consecutive channels.
        backend: "reference", "torch", "triton", or "auto": triton on CUDA where it is installed,
            else torch.
        initial_state: (B, D, W - 1), the inputs before the first step in the direction of the
            scan, oldest first; zero without. With it and the last state, a long sequence is
            processed in pieces.
        return_last_state: whether to return the last W - 1 inputs, too.

    Returns:
        (B, D, L) in x's dtype; with `return_last_state`, also the state (B, D, W - 1).

    Raises:
        TypeError: if an argument is not a tensor of real floating-point numbers.
        ValueError: if a shape, a device or a choice does not fit, or the backend cannot run it.
    """
    tensors = dict(x=x, weight=weight, bias=bias, initial_state=initial_state)
    check_floating(tensors)
    _check(x, weight, bias, activation, "(B, D, L)")
    batch, channels, length = x.shape
    past = weight.shape[1] - 1
    check_shapes(initial_state=(initial_state, (batch, channels, past)))
    check_same_device(tensors)
    reverse = _directions(reverse, channels)
    convolve = _backend(backend, x, weight)
    silu = activation == "silu"
    if initial_state is None:
        y = convolve(x, weight, bias, silu=silu, reverse=reverse)
    else:
        initial_state = initial_state.to(x.dtype)
        around = _surround(x, initial_state)
        y = convolve(around, weight, bias, silu=silu, reverse=reverse)[..., past : past + length]
    if not return_last_state:
        return y
    if initial_state is None:
        initial_state = x.new_zeros(batch, channels, past)
    return y, _last_inputs(x, initial_state, reverse)


def causal_conv1d_update(
    x: Tensor,
    state: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    activation: str | None = None,
) -> Tensor:
    """One step of `causal_conv1d`, for streaming; advances `state` in place.

    The same call and results as `causal_conv1d.causal_conv1d_update`, with a state of the W - 1
    past inputs that a step needs.

    Args:
        x: (B, D).
        state: (B, D, W - 1), the past inputs, oldest first; overwritten.
        weight: (D, W).
        bias: (D,).
        activation: None or "silu".

    Returns:
        (B, D) in x's dtype.

    Raises:
        TypeError, ValueError: as `causal_conv1d`.
    """
    tensors = dict(x=x, state=state, weight=weight, bias=bias)
    check_floating(tensors)
    _check(x, weight, bias, activation, "(B, D)")
    check_shapes(state=(state, (*x.shape, weight.shape[1] - 1)))
    check_same_device(tensors)
    with torch.no_grad():
        window = torch.cat([state, x.unsqueeze(-1)], -1)
        y = (window * weight).sum(-1)
        if bias is not None:
            y = y + bias
        if activation == "silu":
            y = F.silu(y)
        state.copy_(window[..., 1:])
    return y.to(x.dtype)


def _check(x, weight, bias, activation, expected: str) -> None:
    fits = x.ndim == len(expected.split(",")) and weight.ndim == 2
    if not fits or x.shape[1] != weight.shape[0] or 0 in (x.numel(), weight.numel()):
        raise ValueError(
            f"x {tuple(x.shape)} and weight {tuple(weight.shape)} do not fit, expected {expected} "
            "and (D, W), neither empty."
        )
    check_shapes(bias=(bias, weight.shape[:1]))
    if activation not in (None, "silu"):
        raise ValueError(f"activation is {activation!r}, expected None or 'silu'.")


def _directions(reverse: bool | Sequence[bool], channels: int) -> tuple[bool, ...]:
    """`reverse` of each group; of a single one where all agree."""
    if isinstance(reverse, bool):
        return (reverse,)
    reverse = tuple(map(bool, reverse))
    if not reverse or channels % len(reverse):
        raise ValueError(
            f"reverse has {len(reverse)} values, which do not divide the {channels} channels of x."
        )
    return reverse[:1] if len(set(reverse)) == 1 else reverse


def _backend(backend: str, x: Tensor, weight: Tensor):
    obstacle = None
    if weight.shape[1] > TRITON_MAX_WIDTH:
        obstacle = f"takes at most {TRITON_MAX_WIDTH} taps, not {weight.shape[1]}"
    name = choose_backend(backend, x, obstacle)
    if name == "reference":
        return causal_conv1d_reference
    if name == "torch":
        return causal_conv1d_torch
    from motionmamba.ops.causal_conv1d_triton import causal_conv1d_triton

    return causal_conv1d_triton


def _surround(x: Tensor, state: Tensor) -> Tensor:
    """x with the past on either side, (B, D, L + 2 W - 2): each direction meets its own."""
    parts = [m.transpose(1, 2) for m in (state, x, state.flip(-1))]
    return torch.cat(parts, 1).transpose(1, 2)


def _last_inputs(x: Tensor, state: Tensor, reverse: tuple[bool, ...]) -> Tensor:
    """The last W - 1 of the state's and x's inputs in the direction of the scan, (B, D, W - 1)."""
    recent = min(state.shape[-1], x.shape[-1])
    parts = [
        part[..., :recent].flip(-1) if backward else part[..., x.shape[-1] - recent :]
        for part, backward in zip(x.chunk(len(reverse), 1), reverse, strict=True)
    ]
    return torch.cat([state[..., recent:], torch.cat(parts, 1)], -1)
