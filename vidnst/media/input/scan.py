"""How a video was scanned: progressive, or in two fields, as its headers say, or as its frames look."""

import re
from fractions import Fraction
from pathlib import Path

from vidnst.media import ffmpeg
from vidnst.media.input.container import INPUT_OPTIONS, ContainerInfo

_TOP_FIRST = {"tt": True, "bb": False}
"""Orders of fields by whether the top one is shown first; ffmpeg writes tb and bt against their definition."""
_DOUBTED_CODECS = frozenset({"h264", "mpeg2video", "dvvideo"})
"""Codecs of tapes and television, whose files often call interlaced frames progressive, or nothing."""
_TELEVISION_LINES = frozenset({480, 486, 576, 1080, 1088})
_TELEVISION_RATES = frozenset({Fraction(25), Fraction(30000, 1001), Fraction(30)})
_LOOKED_AT_FRAMES = 200
_LEAST_FRAMES = 10
_CLEAR_SHARE = 0.6
_TIMEOUT_SECONDS = 60
_COUNTS = re.compile(r"Multi frame detection: TFF:\s*(\d+) BFF:\s*(\d+) Progressive:\s*(\d+)")


def find_scan(path: Path, info: ContainerInfo) -> tuple[bool, bool | None]:
    """Return whether a video is interlaced, and whether the top field is shown first; None if each frame tells.

    Frames of a size and rate of television are looked at where headers say that they are progressive, or nothing.
    """
    video = info.video
    if video.is_interlaced:
        return True, _TOP_FIRST.get(video.field_order or "")
    is_doubted = video.codec in _DOUBTED_CODECS and video.height in _TELEVISION_LINES
    if not is_doubted or not _TELEVISION_RATES.intersection(video.rates):
        return False, None
    return _look(path, info.video_index)


def _look(path: Path, index: int) -> tuple[bool, bool | None]:
    args = [*INPUT_OPTIONS, "-i", ffmpeg.file_url(path), "-map", f"0:{index}", "-frames:v", str(_LOOKED_AT_FRAMES)]
    _, _, text = ffmpeg.run_and_capture([*args, "-vf", "idet", "-f", "null", "-"], seconds=_TIMEOUT_SECONDS)
    found = _COUNTS.findall(text)
    if not found:
        return False, None
    top, bottom, progressive = map(int, found[-1])
    interlaced = top + bottom
    if interlaced < _LEAST_FRAMES or interlaced < _CLEAR_SHARE * (interlaced + progressive):
        return False, None
    return True, top >= bottom
