"""What a run's log keeps of what is told besides nodes: warnings, stages, who works, and how a session ends."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from vidnst.errors import CancelledError, OutputError, VidnstError
from vidnst.events import Event, OnEvent, RunStarted, Stage, Warned
from vidnst.store import RunStore


class Chronicle:
    """Passes events on, and writes down what whoever looks at the run folder later wants to know.

    Args:
        on_event: hears of everything first.
    """

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event
        self._store: RunStore | None = None
        self._early: list[Warned] = []
        self._stage = ""

    def __call__(self, event: Event) -> None:
        """Take in an event, from any thread that may write the run's log."""
        self._on_event(event)
        match event:
            case Warned() if self._store is None:
                self._early.append(event)
            case Warned() | RunStarted() | Stage() if self._store is not None:
                with suppress(OutputError):  # the work itself tells of a full disk
                    self._write(self._store, event)
            case _:
                pass

    @contextmanager
    def kept_in(self, store: RunStore) -> Iterator[None]:
        """Write to this run's log, also what was warned of before, and in the end what ended the session early."""
        self._store = store
        try:
            for event in self._early:
                self._write(store, event)
            yield
        except BaseException as error:
            how = "stopped" if isinstance(error, CancelledError | KeyboardInterrupt) else "failed"
            with suppress(OutputError):
                store.record("ended", how=how, message=_sentence(error))
            raise
        finally:
            self._store = None

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
