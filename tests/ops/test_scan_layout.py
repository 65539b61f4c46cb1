"""The machine code in the scan's kernels counts on how a tile is spread over threads: is it so?

Compiled for a GPU without one, in a process of its own, as Triton's driver is replaced there.
"""

import re
import subprocess
import sys

import pytest

pytest.importorskip("triton")

COMPILE = """
from contextlib import suppress
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
        def compile(*args, **options):
            with suppress(Laid):
                self.kernel.warmup(*args, grid=grid, **options)
        return compile

class Laid(Exception):
    pass

def show(self, code, *args):
    print(code, "=====")
    raise Laid  # the rest of compiling says nothing of layouts

driver.set_active(Driver())
CUDABackend.make_llir = show
scan._multiprocessors = lambda device: 132
for name in ("forward", "grad_ends", "backward"):
    setattr(scan, f"{name}_kernel", Compiled(getattr(scan, f"{name}_kernel")))
scan._join = lambda *args, **options: None
wide = torch.zeros(2, 256, 64, dtype=torch.bfloat16).transpose(1, 2)
rows = torch.zeros(2, 256, 1, 16, dtype=torch.bfloat16).permute(0, 2, 3, 1)
A, D = torch.zeros(64, 16), torch.zeros(64)
state = torch.zeros(2, 16, 64).transpose(1, 2)  # loads of whole tiles can change layouts
inputs = wide, wide, A, rows, rows, D, wide, D, state, None
_, _, starts = scan._forward(*inputs, True, 0, False)
scan._backward(*inputs, starts, wide, state, True, 0, False)
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
    kernels = done.stdout.split("=====")[:-1]
    assert len(kernels) == 4  # the forward pass finds the ends of segments first
    for code in kernels:
        layouts = dict(re.findall(r"^(#\w+) = (.*)$", code, re.M))
        packed = re.findall(r"elementwise_inline_asm.*packed_element = 16.*", code)
        assert len(packed) >= 2
        for line in packed:
            used = re.findall(r"tensor<16x32x\w+, (#\w+)>", line)
            assert used and all(THREAD_IS_A_CHANNEL in layouts[name] for name in used), line
