"""The selective scan as Triton kernels, for sequences of motion's length.

One program of a single warp walks a block of channels of one sequence through time, with their
states (N, channels) in registers. Batches of motions hold enough channels to fill a GPU without
parallelism in time, which would cost more arithmetic. Nothing is summed by atomics, so the
gradients are reproducible.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

# the forward pass saves the state before each chunk; the backward pass holds a chunk of states
CHUNK = 8
# states of one program: 16 in each of a warp's threads
TILE_ELEMENTS = 512
LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)


def selective_scan_triton(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    reverse: bool,
) -> tuple[Tensor, Tensor]:
    """`selective_scan` with B, C (B, G, N, L); state and gradients are summed in float32."""
    with torch.cuda.device_of(u):
        return _Scan.apply(
            u, delta, A, B, C, D, z, delta_bias, delta_softplus, reverse, torch.is_grad_enabled()
        )


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, u, delta, A, B, C, D, z, delta_bias, softplus, reverse, with_grad):
        batch, channels, length = u.shape
        groups, N = B.shape[1:3]
        out = torch.empty_like(u)
        state = A.new_empty(batch, N, channels, dtype=torch.float32)
        checkpoints = None
        if with_grad and any(ctx.needs_input_grad):
            checkpoints = state.new_empty(batch, triton.cdiv(length, CHUNK), N, channels)
        A, D, delta_bias = (None if m is None else m.contiguous() for m in (A, D, delta_bias))
        grid, block_d, block_n = _launch_shape(batch, groups, channels // groups, N)
        _forward_kernel[grid](
            *_strided(u, 3),
            *_strided(delta, 3),
            *_strided(z, 3),
            *_strided(B, 4),
            *_strided(C, 4),
            A,
            D,
            delta_bias,
            *_strided(out, 3),
            state,
            checkpoints,
            channels // groups,
            groups,
            length,
            N,
            SOFTPLUS=softplus,
            REVERSE=reverse,
            CHUNK=CHUNK,
            BLOCK_D=block_d,
            BLOCK_N=block_n,
            num_warps=1,
        )
        ctx.save_for_backward(u, delta, A, B, C, D, z, delta_bias, checkpoints)
        ctx.softplus, ctx.reverse = softplus, reverse
        return out, state.transpose(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_out, grad_state):
        u, delta, A, B, C, D, z, delta_bias, checkpoints = ctx.saved_tensors
        batch, channels, length = u.shape
        groups, N = B.shape[1:3]
        grid, block_d, block_n = _launch_shape(batch, groups, channels // groups, N)
        blocks = triton.cdiv(channels // groups, block_d)
        grad_u, grad_delta = torch.empty_like(u), torch.empty_like(delta)
        grad_z = None if z is None else torch.empty_like(z)
        # one partial sum per sequence for the weights, one per block of channels for B and C
        grad_A = checkpoints.new_empty(batch, N, channels)
        grad_D, grad_bias = checkpoints.new_empty(2, batch, channels)
        grad_B, grad_C = checkpoints.new_empty(2, blocks, batch, groups, length, N)
        _backward_kernel[grid](
            *_strided(u, 3),
            *_strided(delta, 3),
            *_strided(z, 3),
            *_strided(B, 4),
            *_strided(C, 4),
            A,
            D,
            delta_bias,
            checkpoints,
            *_strided(grad_out, 3),
            grad_state.transpose(1, 2).contiguous(),
            *_strided(grad_u, 3),
            *_strided(grad_delta, 3),
            *_strided(grad_z, 3),
            grad_B,
            grad_C,
            grad_A,
            grad_D,
            grad_bias,
            channels // groups,
            groups,
            length,
            N,
            SOFTPLUS=ctx.softplus,
            REVERSE=ctx.reverse,
            CHUNK=CHUNK,
            BLOCK_D=block_d,
            BLOCK_N=block_n,
            num_warps=1,
        )
        return (
            grad_u,
            grad_delta,
            grad_A.sum(0).transpose(0, 1).to(A.dtype),
            grad_B.sum(0).transpose(-1, -2).to(B.dtype),
            grad_C.sum(0).transpose(-1, -2).to(C.dtype),
            None if D is None else grad_D.sum(0).to(D.dtype),
            grad_z,
            None if delta_bias is None else grad_bias.sum(0).to(delta_bias.dtype),
            None,
            None,
            None,
        )


def _launch_shape(batch: int, groups: int, group_size: int, N: int):
    """Grid, channels per program, and N padded to a power of two."""
    block_n = triton.next_power_of_2(N)
    block_d = min(32, TILE_ELEMENTS // block_n, triton.next_power_of_2(group_size))
    return (batch * groups * triton.cdiv(group_size, block_d),), block_d, block_n


def _strided(x: Tensor | None, ndim: int) -> tuple:
    return (None,) + (0,) * ndim if x is None else (x, *x.stride())


@triton.jit
def _indices(group_size, groups, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr):
    """Block of channels, sequence, group, channels, which of them exist, states."""
    program = tl.program_id(0)
    blocks = tl.cdiv(group_size, BLOCK_D)
    block = program % blocks
    group = program // blocks % groups
    # 64 bits: a batch may hold more than 2**31 elements
    batch = (program // blocks // groups).to(tl.int64)
    within = block * BLOCK_D + tl.arange(0, BLOCK_D)
    d = group * group_size + within
    return block, batch, group, d, within < group_size, tl.arange(0, BLOCK_N)


@triton.jit
def _softplus(x):
    exp = tl.exp(x)
    # log(1 + exp) would lose the low digits of a small exp
    series = exp * (1 - exp * (1 / 2 - exp * (1 / 3 - exp / 4)))
    return tl.where(x > 20, x, tl.where(exp < 1 / 64, series, tl.log(1 + exp)))


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
def _load_step(u, delta, B, C, z, z_offset, in_d, in_n):
    x = tl.load(u, mask=in_d, other=0)
    dt = tl.load(delta, mask=in_d, other=0)
    b = tl.load(B, mask=in_n, other=0)
    c = tl.load(C, mask=in_n, other=0)
    gate = x if z is None else tl.load(z + z_offset, mask=in_d, other=0)
    return x, dt, b, c, gate


@triton.jit
def _forward_kernel(
    u, u_b, u_d, u_t,
    delta, delta_b, delta_d, delta_t,
    z, z_b, z_d, z_t,
    B, B_b, B_g, B_n, B_t,
    C, C_b, C_g, C_n, C_t,
    A, D, bias,
    out, out_b, out_d, out_t,
    state_out, checkpoints,
    group_size, groups, length, N,
    SOFTPLUS: tl.constexpr, REVERSE: tl.constexpr, CHUNK: tl.constexpr,
    BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    _, batch, group, d, in_d, n = _indices(group_size, groups, BLOCK_D, BLOCK_N)
    channels = group_size * groups
    in_n = n < N
    tile = n[:, None] * channels + d[None, :]
    in_tile = in_n[:, None] & in_d[None, :]
    u += batch * u_b + d * u_d
    delta += batch * delta_b + d * delta_d
    B += batch * B_b + group * B_g + n * B_n
    C += batch * C_b + group * C_g + n * C_n
    out += batch * out_b + d * out_d
    if z is not None:
        z += batch * z_b + d * z_d

    decay_rate = _load(A + d[None, :] * N + n[:, None], in_tile) * LOG2_E
    shift = _load_optional(bias, d, in_d, BLOCK_D)
    skip = _load_optional(D, d, in_d, BLOCK_D)
    state = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
    t = length - 1 if REVERSE else 0
    next_x, next_dt, next_b, next_c, next_gate = _load_step(
        u + t * u_t, delta + t * delta_t, B + t * B_t, C + t * C_t, z, t * z_t, in_d, in_n
    )
    for step in range(length):
        if checkpoints is not None:
            if step % CHUNK == 0:
                chunk = batch * tl.cdiv(length, CHUNK) + step // CHUNK
                tl.store(checkpoints + chunk * N * channels + tile, state, mask=in_tile)
        x, dt, b, c, gate = next_x, next_dt, next_b, next_c, next_gate
        # the next step's loads wait behind this step's arithmetic
        later = tl.minimum(step + 1, length - 1)
        t = length - 1 - later if REVERSE else later
        next_x, next_dt, next_b, next_c, next_gate = _load_step(
            u + t * u_t, delta + t * delta_t, B + t * B_t, C + t * C_t, z, t * z_t, in_d, in_n
        )
        x = x.to(tl.float32)
        dt = dt.to(tl.float32) + shift
        if SOFTPLUS:
            dt = _softplus(dt)
        state *= tl.exp2(dt[None, :] * decay_rate)
        state += b.to(tl.float32)[:, None] * (dt * x)[None, :]
        y = tl.sum(c.to(tl.float32)[:, None] * state, 0) + skip * x
        if z is not None:
            gate = gate.to(tl.float32)
            y *= gate * tl.sigmoid(gate)
        t = length - 1 - step if REVERSE else step
        tl.store(out + t * out_t, y.to(out.dtype.element_ty), mask=in_d)
    tl.store(state_out + batch * N * channels + tile, state, mask=in_tile)


@triton.jit
def _backward_kernel(
    u, u_b, u_d, u_t,
    delta, delta_b, delta_d, delta_t,
    z, z_b, z_d, z_t,
    B, B_b, B_g, B_n, B_t,
    C, C_b, C_g, C_n, C_t,
    A, D, bias, checkpoints,
    grad_out, grad_out_b, grad_out_d, grad_out_t,
    grad_state,
    grad_u, grad_u_b, grad_u_d, grad_u_t,
    grad_delta, grad_delta_b, grad_delta_d, grad_delta_t,
    grad_z, grad_z_b, grad_z_d, grad_z_t,
    grad_B, grad_C, grad_A, grad_D, grad_bias,
    group_size, groups, length, N,
    SOFTPLUS: tl.constexpr, REVERSE: tl.constexpr, CHUNK: tl.constexpr,
    BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    block, batch, group, d, in_d, n = _indices(group_size, groups, BLOCK_D, BLOCK_N)
    channels = group_size * groups
    batches = tl.num_programs(0) // tl.cdiv(group_size, BLOCK_D) // groups
    in_n = n < N
    tile = n[:, None] * channels + d[None, :]
    in_tile = in_n[:, None] & in_d[None, :]
    u += batch * u_b + d * u_d
    delta += batch * delta_b + d * delta_d
    B += batch * B_b + group * B_g + n * B_n
    C += batch * C_b + group * C_g + n * C_n
    grad_out += batch * grad_out_b + d * grad_out_d
    grad_u += batch * grad_u_b + d * grad_u_d
    grad_delta += batch * grad_delta_b + d * grad_delta_d
    if z is not None:
        z += batch * z_b + d * z_d
        grad_z += batch * grad_z_b + d * grad_z_d
    matrix = ((block * batches + batch) * groups + group) * length * N + n
    grad_B += matrix
    grad_C += matrix

    decay_rate = _load(A + d[None, :] * N + n[:, None], in_tile) * LOG2_E
    shift = _load_optional(bias, d, in_d, BLOCK_D)
    skip = _load_optional(D, d, in_d, BLOCK_D)
    # the gradient of the state after a step, through all later steps
    grad = _load(grad_state + batch * N * channels + tile, in_tile)
    sum_A = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
    sum_D = tl.zeros([BLOCK_D], tl.float32)
    sum_bias = tl.zeros([BLOCK_D], tl.float32)
    chunks = tl.cdiv(length, CHUNK)
    for index in range(chunks):
        chunk = chunks - 1 - index
        state = _load(checkpoints + (batch * chunks + chunk) * N * channels + tile, in_tile)
        # steps past the end have dt = 0 and leave states and gradients as they are
        states = (state,)
        for i in tl.static_range(CHUNK - 1):
            step = chunk * CHUNK + i
            t = length - 1 - step if REVERSE else step
            here = in_d & (step < length)
            x = _load(u + t * u_t, here)
            dt = _load(delta + t * delta_t, here) + shift
            if SOFTPLUS:
                dt = _softplus(dt)
            dt = tl.where(step < length, dt, 0.0)
            b = _load(B + t * B_t, in_n & (step < length))
            state = tl.exp2(dt[None, :] * decay_rate) * state + b[:, None] * (dt * x)[None, :]
            states = states + (state,)

        for i in tl.static_range(CHUNK):
            step = chunk * CHUNK + CHUNK - 1 - i
            t = length - 1 - step if REVERSE else step
            here = in_d & (step < length)
            here_n = in_n & (step < length)
            x = _load(u + t * u_t, here)
            raw = _load(delta + t * delta_t, here) + shift
            dt = raw
            if SOFTPLUS:
                dt = _softplus(raw)
            dt = tl.where(step < length, dt, 0.0)
            b = _load(B + t * B_t, here_n)
            c = _load(C + t * C_t, here_n)
            previous = states[CHUNK - 1 - i]
            decay = tl.exp2(dt[None, :] * decay_rate)
            state = decay * previous + b[:, None] * (dt * x)[None, :]

            grad_y = _load(grad_out + t * grad_out_t, here)
            if z is not None:
                y = tl.sum(c[:, None] * state, 0) + skip * x
                gate = _load(z + t * z_t, here)
                sigmoid = tl.sigmoid(gate)
                slope = sigmoid * (1 + gate * (1 - sigmoid))
                gz = (grad_y * y * slope).to(grad_z.dtype.element_ty)
                tl.store(grad_z + t * grad_z_t, gz, mask=here)
                grad_y *= gate * sigmoid

            grad += c[:, None] * grad_y[None, :]
            tl.store(grad_C + t * N, tl.sum(state * grad_y[None, :], 1), mask=here_n)
            tl.store(grad_B + t * N, tl.sum(grad * (dt * x)[None, :], 1), mask=here_n)
            grad_input = tl.sum(grad * b[:, None], 0)
            grad *= decay
            grad_exponent = grad * previous
            sum_A += grad_exponent * dt[None, :]
            gdt = tl.sum(grad_exponent * decay_rate, 0) * LN_2 + grad_input * x
            if SOFTPLUS:
                gdt *= tl.sigmoid(raw)
            gx = grad_input * dt + skip * grad_y
            tl.store(grad_u + t * grad_u_t, gx.to(grad_u.dtype.element_ty), mask=here)
            tl.store(grad_delta + t * grad_delta_t, gdt.to(grad_delta.dtype.element_ty), mask=here)
            sum_D += grad_y * x
            sum_bias += tl.where(step < length, gdt, 0.0)
    tl.store(grad_A + batch * N * channels + tile, sum_A, mask=in_tile)
    tl.store(grad_D + batch * channels + d, sum_D, mask=in_d)
    tl.store(grad_bias + batch * channels + d, sum_bias, mask=in_d)
