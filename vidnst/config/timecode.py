"""Positions in a clip as a user writes them: frame numbers, seconds, timecodes."""

import re
from bisect import bisect_left
from fractions import Fraction

from vidnst.errors import ConfigError, RangeError
from vidnst.frames import ClipInfo

_TIMECODE = re.compile(r"(?:(?P<hours>\d{1,4}):)?(?P<minutes>\d{1,4}):(?P<seconds>\d{1,2}(?:\.\d{1,9})?)")
_SECONDS = re.compile(r"(?P<seconds>\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})\s*s")
_SLACK_SECONDS = Fraction(1, 2000)
"""Tolerance for times that a user copied from a display rounded to milliseconds."""


def parse_position(text: str, clip: ClipInfo) -> int:
    """Return the frame index for `20` (frame 20), `1.5s` or `00:00:01.5` (the first frame at or after that time).

    Times count from the clip's first frame. The clip's end (its frame count, or its duration) is a valid position.

    Raises:
        ConfigError: the text is in none of these forms.
        RangeError: the position is outside the clip.
    """
    text = text.strip()
    if re.fullmatch(r"\d{1,12}", text):
        index = int(text)
        if index > clip.frame_count:
            raise _outside(text, clip)
        return index
    seconds = parse_seconds(text)
    if seconds > clip.duration_seconds + _SLACK_SECONDS:
        raise _outside(text, clip)
    return bisect_left(clip.pts_seconds, clip.pts_seconds[0] + seconds - _SLACK_SECONDS)


def parse_seconds(text: str) -> Fraction:
    """Parse `1.5s` or `00:00:01.5`.

    Raises:
        ConfigError: the text is in neither form.
    """
    text = text.strip()
    if match := _SECONDS.fullmatch(text):
        return Fraction(match["seconds"])
    if match := _TIMECODE.fullmatch(text):
        return int(match["hours"] or 0) * 3600 + int(match["minutes"]) * 60 + Fraction(match["seconds"])
    raise ConfigError(f"{text!r} is not a position in a clip", "write a frame (20), seconds (1.5s) or a time (0:01.5)")


def moment_seconds(text: str, clip: ClipInfo) -> Fraction:
    """Return the seconds from the clip's first frame to a position, which may lie after the clip's end.

    Frame numbers after the end are converted at the clip's rate.

    Args:
        text: as for `parse_position`.

    Raises:
        ConfigError: the text is in no known form.
    """
    text = text.strip()
    if not re.fullmatch(r"\d{1,12}", text):
        return parse_seconds(text)
    beyond = int(text) - clip.frame_count
    if beyond < 0:
        return clip.pts_seconds[int(text)] - clip.pts_seconds[0]
    return clip.duration_seconds + beyond / clip.rate


def frame_range(clip: ClipInfo, start: str | None, end: str | None) -> tuple[int, int]:
    """Return the first frame and the end (exclusive) of a part of a clip; None stands for the clip's own limits.

    Raises:
        ConfigError: a position is in no known form.
        RangeError: a position is outside the clip, or the range is empty.
    """
    first = 0 if start is None else parse_position(start, clip)
    stop = clip.frame_count if end is None else parse_position(end, clip)
    if first >= clip.frame_count:
        raise _outside(str(start), clip)
    if first >= stop:
        raise RangeError(f"the range from {start or 'the start'} to {end or 'the end'} is empty", _limits(clip))
    return first, stop


def _outside(text: str, clip: ClipInfo) -> RangeError:
    return RangeError(f"{text} is outside {clip.source}", _limits(clip))


def _limits(clip: ClipInfo) -> str:
    named = f" (numbers {clip.numbers[0]} to {clip.numbers[-1]})" if clip.numbers and clip.numbers[0] else ""
    return f"it has frames 0 to {clip.frame_count - 1}{named}, {float(clip.duration_seconds):.3f} s"
