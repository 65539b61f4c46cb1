"""The selective scan as Triton kernels.

A program of one warp walks a block of channels of one sequence through time, its states
(N, channels) in registers. Where a batch holds too few channels to fill a GPU, time is cut into
segments that run side by side: one pass finds the state at the end of each segment from zero, a
second joins them, and then every segment knows the state that it starts from.

The backward pass computes all states again, so that the forward pass saves none but the segments'.
Nothing is summed by atomics: the gradients are reproducible.
"""

from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from motionmamba.ops.triton_math import INTERPRETED, LN_2, LOG2_E, sigmoid, softplus, softplus_slope

# Measured on one H100, as are the conditions that choose between them.
# Programs that each of a GPU's multiprocessors runs at once.
WARPS = 8
# Where all programs run at once, loads of many steps ahead hide their wait; where segments are
# short, few steps cost less.
AHEAD_ALONE, AHEAD_LONG, AHEAD_SHORT, SHORT = 8, 4, 2, 384
# Time is cut into segments of at least MIN_SEGMENT steps, and into as many as make SPREAD times
# the programs that run at once, where whole sequences make less than a quarter of those.
MIN_SEGMENT, SPREAD = 64, 2
# Offsets within a segment have 32 bits: longer ones are cut even where programs abound.
MAX_SEGMENT = 2**15
# States of one program, 16 in each thread.
TILE = 512
# The backward pass keeps the states of CHUNK steps in shared memory, and the state at every
# STASH-th step in the memory where gradients will be; a stash of N rows of states needs as many
# steps. Its loops are unrolled by GROUP steps.
CHUNK, STASH, GROUP = 8, 16, 4


def selective_scan_triton(
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
    """`selective_scan` with B, C (B, G, N, L); state and gradients are summed in float32."""
    options = delta_softplus, _bits(reverse), zoh, torch.is_grad_enabled()
    tensors = u, delta, A, B, C, D, z, delta_bias, initial_state, lengths
    with torch.cuda.device_of(u):
        return _Scan.apply(*tensors, *options)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx, u, delta, A, B, C, D, z, delta_bias, initial, lengths, softplus, reverse, zoh, grad
    ):
        u, delta, z = (_with_last(x, 1) for x in (u, delta, z))
        B, C = _with_last(B, 2), _with_last(C, 2)
        A, D, delta_bias, lengths = (
            None if x is None else x.contiguous() for x in (A, D, delta_bias, lengths)
        )
        initial = None if initial is None else _with_last(initial.float(), 1)
        saved = u, delta, A, B, C, D, z, delta_bias, initial, lengths
        out, state, starts = _forward(*saved, softplus, reverse, zoh)
        if grad and any(ctx.needs_input_grad):
            ctx.save_for_backward(*saved, starts)
            ctx.options = softplus, reverse, zoh
        ctx.set_materialize_grads(False)
        return out, state

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_out, grad_state):
        return *_backward(*ctx.saved_tensors, grad_out, grad_state, *ctx.options), *[None] * 5


def _bits(flags: tuple[bool, ...]) -> int:
    # -1 has all bits set, however many groups there are
    return -1 if all(flags) else sum(flag << i for i, flag in enumerate(flags))


def _with_last(x: Tensor | None, dim: int) -> Tensor | None:
    """x, copied where `dim` is not contiguous, as the kernels read it in whole rows."""
    if x is None or x.stride(dim) == 1:
        return x
    return x.transpose(dim, -1).contiguous().transpose(dim, -1)


def _strided(x: Tensor | None, *dims: int) -> tuple:
    return (None,) + (0,) * len(dims) if x is None else (x, *(x.stride(d) for d in dims))


def _forward(u, delta, A, B, C, D, z, delta_bias, initial, lengths, softplus, reverse, zoh):
    batch, channels, length = u.shape
    groups, N = B.shape[1:3]
    size = channels // groups
    block_d, block_n = _tile(size, N)
    walkers = batch * groups * _cdiv(size, block_d)
    segments, segment = _segments(length, walkers, u.device)
    if segments > 1:
        ahead = AHEAD_SHORT if segment < SHORT else AHEAD_LONG
    else:
        ahead = AHEAD_ALONE if walkers <= WARPS * _multiprocessors(u.device) else AHEAD_LONG
    out = u.new_empty(batch, length, channels).transpose(1, 2)
    state = A.new_empty(batch, N, channels, dtype=torch.float32)
    starts = sums = None

    def launch(programs, **options):
        _forward_kernel[(programs,)](
            *_strided(u, 0, 2),
            *_strided(delta, 0, 2),
            *_strided(z, 0, 2),
            *_strided(B, 0, 1, 3),
            *_strided(C, 0, 1, 3),
            *_strided(initial, 0, 2),
            A,
            D,
            delta_bias,
            lengths,
            *_strided(out, 0, 2),
            state,
            starts,
            sums,
            batch,
            size,
            groups,
            length,
            segment,
            N,
            reverse,
            SOFTPLUS=softplus,
            ZOH=zoh,
            AHEAD=ahead,
            BLOCK_D=block_d,
            BLOCK_N=block_n,
            num_warps=1,
            **options,
        )

    if segments > 1:
        starts = state.new_empty(segments - 1, batch, N, channels)
        sums = state.new_empty(segments - 1, batch, channels)
        launch(walkers * (segments - 1), ENDS=True)
        _join(starts, sums, A, backward=False)
    launch(walkers * segments, ENDS=False)
    return out, state.transpose(1, 2), starts


