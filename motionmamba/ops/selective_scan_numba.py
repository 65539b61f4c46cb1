"""The selective scan on processors, compiled by Numba, without gradients.

The states of some channels stay in the first-level cache while all steps pass by. PyTorch
operations write and read them five times a step, and cost a launch each.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload
from torch import Tensor
from torch.nn import functional as F

LANES = 64  # channels that are computed together, some vectors of any processor
WORTH_A_THREAD = 1 << 22  # states of all steps

_f32 = np.float32
ZERO, ONE, TWO = _f32(0), _f32(1), _f32(2)
LOG2_E = _f32(math.log2(math.e))
# 2 ** x is 0 and infinite beyond; the sum of x and MAGIC has x, rounded, and the bias of exponents
# in its lowest bits
LEAST, MOST, MAGIC = _f32(-127), _f32(128), _f32(1.5 * 2**23 + 127)
LN_2 = _f32(0.693359375)  # few bits, so that whole multiples are exact
LN_2_REST = _f32(math.log(2) - 0.693359375)
P2, P3, P4, P5, P6, P7 = (_f32(1 / math.factorial(k)) for k in range(2, 8))
E1, E2, E3, E4, E5, E6 = (_f32(math.log(2) ** k / math.factorial(k)) for k in range(1, 7))
L3, L5, L7, L9, L11, L13, L15 = (_f32(1 / k) for k in range(3, 17, 2))


def selective_scan_numba(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    initial_state: Tensor | None,
    lengths: Tensor | None,
    *,
    delta_softplus: bool,
    reverse: tuple[bool, ...],
    zoh: bool,
) -> tuple[Tensor, Tensor]:
    """`selective_scan` with B, C (B, G, N, L), in float32; `zoh` is False."""
    batch, channels, length = u.shape
    groups = len(reverse)
    # the gate multiplies what is not rounded yet
    native = u.dtype == delta.dtype == torch.bfloat16 and z is None
    dtype = torch.bfloat16 if native else torch.float32
    x, steps = (
        _array(m.transpose(1, 2).to(dtype).contiguous().unflatten(2, (groups, -1)))
        for m in (u, delta)
    )
    limits = torch.finfo(torch.float32)
    rate = (A.float() * LOG2_E.item()).clamp_(limits.min, limits.max)
    B, C = (m.permute(0, 3, 1, 2).float().numpy() for m in (B, C))
    D, bias = (A.new_zeros(channels) if m is None else m for m in (D, delta_bias))
    rate, D, bias = (
        m.float().contiguous().unflatten(0, (groups, -1)).numpy() for m in (rate, D, bias)
    )
    state = u.new_zeros(batch, channels, A.shape[1], dtype=torch.float32)
    if initial_state is not None:
        state.copy_(initial_state)
    ends = u.new_full((batch,), length, dtype=torch.long) if lengths is None else lengths.long()
    ends = ends.clamp(0, length).numpy()  # Numba would read and write beyond the arrays
    y = u.new_empty(batch, length, channels, dtype=dtype)
    into = state.unflatten(1, (groups, -1)).numpy(), ends, _array(y.unflatten(2, (groups, -1)))
    _run(x, steps, rate, B, C, D, bias, *into, np.array(reverse), delta_softplus)
    if z is not None:
        y *= F.silu(z.transpose(1, 2).float())
    return y.transpose(1, 2).to(u.dtype), state


def _array(x: Tensor) -> np.ndarray:
    """Shares the memory of x; NumPy has the bits of bfloat16 alone."""
    return (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).numpy()


def _run(x, steps, rate, B, C, D, bias, state, ends, y, reverse, softplus):
    """`_scan` of everything, in as many threads as PyTorch has, where it is worth that."""
    batch, _, groups, width = x.shape
    threads = torch.get_num_threads() if x.size * rate.shape[2] >= WORTH_A_THREAD else 1
    # channels of one sequence are divided where there are too few sequences
    parts = 1 if batch * groups >= threads else math.ceil(width / LANES)
    tasks = batch * groups * parts
    cuts = pairwise(tasks * i // threads for i in range(threads + 1))
    arguments = x, steps, rate, B, C, D, bias, state, ends, y, reverse, softplus, parts
    scan = _compiled(x.dtype == np.uint16)
    own, *others = cuts
    if not others:
        scan(*arguments, *own)
        return
    # threads of its own for each scan: those of a pool would not survive a fork
    with ThreadPoolExecutor(len(others)) as pool:
        running = [pool.submit(scan, *arguments, *cut) for cut in others]
        scan(*arguments, *own)
        for future in running:
            future.result()


@intrinsic
def _as_float(typing, bits):
    def bitcast(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), bitcast


@intrinsic
def _as_int(typing, x):
    def bitcast(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), bitcast


def _get(values, i):
    """The float32 at i of an array of float32 or of the bits of bfloat16."""


def _put(values, i, x):
    """Writes the float32 x to i of such an array, rounded to nearest, ties to even."""


@overload(_get, inline="always")
def _get_compiled(values, i):
    if values.dtype == types.float32:
        return lambda values, i: values[i]
    return lambda values, i: _as_float(np.int32(values[i]) << np.int32(16))


@overload(_put, inline="always")
def _put_compiled(values, i, x):
    if values.dtype == types.float32:

        def put(values, i, x):
            values[i] = x

        return put

    def put_rounded(values, i, x):
        bits = _as_int(x)
        half = np.int32(0x7FFF) + ((bits >> np.int32(16)) & np.int32(1))
        # a payload of NaN would be rounded up to infinity or beyond
        rounded = (bits + half) >> np.int32(16) if x == x else np.int32(0x7FC0)
        values[i] = np.uint16(rounded)

    return put_rounded


@njit(inline="always")
def _exp2(x):
    """2 ** x by a polynomial of its fraction and the bits of its whole part: a vector's work."""
    # unlike min and max, these keep NaN
    x = LEAST if x < LEAST else x
    x = MOST if x > MOST else x
    shifted = x + MAGIC
    f = x - (shifted - MAGIC)
    power = ONE + f * (E1 + f * (E2 + f * (E3 + f * (E4 + f * (E5 + f * E6)))))
    return power * _as_float(_as_int(shifted) << np.int32(23))


