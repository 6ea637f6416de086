"""Time stamps of the packets of a file. Nothing is decoded here."""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from vidnst.errors import SourceError
from vidnst.media.input.container import ContainerInfo, ask_reader
from vidnst.media.input.jumps import PacketRecord, find_offsets, find_pieces
from vidnst.media.input.limits import MAX_FRAMES, check_frame_count
from vidnst.media.input.stream_facts_parser import parse_ratio

_FIELDS = 5
"""Numbers of a packet in the child's answer: stream, pts, dts, duration, flags."""
_LINE_BYTES = 1 << 16
_MOST_PACKETS_PER_FRAME = 4
_NO_PTS = -(2**63)
_DISCARD, _CORRUPT = 2, 4
_SIZE_STREAM = -1
"""Stream number of the records of decoded frames: width, height, 1 if interlaced, presentation time."""
_LONGEST_DELAY_SECONDS = 30
"""Longest time that a frame waits for those that are shown before it."""
_FEWEST_SECONDS = 300
_BYTES_PER_SECOND = 2 << 20
"""Slowest reading of a file that is waited for."""


@dataclass(frozen=True, slots=True)
class PacketTimes:
    """Time stamps of the shown packets of a video stream, in the order of the file."""

    time_base: Fraction
    """Seconds per tick."""
    pts: tuple[int, ...]
    """Presentation times in ticks, on the file's own clock."""
    durations: tuple[int, ...]
    """Durations in ticks; 0 if unknown."""
    pieces: tuple[int, ...] = ()
    """The piece of each packet, from 0, if the file's clock jumps; empty if it does not."""
    offsets: tuple[Fraction, ...] = ()
    """What to add to the times of each piece, in ticks, so that all follow each other; empty if the clock does not
    jump."""
    has_fields: bool = False
    """True if a key frame is marked as interlaced."""
    damaged: tuple[int, ...] = ()
    """Presentation times of packets that are damaged or cut off, in ticks."""

    @property
    def end(self) -> int:
        """The tick at which the last frame ends, or starts if its duration is unknown; 0 without packets."""
        return max((at + length for at, length in zip(self.pts, self.durations, strict=True)), default=0)


@dataclass(frozen=True, slots=True)
class PartStart:
    """Where a part of a stream starts in a file whose clock jumps."""

    packet: int
    """Number of the first packet among those of the stream."""
    offset: int
    """Ticks to add to its times."""
    until: int | None
    """The tick, after adding, at which the next part begins; None for the last one."""


def read_packet_times(path: Path, info: ContainerInfo) -> PacketTimes:
    """Read the time stamps of all packets of a file's video, in ticks of its clock.

    Packets that only serve to decode others (before the start of an edit list) and packets without a time stamp are
    left out.

    Raises:
        SourceError: the stream cannot be read, or has frames of another size than the header says.
    """
    video = info.video_index
    streams = clocked_streams(info) if info.may_jump else [video]
    records, time_bases, has_fields = _read_records(path, info, streams, checks_frames=True)
    joined = _join(records, time_bases, video) if info.may_jump else None
    time_base = time_bases[video]
    pts, durations, pieces = [], [], []
    damaged = _damaged(records, joined[0] if joined else [], video)
    for number, record in enumerate(records):
        if record.stream == video and record.is_shown and record.pts is not None:
            pts.append(record.pts)
            durations.append(record.duration)
            pieces.append(joined[0][number] if joined else 0)
    check_frame_count(str(path), len(pts))
    if joined is None:
        return PacketTimes(time_base, tuple(pts), tuple(durations), has_fields=has_fields, damaged=damaged)
    offsets = tuple(offset / time_base for offset in joined[1])
    return PacketTimes(time_base, tuple(pts), tuple(durations), tuple(pieces), offsets, has_fields, damaged)


def _damaged(records: Sequence[PacketRecord], pieces: Sequence[int], video: int) -> tuple[int, ...]:
    """Return the presentation times of damaged packets of the video.

    The last two packets before a jump do not count: libavformat takes one of them for cut off, since what follows is
    not its rest.
    """
    numbers: dict[int, list[int]] = {}
    for number, piece in enumerate(pieces):
        if records[number].stream == video:
            numbers.setdefault(piece, []).append(number)
    ends = {number for piece in sorted(numbers)[:-1] for number in numbers[piece][-2:]}
    return tuple(
        record.pts or 0
        for number, record in enumerate(records)
        if record.stream == video and record.is_damaged and number not in ends
    )


def read_part_starts(path: Path, info: ContainerInfo) -> Mapping[int, tuple[PartStart, ...]]:
    """Find out how the parts of every audio stream follow each other, in step with the video.

    Returns:
        The parts by the stream's index; nothing if the file's clock does not jump.

    Raises:
        SourceError: the file cannot be read.
    """
    records, time_bases, _ = _read_records(path, info, clocked_streams(info))
    joined = _join(records, time_bases, info.video_index)
    if joined is None:
        return {}
    pieces, offsets = joined
    return {
        stream.index: _part_starts(
            [(record, piece) for record, piece in zip(records, pieces, strict=True) if record.stream == stream.index],
            [round(offset / time_bases[stream.index]) for offset in offsets],
        )
        for stream in info.audio
    }


