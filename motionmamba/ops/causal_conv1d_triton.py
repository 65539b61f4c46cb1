"""The causal convolution as Triton kernels: convolution, bias and SiLU in one launch.

A program takes ROWS steps of a block of channels, whose loads are all in flight together, in the
direction of its scan. Tensors are channel-last. The backward kernel computes again what it needs
and gives each program's share of the weights' gradients, whose sum is reproducible.
"""

import functools

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

FORWARD_ROWS, FORWARD_CHANNELS = 16, 128
# fewer, for the backward pass holds inputs, gradients and sums in registers
BACKWARD_ROWS, BACKWARD_CHANNELS = 8, 64
# enough for every GPU; more would only add shares of the weights' gradients to be summed
BACKWARD_PROGRAMS = 2048


def causal_conv1d_triton(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, silu: bool, reverse: tuple[bool, ...]
) -> Tensor:
    """`causal_conv1d` without states, summed in float32."""
    with torch.cuda.device_of(x):
        return _Convolution.apply(x, weight, bias, silu, reverse)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, silu, reverse):
        x, weight = _channel_last(x), weight.contiguous()
        bias = None if bias is None else bias.contiguous()
        batch, length, channels = x.shape
        out = x.new_empty(x.shape)
        blocks, options = _options(FORWARD_CHANNELS, channels, weight.shape[1], silu, reverse)
        _forward_kernel[(batch * triton.cdiv(length, FORWARD_ROWS) * blocks,)](
            *_strided(x),
            weight,
            bias,
            out,
            length,
            channels // len(reverse),
            ROWS=FORWARD_ROWS,
            **options,
        )
        ctx.save_for_backward(x, weight, bias)
        ctx.silu, ctx.reverse = silu, reverse
        return out.transpose(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_out):
        x, weight, bias = ctx.saved_tensors
        (batch, length, channels), width = x.shape, weight.shape[1]
        blocks, options = _options(BACKWARD_CHANNELS, channels, width, ctx.silu, ctx.reverse)
        tiles = batch * triton.cdiv(length, BACKWARD_ROWS)
        tiles_each = triton.cdiv(tiles * blocks, BACKWARD_PROGRAMS)
        programs = triton.cdiv(tiles, tiles_each)
        grad_x = x.new_empty(x.shape)
        shares = x.new_empty(programs, width + 1, channels, dtype=torch.float32)
        _backward_kernel[(programs * blocks,)](
            *_strided(x),
            weight,
            bias,
            *_strided(_channel_last(grad_out)),
            grad_x,
            shares,
            length,
            channels // len(ctx.reverse),
            tiles,
            tiles_each,
            ROWS=BACKWARD_ROWS,
            **options,
        )
        sums = shares.sum(0)
        grad_weight = sums[:width].t().to(weight.dtype)
        grad_bias = None if bias is None else sums[width].to(bias.dtype)
        return grad_x.transpose(1, 2), grad_weight, grad_bias, None, None


def _channel_last(x: Tensor) -> Tensor:
    """(B, D, L) -> (B, L, D) of consecutive channels."""
    x = x.transpose(1, 2)
    return x if x.stride(2) == 1 else x.contiguous()


def _strided(x: Tensor) -> tuple[Tensor, int, int]:
    return x, x.stride(0), x.stride(1)


