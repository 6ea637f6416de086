"""What a run's log keeps of what is told besides nodes: warnings, stages, who works, and how a session ends."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from vidnst.errors import CancelledError, OutputError, VidnstError
from vidnst.events import Event, OnEvent, RunStarted, Stage, Warned
from vidnst.runs import RunStore


class EventRecorder:
    """Passes events on, and writes down what whoever looks at the run folder later wants to know.

    What is told before there is a run folder is written when there is one. One thread at a time.

    Args:
        on_event: hears of everything first.
    """

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event
        self._store: RunStore | None = None
        self._early: list[Warned | Stage] = []
        self._stage = ""

    def __call__(self, event: Event) -> None:
        """Take in an event, from any thread that may write the run's log."""
        self._on_event(event)
        match event:
            case Warned() | Stage() if self._store is None:
                if isinstance(event, Warned) or event.stage != self._stage:
                    self._early.append(event)
                    self._stage = self._stage if isinstance(event, Warned) else event.stage
            case Warned() | RunStarted() | Stage() if self._store is not None:
                with suppress(OutputError):  # the work itself tells of a full disk
                    self._write(self._store, event)
            case _:
                pass

    def keep_in(self, store: RunStore) -> None:
        """Write to this run's log from now on, and what was told before."""
        self._store, self._stage = store, ""
        for event in self._early:
            self._write(store, event)
        self._early.clear()

    def close(self) -> None:
        """Write no more."""
        self._store = None

    def end(self, how: Literal["stopped", "failed"], message: str) -> None:
        """Write down what ended the session early, and no more after that."""
        if self._store is not None:
            with suppress(OutputError):
                self._store.record("ended", how=how, message=message)
        self.close()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Write down what ends the block early."""
        try:
            yield
        except BaseException as error:
            self.end("stopped" if isinstance(error, CancelledError | KeyboardInterrupt) else "failed", _sentence(error))
            raise

    def _write(self, store: RunStore, event: Event) -> None:
        if isinstance(event, Warned):
            store.record("warned", message=event.message)
        elif isinstance(event, RunStarted):
            self._stage = "rendering"
            store.record("started", frames=event.frames, frames_done=event.frames_done, workers=list(event.workers))
        elif isinstance(event, Stage) and event.stage != self._stage:
            self._stage = event.stage
            store.record("stage", stage=event.stage)


def _sentence(error: BaseException) -> str:
    return str(error) if isinstance(error, VidnstError) else f"{type(error).__name__}: {error}"[:2000]