def _part_starts(packets: Sequence[tuple[PacketRecord, int]], offsets: Sequence[int]) -> tuple[PartStart, ...]:
    parts: list[PartStart] = []
    before = -1
    for number, (record, piece) in enumerate(packets):
        if piece != before:
            offset = offsets[piece]
            begin = None if record.pts is None else record.pts + offset
            if parts:
                parts[-1] = replace(parts[-1], until=begin)
            parts.append(PartStart(number, offset, None))
            before = piece
    return tuple(parts)


def read_end_seconds(path: Path, info: ContainerInfo) -> Fraction:
    """Return the time on the file's clock at which the last packet of the video or of audio ends.

    Raises:
        SourceError: the file cannot be read.
    """
    records, time_bases, _ = _read_records(path, info, clocked_streams(info))
    ends = ((r.pts + r.duration) * time_bases[r.stream] for r in records if r.pts is not None)
    return max(ends, default=Fraction(0))


def read_sound_span(path: Path, info: ContainerInfo) -> tuple[Fraction, Fraction]:
    """Return where the last packet of audio ends on the file's clock, and how long the fullest stream's packets are.

    Both are in seconds, and 0 without packets. They differ where time stamps leave gaps, or begin late.

    Raises:
        SourceError: the file cannot be read.
    """
    indices = [stream.index for stream in info.audio]
    records, time_bases, _ = _read_records(path, info, indices)
    end = max(((r.pts + r.duration) * time_bases[r.stream] for r in records if r.pts is not None), default=Fraction(0))
    lengths = dict.fromkeys(indices, Fraction(0))
    for record in records:
        lengths[record.stream] += record.duration * time_bases[record.stream]
    return end, max(lengths.values(), default=Fraction(0))


def clocked_streams(info: ContainerInfo) -> list[int]:
    """Return the indices of the streams that show whether a file's clock jumps: the video and all audio."""
    return sorted([info.video_index, *(stream.index for stream in info.audio)])


def _join(
    records: list[PacketRecord], time_bases: dict[int, Fraction], video: int
) -> tuple[list[int], list[Fraction]] | None:
    """Return the piece of every packet, and the seconds to add to each; None if there is only one piece."""
    pieces = find_pieces(records, time_bases)
    if max(pieces, default=0) == 0:
        return None
    return pieces, find_offsets(records, pieces, video=video, seconds_per_tick=time_bases)


def _read_records(
    path: Path, info: ContainerInfo, streams: Sequence[int], *, checks_frames: bool = False
) -> tuple[list[PacketRecord], dict[int, Fraction], bool]:
    """Read the packets of streams; with `checks_frames` decode the frames of the video that depend on no other.

    Returns:
        The packets, seconds per tick of each stream, and whether a checked frame is interlaced.
    """
    max_bytes = MAX_FRAMES * _FIELDS * 8 * (1 if len(streams) == 1 else _MOST_PACKETS_PER_FRAME) + _LINE_BYTES
    answer, data = ask_reader(
        path,
        "packets",
        max_bytes=max_bytes,
        seconds=_FEWEST_SECONDS + path.stat().st_size / _BYTES_PER_SECOND,
        search_bytes=info.search_bytes,
        streams=streams,
        decode=info.video_index if checks_frames else None,
    )
    try:
        time_bases = {index: parse_ratio(answer["time_bases"][str(index)]) or Fraction(1, 1000) for index in streams}
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise SourceError(f"the streams of {path} cannot be read", "check the file") from error
    numbers = array("q")
    numbers.frombytes(data[: len(data) // (8 * _FIELDS) * 8 * _FIELDS])
    columns = [numbers[field::_FIELDS] for field in range(_FIELDS)]
    records, has_fields = [], False
    for stream, pts, dts, duration, flags in zip(*columns, strict=True):
        if stream in time_bases:
            shown, damaged = not flags & _DISCARD, bool(flags & _CORRUPT)
            records.append(PacketRecord(stream, _stamp(pts), _stamp(dts), max(0, duration), shown, damaged))
        elif stream == _SIZE_STREAM:
            has_fields = has_fields or duration == 1
            if (pts, dts) != (info.width, info.height):
                raise size_error(path, (pts, dts), (info.width, info.height))
    return _without_invented(records, time_bases), time_bases, has_fields


def _without_invented(records: Sequence[PacketRecord], time_bases: Mapping[int, Fraction]) -> list[PacketRecord]:
    """Correct presentation times that are far from the decoding time.

    Where a packet has none, libavformat makes one up from the packets after it, whose clock may be another.
    """
    delays: dict[int, int] = {}
    corrected = []
    for record in records:
        if record.pts is not None and record.dts is not None:
            delay = record.pts - record.dts
            if abs(delay) * time_bases[record.stream] > _LONGEST_DELAY_SECONDS and record.stream in delays:
                record = replace(record, pts=record.dts + delays[record.stream])
            else:
                delays[record.stream] = delay
        corrected.append(record)
    return corrected


def size_error(path: Path, found: tuple[int, int], wanted: tuple[int, int]) -> SourceError:
    """Return the error for frames of another size than the header says."""
    sizes = [f"{width}x{height}" for width, height in (found, wanted)]
    return SourceError(
        f"{path} has frames of {sizes[0]} pixels, but its header says {sizes[1]}",
        "convert it to one size, or cut it where the size changes",
    )


def _stamp(ticks: int) -> int | None:
    return None if ticks == _NO_PTS else ticks
