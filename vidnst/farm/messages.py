"""What the scheduler says about a run: what it did, which node it means, what went wrong."""

from dataclasses import dataclass

from vidnst.errors import CancelledError, NumericalError, ScarceMemoryError, VidnstError
from vidnst.farm.plan import NodeId, StateId

LOOK_AFTER = "look after the machine or the cluster and give the same command again; all that is finished is kept"


@dataclass(frozen=True, slots=True)
class RunTotals:
    """What a run did, counted in nodes."""

    done: int = 0
    """Finished in this session, flows included."""
    skipped: int = 0
    """Finished in an earlier session."""
    failed: int = 0
    """Attempts that ended with an error."""
    died: int = 0
    """Attempts that ended with their worker's process."""
    given_up: int = 0
    """States that failed for good or read what did, and flows that failed for good."""


def node_name(node: NodeId) -> str:
    """A node in words for users."""
    if isinstance(node, StateId):
        later = f" (pass {node.pass_index})" if node.pass_index else ""
        return f"frame {node.frame}{later}"
    return f"the flow from frame {node.frame} to frame {node.reference}"


def error_line(error: BaseException) -> str:
    """The first line of what an error says, with its class where it is none of our own."""
    text = next(iter(str(error).strip().splitlines()), "")[:500].rstrip(".")
    if isinstance(error, VidnstError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def ends_all(error: BaseException) -> bool:
    """Whether an error of a worker would come back with every node."""
    if isinstance(error, VidnstError):
        return not isinstance(error, NumericalError | ScarceMemoryError)
    return isinstance(error, KeyboardInterrupt)


def stopped(totals: RunTotals) -> CancelledError:
    """What a run ends with that was asked to stop."""
    return CancelledError(
        f"stopped with {totals.done + totals.skipped} pieces of work finished",
        "give the same command again to go on from there",
    )
