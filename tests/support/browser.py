"""A real browser without a window, for tests of pages; talks to nobody but this machine."""

import shutil
import subprocess
from pathlib import Path

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_SILENT = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)


def dumped(url: str, profile: Path, *, milliseconds: int = 3000, options: tuple[str, ...] = ()) -> str:
    """The document as it is after its scripts have run; skips the test where there is no browser."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip("there is no chromium or chrome here")
    command = [found, *_SILENT, f"--user-data-dir={profile}", f"--virtual-time-budget={milliseconds}", *options]
    done = subprocess.run([*command, "--dump-dom", url], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
