"""What a render that its user stops says and leaves: how to continue it."""

from collections.abc import Iterator
from contextlib import contextmanager

from vidnst.errors import CancelledError, FarmError, UnmeasuredError
from vidnst.events import Cancelled
from vidnst.runs import holds_run
from vidnst.runs.layout import continue_command
from vidnst.runs.request import Request


@contextmanager
def naming_continuation(request: Request, cancelled: Cancelled | None) -> Iterator[None]:
    """Add to what stops a render in this block how to continue it.

    Raises:
        CancelledError: `cancelled` said so. A FarmError becomes one then: a terminal that is closed, or Ctrl-C, may
            have ended workers before this process.
        KeyboardInterrupt: a second signal came, or the only one where nothing asks `cancelled`.
    """
    try:
        yield
    except UnmeasuredError:
        raise
    except (CancelledError, FarmError) as error:
        if isinstance(error, FarmError) and not (cancelled is not None and cancelled()):
            raise
        what = error.what if isinstance(error, CancelledError) else "stopped"
        raise CancelledError(what, _continuation(request)) from error
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(_continuation(request)) from error


def _continuation(request: Request) -> str:
    if not holds_run(request.folder):
        return "nothing was painted yet, so give the same command again"
    return f"continue with: {continue_command('resume', request.folder, request.output)}"
