"""The project's own tests for GPUs."""

import re
import subprocess
import sys
from pathlib import Path

from bench.gpu_check.check import Check
from bench.gpu_check.findings import FAIL

_ROOT = Path(__file__).resolve().parents[3]
_SECONDS = 55


def check_tests(check: Check) -> None:
    """`pytest -m cuda`, of the files that have such tests."""
    check.require_package("pytest")
    marked = re.compile(r"^\s*(?:@|pytestmark = )pytest\.mark\.cuda\b", re.MULTILINE)
    files = sorted(path for path in (_ROOT / "tests").rglob("test_*.py") if marked.search(path.read_text("utf-8")))
    check.judge("files with tests for GPUs", str(len(files)), bool(files), bad=FAIL)
    if not check.needs_cuda("pytest -m cuda"):
        return
    command = [sys.executable, "-m", "pytest", "-m", "cuda", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *map(str, files)], capture_output=True, text=True, timeout=_SECONDS, cwd=_ROOT, check=False
    )
    (check.options.out / "pytest.log").write_text(done.stdout[-60_000:] + done.stderr[-5_000:], "utf-8")
    lines = done.stdout.strip().splitlines() or [done.stderr.strip()[-160:] or "nothing"]
    check.judge("pytest -m cuda", lines[-1], done.returncode == 0, bad=FAIL)
    for line in [line for line in lines if line.startswith(("FAILED", "ERROR"))][:6]:
        check.say("a failed test", line[:160], FAIL)
