"""Numbers, durations and sizes as text for messages, tables and pages. What is unknown (None) becomes a dash."""

import re

_UNKNOWN = "-"

_LONE_BYTE = re.compile("[\udc80-\udcff]")
"""A byte of a file name that is not UTF-8, as Python keeps it (PEP 383)."""


_LINES = re.compile(r"([\n\t]+)")
_LINES_AND_COLOURS = re.compile(r"((?:[\n\t]|\x1b\[[0-9;]{0,32}m)+)")


def printable(text: str) -> str:
    """Return a text on one line that no terminal obeys: control characters, and bytes that are not UTF-8, as escapes.

    Names of files may hold both. A byte becomes `\\xe9`, a line feed `\\n`.
    """
    if text.isprintable():
        return text
    with_bytes = _LONE_BYTE.sub(lambda match: f"\\x{ord(match[0]) - 0xDC00:02x}", text)
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in with_bytes
    )


def printable_lines(text: str, *, colours: bool = False) -> str:
    """Return a text of several lines that no terminal obeys, but for its line feeds and tabs.

    Args:
        text: the text.
        colours: leave sequences as they are that only choose colours and weight.
    """
    if text.isprintable():
        return text
    parts = (_LINES_AND_COLOURS if colours else _LINES).split(text)
    return "".join(part if number % 2 else printable(part) for number, part in enumerate(parts))


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: 1 clip, 2 clips."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def format_number(value: float | None) -> str:
    """Format with three significant figures, and no exponent where a person would write none."""
    if value is None:
        return _UNKNOWN
    if value != 0 and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.3g}"
    text = f"{value:.{max(0, 3 - len(str(int(abs(value)))))}f}" if abs(value) >= 1 else f"{value:.3g}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_duration(seconds: float | None) -> str:
    """Format with units, like 2 h 05 min, 3 min 20 s or 4.2 s."""
    if seconds is None:
        return _UNKNOWN
    if seconds < 60:
        return f"{seconds:.3g} s"
    hours, minutes, rest = _split(seconds)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def format_clock(seconds: float | None) -> str:
    """Format as H:MM:SS, or M:SS below an hour."""
    if seconds is None:
        return _UNKNOWN
    hours, minutes, rest = _split(seconds)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def time_left_in_words(seconds: float | None, *, is_forecast: bool) -> str:
    """Return the time left in words; a forecast is only about right."""
    if seconds is None:
        return "-- left"
    return f"{'about ' if is_forecast else ''}{format_clock(max(0.0, seconds))} left"


def format_bytes(count: int | None) -> str:
    """Format with the decimal unit that fits, like 512 B, 1.5 MB or 12.3 GB."""
    if count is None:
        return _UNKNOWN
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def format_gigabytes(count: int, *, decimals: int = 1) -> str:
    """Format bytes in GB (10^9 bytes), with a fixed number of decimals so that sizes can be compared."""
    return f"{count / 1e9:.{decimals}f} GB"


def format_gibibytes(count: int, *, decimals: int = 2) -> str:
    """Format bytes in GiB (2^30 bytes), in which memory comes, with a fixed number of decimals."""
    return f"{count / 2**30:.{decimals}f} GiB"


def _split(seconds: float) -> tuple[int, int, int]:
    """Hours, minutes and seconds, rounded to whole seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return *divmod(minutes, 60), rest
