"""Runs the command line with MIB of address space for each picture, beyond which the system refuses to allocate.

python tests/support/limited_memory.py MIB ARGUMENTS...
"""

import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import vidnst.style.network.precision
from vidnst.__main__ import main
from vidnst.style.minimize import StylizeResult
from vidnst.style.stylizer import Stylizer


def address_space_bytes() -> int:
    """Return the size of this process's address space."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def limited_stylize(limit_bytes: int) -> Callable[..., StylizeResult]:
    """Return `Stylizer.stylize` with a limit on the address space that it adds."""
    original = Stylizer.stylize

    def stylize(*arguments: Any, **options: Any) -> StylizeResult:
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (address_space_bytes() + limit_bytes, before[1]))
        try:
            return original(*arguments, **options)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)

    return stylize


if __name__ == "__main__":
    # As on devices without fast bfloat16, so that the same memory modes are tried everywhere.
    vidnst.style.network.precision.supports_bfloat16 = lambda device: False
    Stylizer.stylize = limited_stylize(int(sys.argv[1]) << 20)  # type: ignore[method-assign]
    sys.argv = ["vidnst", *sys.argv[2:]]
    main()
