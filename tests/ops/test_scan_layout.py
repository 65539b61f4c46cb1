"""The backward scan's machine code counts on how a tile is spread over threads: is it so?

Compiled for a GPU without one, in a process of its own, as Triton's driver is replaced there.
"""

import re
import subprocess
import sys

import pytest

pytest.importorskip("triton")

COMPILE = """
import torch
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import CUDABackend
from triton.runtime import driver
from motionmamba.ops import selective_scan_triton as scan

class Driver:
    get_current_target = lambda self: GPUTarget("cuda", 90, 32)
    get_current_device = get_current_stream = lambda self, *_: 0

class Compiled:
    def __init__(self, kernel):
        self.kernel = kernel
    def __getitem__(self, grid):
        return lambda *a, **k: print(self.kernel.warmup(*a, grid=grid, **k).asm["ttgir"])

class Skipped:
    def __getitem__(self, grid):
        return lambda *a, **k: None

driver.set_active(Driver())
CUDABackend.make_cubin = lambda self, *a, **k: b""  # assembling needs no test
scan._multiprocessors = lambda device: 132
scan._backward_kernel = Compiled(scan._backward_kernel)
for name in ("_grad_ends_kernel", "_join_kernel"):
    setattr(scan, name, Skipped())
u, delta, z, grad = (torch.zeros(2, 48, 64, dtype=torch.bfloat16).transpose(1, 2) for _ in range(4))
B, C = (torch.zeros(2, 48, 1, 16, dtype=torch.bfloat16).permute(0, 2, 3, 1) for _ in range(2))
A, D = torch.zeros(64, 16), torch.zeros(64)
state = torch.zeros(2, 16, 64).transpose(1, 2)  # loads of whole tiles can change layouts
inputs = u, delta, A, B, C, D, z, D, state, None
scan._backward(*inputs, None, grad, state, True, 0, False)
"""
THREAD_IS_A_CHANNEL = (
    "sizePerThread = [1, 1], threadsPerWarp = [1, 32], warpsPerCTA = [1, 1], order = [1, 0]"
)


def test_a_thread_holds_all_states_of_one_channel(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", COMPILE],
        capture_output=True,
        text=True,
        env={"TRITON_CACHE_DIR": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    layouts = dict(re.findall(r"^(#\w+) = (.*)$", done.stdout, re.M))
    packed = re.findall(r"elementwise_inline_asm.*packed_element = 16.*", done.stdout)
    assert len(packed) >= 10
    for line in packed:
        used = re.findall(r"tensor<16x32x\w+, (#\w+)>", line)
        assert used and all(THREAD_IS_A_CHANNEL in layouts[name] for name in used), line
