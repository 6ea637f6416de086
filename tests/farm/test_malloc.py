"""The memory allocator's settings."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource
import numpy as np
from vidnst.farm.malloc import keep_freed_memory

def faults():  # pages that the system had to fill
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.ones(100 << 20, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

usual = faults()
keep_freed_memory()
faults()
print(usual, faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks glibc")
def test_freed_memory_is_kept() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    usual, kept = map(int, done.stdout.split())
    if usual < 1000:
        pytest.skip("this C library, or huge pages, spares the system that work anyway")
    assert kept < usual / 10
