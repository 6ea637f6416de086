"""What failures say: whether a node is tried again, whether a worker is to be trusted, and when all is hopeless."""

import logging
from collections.abc import Callable, Mapping

from vidnst.errors import FarmError, NumericalError, ScarceMemoryError
from vidnst.farm.interfaces import Host, NodeEventKind
from vidnst.farm.jobs import Outcome
from vidnst.farm.messages import LOOK_AFTER, error_line, node_name
from vidnst.farm.plan import Lane
from vidnst.farm.ready_queue import ReadyNode
from vidnst.farm.worker_roster import WorkerRoster

_NUMERICAL_ATTEMPTS = 2
"""NaN comes back on every worker; the second attempt takes a smaller step, a third has nothing new to offer."""

logger = logging.getLogger(__name__)


class FailurePolicy:
    """Judges failures.

    Args:
        crews: the workers of each lane.
        attempts: failures of one node after which it is given up.
        tell: is told of workers that are set aside or taken back.
    """

    def __init__(self, crews: Mapping[Lane, WorkerRoster], *, attempts: int, tell: Callable[..., None]) -> None:
        self._crew = crews
        self._lane = {name: lane for lane, crew in crews.items() for name in crew.names}
        self._attempts = attempts
        self._tell = tell
        self._first_host: Host | None = None
        self._several_hosts = False
        self._last_failure: tuple[Outcome, BaseException] | None = None
        """Over which a component was abandoned."""

    def meet(self, host: Host) -> None:
        """Take note of a component's host."""
        self._first_host = self._first_host or host
        self._several_hosts |= host is not self._first_host

    def is_final(self, entry: ReadyNode, error: BaseException) -> bool:
        """Whether another attempt is not allowed or has no prospect."""
        limit = min(self._attempts, _NUMERICAL_ATTEMPTS) if isinstance(error, NumericalError) else self._attempts
        once = isinstance(error, ScarceMemoryError)  # the worker has tried more than once itself
        everywhere = (once or entry.failures > 1) and entry.refused.issuperset(self._crew[entry.node.lane].names)
        return entry.failures >= limit or everywhere

    def doubt(self, entry: ReadyNode, outcome: Outcome, error: BaseException) -> None:
        """See whether it is rather the worker that fails, and whether there are any left."""
        lane = self._lane[outcome.worker]
        crew = self._crew[lane]
        facts = {"attempt": entry.failures, "error": error_line(error)}
        for name in crew.acquit(entry):
            logger.info("worker %s is taken back: %s fails on others as well", name, node_name(entry.node.id))
            self._tell(NodeEventKind.TAKEN_BACK, entry, worker=name, **facts)
        # NaN comes of what is computed, not of who computes.
        if not isinstance(error, NumericalError) and crew.suspect(outcome.worker, entry):
            logger.info("worker %s is quarantined: several nodes in a row failed on it", outcome.worker)
            self._tell(NodeEventKind.SET_ASIDE, entry, worker=outcome.worker, **facts)
        self.count_left(outcome, error)

    def count_left(self, outcome: Outcome, error: BaseException) -> None:
        """End the run where a lane has no workers any more, and none that will be back."""
        lane = self._lane[outcome.worker]
        if not (crew := self._crew[lane]):
            raise FarmError(
                f"all {lane} workers are lost{' or set aside' if crew.set_aside else ''}; "
                f"the last one, {outcome.worker}, ended with: {error_line(error)}",
                LOOK_AFTER,
            ) from error

    def despair(self, entry: ReadyNode, outcome: Outcome, error: BaseException) -> None:
        """Try no more of a component where whatever any worker gets of it fails for good."""
        crew = self._crew[self._lane[outcome.worker]]
        if not crew.failed_for_good(entry.front.host):
            return
        entry.front.abandon(entry, error_line(error))
        if crew.useless(several=True):
            raise self._useless(outcome, error)
        self._last_failure = (outcome, error)

    def check(self) -> None:
        """See in the end that it was not the workers, where all that there was comes of one host."""
        for crew in self._crew.values():
            if self._last_failure and crew.useless(several=self._several_hosts):
                raise self._useless(*self._last_failure)

    def _useless(self, outcome: Outcome, error: BaseException) -> FarmError:
        problem = FarmError(
            f"all {self._lane[outcome.worker]} workers fail at whatever they get; "
            f"the last one, {outcome.worker}, ended with: {error_line(error)}",
            LOOK_AFTER,
        )
        problem.__cause__ = error
        return problem
