"""A Triton kernel that does nothing but exponentials, in registers."""

import torch
import triton
import triton.language as tl

PROGRAMS, BLOCK, ROUNDS = 2**14, 1024, 512


@triton.jit
def _exponentials(out, BLOCK: tl.constexpr, ROUNDS: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = offsets.to(tl.float32) / (1 << 24)
    for _round in range(ROUNDS):
        x = tl.exp2(-x)
    tl.store(out + offsets, x)


def launch() -> int:
    """Computes as many exponentials as it returns."""
    out = torch.empty(PROGRAMS * BLOCK, device="cuda")
    _exponentials[(PROGRAMS,)](out, BLOCK, ROUNDS, num_warps=4)
    return PROGRAMS * BLOCK * ROUNDS
