"""What Ray says about failures, put into words for the scheduler and the user. Does not import Ray."""

import re
from typing import Any

from vidnst.errors import FarmError, VidnstError
from vidnst.farm.jobs import WorkerDiedError


def original_error(error: Any) -> BaseException:
    """The exception that the worker raised, with its traceback over there as a note."""
    cause: BaseException = error.cause if isinstance(error.cause, Exception) else RuntimeError(last_line(str(error)))
    cause.add_note(str(error))
    return cause


def start_error(name: str, error: BaseException) -> VidnstError:
    """What to tell the user about a worker that could not be made."""
    if isinstance(error, VidnstError):
        return error
    problem = FarmError(
        f"worker {name} does not start: {type(error).__name__}: {_first_line(error)}",
        "see its output with -v, and Ray's logs",
    )
    problem.__cause__ = error
    return problem


def process_end(name: str, error: BaseException) -> WorkerDiedError:
    """How a worker's process ended, out of the many lines that Ray writes about it."""
    text = str(error)
    found = re.search(r"exit detail: (.+?)(?:\. |\n|$)", text)
    detail = found[1] if found else last_line(text)
    if "creation task" in text:  # Ray could not even make our actor; vidnst is missing on that node, for instance
        return WorkerDiedError(f"the process of worker {name} did not start: {detail}")
    return WorkerDiedError(f"the process of worker {name} ended: {detail}")


def last_line(text: str) -> str:
    """The last line that says something, which in tracebacks is the error itself; at most 300 characters."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return lines[-1][:300].rstrip(".") if lines else "no reason given"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "")[:300].rstrip(".")
