"""Writes results of nodes in a thread of its own, so that the scheduler need not wait for a disk.

Dependent nodes get a result at once; it is written behind. At most 256 MiB and 64 nodes wait, and are committed
together: files before log lines before deletions. A state whose last reader waits with it is never written. A node
counts as done when it lasts.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from vidnst.errors import LostValueError, OutputError
from vidnst.farm.deferred import Deferred
from vidnst.farm.plan import FlowId, NodeId
from vidnst.runs.done_record import DoneRecord
from vidnst.runs.run_store import RunStore
from vidnst.runs.stored_arrays import StoredArray

_MAX_WAITING_BYTES = 256 << 20
_MIN_RESULT_BYTES = 4 << 20
"""Every result counts for at least so much: then 64 small ones may wait, and a kill loses no more."""
_THREADS = 3
"""Threads that write files in parallel: mostly they wait for the disk, and PNG is compressed without the GIL."""


class WriteBudget:
    """Back-pressure: limits the bytes of all results that wait to be written."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._used = 0
        self._changed = threading.Condition()

    def acquire(self, count: int) -> None:
        """Wait until so many bytes fit, or nothing else waits."""
        with self._changed:
            while self._used and self._used + count > self._max_bytes:
                self._changed.wait()
            self._used += count

    def release(self, count: int) -> None:
        """Release bytes that have been written or dropped."""
        with self._changed:
            self._used -= count
            self._changed.notify_all()


PROCESS_BUDGET = WriteBudget(_MAX_WAITING_BYTES)
"""The budget of this process, which the clips of a batch share as they share its memory."""


@dataclass(frozen=True, slots=True)
class NodeResult:
    """A finished node, and what is kept of it."""

    done: DoneRecord
    state: StoredArray | Deferred | None = None
    """A frame's state, or a network, if other nodes read it."""
    write_frame: Callable[[Path], object] | None = None
    """Writes the finished frame to the path it is given; called in another thread."""
    size_bytes: int = 0
    """Memory that it takes until it is written."""

    @property
    def budget_bytes(self) -> int:
        """Bytes that it takes of the budget."""
        return max(_MIN_RESULT_BYTES, self.size_bytes)


_Task: TypeAlias = NodeResult | NodeId
"""A result to write, or a node whose state is to be deleted."""


class Writer:
    """Writes results into a run folder, in the order in which they are submitted.

    Everything that was submitted while it was busy is written together: first all files, then all lines of the log at
    once; then states that nobody will read any more are deleted. So the line of a node never precedes its files or the
    lines of the nodes that it reads, and a state is deleted only once the lines of all its readers are in the log. A
    state whose last reader is done before it was written is not written at all: its line and those of its readers are
    added together.

    Close it, or use it in a `with`; both wait until everything is written.

    Args:
        store: an open run. Until the writer is closed, nothing else may write results there.
        budget: the budget for waiting results; None is that of this process.
    """

    def __init__(self, store: RunStore, *, budget: WriteBudget | None = None) -> None:
        self._store = store
        self._budget = budget or PROCESS_BUDGET
        self._changed = threading.Condition()
        self._queue: list[_Task] = []
        self._waiting: set[NodeId] = set()
        """Nodes that are not written yet: those in the queue, and those being written."""
        self._busy = False
        self._closing = False
        self._error: BaseException | None = None
        self._threads = _start_threads(_THREADS)
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def keep(self, result: NodeResult) -> None:
        """Submit a result; waits while the budget is exhausted.

        Raises:
            DiskFullError, OutputError: an earlier result could not be written.
        """
        self._budget.acquire(result.budget_bytes)
        try:
            with self._changed:
                self._check()
                self._queue.append(result)
                self._waiting.add(result.done.node.id)
                self._changed.notify_all()
        except BaseException:
            self._budget.release(result.budget_bytes)
            raise

    def release(self, node: NodeId) -> None:
        """Delete the state of a node, if it has one, after everything that was submitted before is written."""
        if not isinstance(node, FlowId):
            with self._changed:
                if self._error is None:
                    self._queue.append(node)
                    self._changed.notify_all()

    def lasts(self, node: NodeId, *, timeout_seconds: float = 0.0) -> bool:
        """True if a submitted node is written, including its line of the log.

        Args:
            timeout_seconds: how long to wait until it is.

        Raises:
            DiskFullError, OutputError: it could not be written.
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
        """Wait until everything is written, and deleted.

        Raises:
            DiskFullError, OutputError: something could not be written.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._error or not (self._queue or self._busy))
            self._check()

    def close(self) -> None:
        """Write what was submitted, and end the threads. Errors are dropped: the nodes that they hit are not done."""
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
        except BaseException as error:  # raised again by the next call of any method
            self._fail(error, tasks)

    def _next(self) -> list[_Task]:
        """Wait for tasks, and return all; an empty list once the writer is closed."""
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
        self._budget.release(sum(task.budget_bytes for task in tasks if isinstance(task, NodeResult)))

    def _write(self, tasks: Sequence[_Task]) -> None:
        """Write tasks together, or one by one if that fails, so that as many as possible are kept."""
        try:
            self._write_together(tasks)
        except (OutputError, LostValueError):
            if len(tasks) == 1:
                raise
            for task in tasks:
                self._write_together([task])

    def _write_together(self, tasks: Sequence[_Task]) -> None:
        results = [task for task in tasks if isinstance(task, NodeResult)]
        released = {task: position for position, task in enumerate(tasks) if not isinstance(task, NodeResult)}
        states, frames = {}, {}
        for position, task in enumerate(tasks):
            if not isinstance(task, NodeResult):
                continue
            node = task.done.node.id
            if released.get(node, -1) < position:
                released.pop(node, None)  # it was released before it was made again
                if not isinstance(node, FlowId) and task.state is not None:
                    states[node] = task.state
            if task.write_frame is not None:
                frames[node.frame] = task.write_frame
        self._store.write(states=states, frames=frames, threads=self._threads)
        if results:
            self._store.record_done(result.done for result in results)
        with self._changed:
            self._waiting.difference_update(result.done.node.id for result in results)
            self._changed.notify_all()
        self._store.release(released)


def _start_threads(count: int) -> Executor:
    """An executor whose threads have all started: later, during a large render, memory may not suffice for one."""
    threads = ThreadPoolExecutor(count, thread_name_prefix="write")
    all_started = threading.Barrier(count)
    try:
        wait([threads.submit(all_started.wait) for _ in range(count)])
    except RuntimeError:  # no memory for one: the others must not wait for it, or this process never ends
        all_started.abort()
        threads.shutdown()
        raise
    return threads
