"""A run folder, open for work.

    run.json       what the run is of; written first, so a folder without it is no run
    plan.json      what was planned: range, size, shots, times
    events.jsonl   what happened, one JSON object per line
    measure.json   how steady the result is; written at the end
    report.html    all that is told about the run, to look at; written at the end
    state/         <frame>.<pass>.npy, uint16: what warm starts read; deleted when nobody will read it
    frames/        <frame, 8 digits>.png: what was rendered, and what the viewer will see where nothing follows
    before/        <frame, 8 digits>.png: source frames after the filters that come first, where there are any
    finished/      <frame, 8 digits>.png: what the viewer will see, where rendered frames are worked on further
    masks/         <region>/<frame, 8 digits>.png: masks that follow what moves, found before anything is rendered
    lock           held by the process that works here

A node is finished when the log says so. Its frame, and its state if anything that is not finished reads it, are on the
disk under their final names before that line is written, so a kill at any moment loses at most the nodes in flight, and
those that wait to be written: see `writer`.
"""

import json
import os
import shutil
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vidnst.errors import OutputError, RunError
from vidnst.farm.plan import Node, NodeId, StateId, finished_states
from vidnst.runs.atomic_files import FolderLock, remove_parts, write_bytes_whole, writing
from vidnst.runs.event_log import EventLog, read_events
from vidnst.runs.layout import FOLDERS, clear, is_ours, refuse_link
from vidnst.runs.manifest import Manifest
from vidnst.runs.node_files import DoneRecord, NodeFiles
from vidnst.runs.read_only import holds_run, mask_path, read_plan

_PACE_FRAMES = 200
_FORGOTTEN_AT_ONCE = 10_000
_LATEST = 1e12
"""Seconds; a later time is none."""


