"""Opens pages in a real browser without a window, which reaches no other machine."""

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


def page_after_scripts(url: str, profile: Path, *, milliseconds: int = 3000, options: tuple[str, ...] = ()) -> str:
    """Return a page's document after its scripts have run; skips the test where no browser is installed."""
    browser = next(filter(None, map(shutil.which, _NAMES)), None)
    if browser is None:
        pytest.skip("no chromium or chrome is installed")
    command = [browser, *_SILENT, f"--user-data-dir={profile}", f"--virtual-time-budget={milliseconds}", *options]
    done = subprocess.run([*command, "--dump-dom", url], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
