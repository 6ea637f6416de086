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
