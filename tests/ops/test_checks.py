"""The checks of arguments that the operators share."""

import pytest
import torch

from motionmamba.ops.checks import (
    check_floating,
    check_lengths,
    check_same_device,
    check_shapes,
    per_group,
)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_fitting_arguments_pass(dtype):
    x = torch.zeros(2, 3, dtype=dtype)
    check_floating({"x": x, "z": None}, required=["x"])
    check_same_device({"z": None, "x": x, "y": x})
    check_shapes(x=(x, (2, 3)), z=(None, (7,)))
    check_lengths(None, 2)
    check_lengths(torch.tensor([1, 2], dtype=torch.uint8), 2)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "x is a NoneType, expected a torch.Tensor"),
        (1.0, "x is a float"),
        (torch.zeros(2, dtype=torch.int32), "x is torch.int32, expected real"),
        (torch.zeros(2, dtype=torch.complex64), "x is torch.complex64, expected real"),
        (torch.zeros(2).to(torch.float8_e5m2), "x is torch.float8_e5m2, expected real"),
    ],
)
def test_other_values_than_floating_point_are_named(value, message):
    with pytest.raises(TypeError, match=message):
        check_floating({"x": value}, required=["x"])


def test_other_devices_and_shapes_are_named():
    x, y = torch.zeros(2, 3), torch.zeros(2, 3, device="meta")
    with pytest.raises(ValueError, match="y is on meta, expected cpu, where x is"):
        check_same_device({"z": None, "x": x, "y": y})
    with pytest.raises(ValueError, match=r"x has shape \(2, 3\), expected \(3, 2\)"):
        check_shapes(x=(x, (3, 2)))


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([1, 2], TypeError, "lengths is a list"),
        (torch.ones(2), TypeError, "lengths are torch.float32, expected integers"),
        (torch.ones(2, dtype=torch.bool), TypeError, "lengths are torch.bool"),
        (torch.ones(2, 1, dtype=torch.int64), ValueError, r"lengths has shape \(2, 1\)"),
    ],
)
def test_other_lengths_are_named(value, error, message):
    with pytest.raises(error, match=message):
        check_lengths(value, 2)


def test_per_group():
    assert per_group("reverse", True, 3) == (True, True, True)
    assert per_group("reverse", [0, 1], 2) == (False, True)
    with pytest.raises(ValueError, match="reverse has 3 values, expected one or one per group, 2"):
        per_group("reverse", [True] * 3, 2)
    with pytest.raises(TypeError, match="reverse is a NoneType, expected a bool or 2 bools"):
        per_group("reverse", None, 2)
