"""Says how steady a render is, in numbers and in words."""

from typing import TYPE_CHECKING

from vidnst.formatting import format_duration

if TYPE_CHECKING:  # it says its own words by this module
    from vidnst.events import Measured, RunFinished

_STEADINESS = (
    (1.25, "as steady as the source"),
    (4.0, "steady"),
    (12.0, "a little restless"),
)
"""The largest warping error, times the source's, that each of these words is for."""


def steadiness_in_words(error_ratio: float) -> str:
    """Return how steady a viewer finds a render, given its warping error over its source's."""
    return next((words for most, words in _STEADINESS if error_ratio <= most), "restless: it boils")


def finished_in_words(event: "RunFinished") -> str:
    """Return the last line of a render: what was made, where, how long it took, how steady it is, and its report."""
    frames = f"{event.frames} frame{'' if event.frames == 1 else 's'} in {format_duration(event.seconds)}"
    steady = "" if event.error_ratio is None else f"; {steadiness_in_words(event.error_ratio)}"
    return f"made {event.output}: {frames}{steady}" + (f"; report: {event.report}" if event.report else "")


def measured_in_words(found: "Measured") -> str:
    """Return the main numbers of a measurement in a sentence: the file's, where it was measured."""
    parts = []
    in_file = found.file_error is not None
    error, flicker = (found.file_error, found.file_flicker_levels) if in_file else (found.error, found.flicker_levels)
    if error is not None:
        facts = [] if found.shown_error_ratio is None else [f"{found.shown_error_ratio:.3g} times the source's"]
        facts += [f"{found.error:.3g} before encoding"] if in_file and found.error is not None else []
        parts.append(f"warping error {error:.3g}" + (f" ({', '.join(facts)})" if facts else ""))
    if flicker is not None:
        own = "" if found.source_flicker_levels is None else f" (source {found.source_flicker_levels:.2g})"
        parts.append(f"still pixels flicker by {flicker:.2g} levels{own}")
    if found.key_ratio is not None:
        parts.append(f"key frames {found.key_ratio:.3g} times the error elsewhere")
    parts += [f"{name} {value:.3g}" for name, value in found.losses.items()]
    return f"measured: {', '.join([*parts, f'all in {found.file}'])}"
