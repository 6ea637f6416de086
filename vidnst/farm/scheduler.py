"""Runs plans on pools: gives each idle worker the ready node that comes first, and tries again what failed."""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from vidnst.errors import FarmError, ScarceMemoryError, SourceError, VidnstError
from vidnst.farm.component_window import ComponentWindow, default_window
from vidnst.farm.failure_policy import FailurePolicy
from vidnst.farm.interfaces import Component, Listener, NodeEvent, NodeEventKind
from vidnst.farm.jobs import Outcome, Pool
from vidnst.farm.messages import RunTotals, ends_all, error_line, node_name, stopped
from vidnst.farm.pending_commits import PendingCommits
from vidnst.farm.plan import Lane
from vidnst.farm.ready_queue import Queues, ReadyNode
from vidnst.farm.worker_queues import WorkerQueues
from vidnst.farm.worker_roster import WorkerRoster

_POLL_SECONDS = 0.2
"""How long a cancellation may go unseen."""

logger = logging.getLogger(__name__)


def run_plan(
    components: Iterable[Component],
    pool: Pool,
    *,
    window: int | None = None,
    attempts: int = 3,
    listener: Listener | None = None,
    cancelled: Callable[[], bool] | None = None,
    clock: Callable[[], float] = time.monotonic,
    eager: Callable[[int], bool] | None = None,
) -> RunTotals:
    """Run all nodes of all components on the workers of `pool`; the caller closes it.

    A component is opened when stylizing workers would otherwise find nothing to do, so chains run side by side, and no
    more components are open than there are such workers; but see `eager`.

    A node fails for good after `attempts` failures, or once it has ended with an error on every worker there is (on a
    single one: twice), or twice with NaN. It is given up then with all that reads it; the rest goes on. An error of the
    source gives up the whole component, and so does a node that fits into no worker's memory. A worker at which three
    different nodes fail in a row, and not elsewhere as well as far as is known, is set aside.

    Args:
        components: the work, opened in this order. An iterator that has nothing now may have more when it is asked
            again, which it is several times a second until all that is open is done.
        pool: the workers, all of them idle.
        window: how many frames after the oldest unfinished one of its component a node may be admitted.
        attempts: failures of one node after which it is given up.
        listener: hears of everything that happens, in the caller's thread.
        cancelled: asked several times a second whether to stop; a `threading.Event.is_set` will do.
        clock: seconds, for the durations in events.
        eager: asked whether to open the next component although the workers have enough to do, where so many are open.

    Raises:
        CancelledError: `cancelled` said so, or KeyboardInterrupt came.
        FarmError: a lane that the plan needs has no workers, or has lost them all or set them aside, or they fail at
            everything: at nine nodes in a row, of three hosts where there are several.
        VidnstError: an error that another attempt cannot mend and that is not one clip's (style, weights,
            configuration, disk) passes through as it is.
    """
    workers = len(pool.workers(Lane.STYLE))
    run = _Run(components, pool, window or default_window(workers), attempts, listener, clock, eager)
    try:
        while run.step():
            if cancelled is not None and cancelled():
                raise stopped(run.totals)
            run.collect()
        run.trust.check()
    except KeyboardInterrupt as interrupt:
        raise stopped(run.totals) from interrupt
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
        eager: Callable[[int], bool] | None,
    ) -> None:
        self.totals = RunTotals()
        self._components = iter(components)
        self._pool = pool
        self._window = window
        self._listener = listener
        self._eager = eager
        self._crew = {lane: WorkerRoster(pool.workers(lane)) for lane in Lane}
        self._lane = {name: lane for lane, crew in self._crew.items() for name in crew.names}
        self._lines = WorkerQueues(clock)
        self._kept = PendingCommits(self._tell_done)
        self.trust = FailurePolicy(self._crew, attempts=attempts, tell=self._tell)
        self._open = 0
        self._watched: list[ComponentWindow] = []
        """Open components that may be held, or change their order."""
        style, flow = len(self._crew[Lane.STYLE]), len(self._crew[Lane.FLOW])
        self._queues = Queues(flows_ahead=4 * style + 2 * flow)

    def step(self) -> bool:
        """Open components and hand out nodes; False when all is done."""
        self._kept.look()
        self._look_after()
        self._open_components()
        self._hand_out(Lane.STYLE)
        self._lay_ready()
        self._hand_out(Lane.FLOW)
        awaited = self._queues.held or any(crew.awaited for crew in self._crew.values())
        if not self._lines and self._open and not awaited:
            raise RuntimeError("the plan cannot go on: no node is ready, none is running, and some are unfinished")
        return bool(self._lines or self._open or self._kept)

    def collect(self) -> None:
        """Wait for outcomes and take them in, one by one, so that a freed worker has work at once.

        In the end, when none comes any more, wait for what is not written.
        """
        if self._kept and not (self._lines or self._open):
            self._kept.wait(_POLL_SECONDS)
            return
        for outcome in self._pool.wait(_POLL_SECONDS):
            if outcome.back:
                self._crew[self._lane[outcome.worker]].come_back(outcome.worker)
            elif outcome.worker in self._lines:
                self._settle(outcome)
            elif outcome.lost:
                self._lose(outcome)
            else:
                continue
            self.step()

    def _look_after(self) -> None:
        """See which components are held now, and in which order they are; one that is done needs no watching."""
        for front in [front for front in self._watched if front.exhausted]:
            self._queues.hold(front, False)
            self._watched.remove(front)
        for front in self._watched:
            self._queues.hold(front, front.held is not None and front.held())
        if sum(front.reorder() for front in self._watched):  # all of them are asked
            self._queues.resort()

    def _open_components(self) -> None:
        while self._hungry or (self._eager is not None and self._eager(self._open)):
            component = next(self._components, None)
            if component is None:
                return
            front = ComponentWindow(
                component, self._queues, window=self._window, skipped=self._skip, given_up=self._tell_given_up
            )
            self.trust.meet(component.host)
            self._open += 1
            self._refill(front)
            if front.watched:
                self._watched.append(front)

    @property
    def _hungry(self) -> bool:
        """Whether stylizing workers will soon find nothing to do."""
        crew = self._crew[Lane.STYLE]
        return crew.busy + self._queues.soon < max(1, len(crew))

    def _hand_out(self, lane: Lane) -> None:
        waiting: list[ReadyNode] = []
        crew = self._crew[lane]
        while (crew.idle or not crew) and (entry := self._pop(lane)) is not None:
            if not crew:
                raise FarmError(
                    f"{node_name(entry.node.id)} needs a {lane} worker and there is none", "start at least one"
                )
            worker = crew.take(entry.tried)
            if worker is None:
                waiting.append(entry)
            else:
                self._start(entry, worker)
        for entry in waiting:
            self._queues.push(entry)

    def _lay_ready(self) -> None:
        """Hand a second node to stylizing workers that will soon be free, so that none waits while it travels.

        Where there are several workers, as many nodes stay in the line: another may be free before.
        """
        crew = self._crew[Lane.STYLE]
        while len(self._queues) >= max(1, crew.busy) and not crew.idle:
            worker = self._lines.soonest(crew.names)
            entry = None if worker is None else self._queues.pop_style()
            if worker is None or entry is None:
                return
            if entry.tried:  # it has to choose its worker
                self._queues.push(entry)
                return
            self._start(entry, worker)

    def _pop(self, lane: Lane) -> ReadyNode | None:
        if lane is Lane.STYLE:
            return self._queues.pop_style()
        return self._queues.pop_flow(hungry=len(self._queues) < self._crew[Lane.STYLE].idle)

    def _start(self, entry: ReadyNode, worker: str) -> None:
        inputs = entry.front.start(entry)
        attempt = entry.failures + 1
        try:
            job = entry.front.host.job(entry.node, inputs, attempt=attempt, last_error=entry.last_error)
        except SourceError as error:
            if worker not in self._lines:
                self._crew[self._lane[worker]].free(worker)
            self._break_off(entry, error)
            return
        if worker not in self._lines:
            self._tell(NodeEventKind.STARTED, entry, worker=worker, attempt=attempt)
        self._pool.submit(worker, job)
        self._lines.add(worker, entry)

    def _settle(self, outcome: Outcome) -> None:
        entry, seconds = self._lines.end(outcome.worker)
        self._move_on(outcome)
        if outcome.error is not None or outcome.died:
            self._fail(entry, outcome, seconds)
        else:
            self._keep(entry, outcome, seconds)
        if (then := self._lines.at(outcome.worker)) is not None:
            self._tell(NodeEventKind.STARTED, then, worker=outcome.worker, attempt=then.failures + 1)

    def _move_on(self, outcome: Outcome) -> None:
        """See what becomes of a worker after a node, and of what lies ready behind it."""
        crew = self._crew[self._lane[outcome.worker]]
        if outcome.lost:
            crew.lose(outcome.worker)
        elif outcome.away:
            crew.leave(outcome.worker)
        elif outcome.worker not in self._lines:
            crew.free(outcome.worker)
        if outcome.lost or outcome.away:
            for behind in self._lines.clear(outcome.worker):
                behind.front.retry(behind)

    def _keep(self, entry: ReadyNode, outcome: Outcome, seconds: float) -> None:
        front, attempt = entry.front, entry.failures + 1
        self._crew[self._lane[outcome.worker]].succeeded(outcome.worker)
        front.pace[entry.node.role] = seconds
        value = front.host.keep(entry.node, outcome.value, worker=outcome.worker, attempt=attempt)
        front.finish(entry, value)
        facts = {"worker": outcome.worker, "attempt": attempt, "seconds": seconds, "result": outcome.value}
        self._kept.add(NodeEvent(NodeEventKind.DONE, entry.node, front.host, **facts))
        self._refill(front)

    def _lose(self, outcome: Outcome) -> None:
        """Go on without a worker that was away and will not be back."""
        self._crew[self._lane[outcome.worker]].lose(outcome.worker)
        self.trust.count_left(outcome, outcome.error or FarmError(f"worker {outcome.worker} died"))

    def _refill(self, front: ComponentWindow) -> None:
        """Admit what fits; count the component as done when it is."""
        front.fill()
        if front.exhausted and not front.closed:
            front.closed = True
            self._open -= 1

    def _fail(self, entry: ReadyNode, outcome: Outcome, seconds: float) -> None:
        error = outcome.error or FarmError(f"worker {outcome.worker} died")
        entry.failures += 1
        entry.tried.add(outcome.worker)
        if not outcome.died:
            entry.refused.add(outcome.worker)
        entry.last_error = error
        if outcome.died:
            kind, self.totals = NodeEventKind.DIED, replace(self.totals, died=self.totals.died + 1)
        else:
            kind, self.totals = NodeEventKind.FAILED, replace(self.totals, failed=self.totals.failed + 1)
        self._tell(kind, entry, worker=outcome.worker, attempt=entry.failures, seconds=seconds, error=error_line(error))
        if isinstance(error, SourceError):
            self._break_off(entry, error)
            return
        if not outcome.died and ends_all(error):
            raise error
        self.trust.doubt(entry, outcome, error)
        if self.trust.is_final(entry, error):
            if isinstance(error, ScarceMemoryError):  # the others are as large
                self._break_off(entry, error)
                return
            entry.front.give_up(entry, error_line(error))
            self.trust.despair(entry, outcome, error)
        else:
            logger.info(
                "%s is tried again after attempt %d: %s", node_name(entry.node.id), entry.failures, error_line(error)
            )
            entry.front.retry(entry)
        self._refill(entry.front)

    def _break_off(self, entry: ReadyNode, error: VidnstError) -> None:
        """End the component of a node whose source frames cannot be had, or that fits into no memory."""
        entry.front.break_off(entry, error_line(error))
        self._refill(entry.front)

    def _tell_given_up(self, entry: ReadyNode) -> None:
        assert entry.blame is not None
        root, error = entry.blame
        because = None if root == entry.id else root
        entry.front.host.give_up(entry.node, error, because)
        self.totals = replace(self.totals, given_up=self.totals.given_up + 1)
        self._tell(NodeEventKind.GIVEN_UP, entry, error=error, because=because)

    def _tell_done(self, event: NodeEvent) -> None:
        self.totals = replace(self.totals, done=self.totals.done + 1)
        if self._listener is not None:
            self._listener(event)

    def _skip(self, entry: ReadyNode) -> None:
        self.totals = replace(self.totals, skipped=self.totals.skipped + 1)
        self._tell(NodeEventKind.SKIPPED, entry)

    def _tell(self, kind: NodeEventKind, entry: ReadyNode, **facts: Any) -> None:
        if self._listener is not None:
            self._listener(NodeEvent(kind, entry.node, entry.front.host, **facts))
