"""Entry point: runs the command line and turns errors into one sentence and an exit status."""

import logging
import sys

from vidnst.cli.streams import end_streams, protect_streams
from vidnst.errors import VidnstError
from vidnst.openmp import set_openmp_defaults

_SHOWN_CHARACTERS = 200
"""Of a path in a message."""


def main() -> None:
    """Run `vidnst`; never returns."""
    set_openmp_defaults()
    protect_streams()
    from vidnst.cli import terminal
    from vidnst.cli.app import run

    try:
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
        sys.exit(130)
    finally:
        end_streams()


if __name__ == "__main__":
    main()
