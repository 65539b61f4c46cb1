"""The scan of Mamba-2 as Triton kernels: matrix products within chunks of steps.

All chunks run in parallel: what each adds to the state is summed first, then handed on from chunk
to chunk, then the outputs follow from the states; the backward pass does the same in reverse.
Nothing is summed by atomics, so the gradients are reproducible.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from motionmamba.ops.triton_math import LOG2_E, softplus

# where a program would sum the gradients of B and C over all heads of a group, and there are
# fewer programs than this, the heads are split
SUMMING_PROGRAMS = 256
# elements of a state that a program hands on, and chunks whose loads are under way at once
HANDED_ON, LOADS = 256, 8
MAX_CHUNK = 64
# sums of exponents that are multiples of 1 / 16 and not below FLOOR at each step are exact in
# float32, and exp2(FLOOR) is zero
FLOOR = tl.constexpr(-1024.0)


def ssd_triton(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    dt_bias: Tensor | None,
    initial_state: Tensor | None,
    lengths: Tensor | None,
    *,
    dt_softplus: bool,
    reverse: tuple[bool, ...],
    chunk_size: int,
    last_state: bool,
) -> tuple[Tensor, Tensor | None]:
    """`ssd` in float32, whatever the inputs are.

    Products of bfloat16 operands would be quicker, but gave wrong gradients on an H100.
    """
    dtype = x.dtype
    x, dt, B, C, z = (None if m is None else m.float() for m in (x, dt, B, C, z))
    if D is not None:
        D = D.reshape(len(D), -1).expand(-1, x.shape[3])
    if initial_state is not None:
        initial_state = initial_state.to(torch.float32).contiguous()
    A, dt_bias, lengths = (None if m is None else m.contiguous() for m in (A, dt_bias, lengths))
    # one bit per group; -1 has all bits set
    reverse = -1 if all(reverse) else sum(back << group for group, back in enumerate(reverse))
    with torch.cuda.device_of(x):
        out, last = _Scan.apply(
            x, dt, A, B, C, D, z, dt_bias, initial_state, lengths,
            dt_softplus, reverse, chunk_size, last_state,
        )  # fmt: skip
    return out.to(dtype), last


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx, x, dt, A, B, C, D, z, bias, initial, lengths, softplus, reverse, chunk_size, last_state
    ):
        batch, length, heads, P = x.shape
        groups, N = B.shape[2:]
        sizes = (length, heads, groups, P, N, reverse)
        options = _options(x, N, softplus, chunk_size)
        chunks = triton.cdiv(length, options["CHUNK"])
        states, last = None, None
        if chunks > 1 or initial is not None or last_state:
            states, last = _states(
                x, dt, B, None, A, bias, lengths, initial, sizes, options, backward=False
            )
        if chunks == 1 and initial is None:
            states = None  # it is zero
        out = torch.empty_like(x)
        blocks = triton.cdiv(P, options["BLOCK_P"])
        _output_kernel[(batch * chunks * heads * blocks,)](
            *_strided(x, 4), *_strided(dt, 3), *_strided(B, 4), *_strided(C, 4), *_strided(z, 4),
            A, bias, lengths, *_strided(D, 2), *_strided(out, 4), states, *sizes, **options,
        )  # fmt: skip
        ctx.save_for_backward(x, dt, A, B, C, D, z, bias, lengths, states)
        ctx.set_materialize_grads(False)
        ctx.sizes, ctx.options, ctx.has_initial = sizes, options, initial is not None
        return out, last

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_out, grad_last):
        x, dt, A, B, C, D, z, bias, lengths, states = ctx.saved_tensors
        sizes, options = ctx.sizes, ctx.options
        batch, length, heads, P = x.shape
        groups, N = B.shape[2:]
        chunks = triton.cdiv(length, options["CHUNK"])
        if grad_out is None:
            grad_out = torch.zeros_like(x)
        if grad_last is not None:
            grad_last = grad_last.contiguous()
        # gradients of the states after each chunk; one chunk's is that of the last state
        grad_states, grad_initial = grad_last, None
        if states is not None:
            grad_states, grad_initial = _states(
                grad_out, dt, C, z, A, bias, lengths, grad_last, sizes, options, backward=True
            )

        options = options | dict(BLOCK_P=min(32, options["BLOCK_P"]))
        grad_x, grad_dt = torch.empty_like(x), torch.empty_like(dt)
        grad_z = None if z is None else torch.empty_like(z)
        # one partial sum for each chunk
        grad_A, grad_bias = A.new_empty(2, batch * chunks, heads, dtype=torch.float32)
        grad_D = None if D is None else grad_A.new_empty(batch * chunks, heads, P)
        _grad_kernel[(batch * chunks * heads,)](
            *_strided(x, 4), *_strided(dt, 3), *_strided(B, 4), *_strided(C, 4), *_strided(z, 4),
            A, bias, lengths, *_strided(D, 2), *_strided(grad_out, 4), states, grad_states,
            *_strided(grad_x, 4), *_strided(grad_dt, 3), *_strided(grad_z, 4),
            grad_A, grad_bias, grad_D, *sizes, **options,
        )  # fmt: skip

        programs = batch * chunks * groups * triton.cdiv(N, options["BLOCK_N"])
        heads_each = triton.cdiv(heads // groups, triton.cdiv(SUMMING_PROGRAMS, programs))
        splits = triton.cdiv(heads // groups, heads_each)
        grad_B, grad_C = grad_A.new_empty(2, splits, batch, length, groups, N)
        _grad_matrices_kernel[(programs * splits,)](
            *_strided(x, 4), *_strided(dt, 3), *_strided(B, 4), *_strided(C, 4), *_strided(z, 4),
            A, bias, lengths, *_strided(grad_out, 4), states, grad_states,
            grad_B, grad_C, splits, heads_each, *sizes, **options,
        )  # fmt: skip
        return (
            grad_x,
            grad_dt,
            grad_A.sum(0).to(A.dtype),
            grad_B.sum(0).to(B.dtype),
            grad_C.sum(0).to(C.dtype),
            None if D is None else grad_D.sum(0).to(D.dtype),
            grad_z,
            None if bias is None else grad_bias.sum(0).to(bias.dtype),
            grad_initial if ctx.has_initial else None,
            *(None,) * 5,
        )


def _options(x: Tensor, N: int, softplus: bool, chunk_size: int) -> dict:
    """Constants of all kernels."""
    return dict(
        SOFTPLUS=softplus,
        CHUNK=min(chunk_size, MAX_CHUNK, max(16, triton.next_power_of_2(x.shape[1]))),
        BLOCK_P=min(64, max(16, triton.next_power_of_2(x.shape[3]))),
        BLOCK_N=min(64, max(16, triton.next_power_of_2(N))),
        num_warps=4,
        # room for less than 100 kB of shared memory
        num_stages=1,
    )


def _states(x, dt, B, z, A, bias, lengths, first, sizes, options, backward: bool):
    """The states before all chunks, (B, chunks, H, P, N), and the last.

    Backward, the gradients of the states after all chunks, and that of the initial state, with
    the output's gradient in x's place and C in B's.
    """
    batch, length, heads, P = x.shape
    N = B.shape[3]
    chunks = triton.cdiv(length, options["CHUNK"])
    states = x.new_empty(batch, chunks, heads, P, N, dtype=torch.float32)
    decay = states.new_empty(batch, chunks, heads)
    last = states.new_empty(batch, heads, P, N)
    blocks = triton.cdiv(P, options["BLOCK_P"]) * triton.cdiv(N, options["BLOCK_N"])
    _state_kernel[(batch * chunks * heads * blocks,)](
        *_strided(x, 4), *_strided(dt, 3), *_strided(B, 4), *_strided(z, 4),
        A, bias, lengths, states, decay, *sizes, BACKWARD=backward, **options,
    )  # fmt: skip
    blocks = triton.cdiv(P * N, HANDED_ON)
    _hand_on_kernel[(batch * heads * blocks,)](
        states, decay, first, last, chunks, heads, P * N,
        BACKWARD=backward, LOADS=LOADS, BLOCK=HANDED_ON, num_warps=2,
    )  # fmt: skip
    return states, last


def _strided(x: Tensor | None, ndim: int) -> tuple:
    return (None,) + (0,) * ndim if x is None else (x, *x.stride())


@triton.jit
def _load(x, rows, row_stride, columns, column_stride, in_rows, in_columns):
    at = x + rows[:, None] * row_stride + columns[None, :] * column_stride
    return tl.load(at, mask=in_rows[:, None] & in_columns[None, :], other=0)


@triton.jit
def _store(x, value, rows, row_stride, columns, column_stride, in_rows, in_columns):
    at = x + rows[:, None] * row_stride + columns[None, :] * column_stride
    mask = in_rows[:, None] & in_columns[None, :]
    tl.store(at, value.to(x.dtype.element_ty), mask=mask)


@triton.jit
def _dot(a, b):
    return tl.dot(a, b, input_precision="tf32x3")


@triton.jit
def _silu(x):
    x = x.to(tl.float32)
    return x * tl.sigmoid(x)


@triton.jit
def _steps(chunk, length, lengths, batch, reverse, CHUNK: tl.constexpr):
    """Times of a chunk's steps in the order of the scan, which exist and which count."""
    step = chunk * CHUNK + tl.arange(0, CHUNK)
    t = tl.where((reverse & 1) != 0, length - 1 - step, step)
    exists = step < length
    counts = exists
    if lengths is not None:
        counts = exists & (t < tl.load(lengths + batch))
    # 64 bits: a sequence may hold more than 2**31 elements
    return t.to(tl.int64), exists, counts


