"""The log of the package on standard error."""

import logging
import platform

from vidnst import __version__
from vidnst.cli import terminal
from vidnst.formatting import printable


class _StderrHandler(logging.Handler):
    """Writes log lines to the current `sys.stderr`, which a progress display may have replaced."""

    def emit(self, record: logging.LogRecord) -> None:
        terminal.err.text(f"{self.format(record)}\n")


class _OneLineFormatter(logging.Formatter):
    """Puts each message on one line, whatever names are in it; a traceback follows on its own lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return printable(super().formatMessage(record))


def set_up_logging(verbose: bool) -> bool:
    """Log the package's warnings to stderr, or everything if `verbose`, which is returned."""
    logger = logging.getLogger("vidnst")
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING)
    if not any(isinstance(handler, _StderrHandler) for handler in logger.handlers):
        handler = _StderrHandler()
        handler.setFormatter(_OneLineFormatter("%(name)s: %(message)s"))
        logger.addHandler(handler)
    logger.debug("vidnst %s, Python %s, %s", __version__, platform.python_version(), platform.platform())
    return verbose
