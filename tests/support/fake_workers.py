"""Hosts, workers and pools for tests of the farm: nodes have digests as results, so that a wrong input shows, and calls
are recorded."""

import hashlib
import heapq
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vidnst.config import ScheduleConfig
from vidnst.errors import BadFrameError, NumericalError, ScarceMemoryError, WeightsError
from vidnst.farm.interfaces import NodeEvent
from vidnst.farm.jobs import DeviceLostError, Outcome, WorkerDiedError
from vidnst.farm.plan import Lane, Node, NodeId
from vidnst.farm.schedules import by_shot
from vidnst.frames import Shot


def expected_value(node: Node, inputs: Mapping[NodeId, str]) -> str:
    """Return a digest of a node and of all that it reads, so that a wrong or stale input shows in the end."""
    text = f"{node.id}|" + ",".join(f"{need}={inputs[need]}" for need in node.needs)
    return hashlib.sha256(text.encode()).hexdigest()


def values_of(nodes: Iterable[Node]) -> dict[NodeId, str]:
    """Compute the value of every node in plan order, without a scheduler."""
    values: dict[NodeId, str] = {}
    for node in nodes:
        values[node.id] = expected_value(node, values)
    return values


def with_uses(nodes: Sequence[Node]) -> list[Node]:
    """Return the nodes with their `uses` counted."""
    uses: dict[NodeId, int] = {}
    for node in nodes:
        for need in node.needs:
            uses[need] = uses.get(need, 0) + 1
    return [replace(node, uses=uses.get(node.id, 0)) for node in nodes]


@dataclass
class Task:
    """A job: the node to compute, the values that it reads, and the number of the attempt."""

    node: Node
    inputs: dict[NodeId, str]
    attempt: int


class DigestHost:
    """A host that keeps digests in memory and checks every call it gets.

    Args:
        nodes: the plan that the scheduler will run.
        done: nodes that an earlier session finished.
        recallable: those of them whose value can be recalled; none for all.
    """

    def __init__(
        self, nodes: Iterable[Node], done: Iterable[NodeId] = (), recallable: Iterable[NodeId] | None = None
    ) -> None:
        self.truth = values_of(nodes)
        self.done = set(done)
        self.recallable = self.done if recallable is None else set(recallable)
        self.kept: dict[NodeId, str] = {}
        self.given_up: dict[NodeId, tuple[str, NodeId | None]] = {}
        self.released: list[NodeId] = []
        self.held = 0
        self.most_held = 0
        self.jobs: list[tuple[NodeId, int, BaseException | None]] = []

    def is_done(self, node: Node) -> bool:
        return node.id in self.done

    def load(self, node: NodeId) -> str:
        assert node in self.recallable, f"{node} cannot be recalled"
        return self.truth[node]

    def job(self, node: Node, inputs: Mapping[NodeId, Any], *, attempt: int, last_error: BaseException | None) -> Task:
        assert set(inputs) == set(node.needs)
        assert not set(node.needs) & set(self.released), "a value was released before its last reader was done"
        self.jobs.append((node.id, attempt, last_error))
        return Task(node, dict(inputs), attempt)

    def store(self, node: Node, result: str, *, worker: str, attempt: int) -> str:
        assert node.id not in self.kept, f"{node.id} was done twice"
        assert node.id not in self.done, f"{node.id} was done in an earlier session"
        assert result == self.truth[node.id], f"{node.id} read a wrong value"
        self.kept[node.id] = result
        self.held += 1
        self.most_held = max(self.most_held, self.held)
        return result

    def is_durable(self, node: Node, *, timeout_seconds: float = 0.0) -> bool:
        return True

    def give_up(self, node: Node, error: str, because: NodeId | None) -> None:
        assert node.id not in {*self.kept, *self.done, *self.given_up}
        self.given_up[node.id] = (error, because)

    def release(self, node: NodeId) -> None:
        assert node not in self.released, f"{node} was released twice"
        self.released.append(node)
        self.held -= node in self.kept


