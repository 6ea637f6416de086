"""Says how steady a render is, in numbers and in words."""

from typing import TYPE_CHECKING

from vidnst.formatting import format_duration

if TYPE_CHECKING:  # it says its own words by this module
    from vidnst.events import Measured, RunFinished

_STEADINESS = (
    (0.8, "steadier than the source"),
    (1.25, "about as steady as the source"),
    (4.0, "a little less steady than the source"),
    (12.0, "restless"),
)
"""The largest warping error, times the source's, that each of these words is for.

The error is a mean of squares: a quarter more is an eighth more of the difference itself, too little to see; 4 is twice
the difference, and 12 three and a half times."""
_UNSTEADIEST = "it flickers"
_VISIBLE_FLICKER_LEVELS = 1.0
"""Excess of the flicker over the source's from which it is told: less is below one step of a file of 8 bits."""
_VISIBLE_FLICKER_RATIO = 1.5
"""Flicker over the source's from which it is told."""
_STILL_LEVELS = 0.1
"""Flicker of a source below which it is as good as still, so that no ratio to it says anything."""


def steadiness_in_words(
    error_ratio: float, flicker_levels: float | None = None, source_flicker_levels: float | None = None
) -> str:
    """Return how steady a viewer finds a render, and whether what stands still flickers visibly more than its source.

    Args:
        error_ratio: its warping error over its source's.
        flicker_levels, source_flicker_levels: mean change of pixels at which the source is still, levels of 255.
    """
    words = next((words for most, words in _STEADINESS if error_ratio <= most), _UNSTEADIEST)
    flicker, own = flicker_levels, source_flicker_levels
    if flicker is None or own is None or flicker - own < _VISIBLE_FLICKER_LEVELS:
        return words
    if flicker < _VISIBLE_FLICKER_RATIO * own:
        return words
    much = f"by {flicker:.2g} levels of 255" if own < _STILL_LEVELS else f"{flicker / own:.2g} times as much"
    return f"{words}, {'but' if error_ratio <= _STEADINESS[1][0] else 'and'} what stands still flickers {much}"


def finished_in_words(event: "RunFinished") -> str:
    """Return the last line of a render: what was made, where, how long it took, how steady it is, and its report."""
    frames = f"{event.frames} frame{'' if event.frames == 1 else 's'} in {format_duration(event.seconds)}"
    steady = ""
    if event.error_ratio is not None:
        words = steadiness_in_words(event.error_ratio, event.flicker_levels, event.source_flicker_levels)
        steady = f"; {words}"
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
