"""Stopping a batch: the first signal waits for nodes in flight, the second for nothing."""

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from support.batches import job_states, write_jobs

from vidnst.cli.stop_signals import StopSignals
from vidnst.errors import CancelledError
from vidnst.events import Event, JobChanged
from vidnst.rendering.batch import stages
from vidnst.rendering.batch.run import run_batch


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The second preparation of a clip hangs, whatever is asked; the event is set when it does."""
    release, hangs = threading.Event(), threading.Event()
    prepare, calls = stages.prepare_render, count()

    def hang(*arguments: Any, **options: Any) -> Any:
        if next(calls):
            hangs.set()
            release.wait(60)
        return prepare(*arguments, **options)

    monkeypatch.setattr(stages, "prepare_render", hang)
    yield hangs
    release.set()
    for thread in threading.enumerate():
        if thread.name.startswith(("prepare-", "encode-")):
            thread.join(60)


@pytest.fixture
def stop() -> Iterator[StopSignals]:
    signals = StopSignals(lambda status: None)
    signals.install()
    with signals.orderly():
        yield signals
    signals.remove()


def test_second_interrupt_ends_waiting_for_threads(tmp_path: Path, stuck: threading.Event, stop: StopSignals) -> None:
    path = write_jobs(tmp_path, clips=2, styles=1, frames=3)

    def interrupt() -> None:
        stuck.wait(60)
        os.kill(os.getpid(), signal.SIGINT)
        stop.wait()
        threading.Event().wait(0.5)  # by then the batch most likely waits for its threads
        os.kill(os.getpid(), signal.SIGINT)

    caller = threading.Thread(target=interrupt)
    caller.start()
    with pytest.raises((KeyboardInterrupt, CancelledError)):
        run_batch(path, cancelled=lambda: stop.requested)
    caller.join()
    assert stop.requested
    assert any(thread.name.startswith("prepare-") for thread in threading.enumerate())  # still hangs


def test_interrupt_during_rendering_does_not_wait(tmp_path: Path, stuck: threading.Event) -> None:
    path = write_jobs(tmp_path, clips=2, styles=1, frames=3)
    rendering = threading.Event()

    def hear(event: Event) -> None:
        if isinstance(event, JobChanged) and event.frames_done:
            rendering.set()  # its folder may be gone when `interrupted` is called

    def interrupted() -> bool:
        if stuck.is_set() and rendering.is_set():
            raise KeyboardInterrupt
        return False

    with pytest.raises((KeyboardInterrupt, CancelledError)):
        run_batch(path, on_event=hear, cancelled=interrupted)
    assert any(thread.name.startswith("prepare-") for thread in threading.enumerate())


@pytest.mark.parametrize("keep", [True, False])
def test_finished_jobs_need_no_sources_or_styles(tmp_path: Path, keep: bool) -> None:
    path = write_jobs(tmp_path, clips=2, styles=1, frames=3, set={"output.keep_frames": keep})
    assert run_batch(path).done == 2
    shutil.rmtree(tmp_path / "clips" / "clip0")
    shutil.rmtree(tmp_path / "styles")
    (tmp_path / "clips" / "clip1" / "001.png").write_bytes(b"nothing like a picture")
    assert run_batch(path).done == 2
    assert set(job_states(path).values()) == {"done"}
