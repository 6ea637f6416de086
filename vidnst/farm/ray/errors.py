"""Translates Ray's errors for the scheduler and the user. Does not import Ray."""

import re
from typing import Any

from vidnst.errors import FarmError, LostValueError, VidnstError
from vidnst.farm.jobs import WorkerDiedError


def original_error(error: Any) -> BaseException:
    """Return the exception that the worker raised, with its traceback in the actor as a note."""
    cause: BaseException = error.cause if isinstance(error.cause, Exception) else RuntimeError(last_line(str(error)))
    cause.add_note(str(error))
    return cause


def lost_value(error: BaseException) -> LostValueError:
    """Return the error for a value that is gone with its machine."""
    problem = LostValueError(
        f"a result was lost with the machine that held it: {last_line(str(error))}",
        "give the same command again; everything that is stored is kept",
    )
    problem.__cause__ = error
    return problem


def start_error(name: str, error: BaseException) -> VidnstError:
    """Return the error to raise if a worker cannot be made."""
    if isinstance(error, VidnstError):
        return error
    first_line = next(iter(str(error).strip().splitlines()), "")[:300].rstrip(".")
    problem = FarmError(
        f"worker {name} does not start: {type(error).__name__}: {first_line}", "see its output with -v, and Ray's logs"
    )
    problem.__cause__ = error
    return problem


def process_end(name: str, error: BaseException) -> WorkerDiedError:
    """Return the end of a worker's process as one line out of the many that Ray writes about it."""
    text = str(error)
    match = re.search(r"exit detail: (.+?)(?:\. |\n|$)", text)
    detail = match[1] if match else last_line(text)
    if "creation task" in text:  # Ray could not create the actor; vidnst is missing on that machine, for instance
        return WorkerDiedError(f"the process of worker {name} did not start: {detail}")
    return WorkerDiedError(f"the process of worker {name} ended: {detail}")


def last_line(text: str) -> str:
    """Return the last line that is not empty, which in tracebacks is the error itself; at most 300 characters."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return lines[-1][:300].rstrip(".") if lines else "no reason given"