class RunStore:
    """A run folder that this process has locked. Made by `create` or `open`; close it, or use it in a `with`."""

    def __init__(self, folder: Path, manifest: Manifest, lock: FolderLock) -> None:
        self.folder = folder
        self.manifest = manifest
        self.complete = False
        """Whether nothing is left to do: the output is in its place, and measured where it was to be."""
        self.seconds_per_frame: float | None = None
        """Pace of the last session that finished at least two frames: seconds between one and the next."""
        self._lock = lock
        self._done: set[str] = set()
        with writing(folder):
            for name in FOLDERS:
                refuse_link(folder / name)
            remove_parts(folder)
        self._results = NodeFiles(folder)
        self._log = EventLog(folder / "events.jsonl")
        self._read_log()
        self.record("session", process=os.getpid(), host=socket.gethostname())

    @classmethod
    def create(cls, folder: Path, manifest: Manifest, *, restart: bool = False) -> Self:
        """Begin a run.

        Args:
            folder: made if it is not there; what an unfinished `create` left there is removed.
            manifest: what the run is of.
            restart: whether to remove a run that is there.

        Raises:
            RunError: the folder holds a run (and `restart` is not given) or other people's files, or is in use.
            OutputError: it cannot be written; DiskFullError where there is no space.
        """
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            strange = sorted(entry.name for entry in os.scandir(folder) if not is_ours(entry.name))
        if strange:
            raise RunError(
                f"the folder {folder} has files that are no run's ({strange[0]})",
                "choose an empty or new folder with --work-dir",
            )
        lock = FolderLock(folder / "lock")
        try:
            if holds_run(folder) and not restart:
                raise RunError(f"the folder {folder} holds a run already", "resume it, or give --restart")
            clear(folder)
            write_bytes_whole(folder / "run.json", manifest.model_dump_json(indent=2).encode())
            return cls(folder, manifest, lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Go on with a run.

        Raises:
            RunError: there is no run, it is damaged, or it is in use.
        """
        if not holds_run(folder):
            raise RunError(f"{folder} is no run folder: it has no run.json", "give the folder that ends in .vidnst")
        lock = FolderLock(folder / "lock")
        try:
            return cls(folder, Manifest.read(folder / "run.json"), lock)
        except BaseException:
            lock.release()
            raise

    def check_same(self, manifest: Manifest) -> None:
        """Make sure that going on as `manifest` says gives the frames that the run began.

        Raises:
            RunError: it would not; names everything that is different.
        """
        if changes := self.manifest.changes(manifest):
            raise RunError(
                f"the run in {self.folder} is of another render: {'; '.join(changes)}",
                "start afresh with --restart, keep both with another --work-dir, or undo the change",
            )

    def write_plan(self, plan: Mapping[str, Any]) -> None:
        """Keep what was planned, JSON values only."""
        write_bytes_whole(self.folder / "plan.json", json.dumps(plan).encode())

    def read_plan(self) -> dict[str, Any] | None:
        """What `write_plan` kept; None where nothing was.

        Raises:
            RunError: the file is damaged.
        """
        return read_plan(self.folder)

    def write_measure(self, numbers: Mapping[str, Any]) -> Path:
        """Keep how steady the result is, JSON values only; where they are kept."""
        path = self.folder / "measure.json"
        write_bytes_whole(path, json.dumps(numbers, indent=1, allow_nan=False).encode())
        return path

    def frame_path(self, index: int) -> Path:
        """Where frame `index` of the source is, or will be, as a PNG."""
        return self._results.frame_path(index)

    def state_path(self, state: StateId) -> Path:
        """Where a state is, or will be."""
        return self._results.state_path(state)

    def write(
        self,
        *,
        states: Mapping[StateId, NDArray[np.uint16]] | None = None,
        frames: Mapping[int, Callable[[Path], object]] | None = None,
        threads: Executor | None = None,
    ) -> None:
        """Keep what nodes have given; none of it has its name before all is on the disk.

        Args:
            states: `(H, W, 3)` uint16 each.
            frames: for each place in the source what writes the finished picture to the path it is given (a temporary
                name that ends in `.png`).
            threads: where the files are made side by side; None makes one after the other, here.

        Raises:
            DiskFullError: no space left. OutputError: anything else that hinders writing.
        """
        self._results.write(states or {}, frames or {}, threads)

    def write_mask(self, region: str, index: int, data: bytes) -> None:
        """Keep a region's mask of a frame, a whole PNG file. Errors as in `write`."""
        path = mask_path(self.folder, region, index)
        refuse_link(path.parent)
        with writing(self.folder):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_whole(path, data)

    def has_state(self, state: NodeId) -> bool:
        """Whether the state can be read back; never for a flow."""
        return self._results.has_state(state)

    def read_state(self, state: StateId, *, width: int, height: int) -> NDArray[np.uint16]:
        """A state as it was written: `(height, width, 3)` uint16.

        Raises:
            RunError: it is not there, cut off, or of another size or type.
        """
        return self._results.read_state(state, width=width, height=height)

    def release(self, nodes: Iterable[NodeId]) -> None:
        """Delete states that nobody will read any more; a flow has nothing on the disk."""
        self._results.release(nodes)

    def record(self, kind: str, *, durable: bool = False, **facts: Any) -> None:
        """Add an event to the log, from any thread: JSON values, node ids and the like as text."""
        self._log.append(kind, facts, durable=durable)

    def record_done(self, nodes: Iterable[DoneRecord]) -> None:
        """Declare nodes finished, all at once. Their states and frames must have been written before."""
        nodes = list(nodes)
        self._log.extend([("done", done.to_dict()) for done in nodes])
        self._done.update(str(done.node.id) for done in nodes)

    def forget(self, nodes: Iterable[StateId], *, frames: Iterable[int]) -> None:
        """Declare nodes unfinished, so that they are made again; a state that is replaced may lie there until then.

        Args:
            nodes: of one component.
            frames: for whose sake; those of the nodes are made anew in any case.
        """
        names = sorted(map(str, nodes))
        for first in range(0, len(names), _FORGOTTEN_AT_ONCE):  # a line of the log has its limits
            self.record("redo", durable=True, nodes=names[first : first + _FORGOTTEN_AT_ONCE], frames=len(set(frames)))
        self._done.difference_update(names)
        self.complete = False

    def forget_finished(self, frames: Iterable[int]) -> None:
        """Remove what was made of rendered frames, all of it since frames depend on each other, and filtered sources.

        Args:
            frames: of the source, whose filtered pictures are removed.
        """
        with writing(self.folder):
            shutil.rmtree(self.folder / "finished", ignore_errors=True)
            for index in frames:
                (self.folder / "before" / f"{index:08d}.png").unlink(missing_ok=True)

    @property
    def begun(self) -> bool:
        """Whether there is any result that would be lost."""
        return bool(self._done or self._results)

    def finished(self, node: Node) -> bool:
        """Whether the log says that the node is done, and its frame, where it has one, is there."""
        if str(node.id) not in self._done:
            return False
        return not node.final or self._results.has_frame(node.id.frame)

    def finished_states(self, nodes: Iterable[Node]) -> set[StateId]:
        """States of one component (a shot's plan, in its order) that need no more work: see `plan.finished_states`."""
        return finished_states(nodes, finished=self.finished, stored=self.has_state) if self._done else set()

    @contextmanager
    def writing_output(self, output: Path) -> Iterator[None]:
        """Note that an output is being made, so that after a kill it is known again as the run's own: `was_writing`."""
        self.record("writing", durable=True, output=os.path.abspath(output))
        try:
            yield
        except Exception:
            with suppress(OutputError):  # a full disk has no room for the note either
                self.record("unwritten")
            raise

    def finish(self, *, keep: bool) -> None:
        """Note that there is nothing left to do; remove states and pictures unless they are to be kept."""
        self.record("finished", durable=True)
        self.complete = True
        if keep:
            return
        for name in FOLDERS:
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self._results.clear()

    def close(self) -> None:
        """Close the log and let others have the folder."""
        self._log.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_log(self) -> None:
        times: deque[float] = deque(maxlen=_PACE_FRAMES)
        for event in read_events(self.folder / "events.jsonl"):
            kind = event.get("kind")
            if kind == "done":
                self.complete = False
                self._done.add(str(event.get("node")))
                moment = event.get("time")
                if event.get("final") and isinstance(moment, int | float) and abs(moment) < _LATEST:
                    times.append(moment)
            elif kind == "redo" and isinstance(event.get("nodes"), list):
                self.complete = False
                self._done.difference_update(map(str, event["nodes"]))
            elif kind == "session":
                self._note_pace(times)
                times.clear()
            elif kind == "finished":
                self.complete = True
        self._note_pace(times)

    def _note_pace(self, times: "deque[float]") -> None:
        if len(times) >= 2 and times[-1] > times[0]:
            self.seconds_per_frame = (times[-1] - times[0]) / (len(times) - 1)
