"""The processes of a Ray on this machine: noticed when they end, and ended with their session. Without Ray."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from support.processes import wait_until

from vidnst.errors import FarmError
from vidnst.farm.ray.local_processes import LocalProcesses

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads environments in /proc")


@pytest.fixture
def raylet(tmp_path: Path) -> list[str]:
    """The command of a process that looks like the one that runs Ray's workers."""
    program = tmp_path / "raylet"
    shutil.copy(shutil.which("sleep") or pytest.skip("there is no program to stand in"), program)
    return [str(program), "600"]


def checked(processes: LocalProcesses) -> str:
    try:
        processes.check()
    except FarmError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("number", "said"), [(signal.SIGBUS, "by SIGBUS: /dev/shm has no space"), (signal.SIGKILL, "by SIGKILL; free")]
)
def test_end_of_ray_is_said_with_its_reason(number: signal.Signals, said: str, raylet: list[str]) -> None:
    processes = LocalProcesses()
    with processes.starting():
        process = subprocess.Popen(raylet)
    try:
        assert checked(processes) == ""
        process.send_signal(number)
        assert wait_until(lambda: said in checked(processes))
    finally:
        process.kill()
        process.wait()


def test_what_ray_leaves_is_killed_at_the_end(raylet: list[str]) -> None:
    processes = LocalProcesses()
    with processes.starting():
        process = subprocess.Popen(raylet)
    with processes.ending():
        assert process.poll() is None
    assert process.wait(30) == -signal.SIGKILL
    assert checked(processes) == ""


def test_failed_start_leaves_no_process(raylet: list[str]) -> None:
    with pytest.raises(RuntimeError), LocalProcesses().starting():  # noqa: PT012 - the process starts before
        process = subprocess.Popen(raylet)
        raise RuntimeError("no")
    assert process.wait(30) == -signal.SIGKILL


def test_patience_of_ray_is_set_for_its_processes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "RAY_health_check_failure_threshold"
    monkeypatch.delenv(name, raising=False)
    with LocalProcesses().starting():
        assert os.environ[name] == "100"
    assert name not in os.environ
    monkeypatch.setenv(name, "7")
    with LocalProcesses().starting():
        assert os.environ[name] == "7"
    assert os.environ[name] == "7"


def test_closed_terminal_does_not_end_ray(raylet: list[str]) -> None:
    processes = LocalProcesses()
    with processes.starting():
        process = subprocess.Popen(raylet)
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGHUP}
    process.send_signal(signal.SIGHUP)
    with processes.ending():
        assert signal.SIGHUP in blocked_and_pending(process.pid)
        assert process.poll() is None
    process.wait()


def blocked_and_pending(pid: int) -> set[int]:
    """The signals that a process has got and does not hear of."""
    status = dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    both = int(status["SigBlk"], 16) & int(status["ShdPnd"], 16)
    return {number for number in range(1, 65) if both >> (number - 1) & 1}
