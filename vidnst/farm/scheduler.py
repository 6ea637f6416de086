"""Runs plans on pools: gives each idle worker the ready node that comes first, and tries again what failed."""

import heapq
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from vidnst.errors import CancelledError, FarmError, NodeFailedError, NumericalError, VidnstError
from vidnst.farm.front import Front
from vidnst.farm.host import Component, Event, EventKind, Listener
from vidnst.farm.jobs import Outcome, Pool
from vidnst.farm.queues import Entry, Queues
from vidnst.plan import Lane, Node, StateId

_POLL_SECONDS = 0.2
"""How long a cancellation may go unseen."""

_NUMERICAL_ATTEMPTS = 2
"""NaN comes back on every worker; the second attempt takes a smaller step, a third has nothing new to offer."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What a run did, counted in nodes."""

    done: int = 0
    """Finished in this session, flows included."""
    skipped: int = 0
    """Finished in an earlier session."""
    failed: int = 0
    """Attempts that ended with an error."""
    died: int = 0
    """Attempts that ended with their worker's process."""


def default_window(workers: int, *, groups: int = 1) -> int:
    """Frames that may be in flight in one component: enough for each worker to find work in any schedule.

    Args:
        workers: how many stylize.
        groups: frames that the plan handles together; a few groups must fit.
    """
    return max(32, 4 * workers, 4 * groups)


