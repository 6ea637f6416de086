"""Keeps what nodes give in a thread of its own, so that whoever hands out work need not wait for a disk."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vidnst.errors import OutputError
from vidnst.farm.plan import NodeId, StateId
from vidnst.runs.run_store import DoneRecord, RunStore

_MOST_BYTES = 256 << 20
_LEAST_BYTES = 4 << 20
"""That any result counts for: of small ones 64 may wait, and a kill loses no more."""
_THREADS = 3
"""That make files side by side: mostly they wait for the disk, and pictures are compressed without the GIL."""


class WriteBudget:
    """So many bytes that may wait to be written, whoever they belong to."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._taken = 0
        self._changed = threading.Condition()

    def take(self, count: int) -> None:
        """Wait until there is room for so many bytes, or all of it is free."""
        with self._changed:
            while self._taken and self._taken + count > self._most:
                self._changed.wait()
            self._taken += count

    def give(self, count: int) -> None:
        """Give back what was taken."""
        with self._changed:
            self._taken -= count
            self._changed.notify_all()


PROCESS_BUDGET = WriteBudget(_MOST_BYTES)
"""Of this process: clips of a batch have it together, since they share its memory."""


@dataclass(frozen=True, slots=True)
class NodeResult:
    """A finished node with what is to be kept of it."""

    done: DoneRecord
    state: NDArray[np.uint16] | None = None
    """`(H, W, 3)` uint16, where others read it."""
    picture: Callable[[Path], object] | None = None
    """Writes the finished frame to the path it is given; called in another thread."""
    size_bytes: int = 0
    """Of what is held in memory until then."""

    @property
    def counts(self) -> int:
        """Bytes of the room that it takes."""
        return max(_LEAST_BYTES, self.size_bytes)


_Task: TypeAlias = NodeResult | NodeId
"""A result to keep, or a node that nobody will read any more."""


class Writer:
    """Writes results into a run folder, in the order in which they come.

    What has come while it was busy is written together: all files, then all lines of the log at once, then states are
    deleted that nobody will read. So a node's line never comes before its files or before the lines of what it reads,
    and a state is deleted only when the lines of all that read it are there. A state that has found its last reader
    before its turn comes is not written at all: its node's line and those of its readers come together.

    Close it, or use it in a `with`: both wait for what is to be written.

    Args:
        store: an open run. Until this is closed, nobody else may write results there.
        room: for what waits; None takes this process's.
    """

    def __init__(self, store: RunStore, *, room: WriteBudget | None = None) -> None:
        self._store = store
        self._room = room or PROCESS_BUDGET
        self._changed = threading.Condition()
        self._queue: list[_Task] = []
        self._waiting: set[NodeId] = set()
        """Nodes that are not written, in work or in the queue."""
        self._busy = False
        self._closing = False
        self._error: BaseException | None = None
        self._threads = _begun(_THREADS)
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def keep(self, result: NodeResult) -> None:
        """Have a result written; waits while there is no room for it.

        Raises:
            DiskFullError, OutputError: what came before could not be written.
        """
        self._room.take(result.counts)
        try:
            with self._changed:
                self._check()
                self._queue.append(result)
                self._waiting.add(result.done.node.id)
                self._changed.notify_all()
        except BaseException:
            self._room.give(result.counts)
            raise

    def release(self, node: NodeId) -> None:
        """Have a node's state deleted, if it has one, when all that came before is written."""
        if isinstance(node, StateId):
            with self._changed:
                if self._error is None:
                    self._queue.append(node)
                    self._changed.notify_all()

    def lasts(self, node: NodeId, *, timeout_seconds: float = 0.0) -> bool:
        """Whether a node that was given to `keep` is written, its line included; waits so long for it.

        Raises:
            DiskFullError, OutputError: it could not be.
        """
        if node not in self._waiting:
            return True
        with self._changed:
            if timeout_seconds:
                self._changed.wait_for(lambda: self._error or node not in self._waiting, timeout_seconds)
            if node in self._waiting:
                self._check()
            return node not in self._waiting

    def flush(self) -> None:
        """Wait until all is written, and deleted.

        Raises:
            DiskFullError, OutputError: it could not be.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._error or not (self._queue or self._busy))
            self._check()

    def close(self) -> None:
        """Write what there is, and let the threads end. What goes wrong is no longer told: what it hits is not done."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        self._threads.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        tasks: list[_Task] = []
        try:
            while tasks := self._next():
                self._write(tasks)
                self._give_back(tasks)
        except BaseException as error:  # whatever it is, it belongs to whoever gave the work
            self._fail(error, tasks)

    def _next(self) -> list[_Task]:
        """All that has come; nothing in the end."""
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closing or self._queue)
            tasks, self._queue = self._queue, []
            self._busy = bool(tasks)
            return tasks

    def _fail(self, error: BaseException, tasks: Sequence[_Task]) -> None:
        with self._changed:
            self._error = error
            dropped, self._queue = self._queue, []
            self._changed.notify_all()
        self._give_back([*tasks, *dropped])

    def _give_back(self, tasks: Sequence[_Task]) -> None:
        self._room.give(sum(task.counts for task in tasks if isinstance(task, NodeResult)))

    def _write(self, tasks: Sequence[_Task]) -> None:
        """Together, or where that fails one by one, so that as much as possible is kept."""
        try:
            self._write_together(tasks)
        except OutputError:
            if len(tasks) == 1:
                raise
            for task in tasks:
                self._write_together([task])

    def _write_together(self, tasks: Sequence[_Task]) -> None:
        results = [task for task in tasks if isinstance(task, NodeResult)]
        gone = {task: place for place, task in enumerate(tasks) if not isinstance(task, NodeResult)}
        states, frames = {}, {}
        for place, task in enumerate(tasks):
            if not isinstance(task, NodeResult):
                continue
            node = task.done.node.id
            if gone.get(node, -1) < place:
                gone.pop(node, None)  # it was let go of before it was made again
                if isinstance(node, StateId) and task.state is not None:
                    states[node] = task.state
            if task.picture is not None:
                frames[node.frame] = task.picture
        self._store.write(states=states, frames=frames, threads=self._threads)
        if results:
            self._store.record_done(result.done for result in results)
        with self._changed:
            self._waiting.difference_update(result.done.node.id for result in results)
            self._changed.notify_all()
        self._store.release(gone)


def _begun(count: int) -> Executor:
    """So many threads, all of them begun: later, while something large is painted, there may be no memory for one."""
    threads = ThreadPoolExecutor(count, thread_name_prefix="write")
    meeting = threading.Barrier(count)
    try:
        wait([threads.submit(meeting.wait) for _ in range(count)])
    except RuntimeError:  # there is no room for one: the others must not wait for it, or this process never ends
        meeting.abort()
        threads.shutdown()
        raise
    return threads