@triton.jit
def _step_sizes(dt, A, bias, head, counts, SOFTPLUS: tl.constexpr):
    """dt before and after the softplus, and the binary exponents of the decays, in two parts."""
    raw = tl.load(dt, mask=counts, other=0).to(tl.float32)
    if bias is not None:
        raw += tl.load(bias + head).to(tl.float32)
    size = raw
    if SOFTPLUS:
        size = softplus(raw)
    size = tl.where(counts, size, 0.0)
    exponent = tl.maximum(size * (tl.load(A + head).to(tl.float32) * LOG2_E), FLOOR)
    # differences of sums of the exponents themselves would lose the steps after a large one
    coarse = tl.floor(exponent * 16 + 0.5) / 16
    return raw, size, coarse, exponent - coarse


@triton.jit
def _within(coarse, fine, CHUNK: tl.constexpr):
    """The decay from after step j until step i >= j, (CHUNK, CHUNK), zero above."""
    step = tl.arange(0, CHUNK)
    coarse = tl.cumsum(coarse, 0)
    fine = tl.cumsum(fine, 0)
    between = (coarse[:, None] - coarse[None, :]) + (fine[:, None] - fine[None, :])
    return tl.exp2(tl.where(step[:, None] >= step[None, :], between, float("-inf")))


