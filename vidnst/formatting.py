"""Numbers, durations and sizes as text for messages, tables and pages. What is unknown (None) becomes a dash."""

_UNKNOWN = "-"


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