@njit(inline="always")
def _softplus(x):
    """max(x, 0) + log1p(t), t = exp(-|x|), by the series of 2 artanh(t / (2 + t))."""
    least = -abs(x)
    least = LEAST * LN_2 if least < LEAST * LN_2 else least
    shifted = least * LOG2_E + MAGIC
    whole = shifted - MAGIC
    # in two parts, as steps of e^-40 shall be as precise as others
    f = (least - whole * LN_2) - whole * LN_2_REST
    t = ONE + f * (ONE + f * (P2 + f * (P3 + f * (P4 + f * (P5 + f * (P6 + f * P7))))))
    t *= _as_float(_as_int(shifted) << np.int32(23))
    s = t / (TWO + t)
    q = s * s
    series = ONE + q * (L3 + q * (L5 + q * (L7 + q * (L9 + q * (L11 + q * (L13 + q * L15))))))
    return max(x, ZERO) + TWO * s * series


def _scan(x, steps, rate, B, C, D, bias, state, ends, y, reverse, softplus, parts, first, last):
    """Tasks `first` to `last`: a part of the channels of a group of a sequence each.

    x, steps, y (B, L, G, E), float32 or the bits of bfloat16; rate (G, E, N), to the base 2;
    B, C (B, L, G, N); D, bias (G, E); state (B, G, E, N), overwritten; ends (B,): steps that
    count; reverse (G,).
    """
    _, length, groups, width = x.shape
    N = rate.shape[2]
    padded = -(-N // 4) * 4
    blocks = math.ceil(math.ceil(width / LANES) / parts)
    rates = np.zeros((blocks, padded, LANES), np.float32)
    states = np.zeros((blocks, padded, LANES), np.float32)
    b, c = np.zeros(padded, np.float32), np.zeros(padded, np.float32)
    value, step = np.zeros(LANES, np.float32), np.zeros(LANES, np.float32)
    entering, out = np.zeros(LANES, np.float32), np.zeros(LANES, np.float32)
    for task in range(first, last):
        sequence, group = task // parts // groups, task // parts % groups
        begin = task % parts * blocks * LANES
        end = min(width, begin + blocks * LANES)
        for k in range(blocks):
            start = begin + k * LANES
            for n in range(N):
                for lane in range(min(LANES, end - start)):
                    rates[k, n, lane] = rate[group, start + lane, n]
                    states[k, n, lane] = state[sequence, group, start + lane, n]
        for i in range(ends[sequence]):
            t = ends[sequence] - 1 - i if reverse[group] else i
            for n in range(N):
                b[n], c[n] = B[sequence, t, group, n], C[sequence, t, group, n]
            for k in range(blocks):
                start = begin + k * LANES
                stop = min(end, start + LANES)
                # of slices, Numba knows that no index is negative
                inputs = x[sequence, t, group, start:stop]
                sizes, biases = steps[sequence, t, group, start:stop], bias[group, start:stop]
                outputs, weights = y[sequence, t, group, start:stop], D[group, start:stop]
                for lane in range(stop - start):
                    value[lane] = _get(inputs, lane)
                    step[lane] = _get(sizes, lane) + biases[lane]
                if softplus:
                    for lane in range(LANES):
                        step[lane] = _softplus(step[lane])
                for lane in range(LANES):
                    entering[lane] = step[lane] * value[lane]
                    out[lane] = ZERO
                # four at a time, which reads step, input and output a quarter as often
                for n in range(0, padded, 4):
                    b0, b1, b2, b3 = b[n], b[n + 1], b[n + 2], b[n + 3]
                    c0, c1, c2, c3 = c[n], c[n + 1], c[n + 2], c[n + 3]
                    for lane in range(LANES):
                        size, fed = step[lane], entering[lane]
                        s0 = _exp2(size * rates[k, n, lane]) * states[k, n, lane] + b0 * fed
                        s1 = _exp2(size * rates[k, n + 1, lane]) * states[k, n + 1, lane] + b1 * fed
                        s2 = _exp2(size * rates[k, n + 2, lane]) * states[k, n + 2, lane] + b2 * fed
                        s3 = _exp2(size * rates[k, n + 3, lane]) * states[k, n + 3, lane] + b3 * fed
                        states[k, n, lane], states[k, n + 1, lane] = s0, s1
                        states[k, n + 2, lane], states[k, n + 3, lane] = s2, s3
                        out[lane] += (c0 * s0 + c1 * s1) + (c2 * s2 + c3 * s3)
                for lane in range(stop - start):
                    _put(outputs, lane, out[lane] + weights[lane] * value[lane])
        for t in range(ends[sequence], length):
            for channel in range(begin, end):
                y[sequence, t, group, channel] = 0
        for k in range(blocks):
            start = begin + k * LANES
            for n in range(N):
                for lane in range(min(LANES, end - start)):
                    state[sequence, group, start + lane, n] = states[k, n, lane]


@cache
def _compiled(bits: bool):
    """`_scan` as machine code, for x, steps and y in float32 or as bits of bfloat16.

    Kept on disk for the next process where a place for it can be found.
    """
    kind = "u2" if bits else "f4"
    # without it, each layout of B and C would be compiled by itself
    signature = (
        f"void({kind}[:,:,:,::1], {kind}[:,:,:,::1], f4[:,:,::1], f4[:,:,:,:], f4[:,:,:,:], "
        f"f4[:,::1], f4[:,::1], f4[:,:,:,::1], i8[::1], {kind}[:,:,:,::1], b1[::1], b1, "
        "i8, i8, i8)"
    )
    options = dict(nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")
    try:
        return njit(signature, cache=True, **options)(_scan)
    except RuntimeError:
        return njit(signature, **options)(_scan)
