"""Jumps of a file's clock, where recordings were joined: which packet belongs to which piece."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

_FORWARD_SECONDS = 10.0
"""A longer gap is a jump; a shorter one may be a picture that stays, or a part that was not received."""
_BACKWARD_SECONDS = 0.1
_SAME_CLOCK_SECONDS = 5.0
"""Streams of one piece are not farther apart in the file."""


@dataclass(frozen=True, slots=True)
class PacketRecord:
    """One packet, times in ticks of its stream's clock."""

    stream: int
    pts: int | None
    dts: int | None
    duration: int
    is_shown: bool
    """False if it only serves to decode others."""
    is_damaged: bool = False
    """True if it is damaged or cut off."""

    @property
    def time(self) -> int | None:
        """The decoding time, else the presentation time."""
        return self.pts if self.dts is None else self.dts


def find_pieces(records: Sequence[PacketRecord], seconds_per_tick: dict[int, Fraction]) -> list[int]:
    """Return the number of the piece, from 0, of every packet.

    A packet starts a piece if its time jumps and the stream's following packet stays near it; if that returns to the
    old clock, the packet has a wrong time. Where another stream has come as far on the same clock, there was a pause.
    The streams of a file do not jump at the same packet: one joins a piece that another has started if their clocks
    agree.
    """
    ticks = {stream: float(base) for stream, base in seconds_per_tick.items()}
    following = _following_times(records, ticks)
    clocks: list[float] = []
    ends: dict[int, float] = {}
    pieces_of: dict[int, int] = {}
    pieces = []
    for number, record in enumerate(records):
        piece = pieces_of.get(record.stream, 0)
        if record.time is not None:
            now = record.time * ticks[record.stream]
            end = ends.get(record.stream)
            after = following[number]
            if end is None:
                piece = _piece_at(now, clocks, first=0)
            elif _is_jump(end, now) and not _is_pause(end, now, clocks[piece]):
                if after is not None and abs(after - end) <= abs(after - now):
                    pieces.append(piece)  # one wrong time stamp
                    continue
                piece = _piece_at(now, clocks, first=piece + 1)
            if piece == len(clocks):
                clocks.append(now)
            clocks[piece] = now
            ends[record.stream] = now + record.duration * ticks[record.stream]
            pieces_of[record.stream] = piece
        pieces.append(piece)
    return pieces


def _is_jump(end: float, now: float) -> bool:
    return now > end + _FORWARD_SECONDS or now < end - _BACKWARD_SECONDS


def _is_pause(end: float, now: float, clock: float) -> bool:
    """Return whether a stream had nothing for a while in which the others went on: `clock` is theirs."""
    return now > end and abs(clock - now) < _SAME_CLOCK_SECONDS


def _piece_at(now: float, clocks: Sequence[float], *, first: int) -> int:
    """Return the first of the pieces from `first` whose clock agrees; a new one if there is none."""
    near = (number for number in range(first, len(clocks)) if abs(clocks[number] - now) < _SAME_CLOCK_SECONDS)
    return next(near, len(clocks))


def _following_times(records: Sequence[PacketRecord], ticks: dict[int, float]) -> list[float | None]:
    following: list[float | None] = []
    times: dict[int, float] = {}
    for record in reversed(records):
        following.append(times.get(record.stream))
        if record.time is not None:
            times[record.stream] = record.time * ticks[record.stream]
    return following[::-1]


def find_offsets(
    records: Sequence[PacketRecord], pieces: Sequence[int], *, video: int, seconds_per_tick: dict[int, Fraction]
) -> list[Fraction]:
    """Return the seconds to add to the times of each piece so that its video follows on that of the piece before.

    A piece without video follows on the end of all streams.
    """
    count = max(pieces, default=0) + 1
    spans: list[dict[bool, tuple[Fraction, Fraction]]] = [{} for _ in range(count)]
    for record, piece in zip(records, pieces, strict=True):
        if record.pts is None or not record.is_shown:
            continue
        begin = record.pts * seconds_per_tick[record.stream]
        end = begin + record.duration * seconds_per_tick[record.stream]
        is_video = record.stream == video
        low, high = spans[piece].get(is_video, (begin, end))
        spans[piece][is_video] = min(low, begin), max(high, end)
    offsets = [Fraction(0)]
    joined_end: Fraction | None = None
    for piece, span in enumerate(spans):
        begin, end = span.get(True) or span.get(False) or (Fraction(0), Fraction(0))
        if piece:
            offsets.append((joined_end or Fraction(0)) - begin if span else offsets[-1])
        joined_end = end + offsets[piece] if span else joined_end
    return offsets
