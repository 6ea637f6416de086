"""What the log of a run adds up to: frames done, pace, workers, failures. Pure; fed event by event."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

_LATEST = 200
"""Frames that a pace is taken from."""
_NOTES = 50
"""Failures and warnings that are remembered, the last ones."""
_WORKERS = 256

End = Literal["", "finished", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class Note:
    """A failure or a warning."""

    time: float
    """Seconds since 1970."""
    text: str
    node: str = ""
    worker: str = ""


@dataclass(slots=True)
class WorkerTally:
    """What a worker has done in a session."""

    nodes: int = 0
    frames: int = 0
    """Finished ones."""
    seconds: float = 0.0
    """Of computing."""
    failures: int = 0
    last: float = 0.0
    """When it was heard of last, seconds since 1970."""

    @property
    def per_second(self) -> float | None:
        """Nodes for each second of computing; None before the first."""
        return self.nodes / self.seconds if self.seconds > 0 else None


@dataclass(slots=True)
class FrameTally:
    """What is known of a frame, over all its nodes."""

    losses: dict[str, float] = field(default_factory=dict)
    """Of its last pass."""
    seconds: float = 0.0
    evaluations: int = 0
    done: bool = False


class LogSummary:
    """The sum of the events that `add` was given, in their order. Unknown events, and parts of a wrong type, count
    for nothing, since a log may come from elsewhere.
    """

    def __init__(self) -> None:
        self.frames: dict[int, FrameTally] = {}
        self.done: set[int] = set()
        """Frames that are finished."""
        self.workers: dict[str, WorkerTally] = {}
        """Of the last session."""
        self.failures: deque[Note] = deque(maxlen=_NOTES)
        self.warnings: deque[Note] = deque(maxlen=_NOTES)
        self.repeated: set[int] = set()
        """Source frames that do not decode."""
        self.failed: dict[int, str] = {}
        """Frames that were given up, and why; a frame that is finished later is none."""
        self.suspect: dict[int, str] = {}
        """Frames that the run itself found strange."""
        self.attempts: dict[int, int] = {}
        """Failed attempts at nodes of a frame."""
        self.sessions = 0
        self.stage = ""
        """What goes on besides rendering, as the last session said."""
        self.message = ""
        """How the last session ended, in its own words; empty where it did not say."""
        self.end: End = ""
        """How the last session ended; empty where it goes on, or ended without a word."""
        self.first = self.last = self.began = 0.0
        """Times of the first and the last event, and of the last session's start: seconds since 1970."""
        self.latest: deque[int] = deque(maxlen=64)
        """Frames in the order in which they were finished, the last ones."""
        self.seconds = 0.0
        """From start to last event, over all sessions."""
        self._times: deque[float] = deque(maxlen=_LATEST)

    def add(self, event: Mapping[str, Any]) -> None:
        """Take in the next event."""
        moment = finite(event.get("time")) or self.last
        if event.get("kind") == "session":
            self._begin(moment)
        else:
            self.seconds += max(0.0, moment - self.last) if self.last else 0.0
        self.first = self.first or moment
        self.last = moment
        match event.get("kind"):
            case "done":
                self._done(event, moment)
            case "failed" | "died":
                self._failed(event, moment)
            case "given_up":
                self._given_up(event, moment)
            case "warned":
                self.warnings.append(Note(moment, _text(event.get("message"))))
            case "repeated" | "suspect":
                self._marked(event, moment)
            case "set_aside":
                text = f"{_text(event.get('worker'))} was set aside: {_text(event.get('error'))}"
                self.warnings.append(Note(moment, text))
            case "redo":
                self._redo(event.get("nodes"))
            case "started":
                self.stage, self.began = "rendering", moment
            case "stage":
                self.stage = _text(event.get("stage"))
            case "ended":
                self.end = "stopped" if event.get("how") == "stopped" else "failed"
                self.message = _text(event.get("message"))
            case "finished":
                self.end, self.stage = "finished", ""
            case _:
                pass

    def pace(self) -> float | None:
        """Frames per second of the last session, over its last frames; None before its first."""
        if not self._times:
            return None
        whole = len(self._times) < _LATEST
        seconds = self._times[-1] - (self.began if whole else self._times[0])
        count = len(self._times) - (0 if whole else 1)
        return count / seconds if seconds > 0 else None

    @property
    def evaluations(self) -> int:
        """Of the loss, in all."""
        return sum(frame.evaluations for frame in self.frames.values())

    def _begin(self, moment: float) -> None:
        self.sessions += 1
        self.began = moment
        self.stage = self.message = self.end = ""
        self.workers.clear()
        self._times.clear()

    def _done(self, event: Mapping[str, Any], moment: float) -> None:
        seconds, final = finite(event.get("seconds")) or 0.0, bool(event.get("final"))
        self.end = "" if self.end == "finished" else self.end
        if worker := self._worker(event, moment):
            worker.nodes += 1
            worker.frames += final
            worker.seconds += max(0.0, seconds)
        index = frame_of(event.get("node"))
        if index is None:
            return
        frame = self.frames.setdefault(index, FrameTally())
        evaluations = event.get("evaluations")
        frame.seconds += max(0.0, seconds)
        frame.evaluations += evaluations if isinstance(evaluations, int) and evaluations > 0 else 0
        terms = event.get("losses")
        if isinstance(terms, Mapping):
            found = {str(name): finite(value) for name, value in list(terms.items())[:32]}
            frame.losses = {name: value for name, value in found.items() if value is not None}
        if final:
            frame.done = True
            self.done.add(index)
            self.failed.pop(index, None)
            self.latest.append(index)
            self._times.append(moment)

    def _failed(self, event: Mapping[str, Any], moment: float) -> None:
        node, name = _text(event.get("node")), _text(event.get("worker"))
        died = event.get("kind") == "died"
        text = _text(event.get("error")) or ("its process ended" if died else "failed")
        self.failures.append(Note(moment, text, node, name))
        if worker := self._worker(event, moment):
            worker.failures += 1
        if (index := frame_of(node)) is not None:
            self.attempts[index] = self.attempts.get(index, 0) + 1

    def _given_up(self, event: Mapping[str, Any], moment: float) -> None:
        node, text = _text(event.get("node")), _text(event.get("error")) or "given up"
        index = frame_of(node)
        if index is not None:
            self.failed[index] = text
        if not event.get("because"):  # else what it needed failed, which was told already
            self.failures.append(Note(moment, text, node, _text(event.get("worker"))))

    def _redo(self, nodes: object) -> None:
        """Frames of these nodes are to be made again."""
        again = {frame_of(node) for node in nodes} if isinstance(nodes, list) else set()
        self.end = ""
        self.done.difference_update(index for index in again if index is not None)
        for index in again & self.suspect.keys():
            if index is not None:
                del self.suspect[index]

    def _marked(self, event: Mapping[str, Any], moment: float) -> None:
        index = event.get("frame")
        if not isinstance(index, int):
            index = frame_of(event.get("node"))
        if index is None:
            return
        if event.get("kind") == "repeated":
            self.repeated.add(index)
        elif event.get("mended") is True:
            why = _text(event.get("why"))
            self.warnings.append(Note(moment, f"frame {index} was strange at first, and was mended: {why}"))
        else:
            self.suspect[index] = _text(event.get("why"))

    def _worker(self, event: Mapping[str, Any], moment: float) -> WorkerTally | None:
        name = _text(event.get("worker"))
        if not name or (name not in self.workers and len(self.workers) >= _WORKERS):
            return None
        worker = self.workers.setdefault(name, WorkerTally())
        worker.last = moment
        return worker


def frame_of(node: object) -> int | None:
    """The frame of a state's name, like `12` of `12.0`; None for a flow's."""
    first = str(node).partition(".")[0]
    return int(first) if first.isascii() and first.isdecimal() and len(first) < 10 else None


def finite(value: object) -> float | None:
    """A number that can be drawn, else None: JSON may say Infinity, and very large integers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e18 else None


def _text(value: object) -> str:
    return "" if value is None else str(value)[:2000]
