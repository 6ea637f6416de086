"""Clocks and timers that stand still while their process is stopped."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from support.processes import wait_until

from vidnst.processes.running_time import RunningClock, RunningTimer, SteadyTime


def test_clock_leaves_out_the_time_of_a_stop() -> None:
    moments = iter((100.0, 101.0, 102.5, 702.5, 703.0))
    clock = RunningClock(lambda: next(moments))
    assert [clock() for _ in range(4)] == [1.0, 2.5, 4.5, 5.0]


def test_steady_time_does_not_follow_a_clock_that_is_set() -> None:
    wall, steady = [1_700_000_000.0], [5.0]
    now = SteadyTime(lambda: wall[0], lambda: steady[0])
    wall[0] -= 86_400.0
    steady[0] += 2.5
    assert now() == 1_700_000_002.5


def test_timer_calls_unless_it_is_cancelled() -> None:
    called = threading.Event()
    timer, cancelled = RunningTimer(0.05, called.set), RunningTimer(0.05, lambda: pytest.fail("it was cancelled"))
    cancelled.start()
    cancelled.cancel()
    timer.start()
    assert called.wait(30)
    cancelled.join()


STOPPED = """
import sys
from vidnst.media.child_process import run_child

child = "import sys, time\\nfor _ in range(20): sys.stdout.write('x' * 100_000); sys.stdout.flush(); time.sleep(0.1)"
print("begins", flush=True)
result = run_child([sys.executable, "-c", child], max_bytes=1 << 24, seconds=12)
print(result.status, len(result.output), flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="stops a process")
def test_child_is_not_late_because_its_parent_was_stopped() -> None:
    with subprocess.Popen([sys.executable, "-c", STOPPED], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        wait_until(lambda: False, timeout_seconds=0.3)
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(14)
        os.kill(process.pid, signal.SIGCONT)
        assert process.stdout.readline() == "0 2000000\n"