@triton.jit
def _until(coarse, fine):
    """The decay from the chunk's start until each step."""
    return tl.exp2(tl.cumsum(coarse, 0) + tl.cumsum(fine, 0))


@triton.jit
def _after(coarse, fine):
    """The decay from after each step to the chunk's end."""
    later = tl.sum(coarse, 0) - tl.cumsum(coarse, 0)
    return tl.exp2(later + (tl.sum(fine, 0) - tl.cumsum(fine, 0)))


@triton.jit
def _whole(coarse, fine):
    """The decay of the whole chunk."""
    return tl.exp2(tl.sum(coarse, 0) + tl.sum(fine, 0))


@triton.jit
def _output_kernel(
    x, x_b, x_t, x_h, x_p,
    dt, dt_b, dt_t, dt_h,
    B, B_b, B_t, B_g, B_n,
    C, C_b, C_t, C_g, C_n,
    z, z_b, z_t, z_h, z_p,
    A, bias, lengths,
    D, D_h, D_p,
    out, out_b, out_t, out_h, out_p,
    states,
    length, heads, groups, P, N, reverse,
    SOFTPLUS: tl.constexpr,
    CHUNK: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Outputs of one chunk, of a block of a head's width, from the state before it."""
    blocks, chunks = tl.cdiv(P, BLOCK_P), tl.cdiv(length, CHUNK)
    program = tl.program_id(0)
    head = program // blocks % heads
    group = head // (heads // groups)
    chunk = program // blocks // heads % chunks
    batch = (program // blocks // heads // chunks).to(tl.int64)
    place = (batch * chunks + chunk) * heads + head
    p = program % blocks * BLOCK_P + tl.arange(0, BLOCK_P)
    in_p = p < P
    t, exists, counts = _steps(chunk, length, lengths, batch, reverse >> group, CHUNK)
    dt += batch * dt_b + head * dt_h
    B += batch * B_b + group * B_g
    C += batch * C_b + group * C_g
    _, size, coarse, fine = _step_sizes(dt + t * dt_t, A, bias, head, counts, SOFTPLUS)

    scores = tl.zeros([CHUNK, CHUNK], tl.float32)
    y = tl.zeros([CHUNK, BLOCK_P], tl.float32)
    for start in range(0, N, BLOCK_N):
        n = start + tl.arange(0, BLOCK_N)
        in_n = n < N
        b = _load(B, t, B_t, n, B_n, counts, in_n)
        c = _load(C, t, C_t, n, C_n, counts, in_n)
        scores += _dot(c, tl.trans(b))
        if states is not None:
            state = _load(states + place * P * N, p, N, n, 1, in_p, in_n)
            y += _dot(c, tl.trans(state))
    u = _load(x + batch * x_b + head * x_h, t, x_t, p, x_p, counts, in_p)
    scores *= _within(coarse, fine, CHUNK) * size[None, :]
    y = y * _until(coarse, fine)[:, None] + _dot(scores, u)
    if D is not None:
        skip = tl.load(D + head * D_h + p * D_p, mask=in_p, other=0).to(tl.float32)
        y += skip[None, :] * u.to(tl.float32)
    if z is not None:
        y *= _silu(_load(z + batch * z_b + head * z_h, t, z_t, p, z_p, counts, in_p))
    _store(out + batch * out_b + head * out_h, y, t, out_t, p, out_p, exists, in_p)


@triton.jit
def _state_kernel(
    x, x_b, x_t, x_h, x_p,
    dt, dt_b, dt_t, dt_h,
    B, B_b, B_t, B_g, B_n,
    z, z_b, z_t, z_h, z_p,
    A, bias, lengths,
    states, decay,
    length, heads, groups, P, N, reverse,
    BACKWARD: tl.constexpr, SOFTPLUS: tl.constexpr,
    CHUNK: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """What a chunk adds to the state, a block of it, and the chunk's decay."""
    p_blocks, chunks = tl.cdiv(P, BLOCK_P), tl.cdiv(length, CHUNK)
    blocks = p_blocks * tl.cdiv(N, BLOCK_N)
    program = tl.program_id(0)
    head = program // blocks % heads
    group = head // (heads // groups)
    chunk = program // blocks // heads % chunks
    batch = (program // blocks // heads // chunks).to(tl.int64)
    place = (batch * chunks + chunk) * heads + head
    p = program % p_blocks * BLOCK_P + tl.arange(0, BLOCK_P)
    n = program % blocks // p_blocks * BLOCK_N + tl.arange(0, BLOCK_N)
    in_p, in_n = p < P, n < N
    t, _, counts = _steps(chunk, length, lengths, batch, reverse >> group, CHUNK)
    dt += batch * dt_b + head * dt_h
    _, size, coarse, fine = _step_sizes(dt + t * dt_t, A, bias, head, counts, SOFTPLUS)
    u = _load(x + batch * x_b + head * x_h, t, x_t, p, x_p, counts, in_p).to(tl.float32)
    b = _load(B + batch * B_b + group * B_g, t, B_t, n, B_n, counts, in_n)
    if z is not None:
        u *= _silu(_load(z + batch * z_b + head * z_h, t, z_t, p, z_p, counts, in_p))
    weight = _until(coarse, fine) if BACKWARD else _after(coarse, fine) * size
    state = _dot(tl.trans(weight[:, None] * u), b)
    _store(states + place * P * N, state, p, N, n, 1, in_p, in_n)
    tl.store(decay + place, _whole(coarse, fine))


@triton.jit
def _hand_on_kernel(
    states, decay, first, last,
    chunks, heads, size,
    BACKWARD: tl.constexpr, LOADS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    blocks = tl.cdiv(size, BLOCK)
    program = tl.program_id(0)
    head = program // blocks % heads
    batch = (program // blocks // heads).to(tl.int64)
    i = program % blocks * BLOCK + tl.arange(0, BLOCK)
    here = i < size
    state = tl.zeros([BLOCK], tl.float32)
    if first is not None:
        state = tl.load(first + (batch * heads + head) * size + i, mask=here, other=0)
    for start in range(0, chunks, LOADS):
        places, news, decays = (), (), ()
        for k in tl.static_range(LOADS):
            exists = start + k < chunks
            chunk = chunks - 1 - start - k if BACKWARD else start + k
            place = (batch * chunks + chunk) * heads + head
            places += (place,)
            news += (tl.load(states + place * size + i, mask=here & exists, other=0),)
            decays += (tl.load(decay + place, mask=exists, other=1),)
        for k in tl.static_range(LOADS):
            tl.store(states + places[k] * size + i, state, mask=here & (start + k < chunks))
            state = decays[k] * state + news[k]
    tl.store(last + (batch * heads + head) * size + i, state, mask=here)


@triton.jit
def _grad_kernel(
    x, x_b, x_t, x_h, x_p,
    dt, dt_b, dt_t, dt_h,
    B, B_b, B_t, B_g, B_n,
    C, C_b, C_t, C_g, C_n,
    z, z_b, z_t, z_h, z_p,
    A, bias, lengths,
    D, D_h, D_p,
    grad_out, grad_out_b, grad_out_t, grad_out_h, grad_out_p,
    states, grad_states,
    grad_x, grad_x_b, grad_x_t, grad_x_h, grad_x_p,
    grad_dt, grad_dt_b, grad_dt_t, grad_dt_h,
    grad_z, grad_z_b, grad_z_t, grad_z_h, grad_z_p,
    grad_A, grad_bias, grad_D,
    length, heads, groups, P, N, reverse,
    SOFTPLUS: tl.constexpr,
    CHUNK: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Gradients of one chunk and head, but for B and C, which all heads of a group share."""
    chunks = tl.cdiv(length, CHUNK)
    program = tl.program_id(0)
    head = program % heads
    group = head // (heads // groups)
    chunk = program // heads % chunks
    batch = (program // heads // chunks).to(tl.int64)
    place = (batch * chunks + chunk) * heads + head
    x += batch * x_b + head * x_h
    dt += batch * dt_b + head * dt_h
    B += batch * B_b + group * B_g
    C += batch * C_b + group * C_g
    grad_out += batch * grad_out_b + head * grad_out_h
    grad_x += batch * grad_x_b + head * grad_x_h
    grad_dt += batch * grad_dt_b + head * grad_dt_h
    if z is not None:
        z += batch * z_b + head * z_h
        grad_z += batch * grad_z_b + head * grad_z_h
    t, exists, counts = _steps(chunk, length, lengths, batch, reverse >> group, CHUNK)
    raw, size, coarse, fine = _step_sizes(dt + t * dt_t, A, bias, head, counts, SOFTPLUS)
    scores = tl.zeros([CHUNK, CHUNK], tl.float32)
    for start_n in range(0, N, BLOCK_N):
        n = start_n + tl.arange(0, BLOCK_N)
        b = _load(B, t, B_t, n, B_n, counts, n < N)
        c = _load(C, t, C_t, n, C_n, counts, n < N)
        scores += _dot(c, tl.trans(b))
    scores *= _within(coarse, fine, CHUNK)

    # gradients of the scores, of the decays from the start and to the end, and of the whole one
    grad_scores = tl.zeros([CHUNK, CHUNK], tl.float32)
    from_start = tl.zeros([CHUNK], tl.float32)
    to_end = tl.zeros([CHUNK], tl.float32)
    through = 0.0
    for start in range(0, P, BLOCK_P):
        p = start + tl.arange(0, BLOCK_P)
        in_p = p < P
        u = _load(x, t, x_t, p, x_p, counts, in_p)
        grad = _load(grad_out, t, grad_out_t, p, grad_out_p, counts, in_p).to(tl.float32)
        carried = tl.zeros([CHUNK, BLOCK_P], tl.float32)
        back = tl.zeros([CHUNK, BLOCK_P], tl.float32)
        for start_n in range(0, N, BLOCK_N):
            n = start_n + tl.arange(0, BLOCK_N)
            if states is not None:
                c = _load(C, t, C_t, n, C_n, counts, n < N)
                state = _load(states + place * P * N, p, N, n, 1, in_p, n < N)
                carried += _dot(c, tl.trans(state))
            if grad_states is not None:
                b = _load(B, t, B_t, n, B_n, counts, n < N)
                grad_state = _load(grad_states + place * P * N, p, N, n, 1, in_p, n < N)
                back += _dot(b, tl.trans(grad_state))
                if states is not None:
                    through += tl.sum(state * grad_state)
        carried *= _until(coarse, fine)[:, None]
        back *= _after(coarse, fine)[:, None]
        skip = tl.zeros([BLOCK_P], tl.float32)
        if D is not None:
            skip = tl.load(D + head * D_h + p * D_p, mask=in_p, other=0).to(tl.float32)
        if z is not None:
            y = carried + skip[None, :] * u.to(tl.float32)
            y += _dot(scores * size[None, :], u)
            gate = _load(z, t, z_t, p, z_p, counts, in_p).to(tl.float32)
            sigmoid = tl.sigmoid(gate)
            gz = grad * y * sigmoid * (1 + gate * (1 - sigmoid))
            _store(grad_z, gz, t, grad_z_t, p, grad_z_p, exists, in_p)
            grad *= gate * sigmoid

        from_start += tl.sum(carried * grad, 1)
        to_end += tl.sum(back * u.to(tl.float32), 1)
        grad_scores += _dot(grad, tl.trans(u))
        gx = skip[None, :] * grad
        gx += _dot(tl.trans(scores * size[None, :]), grad)
        gx += size[:, None] * back
        _store(grad_x, gx, t, grad_x_t, p, grad_x_p, exists, in_p)
        if D is not None:
            tl.store(grad_D + place * P + p, tl.sum(grad * u.to(tl.float32), 0), mask=in_p)

    # the exponent of step s is in every product from before it until after it: all terms that
    # are summed belong to its gradient, where differences of sums would cancel
    i = tl.arange(0, CHUNK)
    past = i[:, None] > i[None, :]
    pairs = grad_scores * scores
    over = tl.where(past, pairs * size[None, :], 0.0)
    over = tl.cumsum(over, 0, reverse=True)
    over = tl.where(past, over + (to_end * size)[None, :], from_start[None, :])
    grad_exponent = tl.sum(over, 1) + through * _whole(coarse, fine)

    gdt = tl.sum(pairs, 0) + to_end + grad_exponent * tl.load(A + head).to(tl.float32)
    if SOFTPLUS:
        gdt *= tl.sigmoid(raw)
    gdt = tl.where(counts, gdt, 0.0)
    tl.store(grad_dt + t * grad_dt_t, gdt.to(grad_dt.dtype.element_ty), mask=exists)
    tl.store(grad_A + place, tl.sum(grad_exponent * size, 0))
    tl.store(grad_bias + place, tl.sum(gdt, 0))


@triton.jit
def _grad_matrices_kernel(
    x, x_b, x_t, x_h, x_p,
    dt, dt_b, dt_t, dt_h,
    B, B_b, B_t, B_g, B_n,
    C, C_b, C_t, C_g, C_n,
    z, z_b, z_t, z_h, z_p,
    A, bias, lengths,
    grad_out, grad_out_b, grad_out_t, grad_out_h, grad_out_p,
    states, grad_states,
    grad_B, grad_C, splits, heads_each,
    length, heads, groups, P, N, reverse,
    SOFTPLUS: tl.constexpr,
    CHUNK: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Gradients of B and C of one chunk, summed over some heads of a group."""
    blocks, chunks = tl.cdiv(N, BLOCK_N), tl.cdiv(length, CHUNK)
    batches = tl.num_programs(0) // blocks // splits // groups // chunks
    program = tl.program_id(0)
    n = program % blocks * BLOCK_N + tl.arange(0, BLOCK_N)
    split = program // blocks % splits
    group = program // blocks // splits % groups
    chunk = program // blocks // splits // groups % chunks
    batch = (program // blocks // splits // groups // chunks).to(tl.int64)
    in_n = n < N
    t, exists, counts = _steps(chunk, length, lengths, batch, reverse >> group, CHUNK)
    x += batch * x_b
    dt += batch * dt_b + t * dt_t
    grad_out += batch * grad_out_b
    if z is not None:
        z += batch * z_b
    b = _load(B + batch * B_b + group * B_g, t, B_t, n, B_n, counts, in_n)
    c = _load(C + batch * C_b + group * C_g, t, C_t, n, C_n, counts, in_n)
    gb = tl.zeros([CHUNK, BLOCK_N], tl.float32)
    gc = tl.zeros([CHUNK, BLOCK_N], tl.float32)
    group_size = heads // groups
    first = split * heads_each
    for index in range(first, tl.minimum(first + heads_each, group_size)):
        head = group * group_size + index
        place = (batch * chunks + chunk) * heads + head
        _, size, coarse, fine = _step_sizes(dt + head * dt_h, A, bias, head, counts, SOFTPLUS)
        until, weight = _until(coarse, fine), _after(coarse, fine) * size
        grad_scores = tl.zeros([CHUNK, CHUNK], tl.float32)
        for start in range(0, P, BLOCK_P):
            p = start + tl.arange(0, BLOCK_P)
            in_p = p < P
            u = _load(x + head * x_h, t, x_t, p, x_p, counts, in_p)
            grad = _load(
                grad_out + head * grad_out_h, t, grad_out_t, p, grad_out_p, counts, in_p
            ).to(tl.float32)
            if z is not None:
                grad *= _silu(_load(z + head * z_h, t, z_t, p, z_p, counts, in_p))
            grad_scores += _dot(grad, tl.trans(u))
            if states is not None:
                state = _load(states + place * P * N, p, N, n, 1, in_p, in_n)
                gc += until[:, None] * _dot(grad, state)
            if grad_states is not None:
                grad_state = _load(grad_states + place * P * N, p, N, n, 1, in_p, in_n)
                gb += weight[:, None] * _dot(u, grad_state)
        grad_scores *= _within(coarse, fine, CHUNK) * size[None, :]
        gc += _dot(grad_scores, b)
        gb += _dot(tl.trans(grad_scores), c)
    matrix = ((split * batches + batch) * length * groups + group) * N
    _store(grad_B + matrix, gb, t, groups * N, n, 1, exists, in_n)
    _store(grad_C + matrix, gc, t, groups * N, n, 1, exists, in_n)
