"""Where Triton kernels are tested: on a GPU, or else in Triton's interpreter.

Triton reads TRITON_INTERPRET when it is imported, so the interpreter runs in a process of its own.
"""

import os
import subprocess
import sys

import pytest
import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cuda" if torch.cuda.is_available() and not INTERPRETED else "cpu"
needs_kernels = pytest.mark.skipif(
    DEVICE == "cpu" and not INTERPRETED, reason="runs inside test_in_interpreter"
)
needs_interpreter = pytest.mark.skipif(
    DEVICE == "cuda" or INTERPRETED, reason="the kernels are tested directly"
)
needs_gpu = pytest.mark.skipif(DEVICE == "cpu", reason="needs a GPU")


def run_in_interpreter(path: str) -> None:
    """Runs the tests of a file with kernels interpreted."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", path]
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
