"""The event log of a run, reduced to what it adds up to: nodes done, losses, pace, workers, failures."""

import os
import sys
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self

from vidnst.runs.event_log import read_events
from vidnst.runs.layout import RunLayout
from vidnst.runs.summaries import FrameSummary, Note, WorkerSummary

_PACE_FRAMES = 200
"""Frames that a pace is taken from, the last ones."""
_LATEST_FRAMES = 64
_MAX_NOTES = 50
"""Failures and warnings that are remembered, the last ones."""
_MAX_PARTS = 16
_MAX_WORKERS = 256
_MAX_SHOTS = 1 << 24
_MAX_LOSSES = 32
_MAX_TEXT = 2000
_MAX_TIME = float(1 << 37)
"""Seconds since 1970, in the year 6325: `datetime` reads no time much later."""

SessionEnd = Literal["", "finished", "stopped", "failed"]


class RunLog:
    """The sum of a run's events, folded in one by one by `add`, in their order.

    It grows with the frames and nodes of the run, not with the length of the log. Unknown events, and values of a wrong
    type, count for nothing, since a log may come from elsewhere.
    """

    def __init__(self) -> None:
        self.done_nodes: dict[str, int] = {}
        """Names of the nodes that are done, and how many evaluations of the loss each took, the last time it was."""
        self.done_frames: set[int] = set()
        """Frames whose last pass is done."""
        self.frames: dict[int, FrameSummary] = {}
        """Frames of which a pass was done."""
        self.given_up: dict[str, str] = {}
        """Names of the nodes that were given up and have not been done since, and why."""
        self.suspects: dict[int, str] = {}
        """Frames that look wrong as they are now, and why: see `motion.quality_gate`."""
        self.repeated_frames: set[int] = set()
        """Frames of the source that do not decode."""
        self.node_memory_modes: dict[str, object] = {}
        """The memory modes of finished nodes that saved memory, as JSON values of `MemoryMode`."""
        self.shot_memory_modes: dict[int, list[object]] = {}
        """The memory modes of shots that saved memory, as JSON values, in the order in which they were reached."""
        self.complete = False
        """True if nothing is left to do: the output is in its place, and measured where that was wanted."""
        self.output_bytes: object = None
        """The size that the output had when the run was finished; None where it is not recorded."""
        self.output_being_written: str | None = None
        """Absolute path of an output that was being moved into its place when the log ended."""

        self.parts: deque[str] = deque(maxlen=_MAX_PARTS)
        """Temporary files of outputs outside of the run folder, which a kill may have left."""
        self.sessions = 0
        self.stage = ""
        """The work of the last session besides rendering."""
        self.session_end: SessionEnd = ""
        """The end of the last session; empty while it runs, and if it was killed."""
        self.end_message = ""
        """The sentence with which the last session ended; empty where it gave none."""
        self.workers: dict[str, WorkerSummary] = {}
        """Workers of the last session."""
        self.failures: deque[Note] = deque(maxlen=_MAX_NOTES)
        self.warnings: deque[Note] = deque(maxlen=_MAX_NOTES)
        self.failed_attempts = 0
        """Failed attempts at frames."""
        self.latest_frames: deque[int] = deque(maxlen=_LATEST_FRAMES)
        """The last frames that were finished, in their order."""
        self.node_seconds = 0.0
        """Computing time of all nodes that were done."""
        self.session_seconds = 0.0
        """Time from first to last event, over all sessions."""
        self.last_time = 0.0
        """Time of the last event, seconds since 1970."""
        self._rendering_since = 0.0
        self._frame_times: deque[float] = deque(maxlen=_PACE_FRAMES)
        self._earlier_seconds_per_frame: float | None = None

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Add up the log of a run folder; a log that is missing has no events.

        Raises:
            RunError: it is damaged, or cannot be read.
        """
        log = cls()
        with suppress(FileNotFoundError):
            for event in read_events(RunLayout(folder).log):
                log.add(event)
        return log

    def add(self, event: Mapping[str, Any]) -> None:
        """Fold in the next event."""
        time, kind = _timestamp(event.get("time")) or self.last_time, event.get("kind")
        if self.last_time and kind != "session":
            self.session_seconds += max(0.0, time - self.last_time)
        self.last_time = time
        match kind:
            case "done":
                self._add_done(event, time)
            case "failed" | "died":
                self._add_failure(event, time)
            case "given_up":
                self._add_given_up(event, time)
            case "redo":
                self._add_redo(event.get("nodes"))
            case "memory_mode":
                self._add_memory_mode(event)
            case "repeated":
                if type(index := event.get("frame")) is int:
                    self.repeated_frames.add(index)
            case "warned":
                self.warnings.append(Note(time, _text(event.get("message"))))
            case "quarantined":
                text = f"{_text(event.get('worker'))} was set aside: {_text(event.get('error'))}"
                self.warnings.append(Note(time, text))
            case "part":
                self.parts.append(_text(event.get("path")))
            case "writing" | "unwritten":
                self.output_being_written = _text(event.get("output")) or None
            case _:
                self._add_session_event(kind, event, time)

    def _add_session_event(self, kind: object, event: Mapping[str, Any], time: float) -> None:
        match kind:
            case "session":
                self._earlier_seconds_per_frame = self.seconds_per_frame
                self._frame_times.clear()
                self.workers.clear()
                self.sessions += 1
                self._rendering_since = time
                self.stage = self.end_message = self.session_end = ""
            case "started":
                self.stage, self._rendering_since = "rendering", time
            case "stage":
                self.stage = _text(event.get("stage"))
            case "ended":
                self.session_end = "stopped" if event.get("how") == "stopped" else "failed"
                self.end_message = _text(event.get("message"))
            case "finished":
                self.session_end, self.stage = "finished", ""
                self.complete, self.output_being_written = True, None
                self.output_bytes = event.get("output_bytes")
                self.given_up.clear()

    @property
    def failed_frames(self) -> dict[int, str]:
        """Frames that were given up and have not been made since, ascending, and why."""
        frames = ((frame_of_node(node), error) for node, error in self.given_up.items())
        return dict(sorted((index, error) for index, error in frames if index is not None))

    @property
    def evaluations(self) -> int:
        """Evaluations of the loss that were spent, those for frames that were made again included."""
        return sum(frame.evaluations for frame in self.frames.values())

    @property
    def result_evaluations(self) -> int:
        """Evaluations of the loss that led to the present results, each node's last time."""
        return sum(self.done_nodes.values())

    @property
    def frames_per_second(self) -> float | None:
        """Pace of the last session, over its last frames; None before its first."""
        times = self._frame_times
        if not times:
            return None
        is_full = len(times) == _PACE_FRAMES  # then the first one only says when the others began
        seconds = times[-1] - (times[0] if is_full else self._rendering_since)
        return (len(times) - is_full) / seconds if seconds > 0 else None

    @property
    def seconds_per_frame(self) -> float | None:
        """Seconds from one frame to the next in the last session that finished at least two; None where none did."""
        times = self._frame_times
        if len(times) >= 2 and times[-1] > times[0]:
            return (times[-1] - times[0]) / (len(times) - 1)
        return self._earlier_seconds_per_frame

    def final_losses(self, terms: tuple[str, ...]) -> dict[int, dict[str, float]]:
        """The final values of some terms of the loss, for each frame that has been finished."""
        return {
            index: {name: frame.losses[name] for name in terms if name in frame.losses}
            for index, frame in self.frames.items()
            if frame.losses
        }

    @property
    def staleness(self) -> dict[int, float]:
        """The staleness of the frames of which it is known, by their index."""
        found = ((index, frame.staleness) for index, frame in sorted(self.frames.items()))
        return {index: value for index, value in found if value is not None}

    def was_writing(self, output: Path) -> bool:
        """True if the run was ended while it moved this output into its place, or before it had finished after that.

        Then the file at this path is the run's own, or one that it was allowed to replace.
        """
        return self.output_being_written == os.path.abspath(output)

    def _add_done(self, event: Mapping[str, Any], time: float) -> None:
        self._reopen()
        node, final = _text(event.get("node")), bool(event.get("final"))
        seconds, evaluations = max(0.0, finite(event.get("seconds")) or 0.0), _count(event.get("evaluations"))
        self.done_nodes[node] = evaluations
        self.node_seconds += seconds
        self.given_up.pop(node, None)
        if (memory_mode := event.get("memory_mode")) is not None:
            self.node_memory_modes[node] = memory_mode
        elif self.node_memory_modes:
            self.node_memory_modes.pop(node, None)
        if worker := self._worker(event, time):
            worker.nodes += 1
            worker.frames += final
            worker.seconds += seconds
        if (index := frame_of_node(node)) is None:
            return
        frame = self.frames.get(index) or self.frames.setdefault(index, FrameSummary())
        frame.seconds += seconds
        frame.evaluations += evaluations
        frame.staleness = finite(event.get("staleness")) or frame.staleness
        self._add_quality(event, index, time, final=final)
        if final:
            frame.losses = _losses(event.get("losses"))
            self.done_frames.add(index)
            self.latest_frames.append(index)
            self._frame_times.append(time)

    def _add_quality(self, event: Mapping[str, Any], index: int, time: float, *, final: bool) -> None:
        if problem := event.get("suspect"):
            self.suspects[index] = _text(problem)
        elif final:
            self.suspects.pop(index, None)
        if problem := event.get("repaired"):
            text = f"frame {index} looked wrong at first, and right when it was rendered again: {_text(problem)}"
            self.warnings.append(Note(time, text))

    def _add_failure(self, event: Mapping[str, Any], time: float) -> None:
        node = _text(event.get("node"))
        error = _text(event.get("error")) or ("its process ended" if event.get("kind") == "died" else "failed")
        self.failures.append(Note(time, error, node, _text(event.get("worker"))))
        if worker := self._worker(event, time):
            worker.failures += 1
        self.failed_attempts += frame_of_node(node) is not None

    def _add_given_up(self, event: Mapping[str, Any], time: float) -> None:
        self.complete = False
        node, error = _text(event.get("node")), _text(event.get("error")) or "given up"
        self.given_up[node] = error
        if not event.get("because"):  # else what it needed failed, which is noted already
            self.failures.append(Note(time, error, node, _text(event.get("worker"))))

    def _add_redo(self, nodes: object) -> None:
        self._reopen()
        for node in map(_text, nodes) if isinstance(nodes, list) else ():
            self.done_nodes.pop(node, None)
            self.node_memory_modes.pop(node, None)
            if (index := frame_of_node(node)) is not None:
                self.done_frames.discard(index)
                self.suspects.pop(index, None)

    def _add_memory_mode(self, event: Mapping[str, Any]) -> None:
        shot, memory_mode = event.get("shot"), event.get("memory_mode")
        if type(shot) is int and 0 <= shot < _MAX_SHOTS:
            modes = self.shot_memory_modes.setdefault(shot, [])
            if memory_mode not in modes:
                modes.append(memory_mode)

    def _reopen(self) -> None:
        self.complete = False
        if self.session_end == "finished":
            self.session_end = ""

    def _worker(self, event: Mapping[str, Any], time: float) -> WorkerSummary | None:
        name = _text(event.get("worker"))
        if not name or (name not in self.workers and len(self.workers) >= _MAX_WORKERS):
            return None
        worker = self.workers.setdefault(name, WorkerSummary())
        worker.last_seen = time
        return worker


def frame_of_node(name: str) -> int | None:
    """The frame of a state's name, such as 12 for `12.0`; None for a flow's."""
    head = name.partition(".")[0]
    return int(head) if head.isascii() and head.isdecimal() and len(head) < 10 else None


def finite(value: object) -> float | None:
    """A number that can be drawn, else None: JSON may have Infinity, and very large integers."""
    if type(value) is float or type(value) is int:
        return float(value) if abs(value) < 1e18 else None
    return None


def _timestamp(value: object) -> float | None:
    time = finite(value)
    return time if time is not None and 0 <= time < _MAX_TIME else None


def _count(value: object) -> int:
    return value if type(value) is int and value > 0 else 0


def _losses(values: object) -> dict[str, float]:
    losses: dict[str, float] = {}
    for name, value in islice(values.items(), _MAX_LOSSES) if isinstance(values, dict) else ():
        if (loss := finite(value)) is not None:
            losses[sys.intern(name)] = loss  # every line of a log brings copies of the few names
    return losses


def _text(value: object) -> str:
    return "" if value is None else str(value)[:_MAX_TEXT]
