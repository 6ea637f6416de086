"""Entry point: runs the command line and turns errors into one sentence and an exit status."""

import logging
import sys

from vidnst.cli import stop_signals
from vidnst.cli.process_end import process_end
from vidnst.cli.streams import end_streams, protect_streams
from vidnst.devices.openmp import set_openmp_defaults
from vidnst.errors import CancelledError, VidnstError

_SHOWN_CHARACTERS = 200
"""Of a path in a message."""


def main() -> None:
    """Run `vidnst`; never returns."""
    stop_signals.install()
    process_end.register()
    try:
        _run()
    except SystemExit as end:
        process_end.status = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
    except KeyboardInterrupt:  # while the reason of the end was being written
        process_end.status = CancelledError.exit_code
        sys.exit(CancelledError.exit_code)
    finally:
        stop_signals.finish()
        process_end.end_if_work_is_abandoned()


def _run() -> None:
    set_openmp_defaults()
    protect_streams()
    from vidnst.cli import terminal

    try:
        from vidnst.cli.app import run

        run()
    except VidnstError as error:
        if logging.getLogger("vidnst").isEnabledFor(logging.DEBUG):
            terminal.err.traceback()
        terminal.err.message(str(error))
        sys.exit(error.exit_code)
    except OSError as error:  # a path that cannot exist or be read, such as one with a name that is too long
        if logging.getLogger("vidnst").isEnabledFor(logging.DEBUG):
            terminal.err.traceback()
        where = f" {str(error.filename)[:_SHOWN_CHARACTERS]}" if error.filename is not None else ""
        terminal.err.message(f"cannot access{where}: {error.strerror or error}.")
        sys.exit(VidnstError.exit_code)
    except KeyboardInterrupt:
        terminal.err.message("stopped.")
        sys.exit(CancelledError.exit_code)
    finally:
        end_streams()


if __name__ == "__main__":
    main()