def _backward(
    u, delta, A, B, C, D, z, delta_bias, initial, lengths, starts, grad_out, grad_state,
    softplus, reverse, zoh,
):  # fmt: skip
    batch, channels, length = u.shape
    groups, N = B.shape[1:3]
    size = channels // groups
    block_d, block_n = _tile(size, N)
    walkers = batch * groups * _cdiv(size, block_d)
    segments, segment = _segments(length, walkers, u.device)
    grad_out = torch.zeros_like(u) if grad_out is None else _with_last(grad_out, 1)
    if grad_state is not None:
        grad_state = _with_last(grad_state, 1)
    shape = batch, length, channels
    grad_u, grad_delta, grad_z = (
        None if x is None else x.new_empty(shape).transpose(1, 2) for x in (u, delta, z)
    )
    grad_initial = None if initial is None else torch.empty_like(initial)
    # gradients of the states at the ends of segments; each makes way for a partial sum of A's
    partial_A = A.new_empty(segments, batch, N, channels, dtype=torch.float32)
    partial_D = partial_A.new_empty(segments, batch, 2, channels)

    inputs = (
        *_strided(u, 0, 2),
        *_strided(delta, 0, 2),
        *_strided(z, 0, 2),
        *_strided(B, 0, 1, 3),
        *_strided(C, 0, 1, 3),
        *_strided(grad_out, 0, 2),
        *_strided(grad_state, 0, 2),
        A,
        D,
        delta_bias,
        lengths,
    )
    sizes = batch, size, groups, length, segment, N, reverse
    if segments > 1:
        sums = partial_A.new_empty(segments - 1, batch, channels)
        _grad_ends_kernel[(walkers * (segments - 1),)](
            *inputs,
            partial_A,
            sums,
            *sizes,
            SOFTPLUS=softplus,
            AHEAD=AHEAD_LONG,
            BLOCK_D=block_d,
            BLOCK_N=block_n,
            num_warps=1,
        )
        _join(partial_A[:-1], sums, A, backward=True)

    blocks = _cdiv(size, block_d)
    at_once = WARPS * _multiprocessors(u.device)
    per_program = _share(blocks, batch * groups * segments, at_once)
    parts = _cdiv(blocks, per_program)
    # one partial sum over each program's channels; few summands may be rounded as the result is
    dtype = B.dtype if per_program <= 4 else torch.float32
    partial_BC = B.new_empty(parts, batch, groups, length, N, 2, dtype=dtype)
    # read by every thread, so that each would convert them
    matrices = B.new_zeros if N < block_n else B.new_empty
    matrices = matrices(batch, groups, length, 2, block_n, dtype=torch.float32)
    matrices[..., 0, :N] = B.mT
    matrices[..., 1, :N] = C.mT
    programs = batch * groups * segments * parts
    stash = max(block_n, STASH)
    chunk = CHUNK if stash == STASH else 2 * CHUNK
    kept = A.new_empty(programs, chunk * 640 + 512) if INTERPRETED else None
    _backward_kernel[(programs,)](
        *_strided(u, 0, 2),
        *_strided(delta, 0, 2),
        *_strided(z, 0, 2),
        matrices,
        *_strided(grad_out, 0, 2),
        *_strided(grad_state, 0, 2),
        A,
        D,
        delta_bias,
        lengths,
        *_strided(initial, 0, 2),
        starts,
        *_strided(grad_u, 0, 2),
        *_strided(grad_delta, 0, 2),
        *_strided(grad_z, 0, 2),
        *_strided(grad_initial, 0, 2),
        partial_A,
        partial_D,
        partial_BC,
        kept,
        *sizes,
        parts,
        per_program,
        SOFTPLUS=softplus,
        ZOH=zoh,
        CHUNK=chunk,
        STASH=stash,
        BLOCK_D=block_d,
        BLOCK_N=block_n,
        SEVERAL=per_program > 1,
        WHOLE=N == block_n and size % (block_d * per_program) == 0,
        ALL=lengths is None and length % GROUP == 0,
        GROUP=GROUP,
        EXACT=not u.dtype == B.dtype == torch.bfloat16,
        num_warps=1,
    )
    grad_A = partial_A.flatten(0, 1).sum(0).transpose(0, 1).to(A.dtype)
    grad_D, grad_bias = partial_D.flatten(0, 1).sum(0).unbind(0)
    grad_BC = partial_BC.sum(0, dtype=torch.float32) if parts > 1 else partial_BC[0]
    grad_B, grad_C = grad_BC.transpose(-2, -3).unbind(-1)
    return (
        grad_u,
        grad_delta,
        grad_A,
        grad_B.to(B.dtype),
        grad_C.to(C.dtype),
        None if D is None else grad_D.to(D.dtype),
        grad_z,
        None if delta_bias is None else grad_bias.to(delta_bias.dtype),
        grad_initial,
    )


