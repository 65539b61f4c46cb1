"""What the selective scan's kernels share: where a program works, what it loads, a step of a state,
and rows of B and C in shared memory.
"""

import triton
import triton.language as tl

from motionmamba.ops.triton_math import LN_2, LOG2_E, softplus


@triton.jit
def walker_place(walker, size, groups, batches, BLOCK_D: tl.constexpr):
    """Splits a walker's number: segment, sequence, group, block of channels."""
    blocks = tl.cdiv(size, BLOCK_D)
    block = walker % blocks
    group = walker // blocks % groups
    # 64 bits: a batch may hold more than 2**31 elements
    batch = (walker // blocks // groups % batches).to(tl.int64)
    return walker // blocks // groups // batches, batch, group, block


@triton.jit
def time_direction(reverse, group, lengths, batch, length):
    """Where step 0 lies, what a step adds to the time, and the first and last + 1 valid step."""
    valid = length if lengths is None else tl.load(lengths + batch).to(tl.int32)
    # A number of 32 bits cannot be shifted by 32 or more; -1 stands for all groups, however many.
    backwards = ((tl.cast(reverse, tl.int64) >> tl.minimum(group, 62)) & 1).to(tl.int32)
    origin = (backwards * (length - 1)).to(tl.int64)
    first = backwards * (length - valid)
    return origin, 1 - 2 * backwards, first, first + valid


@triton.jit
def load(pointers, mask):
    return tl.load(pointers, mask=mask, other=0).to(tl.float32)


@triton.jit
def load_optional(pointer, d, mask, BLOCK_D: tl.constexpr):
    if pointer is None:
        return tl.zeros([BLOCK_D], tl.float32)
    else:
        return load(pointer + d, mask)


@triton.jit
def load_rate(A, d, in_d, N, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr):
    """A in powers of two; finite, so that it stays zero times zero.

    Loaded row by row: the compiler would lay all tiles out as a load of the whole one likes it.
    """
    n = tl.arange(0, BLOCK_N)[:, None]
    rate = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
    for i in tl.static_range(BLOCK_N):
        row = load(A + d * N + i, in_d & (i < N))
        rate = tl.where(n == i, row[None, :], rate)
    return tl.maximum(rate * LOG2_E, -3e38)


@triton.jit
def step_size(raw, shift, valid, SOFTPLUS: tl.constexpr):
    dt = raw.to(tl.float32) + shift
    if SOFTPLUS:
        dt = softplus(dt)
    return tl.where(valid, dt, 0.0)


@triton.jit
def input_weight(dt, decay, rate, ZOH: tl.constexpr):
    """What multiplies B * u: delta, or the exact integral (exp(delta * A) - 1) / A."""
    if ZOH:
        x = dt * rate * LN_2
        series = dt * (1 + x * (1 / 2 + x * (1 / 6 + x / 24)))
        small = tl.abs(x) < 1 / 16
        return tl.where(small, series, (decay - 1) / tl.where(small, 1.0, rate * LN_2))
    else:
        return dt


@triton.jit
def advance(state, x, dt, b, rate, ZOH: tl.constexpr):
    decay = tl.exp2(dt * rate)
    weight = input_weight(dt, decay, rate, ZOH)
    return decay * state + b.to(tl.float32) * (weight * x.to(tl.float32))


@triton.jit
def load_steps(u, u_t, delta, delta_t, z, z_t, step, first, stop, in_d, ENDS: tl.constexpr,
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


@triton.jit
def load_matrix(matrix, matrix_t, step, first, stop, in_n, STEPS: tl.constexpr):
    """B or C of several steps, (STEPS, BLOCK_N); what is not valid is zero."""
    i = tl.arange(0, STEPS)[:, None]
    valid = (step + i >= first) & (step + i < stop)
    return tl.load(matrix + i * matrix_t, mask=in_n[None, :] & valid, other=0)


def reserve_code(size: int) -> str:
    """PTX that sets aside shared memory, in bytes, and says where."""
    return f"{{ .shared .align 16 .b8 kept[{size}]; mov.u32 $0, kept; }}"


# loads give all results before the address is used no more
KEPT_OPERANDS = tl.constexpr(",".join(["=&r"] * 16 + ["r"] * 16))
# B and C of as many steps as are loaded ahead, 8 at most, 16 states each
RESERVE_ROWS = tl.constexpr(reserve_code(8 * 2 * 64))
ROW_CODE = tl.constexpr(
    " ".join(
        f"ld.shared.v4.b32 {{${i}, ${i + 1}, ${i + 2}, ${i + 3}}}, [$16 + {4 * i}];"
        for i in range(0, 16, 4)
    )
)


@triton.jit
def reserve(CODE: tl.constexpr):
    return tl.inline_asm_elementwise(CODE, "=r", [], dtype=tl.int32, is_pure=False, pack=1)


@triton.jit
def share_rows(ring, b, c):
    """Puts B, and C if not None, of some steps where all threads read them, once the ones before
    are read: so each number is loaded and made a float32 by one thread, and not by all 32."""
    tl.debug_barrier()
    _share_tile(ring, b)
    if c is not None:
        _share_tile(ring + b.shape[0] * 64, c)
    tl.debug_barrier()


@triton.jit
def _share_tile(ring, rows):
    i, n = tl.arange(0, rows.shape[0])[:, None], tl.arange(0, rows.shape[1])[None, :]
    tl.inline_asm_elementwise(
        "st.shared.b32 [$1], $2; mov.b32 $0, 0;",
        "=r,r,r",
        [ring + i * 64 + n * 4, rows.to(tl.float32)],
        dtype=tl.int32,
        is_pure=False,
        pack=1,
    )


@triton.jit
def shared_row(ring, slot, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr):
    """B or C of a step, for all channels."""
    n, d = tl.arange(0, BLOCK_N)[:, None], tl.arange(0, BLOCK_D)[None, :]
    return tl.inline_asm_elementwise(
        ROW_CODE, KEPT_OPERANDS, [ring + slot * 64 + (n * 0 + d * 0)],
        dtype=tl.float32, is_pure=False, pack=16,
    )  # fmt: skip


@triton.jit
def load_rows(row, stride, mask, N, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr):
    """A float32 tile; row by row, for the reason that `load_rate` gives."""
    n = tl.arange(0, BLOCK_N)[:, None]
    if BLOCK_N > 16:
        return load(row[None, :] + n * stride, mask[None, :] & (n < N))
    else:
        tile = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
        for i in tl.static_range(BLOCK_N):
            tile = tl.where(n == i, load(row + i * stride, mask & (i < N))[None, :], tile)
        return tile