def run_plan(
    components: Iterable[Component],
    pool: Pool,
    *,
    window: int | None = None,
    attempts: int = 3,
    listener: Listener | None = None,
    cancelled: Callable[[], bool] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Totals:
    """Run all nodes of all components on the workers of `pool`; the caller closes it.

    A component is opened when stylizing workers would otherwise find nothing to do, so chains run side by side, and no
    more components are open than there are such workers.

    Args:
        components: the work, opened in this order. An iterator that has nothing now may have more when it is asked
            again, which it is several times a second until all that is open is done.
        pool: the workers, all of them idle.
        window: how many frames after the oldest unfinished one of its component a node may be admitted.
        attempts: failures of one node that fail the run.
        listener: hears of everything that happens, in the caller's thread.
        cancelled: asked several times a second whether to stop; a `threading.Event.is_set` will do.
        clock: seconds, for the durations in events.

    Raises:
        NodeFailedError: a node failed `attempts` times, or twice with NaN; says which and why. The cause is attached.
        CancelledError: `cancelled` said so, or KeyboardInterrupt came.
        FarmError: a lane that the plan needs has no workers, or has lost them all.
        VidnstError: an error that another attempt cannot mend (source, style, weights, configuration, disk) passes
            through as it is.
    """
    workers = len(pool.workers(Lane.STYLE))
    run = _Run(components, pool, window or default_window(workers), attempts, listener, clock)
    try:
        while run.step():
            if cancelled is not None and cancelled():
                raise _stopped(run.totals)
            run.collect()
    except KeyboardInterrupt:
        raise _stopped(run.totals) from None
    return run.totals


class _Run:
    """The state of one call of `run_plan`."""

    def __init__(
        self,
        components: Iterable[Component],
        pool: Pool,
        window: int,
        attempts: int,
        listener: Listener | None,
        clock: Callable[[], float],
    ) -> None:
        self.totals = Totals()
        self._components = iter(components)
        self._pool = pool
        self._window = window
        self._attempts = attempts
        self._listener = listener
        self._clock = clock
        self._crew = {lane: list(pool.workers(lane)) for lane in Lane}
        self._lane = {name: lane for lane, names in self._crew.items() for name in names}
        self._place = {name: place for place, name in enumerate(self._lane)}
        self._idle = {lane: _Idle(self._place, names) for lane, names in self._crew.items()}
        self._running: dict[str, tuple[Entry, float]] = {}
        self._styling = 0
        self._open = 0
        self._watched: list[Front] = []
        """Open components that may be held."""
        style, flow = len(self._crew[Lane.STYLE]), len(self._crew[Lane.FLOW])
        self._queues = Queues(flows_ahead=4 * style + 2 * flow)

    def step(self) -> bool:
        """Open components and hand out nodes; False when all is done."""
        self._hold_back()
        self._open_components()
        self._hand_out(Lane.STYLE)
        self._hand_out(Lane.FLOW)
        if not self._running and self._open and not self._queues.held:
            raise RuntimeError("the plan cannot go on: no node is ready, none is running, and some are unfinished")
        return bool(self._running or self._queues.held)

    def collect(self) -> None:
        """Wait for outcomes and take them in, one by one, so that a freed worker has work at once."""
        for outcome in self._pool.wait(_POLL_SECONDS):
            if outcome.worker in self._running:
                self._settle(outcome)
                self.step()

    def _hold_back(self) -> None:
        """See which components are held now; one that is done needs no watching."""
        for front in [front for front in self._watched if front.exhausted]:
            self._queues.hold(front, False)
            self._watched.remove(front)
        for front in self._watched:
            self._queues.hold(front, front.held is not None and front.held())

    def _open_components(self) -> None:
        while self._styling + self._queues.soon < max(1, len(self._crew[Lane.STYLE])):
            component = next(self._components, None)
            if component is None:
                return
            front = Front(component, self._queues, window=self._window, skipped=self._skip)
            front.fill()
            self._open += not front.exhausted
            if front.held is not None:
                self._watched.append(front)

    def _hand_out(self, lane: Lane) -> None:
        waiting: list[Entry] = []
        idle = self._idle[lane]
        while (idle or not self._crew[lane]) and (entry := self._pop(lane)) is not None:
            if not self._crew[lane]:
                raise FarmError(f"{_name(entry.node)} needs a {lane} worker and there is none", "start at least one")
            worker = self._choose(entry, lane)
            if worker is None:
                waiting.append(entry)
            else:
                self._start(entry, worker)
        for entry in waiting:
            self._queues.push(entry)

    def _pop(self, lane: Lane) -> Entry | None:
        if lane is Lane.STYLE:
            return self._queues.pop_style()
        return self._queues.pop_flow(hungry=len(self._queues) < len(self._idle[Lane.STYLE]))

    def _choose(self, entry: Entry, lane: Lane) -> str | None:
        """An idle worker on which the node has not failed; None to wait for a busy one; any where it failed on all."""
        idle = self._idle[lane]
        if not entry.tried or entry.tried.issuperset(self._crew[lane]):
            return idle.take()
        for name in sorted(idle, key=self._place.__getitem__):
            if name not in entry.tried:
                return idle.take(name)
        return None

    def _start(self, entry: Entry, worker: str) -> None:
        inputs = entry.front.start(entry)
        attempt = entry.failures + 1
        job = entry.front.host.job(entry.node, inputs, attempt=attempt, last_error=entry.last_error)
        self._tell(EventKind.STARTED, entry, worker=worker, attempt=attempt)
        self._pool.submit(worker, job)
        self._running[worker] = (entry, self._clock())
        self._styling += not entry.on_demand

    def _settle(self, outcome: Outcome) -> None:
        entry, began = self._running.pop(outcome.worker)
        self._styling -= not entry.on_demand
        lane = self._lane[outcome.worker]
        if outcome.lost:
            self._crew[lane].remove(outcome.worker)
        else:
            self._idle[lane].add(outcome.worker)
        seconds = self._clock() - began
        if outcome.error is not None or outcome.died:
            self._fail(entry, outcome, seconds)
            return
        front, attempt = entry.front, entry.failures + 1
        value = front.host.keep(entry.node, outcome.value, worker=outcome.worker, attempt=attempt)
        front.finish(entry, value)
        self.totals = replace(self.totals, done=self.totals.done + 1)
        self._tell(
            EventKind.DONE,
            entry,
            worker=outcome.worker,
            attempt=attempt,
            seconds=seconds,
            result=outcome.value,
        )
        front.fill()
        self._open -= front.exhausted  # by its last state; a flow always comes before one that reads it

    def _fail(self, entry: Entry, outcome: Outcome, seconds: float) -> None:
        error = outcome.error or FarmError(f"worker {outcome.worker} died")
        entry.failures += 1
        entry.tried.add(outcome.worker)
        entry.last_error = error
        if outcome.died:
            kind, self.totals = EventKind.DIED, replace(self.totals, died=self.totals.died + 1)
        else:
            kind, self.totals = EventKind.FAILED, replace(self.totals, failed=self.totals.failed + 1)
        self._tell(kind, entry, worker=outcome.worker, attempt=entry.failures, seconds=seconds, error=_line(error))
        self._give_up(entry, outcome, error)
        entry.front.retry(entry)

    def _give_up(self, entry: Entry, outcome: Outcome, error: BaseException) -> None:
        """Raise where another attempt is not allowed or has no prospect."""
        numerical = isinstance(error, NumericalError)
        if not outcome.died:
            if isinstance(error, VidnstError) and not numerical:
                raise error
            if isinstance(error, KeyboardInterrupt):
                raise error
        limit = min(self._attempts, _NUMERICAL_ATTEMPTS) if numerical else self._attempts
        if entry.failures >= limit:
            times = "once" if entry.failures == 1 else f"{entry.failures} times"
            raise NodeFailedError(
                f"{_name(entry.node)} failed {times}, at last on worker {outcome.worker}: {_line(error)}",
                "mend the cause and give the same command again; all that is finished is kept",
            ) from error
        lane = self._lane[outcome.worker]
        if not self._crew[lane]:
            raise FarmError(
                f"all {lane} workers are lost; the last one, {outcome.worker}, ended with: {_line(error)}",
                "look after the machine or the cluster and give the same command again; all that is finished is kept",
            ) from error

    def _skip(self, entry: Entry) -> None:
        self.totals = replace(self.totals, skipped=self.totals.skipped + 1)
        self._tell(EventKind.SKIPPED, entry)

    def _tell(self, kind: EventKind, entry: Entry, **facts: Any) -> None:
        if self._listener is not None:
            self._listener(Event(kind, entry.node, entry.front.host, **facts))


class _Idle:
    """Names of idle workers; the first in the pool's order is taken first, so that few workers stay warm."""

    def __init__(self, place: dict[str, int], names: Iterable[str]) -> None:
        self._place = place
        self._heap = [(place[name], name) for name in names]
        self._names = set(names)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def add(self, name: str) -> None:
        """Note that a worker has nothing to do."""
        self._names.add(name)
        heapq.heappush(self._heap, (self._place[name], name))

    def take(self, name: str | None = None) -> str:
        """Take a worker by name, or the first one."""
        while name is None:
            _, first = heapq.heappop(self._heap)
            name = first if first in self._names else None
        self._names.remove(name)
        return name


def _name(node: Node) -> str:
    if isinstance(node.id, StateId):
        later = f" (pass {node.id.pass_index})" if node.id.pass_index else ""
        return f"frame {node.id.frame}{later}"
    return f"the flow from frame {node.id.frame} to frame {node.id.reference}"


def _line(error: BaseException) -> str:
    """The first line of what an error says, with its class where it is none of our own."""
    text = next(iter(str(error).strip().splitlines()), "")[:500].rstrip(".")
    if isinstance(error, VidnstError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _stopped(totals: Totals) -> CancelledError:
    return CancelledError(
        f"stopped with {totals.done + totals.skipped} pieces of work finished",
        "give the same command again to go on from there",
    )
