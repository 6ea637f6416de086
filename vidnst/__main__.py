"""Entry point: runs the command line and turns errors into one sentence and an exit status."""

import logging
import sys
import traceback

from vidnst.errors import VidnstError
from vidnst.openmp import set_openmp_defaults


def main() -> None:
    """Run `vidnst`; never returns."""
    set_openmp_defaults()
    from vidnst.cli.app import app

    try:
        app()
    except VidnstError as error:
        if logging.getLogger("vidnst").isEnabledFor(logging.DEBUG):
            traceback.print_exc()
        print(f"vidnst: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("vidnst: stopped.", file=sys.stderr)  # noqa: T201
        sys.exit(130)


if __name__ == "__main__":
    main()
