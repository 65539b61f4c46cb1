import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from motionmamba.memory import keep_freed_memory
took = {advised} and keep_freed_memory()
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
first = torch.ones(2**24) + 1
for _ in range(20): second = first + 1
before = faults()
for _ in range(20): second = first + 1
print(took, faults() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc only")
def test_freed_memory_is_not_mapped_again():
    def run(advised):
        command = [sys.executable, "-c", FAULTS.format(advised=advised)]
        took, faults = subprocess.check_output(command, text=True).split()
        return took, int(faults)

    took, faults = run(True)
    if took != "True":
        pytest.skip("this libc takes no advice")
    mapped = 20 * 2**26 // 4096  # pages of all that were made
    assert faults < 0.2 * mapped < 0.8 * mapped < run(False)[1]
