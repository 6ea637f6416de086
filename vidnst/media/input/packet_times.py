"""Time stamps of the packets of a file. Nothing is decoded here."""

from array import array
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vidnst.errors import SourceError
from vidnst.media.input.container import ask_reader
from vidnst.media.input.limits import MAX_FRAMES, check_frame_count
from vidnst.media.input.stream_facts_parser import parse_ratio

_FIELDS = 5
"""Numbers of a packet in the child's answer: stream, pts, dts, duration, flags."""
_LINE_BYTES = 1 << 16
_NO_PTS = -(2**63)
_DISCARD = 2


@dataclass(frozen=True, slots=True)
class PacketTimes:
    """Time stamps of the shown packets of a video stream, in the order of the file."""

    time_base: Fraction
    """Seconds per tick."""
    pts: tuple[int, ...]
    """Presentation times in ticks, on the file's own clock."""
    durations: tuple[int, ...]
    """Durations in ticks; 0 if unknown."""


def read_packet_times(path: Path, video_index: int) -> PacketTimes:
    """Read the time stamps of all packets of one stream, in ticks of the file's clock.

    Packets that only serve to decode others (before the start of an edit list) and packets without a time stamp are
    left out.

    Raises:
        SourceError: the stream cannot be read.
    """
    max_bytes = MAX_FRAMES * _FIELDS * 8 + _LINE_BYTES
    answer, data = ask_reader(path, "packets", max_bytes=max_bytes, streams=[video_index])
    try:
        time_base = parse_ratio(answer["time_bases"][str(video_index)])
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise SourceError(f"the video stream of {path} cannot be read", "check the file") from error
    records = array("q")
    records.frombytes(data[: len(data) // (8 * _FIELDS) * 8 * _FIELDS])
    check_frame_count(str(path), len(records) // _FIELDS)
    pts, durations = [], []
    for at, duration, flags in zip(records[1::_FIELDS], records[3::_FIELDS], records[4::_FIELDS], strict=True):
        if not flags & _DISCARD and at != _NO_PTS:
            pts.append(at)
            durations.append(duration)
    return PacketTimes(time_base or Fraction(1, 1000), tuple(pts), tuple(durations))
