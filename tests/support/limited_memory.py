"""The command line with little memory for painting: the system refuses to give this process more.

python limited_memory.py MIB ARGUMENTS...
"""

import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import vidnst.style.network.precision
from vidnst.__main__ import main
from vidnst.farm.workers import StyleWorker


def used() -> int:
    """Bytes of address space that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def cramped(room: int) -> Callable[..., Any]:
    """`StyleWorker._paint`, with so many bytes more than there were before."""
    whole = StyleWorker._paint

    def paint(*arguments: Any, **options: Any) -> Any:
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used() + room, before[1]))
        try:
            return whole(*arguments, **options)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)

    return paint


if __name__ == "__main__":
    # As on devices for which bfloat16 is no gain, so that the same rungs are tried everywhere.
    vidnst.style.network.precision.suits_half = lambda device: False
    StyleWorker._paint = cramped(int(sys.argv[1]) << 20)  # type: ignore[method-assign]
    sys.argv = ["vidnst", *sys.argv[2:]]
    main()