def _cdiv(a: int, b: int) -> int:
    # Triton's own takes as long as an allocation
    return -(-a // b)


def _tile(size: int, N: int) -> tuple[int, int]:
    """Channels and states of a program."""
    block_n = triton.next_power_of_2(N)
    return min(32, max(1, TILE // block_n), triton.next_power_of_2(size)), block_n


@cache
def _share(blocks: int, sequences: int, at_once: int) -> int:
    """How many blocks of channels a program of the backward pass takes, one after the other.

    As soon as all are done, and then as many as can be: each program has partial sums of its own.
    """
    return min(
        range(1, blocks + 1),
        key=lambda share: (share * _cdiv(sequences * _cdiv(blocks, share), at_once), -share),
    )


def _segments(length: int, walkers: int, device: torch.device) -> tuple[int, int]:
    """How many segments time is cut into, and how many steps each has; the last may be shorter."""
    at_once = WARPS * _multiprocessors(device)
    few = walkers * 4 <= at_once and length >= 2 * MIN_SEGMENT
    if not few and length <= MAX_SEGMENT:
        return 1, length
    wanted = _cdiv(SPREAD * at_once, walkers) if few else 1
    count = max(min(_cdiv(length, MIN_SEGMENT), wanted), _cdiv(length, MAX_SEGMENT))
    size = _cdiv(_cdiv(length, count), STASH) * STASH
    return _cdiv(length, size), size


def _join(ends: Tensor, sums: Tensor, A: Tensor, backward: bool) -> None:
    """Adds to every segment's end (K, B, N, D) what reaches it from the segments before it."""
    segments, batch, N, channels = ends.shape
    elements = batch * N * channels
    if segments > 1:
        _join_kernel[(_cdiv(elements, 128),)](
            ends,
            sums,
            A,
            segments,
            elements,
            channels,
            N,
            BACKWARD=backward,
            AHEAD=8,
            BLOCK=128,
            num_warps=4,
        )


@cache
def _multiprocessors(device: torch.device) -> int:
    if device.type != "cuda":
        return 1
    return torch.cuda.get_device_properties(device).multi_processor_count


@triton.jit
def _place(walker, size, groups, batches, BLOCK_D: tl.constexpr):
    """Splits a walker's number: segment, sequence, group, block of channels."""
    blocks = tl.cdiv(size, BLOCK_D)
    block = walker % blocks
    group = walker // blocks % groups
    # 64 bits: a batch may hold more than 2**31 elements
    batch = (walker // blocks // groups % batches).to(tl.int64)
    return walker // blocks // groups // batches, batch, group, block


@triton.jit
def _direction(reverse, group, lengths, batch, length):
    """Where step 0 lies, what a step adds to the time, and the first and last + 1 valid step."""
    valid = length if lengths is None else tl.load(lengths + batch).to(tl.int32)
    # A number of 32 bits cannot be shifted by 32 or more; -1 stands for all groups, however many.
    backwards = ((tl.cast(reverse, tl.int64) >> tl.minimum(group, 62)) & 1).to(tl.int32)
    origin = (backwards * (length - 1)).to(tl.int64)
    first = backwards * (length - valid)
    return origin, 1 - 2 * backwards, first, first + valid


@triton.jit
def _load(pointers, mask):
    return tl.load(pointers, mask=mask, other=0).to(tl.float32)


@triton.jit
def _load_optional(pointer, d, mask, BLOCK_D: tl.constexpr):
    if pointer is None:
        return tl.zeros([BLOCK_D], tl.float32)
    else:
        return _load(pointer + d, mask)


@triton.jit
def _rate(A, d, in_d, N, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr):
    """A in powers of two; finite, so that it stays zero times zero.

    Loaded row by row: the compiler would lay all tiles out as a load of the whole one likes it.
    """
    n = tl.arange(0, BLOCK_N)[:, None]
    rate = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
    for i in tl.static_range(BLOCK_N):
        row = _load(A + d * N + i, in_d & (i < N))
        rate = tl.where(n == i, row[None, :], rate)
    return tl.maximum(rate * LOG2_E, -3e38)


@triton.jit
def _step_size(raw, shift, valid, SOFTPLUS: tl.constexpr):
    dt = raw.to(tl.float32) + shift
    if SOFTPLUS:
        dt = softplus(dt)
    return tl.where(valid, dt, 0.0)


@triton.jit
def _input_weight(dt, decay, rate, ZOH: tl.constexpr):
    """What multiplies B * u: delta, or the exact integral (exp(delta * A) - 1) / A."""
    if ZOH:
        x = dt * rate * LN_2
        series = dt * (1 + x * (1 / 2 + x * (1 / 6 + x / 24)))
        small = tl.abs(x) < 1 / 16
        return tl.where(small, series, (decay - 1) / tl.where(small, 1.0, rate * LN_2))
    else:
        return dt


@triton.jit
def _weight_slope(dt, decay, weight, rate):
    """The derivative of `_input_weight`'s exact integral by A."""
    x = dt * rate * LN_2
    small = tl.abs(x) < 1 / 4
    series = 1 / 2 + x * (1 / 3 + x * (1 / 8 + x * (1 / 30 + x * (1 / 144 + x / 840))))
    exact = (dt * decay - weight) / tl.where(small, 1.0, rate * LN_2)
    return tl.where(small, dt * dt * series, exact)


@triton.jit
def _advance(state, x, dt, b, rate, ZOH: tl.constexpr):
    decay = tl.exp2(dt * rate)
    weight = _input_weight(dt, decay, rate, ZOH)
    return decay * state + b.to(tl.float32) * (weight * x.to(tl.float32))


@triton.jit
def _load_steps(u, u_t, delta, delta_t, z, z_t, step, first, stop, in_d, ENDS: tl.constexpr,
                AHEAD: tl.constexpr):  # fmt: skip
    loaded = ()
    for i in tl.static_range(AHEAD):
        valid = (step + i >= first) & (step + i < stop)
        x = tl.load(u + i * u_t, mask=in_d & valid, other=0)
        dt = tl.load(delta + i * delta_t, mask=in_d & valid, other=0)
        gate = x
        if z is not None and not ENDS:
            gate = tl.load(z + i * z_t, mask=in_d & valid, other=0)
        loaded = loaded + ((x, dt, gate),)
    return loaded


@triton.jit(do_not_specialize=["size"])
def _forward_kernel(
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
    index, batch, group, block = _place(tl.program_id(0), size, groups, batches, BLOCK_D)
    within = block * BLOCK_D + tl.arange(0, BLOCK_D)
    d, in_d = group * size + within, within < size
    n = tl.arange(0, BLOCK_N)
    in_n = n < N
    channels = size * groups
    tile = n[:, None] * channels + d[None, :]
    in_tile = in_n[:, None] & in_d[None, :]
    origin, direction, first, stop = _direction(reverse, group, lengths, batch, length)

    rate = _rate(A, d, in_d, N, BLOCK_D, BLOCK_N)
    shift = _load_optional(bias, d, in_d, BLOCK_D)
    skip = _load_optional(D, d, in_d, BLOCK_D)
    state = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
    total = tl.zeros([BLOCK_D], tl.float32)
    begin = index * segment
    end = tl.minimum(length, begin + segment)
    row = index.to(tl.int64) * batches + batch
    if starts is not None and not ENDS:
        before = starts + (row - batches) * N * channels
        state = _load(before + tile, in_tile & (index > 0))
    if initial is not None:
        given = initial + batch * initial_b + n[:, None] * initial_n + d[None, :]
        state += _load(given, in_tile & (index == 0))

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
    # these come from far, B and C were read for other channels already
    coming = _load_steps(u, u_t, delta, delta_t, z, z_t, begin, first, stop, in_d, ENDS, AHEAD)
    for step in range(begin, end, AHEAD):
        loaded = coming
        u += AHEAD * u_t
        delta += AHEAD * delta_t
        if z is not None:
            z += AHEAD * z_t
        coming = _load_steps(
            u, u_t, delta, delta_t, z, z_t, step + AHEAD, first, stop, in_d, ENDS, AHEAD
        )
        matrices = ()
        for i in tl.static_range(AHEAD):
            valid = (step + i >= first) & (step + i < stop)
            b = tl.load(B + i * B_t, mask=in_n & valid, other=0)
            c = b if ENDS else tl.load(C + i * C_t, mask=in_n & valid, other=0)
            matrices = matrices + ((b, c, valid),)
        for i in tl.static_range(AHEAD):
            x, dt, gate = loaded[i]
            b, c, valid = matrices[i]
            dt = _step_size(dt, shift, valid, SOFTPLUS)
            state = _advance(state, x[None, :], dt[None, :], b[:, None], rate, ZOH)
            if ENDS:
                total += dt
            else:
                y = tl.sum(c.to(tl.float32)[:, None] * state, 0) + skip * x.to(tl.float32)
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
def _join_kernel(
    ends, sums, A, segments, elements, channels, N,
    BACKWARD: tl.constexpr, AHEAD: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    e = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = e < elements
    batch = e // channels // N
    rate = tl.maximum(_load(A + e % channels * N + e // channels % N, inside) * LOG2_E, -3e38)
    sums += batch * channels + e % channels
    rows = elements // N
    state = tl.zeros([BLOCK], tl.float32)
    for index in range(0, segments, AHEAD):
        loaded = ()
        for i in tl.static_range(AHEAD):
            k = index + i
            k = tl.cast(segments - 1 - k if BACKWARD else k, tl.int64)
            here = inside & (index + i < segments)
            pair = _load(ends + k * elements + e, here), _load(sums + k * rows, here)
            loaded = loaded + (pair,)
        for i in tl.static_range(AHEAD):
            k = index + i
            k = tl.cast(segments - 1 - k if BACKWARD else k, tl.int64)
            end, total = loaded[i]
            state = tl.exp2(total * rate) * state + end
            tl.store(ends + k * elements + e, state, mask=inside & (index + i < segments))


@triton.jit(do_not_specialize=["size"])
def _grad_ends_kernel(
    u, u_b, u_t,
    delta, delta_b, delta_t,
    z, z_b, z_t,
    B, B_b, B_g, B_t,
    C, C_b, C_g, C_t,
    grad_out, grad_out_b, grad_out_t,
    grad_state, grad_state_b, grad_state_n,
    A, D, bias, lengths,
    ends, sums,
    batches, size, groups, length, segment, N, reverse,
    SOFTPLUS: tl.constexpr,
    AHEAD: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """The gradient of the state before each segment but the first, through that segment alone."""
    index, batch, group, block = _place(tl.program_id(0), size, groups, batches, BLOCK_D)
    within = block * BLOCK_D + tl.arange(0, BLOCK_D)
    d, in_d = group * size + within, within < size
    n = tl.arange(0, BLOCK_N)
    in_n = n < N
    channels = size * groups
    tile = n[:, None] * channels + d[None, :]
    in_tile = in_n[:, None] & in_d[None, :]
    origin, direction, first, stop = _direction(reverse, group, lengths, batch, length)

    rate = _rate(A, d, in_d, N, BLOCK_D, BLOCK_N)
    shift = _load_optional(bias, d, in_d, BLOCK_D)
    total = tl.zeros([BLOCK_D], tl.float32)
    begin = (index + 1) * segment
    end = tl.minimum(length, begin + segment)
    grad = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
    if grad_state is not None:
        last = grad_state + batch * grad_state_b + n[:, None] * grad_state_n + d[None, :]
        grad = _load(last, in_tile & (end == length))

    time = origin + direction * (end - 1)
    delta += batch * delta_b + time * delta_t + d
    C += batch * C_b + group * C_g + time * C_t + n
    grad_out += batch * grad_out_b + time * grad_out_t + d
    delta_t, C_t, grad_out_t = -delta_t * direction, -C_t * direction, -grad_out_t * direction
    if z is not None:
        z += batch * z_b + time * z_t + d
        z_t *= -direction
    for back in range(0, end - begin, AHEAD):
        step = end - 1 - back
        loaded = ()
        for i in tl.static_range(AHEAD):
            valid = (step - i >= tl.maximum(first, begin)) & (step - i < stop)
            dt = tl.load(delta + i * delta_t, mask=in_d & valid, other=0)
            c = tl.load(C + i * C_t, mask=in_n & valid, other=0)
            gy = tl.load(grad_out + i * grad_out_t, mask=in_d & valid, other=0)
            gate = gy
            if z is not None:
                gate = tl.load(z + i * z_t, mask=in_d & valid, other=0)
            loaded = loaded + ((dt, c, gy, gate, valid),)
        for i in tl.static_range(AHEAD):
            dt, c, gy, gate, valid = loaded[i]
            dt = _step_size(dt, shift, valid, SOFTPLUS)
            gy = gy.to(tl.float32)
            if z is not None:
                gate = gate.to(tl.float32)
                gy *= gate * sigmoid(gate)
            grad += c.to(tl.float32)[:, None] * gy[None, :]
            grad *= tl.exp2(dt[None, :] * rate)
            total += dt
        delta += AHEAD * delta_t
        C += AHEAD * C_t
        grad_out += AHEAD * grad_out_t
        if z is not None:
            z += AHEAD * z_t
    row = index.to(tl.int64) * batches + batch
    tl.store(ends + row * N * channels + tile, grad, mask=in_tile)
    tl.store(sums + row * channels + d, total, mask=in_d)


def _sum_code(exact: bool) -> str:
    """PTX that adds sums over a warp's 32 threads to two columns of a matrix, on the matrix units:
    with shuffles these sums took half of the backward pass.

    Each thread has 16 terms of two kinds. Products with unit rows first sum over each four
    threads, then bring what the other threads have into these four, and sum over those, into
    the column of each kind. Thread 4g + q holds rows g and g + 8, columns 2q and 2q + 1.

    Operands: 16 results, of which 4 count, the terms of both kinds, the sums so far,
    unit rows (8 where thread // 4 is this row; then where it is 2q, and 2q + 1), and those of
    the two columns.
    """
    product = "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"
    names = [f"{kind}{i}" for kind in "pqsxt" for i in range(4)]
    names += [f"{kind}{i}" for kind in "hl" for i in range(4)]
    lines = [f".reg .b32 z, {', '.join(names)};", "mov.b32 z, 0;"]

    def halves(numbers):
        # tf32 keeps 10 bits: the others make a number of their own
        if not exact:
            return [numbers]
        for i, number in enumerate(numbers):
            lines.append(f"and.b32 h{i}, {number}, 0xffffe000;")
            lines.append(f"sub.f32 l{i}, {number}, h{i};")
        return [[f"{half}{i}" for i in range(len(numbers))] for half in "hl"]

    def multiply(sums, a, b):
        sums, a, b = ("{" + ", ".join(x) + "}" for x in (sums, a, b))
        lines.append(f"{product} {sums}, {a}, {b}, {sums};")

    def quad(name):
        return [f"{name}{i}" for i in range(4)]

    even, odd = "$72", "$73"
    for kind in range(2):
        v = [f"${16 + 16 * kind + i}" for i in range(16)]
        lines += [f"mov.b32 {x}, 0;" for x in quad("p") + quad("q")]
        for i in range(0, 8, 2):
            for half in halves([v[i], v[i + 8], v[i + 1], v[i + 9]]):
                multiply(quad("p"), half, [f"${64 + i}", f"${65 + i}"])
        for half in halves(["p0", "p1"]):
            multiply(quad("q"), [even, "z", odd, "z"], half)
        for half in halves(["p2", "p3"]):
            multiply(quad("q"), ["z", even, "z", odd], half)
        lines += [f"add.f32 s{2 * kind}, q0, q1;", f"add.f32 s{2 * kind + 1}, q2, q3;"]
    lines += [f"mov.b32 t{i}, ${48 + i};" for i in range(4)]
    for half in halves(quad("s")):
        multiply(quad("t"), half, ["$80", "$96"])
    lines += [f"mov.b32 ${i}, {f't{i}' if i < 4 else 'z'};" for i in range(16)]
    return "{ " + " ".join(lines) + " }"


SUM_CODE, SUM_CODE_EXACT = tl.constexpr(_sum_code(False)), tl.constexpr(_sum_code(True))
SUM_OPERANDS = tl.constexpr(",".join(["=r"] * 16 + ["r"] * 96))


@triton.jit
def _add_sums(sums, gb, gc, units, is_b, is_c, EXACT: tl.constexpr):
    """Adds the sums over channels of two tiles (16, 32) to two columns of a matrix in `sums`."""
    return tl.inline_asm_elementwise(
        SUM_CODE_EXACT if EXACT else SUM_CODE,
        SUM_OPERANDS,
        [gb, gc, sums, units, is_b, is_c],
        dtype=tl.float32,
        is_pure=True,
        pack=16,
    )


def _keep_code(store: bool) -> str:
    """PTX that moves a thread's 16 numbers of a tile to shared memory, or back."""
    lines = []
    first = 16 if store else 0
    for i in range(0, 16, 4):
        numbers = "{" + ", ".join(f"${first + i + j}" for j in range(4)) + "}"
        at = f"[${32 if store else 16} + {32 * 4 * i}]"
        if store:
            lines.append(f"st.shared.v4.b32 {at}, {numbers};")
        else:
            lines.append(f"ld.shared.v4.b32 {numbers}, {at};")
    if store:
        lines += [f"mov.b32 ${i}, 0;" for i in range(16)]
    return " ".join(lines)


KEEP_CODE, KEPT_CODE = tl.constexpr(_keep_code(True)), tl.constexpr(_keep_code(False))
KEEP_OPERANDS = tl.constexpr(",".join(["=r"] * 16 + ["r"] * 32))
# loads give all results before the address is used no more
KEPT_OPERANDS = tl.constexpr(",".join(["=&r"] * 16 + ["r"] * 16))


def _place_code(size: int) -> str:
    return f"{{ .shared .align 16 .b8 kept[{size}]; mov.u32 $0, kept; }}"


# states and four numbers of each step, the state before them, B and C of two stretches
PLACE_8, PLACE_16 = (
    tl.constexpr(_place_code(8 * 2560 + 2048 + 4096)),
    tl.constexpr(_place_code(16 * 2560 + 2048)),
)


@triton.jit
def _slot(kept, slot, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr):
    """Where a tile is kept: in the fast layout 16 bytes for each thread after those of the others,
    else each number by itself, as threads may share them out in another way when they load."""
    n, d = tl.arange(0, BLOCK_N)[:, None], tl.arange(0, BLOCK_D)[None, :]
    if BLOCK_N == 16 and BLOCK_D == 32:
        return kept + slot * 2048 + (d * 16 + n * 0)
    else:
        return kept + slot * 2048 + (n * BLOCK_D + d) * 4


@triton.jit
def _keep(kept, slot, tile):
    """Puts a tile aside, in shared memory that no other thread touches."""
    if INTERPRETED:
        n = tl.arange(0, tile.shape[0])[:, None]
        d = tl.arange(0, tile.shape[1])[None, :]
        tl.store(kept + slot * 512 + n * tile.shape[1] + d, tile)
    else:
        at = _slot(kept, slot, tile.shape[0], tile.shape[1])
        if tile.shape[0] == 16 and tile.shape[1] == 32:
            tl.inline_asm_elementwise(
                KEEP_CODE, KEEP_OPERANDS, [tile, at], dtype=tl.int32, is_pure=False, pack=16
            )
        else:
            tl.debug_barrier()
            tl.inline_asm_elementwise(
                "st.shared.b32 [$2], $1; mov.b32 $0, 0;", "=r,r,r", [tile, at],
                dtype=tl.int32, is_pure=False, pack=1,
            )  # fmt: skip
            tl.debug_barrier()


@triton.jit
def _kept(kept, slot, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr):
    if INTERPRETED:
        n = tl.arange(0, BLOCK_N)[:, None]
        d = tl.arange(0, BLOCK_D)[None, :]
        return tl.load(kept + slot * 512 + n * BLOCK_D + d)
    else:
        at = _slot(kept, slot, BLOCK_N, BLOCK_D)
        if BLOCK_N == 16 and BLOCK_D == 32:
            return tl.inline_asm_elementwise(
                KEPT_CODE, KEPT_OPERANDS, [at], dtype=tl.float32, is_pure=False, pack=16
            )
        else:
            return tl.inline_asm_elementwise(
                "ld.shared.b32 $0, [$1];", "=r,r", [at], dtype=tl.float32, is_pure=False, pack=1
            )


@triton.jit
def _keep_four(kept, slot, a, b, c, d):
    if INTERPRETED:
        lane = tl.arange(0, a.shape[0])
        at = kept + slot * 128 + lane
        tl.store(at, a)
        tl.store(at + 32, b)
        tl.store(at + 64, c)
        tl.store(at + 96, d)
    else:
        tl.inline_asm_elementwise(
            "st.shared.v4.b32 [$1], {$2, $3, $4, $5}; mov.b32 $0, 0;",
            "=r,r,r,r,r,r",
            [kept + slot * 512 + tl.arange(0, a.shape[0]) * 16, a, b, c, d],
            dtype=tl.int32,
            is_pure=False,
            pack=1,
        )


@triton.jit
def _kept_four(kept, slot, BLOCK_D: tl.constexpr):
    if INTERPRETED:
        at = kept + slot * 128 + tl.arange(0, BLOCK_D)
        return tl.load(at), tl.load(at + 32), tl.load(at + 64), tl.load(at + 96)
    else:
        return tl.inline_asm_elementwise(
            "ld.shared.v4.b32 {$0, $1, $2, $3}, [$4];",
            "=&r,=&r,=&r,=&r,r",
            [kept + slot * 512 + tl.arange(0, BLOCK_D) * 16],
            dtype=(tl.float32, tl.float32, tl.float32, tl.float32),
            is_pure=False,
            pack=1,
        )


MATRIX_CODE = tl.constexpr(
    " ".join(
        f"ld.shared.v4.b32 {{${i}, ${i + 1}, ${i + 2}, ${i + 3}}}, [$16 + {4 * i}];"
        for i in range(0, 16, 4)
    )
)


@triton.jit
def _fetch(ring, matrices, matrix_t, begin, first, stop):
    """Has B and C of the next stretch copied to shared memory, and waits for those of this one."""
    lane = tl.arange(0, 32)
    tl.debug_barrier()
    if begin >= 0:
        for i in tl.static_range(0, 16, 4):
            step = begin + i + lane // 8
            valid = (step >= first) & (step < stop)
            source = (matrices + step * matrix_t + lane % 8 * 4).to(tl.int64, bitcast=True)
            # what is not valid is not read, but zero
            tl.inline_asm_elementwise(
                "cp.async.ca.shared.global [$1], [$2], 16, $3; mov.b32 $0, 0;",
                "=r,r,l,r",
                [ring + step % 32 * 128 + lane % 8 * 16, source, tl.where(valid, 16, 0)],
                dtype=tl.int32,
                is_pure=False,
                pack=1,
            )
    tl.inline_asm_elementwise(
        "cp.async.commit_group; cp.async.wait_group 1; mov.b32 $0, 0;",
        "=r", [], dtype=tl.int32, is_pure=False, pack=1,
    )  # fmt: skip
    tl.debug_barrier()


@triton.jit
def _matrix(ring, matrices, matrix_t, step, which: tl.constexpr, valid, RING: tl.constexpr,
            BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr):  # fmt: skip
    """B (0) or C (1) of a step, for all channels."""
    n, d = tl.arange(0, BLOCK_N)[:, None], tl.arange(0, BLOCK_D)[None, :]
    if RING:
        return tl.inline_asm_elementwise(
            MATRIX_CODE,
            KEPT_OPERANDS,
            [ring + step % 32 * 128 + which * 64 + (n * 0 + d * 0)],
            dtype=tl.float32,
            is_pure=False,
            pack=16,
        )
    else:
        return tl.load(matrices + step * matrix_t + which * BLOCK_N + n, mask=valid, other=0)


@triton.jit
def _inside(at, stop, first, RAGGED: tl.constexpr, ALL: tl.constexpr):
    """Whether a step counts."""
    valid = at < stop
    if RAGGED:
        valid &= at >= first
    if ALL:
        valid = at == at
    return valid


@triton.jit
def _load_group(at, first, stop, u, u_t, delta, delta_t, d, in_d,
                GROUP: tl.constexpr, RAGGED: tl.constexpr, ALL: tl.constexpr):  # fmt: skip
    loaded = ()
    for i in tl.static_range(GROUP):
        mask = in_d & _inside(at + i, stop, first, RAGGED, ALL)
        x = tl.load(u + (at + i) * u_t + d, mask=mask, other=0)
        dt = tl.load(delta + (at + i) * delta_t + d, mask=mask, other=0)
        loaded = loaded + ((x, dt),)
    return loaded


@triton.jit
def _load_back(at, first, stop, u, u_t, delta, delta_t, z, z_t, grad_out, grad_out_t, d, in_d,
               GROUP: tl.constexpr, RAGGED: tl.constexpr, ALL: tl.constexpr):  # fmt: skip
    loaded = ()
    for i in tl.static_range(GROUP):
        now = at + i
        mask = in_d & _inside(now, stop, first, RAGGED, ALL)
        x = tl.load(u + now * u_t + d, mask=mask, other=0)
        dt = tl.load(delta + now * delta_t + d, mask=mask, other=0)
        grad_y = tl.load(grad_out + now * grad_out_t + d, mask=mask, other=0)
        gate = x if z is None else tl.load(z + now * z_t + d, mask=mask, other=0)
        loaded = loaded + ((x, dt, grad_y, gate),)
    return loaded


@triton.jit
def _walk(state, at, groups, first, stop, last, u, u_t, delta, delta_t, matrices, matrix_t,
          ring, d, in_d, shift, rate, high, high_t, low, low_t, N, STASH: tl.constexpr,
          GROUP: tl.constexpr, SOFTPLUS: tl.constexpr, ZOH: tl.constexpr,
          RAGGED: tl.constexpr, ALL: tl.constexpr, RING: tl.constexpr):  # fmt: skip
    """The state some groups of steps on; with STASH, one of every STASH states is stashed."""
    coming = _load_group(
        at, first, stop, u, u_t, delta, delta_t, d, in_d, GROUP, RAGGED, ALL
    )  # fmt: skip
    for group in range(groups):
        begin = at + group * GROUP
        loaded = coming
        # what is loaded beyond the last step is never used
        coming = _load_group(
            tl.minimum(begin + GROUP, last), first, stop, u, u_t, delta, delta_t, d, in_d,
            GROUP, RAGGED, ALL,
        )  # fmt: skip
        if STASH:
            if begin % STASH == 0:
                if RING:
                    _fetch(ring, matrices, matrix_t, begin + STASH, first, stop)
                _stash(
                    high + begin * high_t + d, high_t, low + begin * low_t + d, low_t, state,
                    in_d, N, state.shape[0],
                )  # fmt: skip
        for i in tl.static_range(GROUP):
            x, dt = loaded[i]
            valid = _inside(begin + i, stop, first, RAGGED, ALL)
            b = _matrix(
                ring, matrices, matrix_t, begin + i, 0, valid, RING, state.shape[0],
                state.shape[1],
            )  # fmt: skip
            dt = _step_size(dt, shift, valid, SOFTPLUS)
            state = _advance(state, x[None, :], dt[None, :], b, rate, ZOH)
    return state


@triton.jit(do_not_specialize=["size"])
def _backward_kernel(
    u, u_b, u_t,
    delta, delta_b, delta_t,
    z, z_b, z_t,
    matrices,
    grad_out, grad_out_b, grad_out_t,
    grad_state, grad_state_b, grad_state_n,
    A, D, bias, lengths,
    initial, initial_b, initial_n,
    starts,
    grad_u, grad_u_b, grad_u_t,
    grad_delta, grad_delta_b, grad_delta_t,
    grad_z, grad_z_b, grad_z_t,
    grad_initial, grad_initial_b, grad_initial_n,
    partial_A, partial_D, partial_BC, kept,
    batches, size, groups, length, segment, N, reverse, parts, per_program,
    SOFTPLUS: tl.constexpr, ZOH: tl.constexpr, CHUNK: tl.constexpr, STASH: tl.constexpr,
    GROUP: tl.constexpr, SEVERAL: tl.constexpr, WHOLE: tl.constexpr, ALL: tl.constexpr,
    EXACT: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """One segment of `per_program` blocks of channels, one after the other."""
    RAGGED: tl.constexpr = lengths is not None
    # a thread then holds 16 states of one channel
    MATRIX: tl.constexpr = BLOCK_N == 16 and BLOCK_D == 32 and not INTERPRETED
    RING: tl.constexpr = MATRIX and STASH == 16
    GROUPS: tl.constexpr = CHUNK // GROUP
    part = tl.program_id(0) % parts
    group = tl.program_id(0) // parts % groups
    batch = (tl.program_id(0) // parts // groups % batches).to(tl.int64)
    index = tl.program_id(0) // parts // groups // batches
    n = tl.arange(0, BLOCK_N)
    in_n = n < (BLOCK_N if WHOLE else N)
    channels = size * groups
    origin, direction, first, stop = _direction(reverse, group, lengths, batch, length)
    begin = index * segment
    end = tl.minimum(length, begin + segment)
    row = index.to(tl.int64) * batches + batch
    time = origin + direction * begin
    # from here on, steps are counted from the segment's first
    steps = end - begin
    first = tl.maximum(first - begin, 0)
    stop = tl.minimum(stop - begin, steps)
    stretches = tl.cdiv(steps, STASH)
    last_group = (tl.cdiv(steps, GROUP) - 1) * GROUP
    u += batch * u_b + time * u_t
    delta += batch * delta_b + time * delta_t
    pair_row = (batch * groups + group) * length + time
    matrices += pair_row * 2 * BLOCK_N
    pair_row *= 2 * N
    grad_out += batch * grad_out_b + time * grad_out_t
    grad_u += batch * grad_u_b + time * grad_u_t
    grad_delta += batch * grad_delta_b + time * grad_delta_t
    partial_BC += part * batches * groups * length * N * 2 + pair_row
    if z is not None:
        z += batch * z_b + time * z_t
        grad_z += batch * grad_z_b + time * grad_z_t
    u_t *= direction
    delta_t *= direction
    z_t *= direction
    grad_out_t *= direction
    grad_u_t *= direction
    grad_delta_t *= direction
    grad_z_t *= direction
    matrix_t = 2 * BLOCK_N * direction
    pair_t = 2 * N * direction
    if INTERPRETED:
        kept += tl.program_id(0) * (CHUNK * 640 + 512)
        fours = kept + (CHUNK + 1) * 512
        ring = 0
    else:
        kept = tl.inline_asm_elementwise(
            PLACE_8 if CHUNK == 8 else PLACE_16,
            "=r", [], dtype=tl.int32, is_pure=False, pack=1,
        )  # fmt: skip
        fours = kept + (CHUNK + 1) * 2048
        ring = fours + CHUNK * 512
    lane = tl.arange(0, BLOCK_D)
    pair = (lane // 4 if MATRIX else n)[:, None] * 2 + tl.arange(0, 2)[None, :]
    four = lane // 4
    units = tl.where(n[:, None] == four[None, :], 1.0, 0.0)
    for i in tl.static_range(2):
        place = tl.where(four == lane % 4 * 2 + i, 1.0, 0.0)
        units = tl.where(n[:, None] == 8 + i, place[None, :], units)

    for turn in range(per_program):
        within = (part * per_program + turn) * BLOCK_D + tl.arange(0, BLOCK_D)
        d = group * size + within
        in_d = within == within if WHOLE else within < size
        tile = n[:, None] * channels + d[None, :]
        in_tile = in_n[:, None] & in_d[None, :]
        rate = _rate(A, d, in_d, N, BLOCK_D, BLOCK_N)
        shift = _load_optional(bias, d, in_d, BLOCK_D)
        skip = _load_optional(D, d, in_d, BLOCK_D)

        # the state before each stretch of STASH steps waits where that stretch's gradients will be
        state = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
        if starts is not None:
            before = starts + (row - batches) * N * channels + d
            state = _load_rows(before, channels, in_d & (index > 0), N, BLOCK_D, BLOCK_N)
        if initial is not None:
            given = initial + batch * initial_b + d
            state += _load_rows(given, initial_n, in_d & (index == 0), N, BLOCK_D, BLOCK_N)
        if RING:
            _fetch(ring, matrices, matrix_t, 0, first, stop)
        state = _walk(
            state, 0, (stretches - 1) * (STASH // GROUP), first, stop, last_group, u, u_t,
            delta, delta_t, matrices, matrix_t, ring, d, in_d, shift, rate,
            grad_u, grad_u_t, grad_delta, grad_delta_t, N, STASH,
            GROUP, SOFTPLUS, ZOH, RAGGED, ALL, RING,
        )  # fmt: skip

        # the gradient of the state after a step, through all later steps
        grad = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
        if starts is not None:
            later = partial_A + row * N * channels + d
            grad = _load_rows(later, channels, in_d & (end < length), N, BLOCK_D, BLOCK_N)
        if grad_state is not None:
            last = grad_state + batch * grad_state_b + d
            mask = in_d & (end == length)
            grad += _load_rows(last, grad_state_n, mask, N, BLOCK_D, BLOCK_N)
        sum_A = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
        sum_D = tl.zeros([BLOCK_D], tl.float32)
        sum_bias = tl.zeros([BLOCK_D], tl.float32)
        start = (stretches - 1) * STASH
        start += (tl.cdiv(steps - start, CHUNK) - 1) * CHUNK
        coming = _load_back(
            start, first, stop, u, u_t, delta, delta_t, z, z_t, grad_out, grad_out_t, d, in_d,
            GROUP, RAGGED, ALL,
        )  # fmt: skip
        for back in range(stretches):
            base = (stretches - 1 - back) * STASH
            if RING:
                _fetch(ring, matrices, matrix_t, base - STASH, first, stop)
            if back > 0:
                state = _unstash(
                    grad_u + base * grad_u_t + d,
                    grad_u_t,
                    grad_delta + base * grad_delta_t + d,
                    grad_delta_t,
                    in_d,
                    N,
                    BLOCK_D,
                    BLOCK_N,
                )
                # all of it is read before the first gradient is written
                tl.debug_barrier()
            _keep(kept, CHUNK, state)
            chunks = tl.minimum(STASH // CHUNK, tl.cdiv(steps - base, CHUNK))
            for chunk_back in range(chunks):
                current = chunks - 1 - chunk_back
                start = base + current * CHUNK
                state = _walk(
                    _kept(kept, CHUNK, BLOCK_N, BLOCK_D), base, current * GROUPS,
                    first, stop, last_group, u, u_t, delta, delta_t, matrices, matrix_t,
                    ring, d, in_d, shift, rate, grad_u, grad_u_t, grad_delta, grad_delta_t, N, 0,
                    GROUP, SOFTPLUS, ZOH, RAGGED, ALL, RING,
                )  # fmt: skip

                # through the chunk, to keep its states, and what does not depend on later steps
                groups_here = tl.minimum(GROUPS, tl.cdiv(steps - start, GROUP))
                for i_group in range(groups_here):
                    at = start + i_group * GROUP
                    loaded = coming
                    # these come from far; the next chunk is the one before
                    following = tl.where(i_group + 1 < groups_here, at + GROUP, start - CHUNK)
                    coming = _load_back(
                        tl.maximum(following, 0), first, stop, u, u_t, delta, delta_t, z, z_t,
                        grad_out, grad_out_t, d, in_d, GROUP, RAGGED, ALL,
                    )  # fmt: skip
                    for i in tl.static_range(GROUP):
                        x, dt, grad_y, gate = loaded[i]
                        now = at + i
                        valid = _inside(now, stop, first, RAGGED, ALL)
                        b = _matrix(ring, matrices, matrix_t, now, 0, valid, RING, BLOCK_N, BLOCK_D)
                        slot = i_group * GROUP + i
                        _keep(kept, slot, state)
                        x = x.to(tl.float32)
                        dt = _step_size(dt, shift, valid, SOFTPLUS)
                        state = _advance(state, x[None, :], dt[None, :], b, rate, ZOH)
                        grad_y = grad_y.to(tl.float32)
                        if z is not None:
                            c = _matrix(
                                ring, matrices, matrix_t, now, 1, valid, RING, BLOCK_N, BLOCK_D
                            )
                            y = tl.sum(c * state, 0) + skip * x
                            gate = gate.to(tl.float32)
                            opening = sigmoid(gate)
                            slope = opening * (1 + gate * (1 - opening))
                            gz = (grad_y * y * slope).to(grad_z.dtype.element_ty)
                            mask = in_d & (ALL | (now < steps))
                            tl.store(grad_z + now * grad_z_t + d, gz, mask=mask)
                            grad_y *= gate * opening
                        sum_D += grad_y * x
                        _keep_four(fours, slot, x, dt, grad_y, softplus_slope(dt))

                after = state
                for group_back in range(groups_here):
                    at = start + (groups_here - 1 - group_back) * GROUP
                    sums = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
                    if MATRIX:
                        here = partial_BC + (at + lane % 4) * pair_t
                        in_time = (ALL | (at + lane % 4 < steps))[:, None]
                        if SEVERAL and turn > 0:
                            for i in tl.static_range(2):
                                in_pair = (i * 16 + pair < 2 * N) & in_time
                                both = _load(here[:, None] + i * 16 + pair, in_pair)
                                one, other = tl.split(both)
                                sums = tl.where(n[:, None] == 2 * i, one[None, :], sums)
                                sums = tl.where(n[:, None] == 2 * i + 1, other[None, :], sums)
                    for i in tl.static_range(GROUP - 1, -1, -1):
                        now = at + i
                        valid = _inside(now, stop, first, RAGGED, ALL)
                        mask = in_d & (ALL | (now < steps))
                        b = _matrix(ring, matrices, matrix_t, now, 0, valid, RING, BLOCK_N, BLOCK_D)
                        c = _matrix(ring, matrices, matrix_t, now, 1, valid, RING, BLOCK_N, BLOCK_D)
                        slot = now - start
                        previous = _kept(kept, slot, BLOCK_N, BLOCK_D)
                        x, dt, grad_y, slope = _kept_four(fours, slot, BLOCK_D)
                        decay = tl.exp2(dt[None, :] * rate)
                        weight = _input_weight(dt[None, :], decay, rate, ZOH)

                        grad += c * grad_y[None, :]
                        gb = grad * (weight * x[None, :])
                        gc = after * grad_y[None, :]
                        if MATRIX:
                            is_b = tl.where(lane // 4 == 2 * i, 1.0, 0.0)[None, :]
                            is_c = tl.where(lane // 4 == 2 * i + 1, 1.0, 0.0)[None, :]
                            sums = _add_sums(sums, gb, gc, units, is_b, is_c, EXACT)
                        else:
                            pairs = partial_BC + now * pair_t + pair
                            in_pair = (pair < 2 * N) & (now < steps)
                            both = tl.join(tl.sum(gb, 1), tl.sum(gc, 1))
                            if SEVERAL and turn > 0:
                                both += _load(pairs, in_pair)
                            tl.store(pairs, both.to(partial_BC.dtype.element_ty), mask=in_pair)

                        grad_input = grad * b
                        grad *= decay
                        grad_exponent = grad * previous
                        gdt = tl.sum(grad_exponent * rate, 0) * LN_2
                        if ZOH:
                            gx = tl.sum(grad_input * weight, 0)
                            gdt += tl.sum(grad_input * decay, 0) * x
                            slope_A = _weight_slope(dt[None, :], decay, weight, rate)
                            sum_A += grad_input * x[None, :] * slope_A
                        else:
                            total = tl.sum(grad_input, 0)
                            gx = total * dt
                            gdt += total * x
                        sum_A += grad_exponent * dt[None, :]
                        if SOFTPLUS:
                            gdt *= slope
                        else:
                            gdt = tl.where(valid, gdt, 0.0)
                        gx += skip * grad_y
                        out = gx.to(grad_u.dtype.element_ty)
                        tl.store(grad_u + now * grad_u_t + d, out, mask=mask)
                        out = gdt.to(grad_delta.dtype.element_ty)
                        tl.store(grad_delta + now * grad_delta_t + d, out, mask=mask)
                        sum_bias += gdt
                        after = previous
                    if MATRIX:
                        for i in tl.static_range(2):
                            both = tl.join(_row(sums, n, 2 * i), _row(sums, n, 2 * i + 1))
                            both = both.to(partial_BC.dtype.element_ty)
                            in_pair = (i * 16 + pair < 2 * N) & in_time
                            tl.store(here[:, None] + i * 16 + pair, both, mask=in_pair)
        tl.store(partial_A + row * N * channels + tile, sum_A, mask=in_tile)
        tl.store(partial_D + row * 2 * channels + d, sum_D, mask=in_d)
        tl.store(partial_D + (row * 2 + 1) * channels + d, sum_bias, mask=in_d)
        if grad_initial is not None:
            given = batch * grad_initial_b + n[:, None] * grad_initial_n + d[None, :]
            tl.store(grad_initial + given, grad, mask=in_tile & (index == 0))
        # the next block adds to what other threads have stored
        tl.debug_barrier()


@triton.jit
def _row(tile, n, index):
    bits = tl.where(n[:, None] == index, tile.to(tl.int32, bitcast=True), 0)
    return tl.xor_sum(bits, 0).to(tl.float32, bitcast=True)


@triton.jit
def _load_rows(row, stride, mask, N, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr):
    """A float32 tile; row by row, for the reason that `_rate` gives."""
    n = tl.arange(0, BLOCK_N)[:, None]
    if BLOCK_N > 16:
        return _load(row[None, :] + n * stride, mask[None, :] & (n < N))
    else:
        tile = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
        for i in tl.static_range(BLOCK_N):
            tile = tl.where(n == i, _load(row + i * stride, mask & (i < N))[None, :], tile)
        return tile


@triton.jit
def _stash(high, high_t, low, low_t, state, mask, N, BLOCK_N: tl.constexpr):
    """Puts a state where gradients will be; row by row, for the reason that `_rate` gives."""
    n = tl.arange(0, BLOCK_N)
    if BLOCK_N > 16:
        n = n[:, None]
        inside = mask[None, :] & (n < N)
        _stash_piece(high[None, :] + n * high_t, low[None, :] + n * low_t, state, inside)
    else:
        for i in tl.static_range(BLOCK_N):
            _stash_piece(high + i * high_t, low + i * low_t, _row(state, n, i), mask & (i < N))


@triton.jit
def _unstash(high, high_t, low, low_t, mask, N, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr):
    n = tl.arange(0, BLOCK_N)[:, None]
    if BLOCK_N > 16:
        inside = mask[None, :] & (n < N)
        return _unstash_piece(high[None, :] + n * high_t, low[None, :] + n * low_t, inside)
    else:
        state = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
        for i in tl.static_range(BLOCK_N):
            row = _unstash_piece(high + i * high_t, low + i * low_t, mask & (i < N))
            state = tl.where(n == i, row[None, :], state)
        return state


@triton.jit
def _stash_piece(high, low, state, mask):
    """Puts a float32 state into memory of another type that nothing else uses yet."""
    bits = state.to(tl.int32, bitcast=True)
    if high.dtype.element_ty.primitive_bitwidth == 32:
        tl.store(high.to(tl.pointer_type(tl.int32), bitcast=True), bits, mask=mask)
    elif low.dtype.element_ty.primitive_bitwidth == 32:
        tl.store(low.to(tl.pointer_type(tl.int32), bitcast=True), bits, mask=mask)
    else:
        half = tl.pointer_type(tl.int16)
        tl.store(high.to(half, bitcast=True), (bits >> 16).to(tl.int16), mask=mask)
        tl.store(low.to(half, bitcast=True), bits.to(tl.int16), mask=mask)


@triton.jit
def _unstash_piece(high, low, mask):
    if high.dtype.element_ty.primitive_bitwidth == 32:
        bits = tl.load(high.to(tl.pointer_type(tl.int32), bitcast=True), mask=mask, other=0)
    elif low.dtype.element_ty.primitive_bitwidth == 32:
        bits = tl.load(low.to(tl.pointer_type(tl.int32), bitcast=True), mask=mask, other=0)
    else:
        half = tl.pointer_type(tl.int16)
        upper = tl.load(high.to(half, bitcast=True), mask=mask, other=0).to(tl.int32)
        lower = tl.load(low.to(half, bitcast=True), mask=mask, other=0).to(tl.int32)
        bits = (upper << 16) | (lower & 0xFFFF)
    return bits.to(tl.float32, bitcast=True)
