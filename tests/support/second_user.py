"""Code that runs as a user without any rights, on the side of the tests."""

import os
import shutil
import subprocess
import sys
from functools import cache

import pytest

NOBODY = 65534

needs_second_user = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="becomes another user, which takes root and setpriv",
)


@cache
def _nobody_has_ray() -> bool:
    return _run("import ray").returncode == 0


def run_as_nobody(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python code as the user 65534, who has no home and no groups.

    Skips the test where that user cannot run this Python, in a home that is closed to others, for instance.
    """
    if not _nobody_has_ray():
        pytest.skip(f"other users cannot run {sys.executable} with Ray")
    return _run(code, **environment)


def _run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    given = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment}
    command = [*as_nobody, sys.executable, "-c", code]
    return subprocess.run(command, env=given, cwd="/", capture_output=True, text=True, check=False, timeout=200)