@functools.cache
def _options(block: int, channels: int, width: int, silu: bool, reverse: tuple[bool, ...]):
    """Number of blocks of channels, and what a kernel is compiled for."""
    groups = len(reverse)
    block_d = min(block, triton.next_power_of_2(channels // groups))
    options = dict(
        WIDTH=width,
        SILU=silu,
        GROUPS=groups,
        REVERSE=sum(backward << group for group, backward in enumerate(reverse)),
        BLOCK_D=block_d,
        num_warps=1,
    )
    return groups * triton.cdiv(channels // groups, block_d), options


@triton.jit
def _place(group_size, GROUPS: tl.constexpr, REVERSE: tl.constexpr, BLOCK_D: tl.constexpr):
    """Index of this program among those of its channels, the channels, which exist, direction."""
    blocks = tl.cdiv(group_size, BLOCK_D)
    program = tl.program_id(0)
    group = program // blocks % GROUPS
    within = program % blocks * BLOCK_D + tl.arange(0, BLOCK_D)
    backward = 0
    for g in tl.static_range(GROUPS):
        backward += ((REVERSE >> g) & 1) * (group == g).to(tl.int32)
    return program // (blocks * GROUPS), group * group_size + within, within < group_size, backward


@triton.jit
def _start(tile, backward, length, ROWS: tl.constexpr):
    """Sequence and first step of a tile, as counted by its scan and in memory."""
    tiles = tl.cdiv(length, ROWS)
    step = tile % tiles * ROWS
    # 64 bits: a batch may hold more than 2**31 elements
    t = (step + backward * (length - 1 - 2 * step)).to(tl.int64)
    return (tile // tiles).to(tl.int64), step, t


@triton.jit
def _load(pointers, mask):
    return tl.load(pointers, mask=mask, other=0).to(tl.float32)


@triton.jit
def _load_weights(weight, bias, d, in_d, WIDTH: tl.constexpr):
    """The taps, that of the current step first, and the bias."""
    taps = ()
    for shift in tl.static_range(WIDTH):
        taps = taps + (_load(weight + d * WIDTH + (WIDTH - 1 - shift), in_d),)
    if bias is None:
        return taps, tl.zeros(d.shape, tl.float32)
    else:
        return taps, _load(bias + d, in_d)


@triton.jit
def _weigh(taps, rows, FIRST: tl.constexpr, STRIDE: tl.constexpr):
    """Sum of the products of the taps with the rows from FIRST on."""
    y = taps[0] * rows[FIRST]
    for k in tl.static_range(1, len(taps)):
        y += taps[k] * rows[FIRST + k * STRIDE]
    return y


@triton.jit(do_not_specialize=["length"])
def _forward_kernel(
    x, x_b, x_t, weight, bias, out, length, group_size,
    WIDTH: tl.constexpr, SILU: tl.constexpr, GROUPS: tl.constexpr, REVERSE: tl.constexpr,
    ROWS: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    tile, d, in_d, backward = _place(group_size, GROUPS, REVERSE, BLOCK_D)
    batch, step, t = _start(tile, backward, length, ROWS)
    channels = GROUPS * group_size
    direction = 1 - 2 * backward
    x += batch * x_b + t * x_t + d
    out += (batch * length + t) * channels + d
    taps, shift = _load_weights(weight, bias, d, in_d, WIDTH)
    xs = ()
    for i in tl.static_range(1 - WIDTH, ROWS):
        here = in_d & (step + i >= 0) & (step + i < length)
        xs = xs + (_load(x + i * direction * x_t, here),)
        if i >= 0:
            y = _weigh(taps, xs, WIDTH - 1 + i, -1) + shift
            if SILU:
                y *= tl.sigmoid(y)
            tl.store(out + i * direction * channels, y.to(out.dtype.element_ty), mask=here)


@triton.jit(do_not_specialize=["length", "tiles", "tiles_each"])
def _backward_kernel(
    x, x_b, x_t, weight, bias, grad_out, grad_out_b, grad_out_t, grad_x, shares,
    length, group_size, tiles, tiles_each,
    WIDTH: tl.constexpr, SILU: tl.constexpr, GROUPS: tl.constexpr, REVERSE: tl.constexpr,
    ROWS: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    share, d, in_d, backward = _place(group_size, GROUPS, REVERSE, BLOCK_D)
    channels = GROUPS * group_size
    direction = 1 - 2 * backward
    taps, shift = _load_weights(weight, bias, d, in_d, WIDTH)
    sum_bias = tl.zeros([BLOCK_D], tl.float32)
    sums = ()
    for _ in tl.static_range(WIDTH):
        sums = sums + (tl.zeros([BLOCK_D], tl.float32),)
    for tile in range(share * tiles_each, tl.minimum((share + 1) * tiles_each, tiles)):
        batch, step, t = _start(tile, backward, length, ROWS)
        x_tile = x + batch * x_b + t * x_t + d
        grad_out_tile = grad_out + batch * grad_out_b + t * grad_out_t + d
        grad_x_tile = grad_x + (batch * length + t) * channels + d
        xs = ()
        grads = ()
        for i in tl.static_range(1 - WIDTH, ROWS + WIDTH - 1):
            here = in_d & (step + i >= 0) & (step + i < length)
            if SILU or i < ROWS:
                xs = xs + (_load(x_tile + i * direction * x_t, here),)
            if i >= 0:
                grad = _load(grad_out_tile + i * direction * grad_out_t, here)
                if SILU:
                    y = _weigh(taps, xs, WIDTH - 1 + i, -1) + shift
                    sigmoid = tl.sigmoid(y)
                    grad *= sigmoid * (1 + y * (1 - sigmoid))
                grads = grads + (grad,)
                if i < ROWS:
                    sum_bias += grad
                    added = ()
                    for k in tl.static_range(WIDTH):
                        added = added + (sums[k] + grad * xs[WIDTH - 1 + i - k],)
                    sums = added
            # the gradient of the step that the last WIDTH ones have seen
            if i >= WIDTH - 1:
                gx = _weigh(taps, grads, i - (WIDTH - 1), 1).to(grad_x.dtype.element_ty)
                here = in_d & (step + i - (WIDTH - 1) < length)
                tl.store(grad_x_tile + (i - (WIDTH - 1)) * direction * channels, gx, mask=here)
    shares += share * (WIDTH + 1) * channels + d
    for k in tl.static_range(WIDTH):
        tl.store(shares + (WIDTH - 1 - k) * channels, sums[k], mask=in_d)
    tl.store(shares + WIDTH * channels, sum_bias, mask=in_d)
