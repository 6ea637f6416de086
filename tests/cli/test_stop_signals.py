"""Signals that stop a command: what the first and the second do, and what happens if neither helps."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from support.processes import wait_until

from vidnst.cli.stop_signals import STOP_NUMBERS, StopSignals
from vidnst.processes.uninterrupted import uninterrupted

pytestmark = pytest.mark.usefixtures("heeded_hangup")

Installed = Callable[..., tuple[StopSignals, list[int]]]


@pytest.fixture
def installed() -> Iterator[Installed]:
    """Installs the signals with the waits that are given, and a list of the statuses that end the process."""
    with ExitStack() as stack:

        def install(*, interrupt_seconds: float = 60.0, end_seconds: float = 60.0) -> tuple[StopSignals, list[int]]:
            statuses: list[int] = []
            stop = StopSignals(statuses.append, interrupt_seconds=interrupt_seconds, end_seconds=end_seconds)
            stop.install()
            stack.callback(stop.remove)
            return stop, statuses

        yield install


@pytest.mark.parametrize("number", STOP_NUMBERS)
def test_first_signal_asks_and_the_second_raises(
    number: int, installed: Installed, capsys: pytest.CaptureFixture[str]
) -> None:
    stop, statuses = installed()
    with stop.orderly():
        os.kill(os.getpid(), number)
        assert stop.requested
        said: list[str] = []
        assert wait_until(lambda: said.append(capsys.readouterr().err) or "Ctrl-C again to stop now" in "".join(said))
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert statuses == []


@pytest.mark.parametrize("number", STOP_NUMBERS)
def test_signal_outside_an_orderly_block_raises(number: int, installed: Installed) -> None:
    installed()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)


def test_work_that_does_not_stop_is_interrupted(installed: Installed) -> None:
    stop, statuses = installed(interrupt_seconds=0.2)
    with stop.orderly():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            time.sleep(60)
    assert statuses == []


def test_process_ends_where_no_interruption_helps(installed: Installed) -> None:
    stop, statuses = installed(interrupt_seconds=0.1, end_seconds=0.1)
    with pytest.raises(KeyboardInterrupt), stop.orderly(), uninterrupted():  # noqa: PT012 - it comes at the end
        os.kill(os.getpid(), signal.SIGTERM)
        assert wait_until(lambda: statuses)
    assert statuses == [130]


def test_third_signal_ends_the_process_at_once(installed: Installed) -> None:
    stop, statuses = installed()
    with pytest.raises(KeyboardInterrupt), stop.orderly(), uninterrupted():  # noqa: PT012 - it comes at the end
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
        assert wait_until(lambda: statuses)
    assert statuses == [130]


def test_ending_process_raises_nothing(installed: Installed) -> None:
    stop, _ = installed()
    stop.finish()
    os.kill(os.getpid(), signal.SIGTERM)
    assert not stop.requested


def test_hangup_that_is_ignored_stays_ignored(installed: Installed) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stop, _ = installed()
        with stop.orderly():
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.requested
    finally:
        signal.signal(signal.SIGHUP, before)


def test_signals_wait_for_the_end_of_uninterrupted_work(installed: Installed) -> None:
    installed()
    done = False
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - that it is raised late is the point
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as a library may
            done = True
        done = False
    assert done
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)


def test_uninterrupted_work_in_other_threads_is_as_usual() -> None:
    ran: list[bool] = []

    def work() -> None:
        with uninterrupted():
            ran.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ran == [True]


BUSY_THREAD = """
import threading, time, sys
import torch
from vidnst import __main__
from vidnst.errors import RunError

begun = threading.Event()

def work():
    matrix = torch.ones(1500, 1500)
    while True:
        begun.set()
        torch.linalg.svd(matrix)

def app():
    threading.Thread(target=work, daemon=True).start()
    begun.wait()
    raise RunError("the folder has gone")

import vidnst.cli.app
vidnst.cli.app.run = app
__main__.main()
"""


@pytest.mark.slow
def test_busy_threads_do_not_abort_a_process_that_ends() -> None:
    ended = subprocess.run([sys.executable, "-c", BUSY_THREAD], capture_output=True, text=True, check=False)
    assert ended.returncode == 8, ended.stderr
    assert "the folder has gone" in ended.stderr
