"""What an error of a worker means for a run, and how errors and nodes are called in messages."""

from vidnst.errors import NumericalError, ScarceMemoryError, VidnstError
from vidnst.plan import Node, StateId


def ends_all(error: BaseException) -> bool:
    """Whether an error of a worker would come back with every node."""
    if isinstance(error, VidnstError):
        return not isinstance(error, NumericalError | ScarceMemoryError)
    return isinstance(error, KeyboardInterrupt)


def name_of(node: Node) -> str:
    """A node as a user knows it."""
    if isinstance(node.id, StateId):
        later = f" (pass {node.id.pass_index})" if node.id.pass_index else ""
        return f"frame {node.id.frame}{later}"
    return f"the flow from frame {node.id.frame} to frame {node.id.reference}"


def one_line(error: BaseException) -> str:
    """The first line of what an error says, with its class where it is none of our own."""
    text = next(iter(str(error).strip().splitlines()), "")[:500].rstrip(".")
    if isinstance(error, VidnstError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