class DigestWorker:
    """A worker that computes `expected_value`, unless `moods` has a fault for node and attempt: see `misbehave`."""

    def __init__(self, moods: Mapping[tuple[NodeId, int], str] | None = None, seconds: float = 0.0) -> None:
        self.moods = moods or {}
        self.seconds = seconds

    def run(self, task: Task) -> str:
        if self.seconds:
            time.sleep(self.seconds)
        misbehave(self.moods.get((task.node.id, task.attempt), ""), task)
        return expected_value(task.node, task.inputs)


def misbehave(mood: str, task: Task) -> None:
    """Raise the error of a mood: `die`, `fail`, `nan`, `refuse`, `undecodable`, `large` or `lost`; none for `""`."""
    if mood == "die":
        raise WorkerDiedError("gone")
    if mood == "lost":
        raise DeviceLostError("the GPU failed: CUDA error: unspecified launch failure")
    if mood == "fail":
        raise ValueError(f"node {task.node.id} would not")
    if mood == "nan":
        raise NumericalError(f"the loss of {task.node.id} is NaN")
    if mood == "refuse":
        raise WeightsError("the weights are of another network", "take others")
    if mood == "large":
        raise ScarceMemoryError("a frame of 9x9 does not fit into memory")
    if mood == "undecodable":
        raise BadFrameError("frame 3 does not decode")


@dataclass
class VirtualPool:
    """A pool in virtual time, which passes only by the `cost` of jobs."""

    styles: int
    flows: int
    cost: Callable[[Node], float] = lambda node: 1.0
    moods: Mapping[tuple[NodeId, int], str] = field(default_factory=dict)
    now: float = 0.0
    lost: frozenset[str] = frozenset()
    """Workers that are not replaced when they die."""
    broken: frozenset[str] = frozenset()
    """Workers at which every job fails."""
    transit: float = 0.0
    """Seconds from handing a job over to its start; several jobs may be under way at once."""
    concurrency: int = 1
    """Jobs that a stylizing worker has in work at once, though it computes one after the other."""
    prefetch: int = 1
    """Jobs that a stylizing worker may be given ahead of the first."""
    prepare: Callable[[Node], float] = lambda node: 0.0
    """Seconds of a stylizing job before it needs the device, which may pass while other jobs have it."""
    absence: float | None = None
    """Seconds from the death of a worker until it is back or, if it is in `lost`, reported as lost; None: at once."""

    def __post_init__(self) -> None:
        self._queue: list[tuple[float, int, str, Task]] = []
        self._names = {
            Lane.STYLE: [f"style-{number}" for number in range(self.styles)],
            Lane.FLOW: [f"flow-{number}" for number in range(self.flows)],
        }
        self._given = 0
        self._hands: dict[str, list[float]] = {}
        """When each job that a worker may have in work ends, or has ended."""
        self.device_seconds: dict[str, float] = {}
        """Seconds for which each worker has computed, or will by the end of what it was given."""
        self._away: list[tuple[float, str]] = []

    def workers(self, lane: Lane) -> Sequence[str]:
        return tuple(self._names[lane])

    def submit(self, worker: str, job: Task) -> None:
        assert worker in self._names[job.node.lane], f"{job.node.id} came to {worker}"
        has = sum(name == worker for _, _, name, _ in self._queue)
        most = 1 + self.prefetch if job.node.lane is Lane.STYLE else 1
        assert has < most, f"{worker} got job number {has + 1}"
        assert all(name != worker for _, name in self._away), f"{worker} got a job while it was away"
        self._given += 1
        is_style, cost = job.node.lane is Lane.STYLE, self.cost(job.node)
        hands = self._hands.setdefault(worker, [0.0] * (self.concurrency if is_style else 1))
        begins = max(self.now + self.transit, heapq.heappop(hands))
        ready = begins + (self.prepare(job.node) if is_style else 0.0)
        due = max([ready, *(due for due, _, name, _ in self._queue if name == worker)]) + cost
        heapq.heappush(hands, due)
        self.device_seconds[worker] = self.device_seconds.get(worker, 0.0) + cost
        heapq.heappush(self._queue, (due, self._given, worker, job))

    def wait(self, timeout_seconds: float) -> list[Outcome]:
        if self._away and self._away[0][0] <= (self._queue[0][0] if self._queue else self.now + timeout_seconds):
            self.now, worker = heapq.heappop(self._away)
            if worker in self.lost:
                return [Outcome(worker, error=WorkerDiedError("gone for good"), died=True, lost=True)]
            return [Outcome(worker, back=True)]
        if not self._queue:
            self.now += timeout_seconds
            return []
        self.now, _, worker, job = heapq.heappop(self._queue)
        try:
            misbehave("fail" if worker in self.broken else self.moods.get((job.node.id, job.attempt), ""), job)
        except WorkerDiedError as error:
            if self.absence is not None or worker in self.lost:
                self._queue = [item for item in self._queue if item[2] != worker]
                self._hands.pop(worker, None)
                heapq.heapify(self._queue)
            if self.absence is not None:
                heapq.heappush(self._away, (self.now + self.absence, worker))
                return [Outcome(worker, error=error, died=True, away=True)]
            return [Outcome(worker, error=error, died=True, lost=worker in self.lost)]
        except Exception as error:
            return [Outcome(worker, error=error)]
        held = self.cost(job.node) if self.concurrency > 1 else None
        return [Outcome(worker, value=expected_value(job.node, job.inputs), device_seconds=held)]

    def close(self) -> None:
        self._queue.clear()

    def clock(self) -> float:
        return self.now


