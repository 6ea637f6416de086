"""Runs plans on pools: gives each idle worker the first ready node, and retries nodes that failed."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from vidnst.errors import CancelledError, FarmError, ScarceMemoryError, SourceError, VidnstError
from vidnst.farm.component_window import ComponentWindow, default_window
from vidnst.farm.failure_policy import FailurePolicy, ends_run, error_line, error_of, is_blameless
from vidnst.farm.interfaces import Component, Listener, NodeEvent, NodeEventKind
from vidnst.farm.jobs import Outcome, Pool
from vidnst.farm.pending_commits import PendingCommits
from vidnst.farm.plan import Lane
from vidnst.farm.ready_queue import AdmittedNode, ReadyQueue
from vidnst.farm.worker_roster import WorkerQueues, WorkerRoster

_POLL_SECONDS = 0.2
"""Time for which a cancellation may go unnoticed."""
logger = logging.getLogger(__name__)


def run_plan(
    components: Iterable[Component],
    pool: Pool,
    *,
    window: int | None = None,
    prefetch: int = 1,
    attempts: int = 3,
    listener: Listener | None = None,
    cancelled: Callable[[], bool] | None = None,
    clock: Callable[[], float] = time.monotonic,
    eager: Callable[[int], bool] | None = None,
    patience_seconds: float = 0.0,
) -> Counter[NodeEventKind]:
    """Run all nodes of all components on the workers of `pool`; the caller closes it.

    A component is opened when stylizing workers would otherwise have nothing to do, so chains run side by side, and no
    more components are open than there are such workers, unless they take several short nodes at once; but see `eager`.

    A node fails for good after `attempts` failures, or once it has ended with an error on every worker (on a single
    one: twice), or twice with NaN. Then it is given up with all nodes that read it; the others still run. An error of
    the source gives up the whole component, and so does a node that fits into no worker's memory. A worker on which
    three different nodes fail in a row, and on no other worker so far, is quarantined.

    Args:
        components: the work, opened in this order. An iterator that is exhausted is asked again several times a second
            until all open components are done, and may have more by then.
        pool: the workers, all of them idle.
        window: number of frames after the oldest unfinished one of its component within which nodes are admitted.
        prefetch: number of nodes that a stylizing worker may have besides the one that it runs, if they are short.
        attempts: failures of one node after which it is given up.
        listener: called with every event, in the caller's thread.
        cancelled: polled several times a second; `threading.Event.is_set` is suitable.
        clock: returns seconds, for the durations in events.
        eager: called with the number of open components; returns whether to open the next one although the workers
            have enough to do.
        patience_seconds: how long running nodes may take to finish once `cancelled` returned true.

    Returns:
        The number of events of each kind.

    Raises:
        CancelledError: `cancelled` returned true, or KeyboardInterrupt was raised.
        FarmError: a lane that the plan needs has no workers, or they are all lost or quarantined, or they fail at
            everything: at nine nodes in a row, of three hosts if there are several.
        VidnstError: an error that another attempt cannot avoid and that concerns more than one clip (style, weights,
            configuration, disk) is raised as it is.
    """
    workers = len(pool.workers(Lane.STYLE))
    window = window or default_window(workers, prefetch=prefetch)
    run = _Run(components, pool, window, prefetch, attempts, listener, clock, eager)
    try:
        while run.advance():
            if cancelled is not None and cancelled():
                run.drain(patience_seconds)
                raise _stopped(run.totals)
            run.collect()
        run.policy.check_end()
    except KeyboardInterrupt as interrupt:
        raise _stopped(run.totals) from interrupt
    return run.totals


def _stopped(totals: Counter[NodeEventKind]) -> CancelledError:
    return CancelledError(
        f"stopped with {totals[NodeEventKind.DONE] + totals[NodeEventKind.SKIPPED]} pieces of work finished",
        "give the same command again to resume",
    )


class _Run:
    """The state of one call of `run_plan`."""

    def __init__(
        self,
        components: Iterable[Component],
        pool: Pool,
        window: int,
        prefetch: int,
        attempts: int,
        listener: Listener | None,
        clock: Callable[[], float],
        eager: Callable[[int], bool] | None,
    ) -> None:
        self.totals: Counter[NodeEventKind] = Counter()
        self._components = iter(components)
        self._pool = pool
        self._window = window
        self._most_prefetched = prefetch
        self._listener = listener
        self._eager = eager
        self._rosters = {lane: WorkerRoster(pool.workers(lane)) for lane in Lane}
        self._lane = {name: lane for lane, roster in self._rosters.items() for name in roster.names}
        self._handed_out = WorkerQueues(clock)
        self._uncommitted = PendingCommits(self._emit)
        self.policy = FailurePolicy(self._rosters, attempts=attempts, report=self._report)
        self._open = 0
        self._polled: list[ComponentWindow] = []
        """Open components that may be paused, or change their order."""
        style, flow = len(self._rosters[Lane.STYLE]), len(self._rosters[Lane.FLOW])
        self._ready = ReadyQueue(max_unread_flows=4 * style + 2 * flow)

    def advance(self) -> bool:
        """Open components and hand out nodes; False when all is done."""
        self._uncommitted.poll()
        self._poll_components()
        self._open_components()
        self._hand_out(Lane.STYLE)
        self._prefetch()
        self._hand_out(Lane.FLOW)
        awaited = self._ready.any_paused or any(roster.awaits_replacement for roster in self._rosters.values())
        if not self._handed_out and self._open and not awaited:
            raise RuntimeError("the plan cannot go on: no node is ready, none is running, and some are unfinished")
        return bool(self._handed_out or self._open or self._uncommitted)

    def collect(self) -> None:
        """Wait for outcomes and handle them one by one, so that a worker gets its next node at once.

        At the end, when all nodes have run, wait until their results are durable.
        """
        if self._uncommitted and not (self._handed_out or self._open):
            self._uncommitted.wait(_POLL_SECONDS)
            return
        for outcome in self._pool.wait(_POLL_SECONDS):
            if outcome.back:
                self._rosters[self._lane[outcome.worker]].mark_back(outcome.worker)
            elif outcome.worker in self._handed_out:
                self._handle(outcome)
            elif outcome.lost:  # it was away
                self._rosters[self._lane[outcome.worker]].mark_lost(outcome.worker)
                self.policy.check_workers_left(outcome, error_of(outcome))
            else:
                continue
            self.advance()

    def drain(self, patience_seconds: float) -> None:
        """Take in the results of running nodes that end in time, and hand out nothing more."""
        deadline = time.monotonic() + patience_seconds
        running = {name for name in self._lane if name in self._handed_out}
        while running and (left := deadline - time.monotonic()) > 0:
            for outcome in self._pool.wait(min(left, _POLL_SECONDS)):
                if outcome.worker in running:  # else it is its prefetched node
                    running.remove(outcome.worker)
                    entry, seconds = self._handed_out.end(outcome.worker)
                    if outcome.error is None and not outcome.died:
                        self._succeed(entry, outcome, seconds)
        self._uncommitted.poll()

    def _poll_components(self) -> None:
        """Update which components are paused, and their order."""
        for component in [component for component in self._polled if component.exhausted]:
            self._ready.set_paused(component, False)
            self._polled.remove(component)
        for component in self._polled:
            self._ready.set_paused(component, component.paused is not None and component.paused())
        if sum(component.reorder() for component in self._polled):  # not `any`: all of them are to be asked
            self._ready.resort()

    def _open_components(self) -> None:
        while self._starving or (self._eager is not None and self._eager(self._open)):
            described = next(self._components, None)
            if described is None:
                return
            component = ComponentWindow(
                described,
                self._ready,
                window=self._window,
                on_skipped=self._report_skipped,
                on_given_up=self._report_given_up,
            )
            self.policy.add_host(component.host)
            self._open += 1
            self._refill(component)
            if component.is_polled:
                self._polled.append(component)

    @property
    def _starving(self) -> bool:
        """True if stylizing workers will soon have nothing to do."""
        roster = self._rosters[Lane.STYLE]
        if roster.busy + self._ready.upcoming < max(1, len(roster)):
            return True
        if self._most_prefetched == 1 or self._ready.upcoming >= len(roster):
            return False
        return self._handed_out.soonest_free(roster.names, prefetch=self._most_prefetched) is not None

    def _hand_out(self, lane: Lane) -> None:
        waiting: list[AdmittedNode] = []
        roster = self._rosters[lane]
        while (roster.idle or not roster) and (entry := self._pop(lane)) is not None:
            if not roster:
                raise FarmError(f"{entry.id.describe()} needs a {lane} worker and there is none", "start at least one")
            worker = roster.take(entry.failed_on)
            if worker is None:
                waiting.append(entry)
            else:
                self._start(entry, worker)
        for entry in waiting:
            self._ready.push(entry)

    def _prefetch(self) -> None:
        """Hand more nodes to stylizing workers that will soon be free, so that none waits for their preparation.

        With several workers, as many nodes stay in the queue: another worker may be free before.
        """
        roster = self._rosters[Lane.STYLE]
        while len(self._ready) >= max(1, roster.busy) and not roster.idle:
            worker = self._handed_out.soonest_free(roster.names, prefetch=self._most_prefetched)
            entry = None if worker is None else self._ready.pop_style()
            if worker is None or entry is None:
                return
            if entry.failed_on:  # it has to avoid some workers
                self._ready.push(entry)
                return
            self._start(entry, worker)

    def _pop(self, lane: Lane) -> AdmittedNode | None:
        if lane is Lane.STYLE:
            return self._ready.pop_style()
        return self._ready.pop_flow(workers_idle=len(self._ready) < self._rosters[Lane.STYLE].idle)

    def _start(self, entry: AdmittedNode, worker: str) -> None:
        inputs = entry.component.start(entry)
        attempt = entry.failures + 1
        is_first = worker not in self._handed_out
        try:
            job = entry.component.host.job(entry.node, inputs, attempt=attempt, last_error=entry.last_error)
        except SourceError as error:
            if is_first:
                self._rosters[self._lane[worker]].mark_idle(worker)
            self._give_up_component(entry, error)
            return
        if is_first:
            self._report(NodeEventKind.STARTED, entry, worker=worker, attempt=attempt)
        self._pool.submit(worker, job)
        self._handed_out.add(worker, entry)

    def _handle(self, outcome: Outcome) -> None:
        """Take in how a worker's node has ended."""
        entry, seconds = self._handed_out.end(outcome.worker)
        self._update_worker(outcome)
        if outcome.error is not None or outcome.died:
            self._fail(entry, outcome, seconds)
        else:
            self._succeed(entry, outcome, seconds)
        if (running := self._handed_out.running(outcome.worker)) is not None:
            self._report(NodeEventKind.STARTED, running, worker=outcome.worker, attempt=running.failures + 1)

    def _update_worker(self, outcome: Outcome) -> None:
        roster = self._rosters[self._lane[outcome.worker]]
        if outcome.lost:
            roster.mark_lost(outcome.worker)
        elif outcome.away:
            roster.mark_away(outcome.worker)
        elif outcome.worker not in self._handed_out:
            roster.mark_idle(outcome.worker)
        if outcome.lost or outcome.away:
            for prefetched in self._handed_out.clear(outcome.worker):
                prefetched.component.retry(prefetched)

    def _succeed(self, entry: AdmittedNode, outcome: Outcome, seconds: float) -> None:
        component, attempt = entry.component, entry.failures + 1
        self.policy.record_success(outcome.worker)
        held = outcome.device_seconds
        component.last_seconds[entry.node.role] = seconds if held is None else held
        value = component.host.store(entry.node, outcome.value, worker=outcome.worker, attempt=attempt)
        component.finish(entry, value)
        facts = {"worker": outcome.worker, "attempt": attempt, "seconds": seconds, "result": outcome.value}
        self._uncommitted.add(NodeEvent(NodeEventKind.DONE, entry.node, component.host, **facts))
        self._refill(component)

    def _fail(self, entry: AdmittedNode, outcome: Outcome, seconds: float) -> None:
        error = error_of(outcome)
        line, attempt = error_line(error), entry.failures + 1
        blameless = is_blameless(entry, error)
        entry.device_losses += blameless
        entry.failures += not blameless
        entry.failed_on.add(outcome.worker)
        if not blameless:
            entry.last_error = error
        if not outcome.died:
            entry.raised_on.add(outcome.worker)
        kind = NodeEventKind.DIED if outcome.died else NodeEventKind.FAILED
        self._report(kind, entry, worker=outcome.worker, attempt=attempt, seconds=seconds, error=line)
        if isinstance(error, SourceError):
            self._give_up_component(entry, error)
            return
        if not outcome.died and ends_run(error):
            raise error
        self.policy.record_failure(entry, outcome, error)
        if not self.policy.is_final(entry, error):
            logger.info("attempt %d at %s failed, trying again: %s", attempt, entry.id.describe(), line)
            entry.component.retry(entry)
        elif isinstance(error, ScarceMemoryError):  # the component's other frames are as large
            entry.component.give_up_all(entry, line)
        else:
            entry.component.give_up(entry, line)
            self.policy.record_given_up(entry, outcome, error)
        self._refill(entry.component)

    def _give_up_component(self, entry: AdmittedNode, error: VidnstError) -> None:
        entry.component.give_up_all(entry, error_line(error))
        self._refill(entry.component)

    def _refill(self, component: ComponentWindow) -> None:
        """Admit the nodes that fit; count the component as done if it is."""
        component.fill()
        if component.exhausted and not component.closed:
            component.closed = True
            self._open -= 1

    def _report_skipped(self, entry: AdmittedNode) -> None:
        self._report(NodeEventKind.SKIPPED, entry)

    def _report_given_up(self, entry: AdmittedNode) -> None:
        assert entry.cause is not None
        root, error = entry.cause
        because = None if root == entry.id else root
        entry.component.host.give_up(entry.node, error, because)
        self._report(NodeEventKind.GIVEN_UP, entry, error=error, because=because)

    def _report(self, kind: NodeEventKind, entry: AdmittedNode, **facts: Any) -> None:
        self._emit(NodeEvent(kind, entry.node, entry.component.host, **facts))

    def _emit(self, event: NodeEvent) -> None:
        self.totals[event.kind] += 1
        if self._listener is not None:
            self._listener(event)
