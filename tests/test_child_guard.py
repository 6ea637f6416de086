"""Children that end with their process, and nothing else that does."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.processes import wait_until

from vidnst.processes.child_guard import VARIABLE, ChildGuard, ProcessKey, end_marked, family

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads environments in /proc")

SLEEP = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]

OWNER = """
import subprocess, sys, time
from vidnst.processes.child_guard import CHILD_GUARD

sleep = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]
own = subprocess.Popen(sleep, env=CHILD_GUARD.environment(), start_new_session=True, stdout=subprocess.DEVNULL)
with CHILD_GUARD.marking("farm"):
    script = "import os, subprocess, sys, time; p = subprocess.Popen(sys.argv[1:], env={}); time.sleep(600)"
    farm = subprocess.Popen([sys.executable, "-I", "-S", "-c", script, *sleep], stdout=subprocess.DEVNULL)
other = subprocess.Popen(sleep, stdout=subprocess.DEVNULL)
print(own.pid, farm.pid, other.pid, flush=True)
sys.stdin.read()
"""


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def children_of(pid: int) -> list[int]:
    return [int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, None])
def test_guarded_children_end_with_their_process(how: signal.Signals | None) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        own, farm, other = (int(word) for word in owner.stdout.readline().split())
        assert wait_until(lambda: children_of(farm))
        (grandchild,) = children_of(farm)  # its environment is empty, as that of a process that changed its title
        watcher = next(pid for pid in children_of(owner.pid) if pid not in (own, farm, other))
        wait_until(lambda: False, timeout_seconds=1.0)  # the watching process looks after half a second
        try:
            if how is not None:
                owner.send_signal(how)
            owner.communicate()
            for pid in (own, farm, grandchild, watcher):
                assert wait_until(lambda pid=pid: not lives(pid), timeout_seconds=30)
            assert lives(other)
        finally:
            os.kill(other, signal.SIGKILL)


def test_only_processes_with_the_mark_are_killed() -> None:
    marks = ("1-a", "1-a.farm", "1-ab", "")
    processes = [subprocess.Popen(SLEEP, env={VARIABLE: mark}) for mark in marks]
    try:
        assert wait_until(lambda: {key.pid for key in family("1-a")} == {process.pid for process in processes[:2]})
        assert end_marked("1-a")
        assert [process.wait() for process in processes[:2]] == [-signal.SIGKILL] * 2
        assert [process.poll() for process in processes[2:]] == [None, None]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_process_that_got_a_known_number_is_spared() -> None:
    with subprocess.Popen(SLEEP) as process:
        try:
            assert end_marked("1-b", [ProcessKey(process.pid, 1)])
            assert process.poll() is None
        finally:
            process.kill()


def test_closed_guard_ends_children_and_can_start_again() -> None:
    guard = ChildGuard()
    for _ in range(2):
        with subprocess.Popen(SLEEP, env=guard.environment()) as process:
            guard.close()
            assert process.wait(30) == -signal.SIGKILL


def test_marking_leaves_the_environment_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    guard = ChildGuard()
    for before in (None, "of a process above"):
        if before is not None:
            monkeypatch.setenv(VARIABLE, before)
        with guard.marking("farm") as mark:
            assert os.environ[VARIABLE] == mark != before
        assert os.environ.get(VARIABLE) == before
    guard.close()
