"""README's commands for clusters run as they stand there: two hosts, both this one, on loopback, with a token."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import media
from support.listening import descendants
from support.processes import wait_until
from support.readme import code_blocks
from support.renders import QUICK, write_settings

pytestmark = [pytest.mark.ray, pytest.mark.slow]

HERE = "127.0.0.1"
FIRST, SECOND = (block for block in code_blocks() if "ray start" in block)
ONLY_HERE = (
    *(f"--node-ip-address={HERE}", "--num-cpus=1", "--object-store-memory=100000000", "--disable-usage-stats"),
    *("--dashboard-agent-listen-port=0", "--metrics-export-port=0", "--block"),
)
"""README's options and these let two hosts be one machine, and end with their shell."""


@pytest.fixture
def home() -> Iterator[Path]:
    """A home without a token; its name is short, because Ray's sockets lie below it."""
    folder = Path(tempfile.mkdtemp(prefix="readme"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    """The variables of a person's shell, with Ray's commands on the path."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("RAY_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return kept | {"HOME": str(home), "PATH": path, "RAY_TMPDIR": str(home)}


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind((HERE, 0))
        return int(taken.getsockname()[1])


@contextmanager
def host(block: str, port: int, environment: dict[str, str], log: Path) -> Iterator[None]:
    """A host that a block of README starts; at the end, all that it has started is ended."""
    script = block.replace("FIRST_HOST:6379", f"{HERE}:{port}").replace("--port=6379", f"--port={port}")
    (start,) = (line for line in script.splitlines() if line.startswith("ray start"))
    script = script.replace(start, " ".join(("exec", start, *ONLY_HERE)))
    with log.open("wb") as told:
        shell = subprocess.Popen(["bash", "-ec", script], env=environment, stdout=told, stderr=told)
    try:
        up = wait_until(
            lambda: shell.poll() is not None or "Ray runtime started" in log.read_text(), timeout_seconds=120
        )
        assert up, log.read_text()
        assert shell.poll() is None, log.read_text()
        yield
    finally:
        started = descendants(shell.pid)
        shell.send_signal(signal.SIGTERM)
        try:
            shell.wait(30)
        except subprocess.TimeoutExpired:
            shell.kill()
            shell.wait()
        for pid in started - {shell.pid}:
            if Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGKILL)


def render(home: Path, port: int, environment: dict[str, str], *options: str) -> "subprocess.CompletedProcess[str]":
    """A render on the cluster; once more where a busy machine did not join it in time."""
    command = [sys.executable, "-m", "vidnst", "render", "clip", "-s", "style.png", "-o", "painted"]
    command += ["--config", "quick.yaml", "--address", f"{HERE}:{port}", *options]
    for _ in range(3):
        done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
        if "no answer within" not in done.stderr:
            break
    return done


def test_cluster_of_two_hosts_renders_with_its_token(home: Path, environment: dict[str, str]) -> None:
    media.write_burst(home / "clip", 3)
    media.write_style(home / "style.png")
    write_settings(home / "quick.yaml", QUICK | {"farm": {"threads": 1, "workers": 2}})
    port = free_port()
    with host(FIRST, port, environment, home / "first.log"), host(SECOND, port, environment, home / "second.log"):
        token = home / ".ray" / "auth_token"
        assert token.stat().st_mode & 0o077 == 0
        done = render(home, port, environment | {"RAY_AUTH_MODE": "token"})
        assert done.returncode == 0, done.stderr
        assert len(list((home / "painted").glob("*.png"))) == 3
        refused = render(home, port, environment | {"HOME": str(home / "stranger")}, "--overwrite", "--restart")
        assert refused.returncode == 7, refused.stderr
        assert "token" in refused.stderr
