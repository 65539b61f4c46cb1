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
from torch import Tensor
from torch.autograd.function import once_differentiable

from motionmamba.ops.selective_scan_triton_backward import backward_kernel, grad_ends_kernel
from motionmamba.ops.selective_scan_triton_forward import forward_kernel, join_kernel
from motionmamba.ops.triton_math import INTERPRETED

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
        forward_kernel[(programs,)](
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
        grad_ends_kernel[(walkers * (segments - 1),)](
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
    programs = batch * groups * segments * parts
    stash = max(block_n, STASH)
    chunk = CHUNK if stash == STASH else 2 * CHUNK
    kept = A.new_empty(programs, chunk * 640 + 512) if INTERPRETED else None
    backward_kernel[(programs,)](
        *inputs,
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
        join_kernel[(_cdiv(elements, 128),)](
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
