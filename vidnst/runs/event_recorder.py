"""Records in the log of a run what is not about nodes: warnings, stages, workers, and how a session ends."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from vidnst.errors import CancelledError, OutputError, VidnstError
from vidnst.events import Event, OnEvent, RunStarted, Stage, Warned
from vidnst.runs import RunStore


class EventRecorder:
    """Passes events on, and records those that the status of a run needs later in its log.

    Events from before the run folder exists are recorded once it does. Not thread-safe.

    Args:
        on_event: receives every event first.
    """

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event
        self._store: RunStore | None = None
        self._early: list[Warned | Stage] = []
        self._stage = ""

    def __call__(self, event: Event) -> None:
        """Pass an event on, and record it."""
        self._on_event(event)
        match event:
            case Warned() | Stage() if self._store is None:
                if isinstance(event, Warned) or event.stage != self._stage:
                    self._early.append(event)
                    self._stage = self._stage if isinstance(event, Warned) else event.stage
            case Warned() | RunStarted() | Stage() if self._store is not None:
                with suppress(OutputError):  # the render itself reports a full disk
                    self._write(self._store, event)
            case _:
                pass

    def keep_in(self, store: RunStore) -> None:
        """Record events in the log of this run from now on, and those that came before."""
        self._store, self._stage = store, ""
        for event in self._early:
            self._write(store, event)
        self._early.clear()

    def close(self) -> None:
        """Stop recording."""
        self._store = None

    def end(self, how: Literal["stopped", "failed"], message: str) -> None:
        """Record what ended the session early, and stop recording."""
        if self._store is not None:
            with suppress(OutputError):
                self._store.record("ended", how=how, message=message)
        self.close()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Record the exception that ends the block, if any."""
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