class Recorder:
    """A listener that keeps the events it hears."""

    def __init__(self) -> None:
        self.events: list[NodeEvent] = []

    def __call__(self, event: NodeEvent) -> None:
        self.events.append(event)

    def of(self, kind: str) -> list[NodeEvent]:
        return [event for event in self.events if event.kind == kind]


CHAIN = ScheduleConfig(kind="chain")


def plan_of_shots(schedule: ScheduleConfig, shots: Sequence[Shot]) -> list[Node]:
    """Return the plans of all shots in one list."""
    return [node for nodes in by_shot(schedule, shots) for node in nodes]


# What follows runs in actors, which are other processes.


@dataclass(frozen=True)
class Echo:
    """A job for `EchoWorker`."""

    mood: str
    values: Any = None


class EchoWorker:
    """A worker that returns what it gets, or does what the job's mood says."""

    def __init__(self, table: Any = None) -> None:
        self.table = table
        self.meeting = threading.Barrier(2, timeout=30)

    def run(self, job: Echo) -> Any:
        if job.mood == "pid":
            return os.getpid()
        if job.mood == "meet":
            self.meeting.wait()
        if job.mood == "sleep":
            time.sleep(float(job.values))
        if job.mood == "nan":
            raise NumericalError("the loss is NaN", "lower the step")
        if job.mood == "error":
            raise ValueError("no such thing")
        if job.mood == "exit":
            os._exit(7)
        if job.mood == "lost":
            raise DeviceLostError("the GPU failed: CUDA error: unspecified launch failure")
        if job.mood == "table":
            return int(np.sum(self.table))
        return job.values


@dataclass(frozen=True)
class EchoFactory:
    """Makes an `EchoWorker`, or fails as `mood` says."""

    table: Any = None
    mood: str = ""

    def __call__(self) -> EchoWorker:
        if self.mood == "refuse":
            raise WeightsError("the weights are of another network", "take others")
        if self.mood == "exit":
            os._exit(3)
        return EchoWorker(self.table)


class SlowDigests:
    """Makes a `DigestWorker` that takes 50 ms for a job."""

    def __call__(self) -> DigestWorker:
        return DigestWorker(seconds=0.05)
