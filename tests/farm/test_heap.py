"""Memory that is freed stays with the process while frames are painted, and is given back afterwards."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource
import numpy as np
from vidnst.farm.heap import give_back_freed_memory, keep_freed_memory

def faults():  # pages that the system had to fill
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.ones(100 << 20, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

start = held()
usual = faults()
keep_freed_memory()
faults()
kept, most = faults(), held()
give_back_freed_memory()
print(usual, kept, most - start, held() - start, faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_freed_memory_is_kept_until_it_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    usual, kept, most, left, again = map(int, done.stdout.split())
    if usual < 1000:
        pytest.skip("this C library, or huge pages, spares the system that work anyway")
    assert kept < usual / 10
    assert most > 90 << 20
    assert left < 20 << 20
    assert again > usual / 2
