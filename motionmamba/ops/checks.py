"""Checks of arguments that the operators share; each names the argument and what it got."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

FLOATING = frozenset([torch.float16, torch.bfloat16, torch.float32, torch.float64])
INTEGERS = frozenset([torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])


def check_floating(tensors: dict[str, Tensor | None], required: Collection[str] = ()) -> None:
    """Raises TypeError where an argument is not a tensor of real floating-point numbers.

    None stands for an argument that is not given, which only the required ones have to be.
    """
    for name, x in tensors.items():
        if x is None and name not in required:
            continue
        if not isinstance(x, Tensor):
            raise TypeError(f"{name} is a {type(x).__name__}, expected a torch.Tensor.")
        if x.dtype not in FLOATING:
            raise TypeError(
                f"{name} is {x.dtype}, expected real floating-point numbers of 16, 32 or 64 bits."
            )


def check_lengths(lengths: Tensor | None, batch: int) -> None:
    """Raises where the lengths of sequences are given and not (batch,) integers.

    Raises:
        TypeError: if they are not a tensor of integers.
        ValueError: if their shape is another.
    """
    if lengths is None:
        return
    if not isinstance(lengths, Tensor):
        raise TypeError(f"lengths is a {type(lengths).__name__}, expected a torch.Tensor.")
    if lengths.dtype not in INTEGERS:
        raise TypeError(f"lengths are {lengths.dtype}, expected integers.")
    check_shapes(lengths=(lengths, (batch,)))


def check_same_device(tensors: dict[str, Tensor | None]) -> None:
    """Raises ValueError where an argument is not on the first one's device."""
    given = [(name, x.device) for name, x in tensors.items() if x is not None]
    first, expected = given[0]
    for name, device in given:
        if device != expected:
            raise ValueError(f"{name} is on {device}, expected {expected}, where {first} is.")


def check_shapes(**expected: tuple[Tensor | None, Sequence[int]]) -> None:
    """Raises ValueError where an argument that is given has another shape than expected."""
    for name, (x, shape) in expected.items():
        if x is not None and x.shape != shape:
            raise ValueError(f"{name} has shape {tuple(x.shape)}, expected {tuple(shape)}.")


def per_group(name: str, value: bool | Sequence[bool], groups: int) -> tuple[bool, ...]:
    """One value for each of the groups.

    Raises:
        TypeError: if neither a value nor a sequence is given.
        ValueError: if a sequence of another length is given.
    """
    if isinstance(value, bool):
        return (value,) * groups
    if not isinstance(value, Sequence):
        raise TypeError(f"{name} is a {type(value).__name__}, expected a bool or {groups} bools.")
    if len(value) != groups:
        raise ValueError(
            f"{name} has {len(value)} values, expected one or one per group, {groups}."
        )
    return tuple(map(bool, value))
