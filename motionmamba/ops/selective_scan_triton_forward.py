"""The forward kernel of the selective scan, and the one that joins segments of time."""

import triton
import triton.language as tl

from motionmamba.ops.selective_scan_triton_steps import (
    RESERVE_ROWS,
    advance,
    load,
    load_matrix,
    load_optional,
    load_rate,
    load_rows,
    load_steps,
    reserve,
    share_rows,
    shared_row,
    step_size,
    time_direction,
    walker_place,
)
from motionmamba.ops.triton_math import INTERPRETED, LOG2_E, sigmoid


@triton.jit(do_not_specialize=["size"])
def forward_kernel(
    u, u_b, u_t,
    delta, delta_b, delta_t,
    z, z_b, z_t,
    B, B_b, B_g, B_t,
    C, C_b, C_g, C_t,
    initial, initial_b, initial_n,
    A, D, bias, lengths,
    out, out_b, out_t,
    last, starts, sums,
    batches, size, groups, length, segment, N, reverse,
    SOFTPLUS: tl.constexpr, ZOH: tl.constexpr, ENDS: tl.constexpr,
    AHEAD: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """One segment of time, or only what it does to a state: its end from zero and its step sum."""
    index, batch, group, block = walker_place(tl.program_id(0), size, groups, batches, BLOCK_D)
    within = block * BLOCK_D + tl.arange(0, BLOCK_D)
    d, in_d = group * size + within, within < size
    n = tl.arange(0, BLOCK_N)
    in_n = n < N
    channels = size * groups
    tile = n[:, None] * channels + d[None, :]
    in_tile = in_n[:, None] & in_d[None, :]
    origin, direction, first, stop = time_direction(reverse, group, lengths, batch, length)

    rate = load_rate(A, d, in_d, N, BLOCK_D, BLOCK_N)
    shift = load_optional(bias, d, in_d, BLOCK_D)
    skip = load_optional(D, d, in_d, BLOCK_D)
    state = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
    total = tl.zeros([BLOCK_D], tl.float32)
    begin = index * segment
    end = tl.minimum(length, begin + segment)
    row = index.to(tl.int64) * batches + batch
    if starts is not None and not ENDS:
        before = starts + (row - batches) * N * channels + d
        state = load_rows(before, channels, in_d & (index > 0), N, BLOCK_D, BLOCK_N)
    if initial is not None:
        given = initial + batch * initial_b + d
        state += load_rows(given, initial_n, in_d & (index == 0), N, BLOCK_D, BLOCK_N)

    time = origin + direction * begin
    u += batch * u_b + time * u_t + d
    delta += batch * delta_b + time * delta_t + d
    B += batch * B_b + group * B_g + time * B_t + n
    C += batch * C_b + group * C_g + time * C_t + n
    out += batch * out_b + time * out_t + d
    u_t *= direction
    delta_t *= direction
    B_t *= direction
    C_t *= direction
    out_t *= direction
    if z is not None:
        z += batch * z_b + time * z_t + d
        z_t *= direction
    stop = tl.minimum(stop, end)
    coming = load_steps(u, u_t, delta, delta_t, z, z_t, begin, first, stop, in_d, ENDS, AHEAD)
    RING: tl.constexpr = BLOCK_N == 16 and BLOCK_D == 32 and not INTERPRETED
    if RING:
        ring = reserve(RESERVE_ROWS)
        rows_B = load_matrix(B, B_t, begin, first, stop, in_n, AHEAD)
        rows_C = rows_B if ENDS else load_matrix(C, C_t, begin, first, stop, in_n, AHEAD)
    for step in range(begin, end, AHEAD):
        loaded = coming
        u += AHEAD * u_t
        delta += AHEAD * delta_t
        if z is not None:
            z += AHEAD * z_t
        coming = load_steps(
            u, u_t, delta, delta_t, z, z_t, step + AHEAD, first, stop, in_d, ENDS, AHEAD
        )
        matrices = ()
        if RING:
            share_rows(ring, rows_B, None if ENDS else rows_C)
            rows_B = load_matrix(B + AHEAD * B_t, B_t, step + AHEAD, first, stop, in_n, AHEAD)
            if not ENDS:
                rows_C = load_matrix(C + AHEAD * C_t, C_t, step + AHEAD, first, stop, in_n, AHEAD)
        else:
            for i in tl.static_range(AHEAD):
                valid = in_n & (step + i >= first) & (step + i < stop)
                b = load(B + i * B_t, valid)[:, None]
                matrices = matrices + ((b, b if ENDS else load(C + i * C_t, valid)[:, None]),)
        for i in tl.static_range(AHEAD):
            x, dt, gate = loaded[i]
            valid = (step + i >= first) & (step + i < stop)
            b = shared_row(ring, i, BLOCK_N, BLOCK_D) if RING else matrices[i][0]
            dt = step_size(dt, shift, valid, SOFTPLUS)
            state = advance(state, x[None, :], dt[None, :], b, rate, ZOH)
            if ENDS:
                total += dt
            else:
                c = shared_row(ring, AHEAD + i, BLOCK_N, BLOCK_D) if RING else matrices[i][1]
                y = tl.sum(c * state, 0) + skip * x.to(tl.float32)
                if z is not None:
                    gate = gate.to(tl.float32)
                    y *= gate * sigmoid(gate)
                inside = in_d & (step + i < end)
                tl.store(out + i * out_t, y.to(out.dtype.element_ty), mask=inside)
        B += AHEAD * B_t
        C += AHEAD * C_t
        out += AHEAD * out_t

    if ENDS:
        tl.store(starts + row * N * channels + tile, state, mask=in_tile)
        tl.store(sums + row * channels + d, total, mask=in_d)
    else:
        tl.store(last + batch * N * channels + tile, state, mask=in_tile & (end == length))


@triton.jit
def join_kernel(
    ends, sums, A, segments, elements, channels, N,
    BACKWARD: tl.constexpr, AHEAD: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    e = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = e < elements
    batch = e // channels // N
    rate = tl.maximum(load(A + e % channels * N + e // channels % N, inside) * LOG2_E, -3e38)
    sums += batch * channels + e % channels
    rows = elements // N
    state = tl.zeros([BLOCK], tl.float32)
    for index in range(0, segments, AHEAD):
        loaded = ()
        for i in tl.static_range(AHEAD):
            k = index + i
            k = tl.cast(segments - 1 - k if BACKWARD else k, tl.int64)
            here = inside & (index + i < segments)
            pair = load(ends + k * elements + e, here), load(sums + k * rows, here)
            loaded = loaded + (pair,)
        for i in tl.static_range(AHEAD):
            k = index + i
            k = tl.cast(segments - 1 - k if BACKWARD else k, tl.int64)
            end, total = loaded[i]
            state = tl.exp2(total * rate) * state + end
            tl.store(ends + k * elements + e, state, mask=inside & (index + i < segments))
