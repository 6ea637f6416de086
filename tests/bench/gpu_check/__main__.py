"""The entry point of `python tests/bench/gpu_check`: finds the package's name, then hands over."""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]

if __name__ == "__main__":
    sys.path[:1] = [str(TESTS), str(TESTS.parent)]  # in place of this folder
    from bench.gpu_check.command import main

    sys.exit(main())
