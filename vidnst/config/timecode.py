"""Places in a clip as a user writes them: frame numbers, seconds, timecodes."""

import re
from bisect import bisect_left
from fractions import Fraction

from vidnst.errors import ConfigError, RangeError
from vidnst.frames import ClipInfo

_TIMECODE = re.compile(r"(?:(?P<hours>\d{1,4}):)?(?P<minutes>\d{1,4}):(?P<seconds>\d{1,2}(?:\.\d{1,9})?)")
_SECONDS = re.compile(r"(?P<seconds>\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})\s*s")
_SLACK_SECONDS = Fraction(1, 2000)
"""People copy times that were rounded to milliseconds."""


def parse_position(text: str, clip: ClipInfo) -> int:
    """Frame that `text` means: `20` (frame 20), `1.5s` or `00:00:01.5` (the first frame at or after that time).

    Times count from the clip's first frame. The clip's end (its frame count, or its duration) is a position too.

    Raises:
        ConfigError: written in none of these ways.
        RangeError: outside the clip.
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
    """The seconds that `1.5s` or `00:00:01.5` means.

    Raises:
        ConfigError: written in neither way.
    """
    text = text.strip()
    if match := _SECONDS.fullmatch(text):
        return Fraction(match["seconds"])
    if match := _TIMECODE.fullmatch(text):
        return int(match["hours"] or 0) * 3600 + int(match["minutes"]) * 60 + Fraction(match["seconds"])
    raise ConfigError(f"{text!r} is no position in a clip", "write a frame (20), seconds (1.5s) or a time (0:01.5)")


def moment_seconds(text: str, clip: ClipInfo) -> Fraction:
    """Seconds from the clip's first frame that `text`, written as for `parse_position`, means; may lie after its end.

    A frame number after the end counts on at the clip's rate.

    Raises:
        ConfigError: written in no known way.
    """
    text = text.strip()
    if not re.fullmatch(r"\d{1,12}", text):
        return parse_seconds(text)
    beyond = int(text) - clip.frame_count
    if beyond < 0:
        return clip.pts_seconds[int(text)] - clip.pts_seconds[0]
    return clip.duration_seconds + beyond / clip.rate


def frame_range(clip: ClipInfo, start: str | None, end: str | None) -> tuple[int, int]:
    """First frame and end (not included) of the part of a clip between two positions; none is the clip's own.

    Raises:
        ConfigError: a position is written in no known way.
        RangeError: a position is outside the clip, or nothing lies between them.
    """
    first = 0 if start is None else parse_position(start, clip)
    stop = clip.frame_count if end is None else parse_position(end, clip)
    if first >= clip.frame_count:
        raise _outside(str(start), clip)
    if first >= stop:
        raise RangeError(f"nothing lies between {start or 'the start'} and {end or 'the end'}", _limits(clip))
    return first, stop


def _outside(text: str, clip: ClipInfo) -> RangeError:
    return RangeError(f"{text} is outside {clip.source}", _limits(clip))


def _limits(clip: ClipInfo) -> str:
    return f"it has frames 0 to {clip.frame_count - 1}, {float(clip.duration_seconds):.3f} s"
