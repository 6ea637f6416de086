"""The command line with little memory for painting: the system refuses to give this process more.

python cramped.py MIB ARGUMENTS...
"""

import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vidnst.__main__ import main
from vidnst.farm.worker import StyleWorker
from vidnst.style import precision


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
    precision.suits_half = lambda device: False  # whatever this processor is best at, maps begin as float32
    StyleWorker._paint = cramped(int(sys.argv[1]) << 20)  # type: ignore[method-assign]
    sys.argv = ["vidnst", *sys.argv[2:]]
    main()
