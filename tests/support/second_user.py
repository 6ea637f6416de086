"""Code that runs as a user without any rights, on the side of the tests."""

import os
import shutil
import subprocess
import sys

import pytest

NOBODY = 65534

needs_second_user = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="becomes another user, which takes root and setpriv",
)


def run_as_nobody(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python code as the user 65534, who has no home and no groups."""
    as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    given = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment}
    command = [*as_nobody, sys.executable, "-c", code]
    return subprocess.run(command, env=given, cwd="/", capture_output=True, text=True, check=False, timeout=200)
