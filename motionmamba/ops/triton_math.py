"""Functions of one number that the Triton kernels share."""

import os

import triton
import triton.language as tl
from triton.language.extra import libdevice

LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)
INTERPRETED = tl.constexpr(os.environ.get("TRITON_INTERPRET") == "1")


@triton.jit
def softplus(x):
    exp = tl.exp2(x * LOG2_E)
    # log(1 + exp) would lose the low digits of a small exp
    series = exp * (1 - exp * (1 / 2 - exp * (1 / 3 - exp / 4)))
    if INTERPRETED:
        log = tl.log2(1 + exp)
    else:
        # one instruction instead of thirty
        log = libdevice.fast_log2f(1 + exp)
    return tl.where(x > 20, x, tl.where(exp < 1 / 64, series, log * LN_2))


@triton.jit
def softplus_slope(value):
    """The derivative of softplus where its value is this: 1 - exp(-value)."""
    series = value * (1 - value * (1 / 2 - value * (1 / 6 - value / 24)))
    return tl.where(value < 1 / 16, series, 1 - tl.exp2(-value * LOG2_E))


@triton.jit
def sigmoid(x):
    """As tl.sigmoid, without its care for exponentials that are almost zero."""
    return 1 / (1 + tl.exp2(-x * LOG2_E))
