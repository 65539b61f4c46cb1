"""The backward kernels of the selective scan."""

import triton
import triton.language as tl

from motionmamba.ops.selective_scan_triton_steps import (
    KEPT_OPERANDS,
    RESERVE_ROWS,
    advance,
    input_weight,
    load,
    load_matrix,
    load_optional,
    load_rate,
    load_rows,
    load_steps,
    reserve,
    reserve_code,
    share_rows,
    shared_row,
    step_size,
    time_direction,
    walker_place,
)
from motionmamba.ops.triton_math import INTERPRETED, LN_2, sigmoid, softplus_slope


@triton.jit(do_not_specialize=["size"])
def grad_ends_kernel(
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
    total = tl.zeros([BLOCK_D], tl.float32)
    begin = (index + 1) * segment
    end = tl.minimum(length, begin + segment)
    grad = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
    if grad_state is not None:
        last = grad_state + batch * grad_state_b + d
        grad = load_rows(last, grad_state_n, in_d & (end == length), N, BLOCK_D, BLOCK_N)

    time = origin + direction * (end - 1)
    delta += batch * delta_b + time * delta_t + d
    C += batch * C_b + group * C_g + time * C_t + n
    grad_out += batch * grad_out_b + time * grad_out_t + d
    delta_t, C_t, grad_out_t = -delta_t * direction, -C_t * direction, -grad_out_t * direction
    if z is not None:
        z += batch * z_b + time * z_t + d
        z_t *= -direction
    # from here on, steps are counted from the segment's last, back in time
    first, stop = tl.maximum(end - stop, 0), end - tl.maximum(first, begin)
    coming = load_steps(
        grad_out, grad_out_t, delta, delta_t, z, z_t, 0, first, stop, in_d, False, AHEAD
    )
    RING: tl.constexpr = BLOCK_N == 16 and BLOCK_D == 32 and not INTERPRETED
    if RING:
        ring = reserve(RESERVE_ROWS)
        rows = load_matrix(C, C_t, 0, first, stop, in_n, AHEAD)
    for back in range(0, end - begin, AHEAD):
        loaded = coming
        grad_out += AHEAD * grad_out_t
        delta += AHEAD * delta_t
        if z is not None:
            z += AHEAD * z_t
        coming = load_steps(
            grad_out, grad_out_t, delta, delta_t, z, z_t, back + AHEAD, first, stop, in_d, False,
            AHEAD,
        )  # fmt: skip
        matrix = ()
        if RING:
            share_rows(ring, rows, None)
            rows = load_matrix(C + AHEAD * C_t, C_t, back + AHEAD, first, stop, in_n, AHEAD)
        else:
            for i in tl.static_range(AHEAD):
                valid = (back + i >= first) & (back + i < stop)
                matrix = matrix + (load(C + i * C_t, in_n & valid)[:, None],)
        for i in tl.static_range(AHEAD):
            gy, dt, gate = loaded[i]
            c = shared_row(ring, i, BLOCK_N, BLOCK_D) if RING else matrix[i]
            valid = (back + i >= first) & (back + i < stop)
            dt = step_size(dt, shift, valid, SOFTPLUS)
            gy = gy.to(tl.float32)
            if z is not None:
                gate = gate.to(tl.float32)
                gy *= gate * sigmoid(gate)
            grad += c * gy[None, :]
            grad *= tl.exp2(dt[None, :] * rate)
            total += dt
        C += AHEAD * C_t
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
# states and four numbers of each step, the state before them, B and C of a stretch
RESERVE_8, RESERVE_16 = (
    tl.constexpr(reserve_code(8 * 2560 + 2048 + 2048)),
    tl.constexpr(reserve_code(16 * 2560 + 2048)),
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


@triton.jit
def _matrix(ring, slot, matrix, matrix_t, step, mask, RING: tl.constexpr, BLOCK_N: tl.constexpr,
            BLOCK_D: tl.constexpr):  # fmt: skip
    """B or C of a step, for all channels."""
    if RING:
        return shared_row(ring, slot + step % 16, BLOCK_N, BLOCK_D)
    else:
        return load(matrix + step * matrix_t, mask)[:, None]


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
def _walk(state, at, groups, first, stop, last, u, u_t, delta, delta_t, B, B_t,
          ring, in_n, d, in_d, shift, rate, high, high_t, low, low_t, N, STASH: tl.constexpr,
          GROUP: tl.constexpr, SOFTPLUS: tl.constexpr, ZOH: tl.constexpr,
          RAGGED: tl.constexpr, ALL: tl.constexpr, RING: tl.constexpr):  # fmt: skip
    """The state some groups of steps on; with STASH, one of every STASH states is stashed."""
    coming = _load_group(
        at, first, stop, u, u_t, delta, delta_t, d, in_d, GROUP, RAGGED, ALL
    )  # fmt: skip
    if STASH and RING:
        rows_B = load_matrix(B + at * B_t, B_t, at, first, stop, in_n, STASH)
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
                    share_rows(ring, rows_B, None)
                    ahead = begin + STASH
                    rows_B = load_matrix(B + ahead * B_t, B_t, ahead, first, stop, in_n, STASH)
                _stash(
                    high + begin * high_t + d, high_t, low + begin * low_t + d, low_t, state,
                    in_d, N, state.shape[0],
                )  # fmt: skip
        for i in tl.static_range(GROUP):
            x, dt = loaded[i]
            valid = _inside(begin + i, stop, first, RAGGED, ALL)
            b = _matrix(
                ring, 0, B, B_t, begin + i, valid & in_n, RING, state.shape[0], state.shape[1]
            )
            dt = step_size(dt, shift, valid, SOFTPLUS)
            state = advance(state, x[None, :], dt[None, :], b, rate, ZOH)
    return state


@triton.jit(do_not_specialize=["size"])
def backward_kernel(
    u, u_b, u_t,
    delta, delta_b, delta_t,
    z, z_b, z_t,
    B, B_b, B_g, B_t,
    C, C_b, C_g, C_t,
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
    origin, direction, first, stop = time_direction(reverse, group, lengths, batch, length)
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
    B += batch * B_b + group * B_g + time * B_t + n
    C += batch * C_b + group * C_g + time * C_t + n
    grad_out += batch * grad_out_b + time * grad_out_t
    grad_u += batch * grad_u_b + time * grad_u_t
    grad_delta += batch * grad_delta_b + time * grad_delta_t
    partial_BC += part * batches * groups * length * N * 2
    partial_BC += ((batch * groups + group) * length + time) * 2 * N
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
    B_t *= direction
    C_t *= direction
    pair_t = 2 * N * direction
    if INTERPRETED:
        kept += tl.program_id(0) * (CHUNK * 640 + 512)
        fours = kept + (CHUNK + 1) * 512
        ring = 0
    else:
        kept = reserve(RESERVE_8 if CHUNK == 8 else RESERVE_16)
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
        rate = load_rate(A, d, in_d, N, BLOCK_D, BLOCK_N)
        shift = load_optional(bias, d, in_d, BLOCK_D)
        skip = load_optional(D, d, in_d, BLOCK_D)

        # the state before each stretch of STASH steps waits where that stretch's gradients will be
        state = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
        if starts is not None:
            before = starts + (row - batches) * N * channels + d
            state = load_rows(before, channels, in_d & (index > 0), N, BLOCK_D, BLOCK_N)
        if initial is not None:
            given = initial + batch * initial_b + d
            state += load_rows(given, initial_n, in_d & (index == 0), N, BLOCK_D, BLOCK_N)
        state = _walk(
            state, 0, (stretches - 1) * (STASH // GROUP), first, stop, last_group, u, u_t,
            delta, delta_t, B, B_t, ring, in_n, d, in_d, shift, rate,
            grad_u, grad_u_t, grad_delta, grad_delta_t, N, STASH,
            GROUP, SOFTPLUS, ZOH, RAGGED, ALL, RING,
        )  # fmt: skip

        # the gradient of the state after a step, through all later steps
        grad = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
        if starts is not None:
            later = partial_A + row * N * channels + d
            grad = load_rows(later, channels, in_d & (end < length), N, BLOCK_D, BLOCK_N)
        if grad_state is not None:
            last = grad_state + batch * grad_state_b + d
            mask = in_d & (end == length)
            grad += load_rows(last, grad_state_n, mask, N, BLOCK_D, BLOCK_N)
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
                rows_B = load_matrix(B + base * B_t, B_t, base, first, stop, in_n, STASH)
                rows_C = load_matrix(C + base * C_t, C_t, base, first, stop, in_n, STASH)
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
            if RING:
                share_rows(ring, rows_B, rows_C)
            _keep(kept, CHUNK, state)
            chunks = tl.minimum(STASH // CHUNK, tl.cdiv(steps - base, CHUNK))
            for chunk_back in range(chunks):
                current = chunks - 1 - chunk_back
                start = base + current * CHUNK
                state = _walk(
                    _kept(kept, CHUNK, BLOCK_N, BLOCK_D), base, current * GROUPS,
                    first, stop, last_group, u, u_t, delta, delta_t, B, B_t, ring, in_n,
                    d, in_d, shift, rate, grad_u, grad_u_t, grad_delta, grad_delta_t, N, 0,
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
                        b = _matrix(ring, 0, B, B_t, now, valid & in_n, RING, BLOCK_N, BLOCK_D)
                        slot = i_group * GROUP + i
                        _keep(kept, slot, state)
                        x = x.to(tl.float32)
                        dt = step_size(dt, shift, valid, SOFTPLUS)
                        state = advance(state, x[None, :], dt[None, :], b, rate, ZOH)
                        grad_y = grad_y.to(tl.float32)
                        if z is not None:
                            c = _matrix(ring, 16, C, C_t, now, valid & in_n, RING, BLOCK_N, BLOCK_D)
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
                                both = load(here[:, None] + i * 16 + pair, in_pair)
                                one, other = tl.split(both)
                                sums = tl.where(n[:, None] == 2 * i, one[None, :], sums)
                                sums = tl.where(n[:, None] == 2 * i + 1, other[None, :], sums)
                    for i in tl.static_range(GROUP - 1, -1, -1):
                        now = at + i
                        valid = _inside(now, stop, first, RAGGED, ALL)
                        mask = in_d & (ALL | (now < steps))
                        b = _matrix(ring, 0, B, B_t, now, valid & in_n, RING, BLOCK_N, BLOCK_D)
                        c = _matrix(ring, 16, C, C_t, now, valid & in_n, RING, BLOCK_N, BLOCK_D)
                        slot = now - start
                        previous = _kept(kept, slot, BLOCK_N, BLOCK_D)
                        x, dt, grad_y, slope = _kept_four(fours, slot, BLOCK_D)
                        decay = tl.exp2(dt[None, :] * rate)
                        weight = input_weight(dt[None, :], decay, rate, ZOH)

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
                                both += load(pairs, in_pair)
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
def _stash(high, high_t, low, low_t, state, mask, N, BLOCK_N: tl.constexpr):
    """Puts a state where gradients will be; row by row, for the reason that `load_rate` gives."""
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


@triton.jit
def _weight_slope(dt, decay, weight, rate):
    """The derivative of `input_weight`'s exact integral by A."""
    x = dt * rate * LN_2
    small = tl.abs(x) < 1 / 4
    series = 1 / 2 + x * (1 / 3 + x * (1 / 8 + x * (1 / 30 + x * (1 / 144 + x / 840))))
    exact = (dt * decay - weight) / tl.where(small, 1.0, rate * LN_2)
    return tl.where(small, dt * dt * series, exact)
