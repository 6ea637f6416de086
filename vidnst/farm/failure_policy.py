"""Decides what follows from failures: another attempt, quarantine for a worker, or the end of a component or run.

A node fails once per worker. What fails for good is given up with everything that reads it, and the rest continues.
In a batch, only failures of the machine (disk, workers) end more than one clip.
"""

import logging
from collections.abc import Callable, Mapping

from vidnst.errors import FarmError, NumericalError, ScarceMemoryError, VidnstError
from vidnst.farm.interfaces import Host, NodeEventKind
from vidnst.farm.jobs import DeviceLostError, Outcome
from vidnst.farm.plan import Lane
from vidnst.farm.ready_queue import AdmittedNode
from vidnst.farm.worker_roster import WorkerRoster

_NUMERICAL_ATTEMPTS = 2
"""NaN comes back on every worker: the second attempt takes a smaller step, a third would be the same again."""
_BLAMELESS_LOSSES = 3
"""GPUs that a node may lose before it counts as failed each time."""
_HOPELESS_NODES = 9
"""Nodes of one host that fail for good in a row, without a success in the lane, before the host is abandoned."""
_HOPELESS_HOSTS = 3
"""Abandoned hosts in a row after which the workers are held responsible."""
STOP_PATIENCE_SECONDS = 2.0
"""Time that frames which are being painted get to be finished when a render is stopped."""
_REMEDY = "check the machine or the cluster and give the same command again; everything that is finished is kept"

logger = logging.getLogger(__name__)


def is_blameless(entry: AdmittedNode, error: BaseException) -> bool:
    """True if an attempt ended with its worker's GPU, and that need not be the node's fault."""
    return isinstance(error, DeviceLostError) and entry.device_losses < _BLAMELESS_LOSSES


def error_line(error: BaseException) -> str:
    """The first line of an error's message, with its class unless it is one of ours."""
    text = next(iter(str(error).strip().splitlines()), "")[:500].rstrip(".")
    if isinstance(error, VidnstError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def error_of(outcome: Outcome) -> BaseException:
    """The error with which a job has failed."""
    return outcome.error or FarmError(f"worker {outcome.worker} died")


def ends_run(error: BaseException) -> bool:
    """True if a worker's error would come back with every node."""
    if isinstance(error, VidnstError):
        return not isinstance(error, NumericalError | ScarceMemoryError)
    return isinstance(error, KeyboardInterrupt)


class FailurePolicy:
    """Judges the failures of one run.

    Args:
        rosters: the workers of each lane.
        attempts: failures of one node after which it is given up.
        report: called with kind, node and facts when a worker is quarantined or reinstated.
    """

    def __init__(self, rosters: Mapping[Lane, WorkerRoster], *, attempts: int, report: Callable[..., None]) -> None:
        self._rosters = rosters
        self._lane = {name: lane for lane, roster in rosters.items() for name in roster.names}
        self._attempts = attempts
        self._report = report
        self._first_host: Host | None = None
        self._several_hosts = False
        self._failed_in_a_row: dict[Lane, dict[Host, int]] = {lane: {} for lane in rosters}
        """Nodes given up since the last success of any worker of the lane, by host."""
        self._last_failure: tuple[Outcome, BaseException] | None = None
        """The failure for which a component was abandoned."""

    def add_host(self, host: Host) -> None:
        """Take note of a component's host."""
        self._first_host = self._first_host or host
        self._several_hosts |= host is not self._first_host

    def record_success(self, worker: str) -> None:
        """Note that a worker has finished a node."""
        lane = self._lane[worker]
        self._rosters[lane].record_success(worker)
        self._failed_in_a_row[lane].clear()

    def record_failure(self, entry: AdmittedNode, outcome: Outcome, error: BaseException) -> None:
        """Quarantine the worker if it fails at node after node, and reinstate those that only met bad nodes.

        Raises:
            FarmError: the lane has no workers left.
        """
        roster = self._rosters[self._lane[outcome.worker]]
        facts = {"attempt": entry.failures, "error": error_line(error)}
        for name in roster.reinstate(entry):
            logger.info("worker %s is reinstated: %s fails on others as well", name, entry.id.describe())
            self._report(NodeEventKind.REINSTATED, entry, worker=name, **facts)
        # NaN comes from what is computed, not from who computes it.
        if not isinstance(error, NumericalError) and roster.record_failure(outcome.worker, entry):
            logger.info("worker %s is quarantined: several nodes in a row failed on it", outcome.worker)
            self._report(NodeEventKind.QUARANTINED, entry, worker=outcome.worker, **facts)
        self.check_workers_left(outcome, error)

    def is_final(self, entry: AdmittedNode, error: BaseException) -> bool:
        """True if another attempt is not allowed, or would fail in the same way."""
        limit = min(self._attempts, _NUMERICAL_ATTEMPTS) if isinstance(error, NumericalError) else self._attempts
        once = isinstance(error, ScarceMemoryError)  # the worker itself has tried more than once
        on_all = (once or entry.failures > 1) and entry.raised_on.issuperset(self._rosters[entry.node.lane].names)
        return entry.failures >= limit or on_all

    def check_workers_left(self, outcome: Outcome, error: BaseException) -> None:
        """Check that the worker's lane has workers, now or when one is back.

        Raises:
            FarmError: it has none.
        """
        lane = self._lane[outcome.worker]
        if not (roster := self._rosters[lane]):
            raise FarmError(
                f"all {lane} workers are lost{' or quarantined' if roster.quarantined else ''}; "
                f"the last one, {outcome.worker}, ended with: {error_line(error)}",
                _REMEDY,
            ) from error

    def record_given_up(self, entry: AdmittedNode, outcome: Outcome, error: BaseException) -> None:
        """Abandon a component if every node of its host fails for good.

        Raises:
            FarmError: that is so for several hosts in a row, so the workers are to blame.
        """
        failed = self._failed_in_a_row[self._lane[outcome.worker]]
        host = entry.component.host
        failed[host] = failed.get(host, 0) + 1
        if failed[host] < _HOPELESS_NODES:
            return
        entry.component.abandon(entry, error_line(error))
        self._last_failure = (outcome, error)
        self._check_hosts(_HOPELESS_HOSTS)

    def check_end(self) -> None:
        """Check at the end of a run that an abandoned host was to blame, not the workers.

        Raises:
            FarmError: there was only one host.
        """
        self._check_hosts(_HOPELESS_HOSTS if self._several_hosts else 1)

    def _check_hosts(self, limit: int) -> None:
        for failed in self._failed_in_a_row.values():
            if self._last_failure and sum(count >= _HOPELESS_NODES for count in failed.values()) >= limit:
                outcome, error = self._last_failure
                raise FarmError(
                    f"all {self._lane[outcome.worker]} workers fail at whatever they get; "
                    f"the last one, {outcome.worker}, ended with: {error_line(error)}",
                    _REMEDY,
                ) from error
