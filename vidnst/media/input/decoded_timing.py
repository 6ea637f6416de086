"""Times of decoded frames: the decoder's stamps compared with those of the packets, repaired and joined."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from vidnst.media.input.container import ContainerInfo
from vidnst.media.input.frame_rate import find_constant_rate, standard_rate
from vidnst.media.input.packet_times import PacketTimes
from vidnst.media.input.stamp_repair import Stamp, repair_stamps

_DEFAULT_RATE = Fraction(25)
"""Rate of files that have neither time stamps nor a rate."""
_RECORDING_CONTAINERS = frozenset({"mpegts", "mpegtsraw", "mpeg", "mpegvideo", "h264", "hevc"})
"""Containers of recordings, which often start in the middle of a group of pictures."""


@dataclass(frozen=True, slots=True)
class ClipTiming:
    """The times of a clip's frames."""

    rate: Fraction
    pts_seconds: tuple[Fraction, ...]
    last_duration_seconds: Fraction
    variable: bool
    bad: tuple[int, ...] = ()
    """Frames that are in the file but do not decode."""
    decoder_seconds: tuple[Fraction, ...] = ()
    """The decoder's time stamp of each frame that decodes, where it differs from `pts_seconds`; else empty."""
    notes: tuple[str, ...] = ()
    """Remarks for the user, as sentences without a full stop."""


def time_frames(
    decoded: Sequence[int],
    packet_times: PacketTimes,
    info: ContainerInfo,
    *,
    name: str,
    reports_errors: Callable[[], bool],
) -> ClipTiming:
    """Determine the times of all frames.

    Args:
        decoded: time stamp of each frame that decodes, in ticks, on the decoder's clock, which starts with the stream.
        name: the source, for notes.
        reports_errors: tells whether ffmpeg, decoding the same file, reports errors. Some packets are never shown
            (hidden reference frames), so those without a frame count as bad only if it does.
    """
    tick = packet_times.time_base
    if packet_times.offsets:
        shown, missing = _align(decoded, packet_times, info)
    else:
        shift = _shift(decoded, packet_times.pts)
        shown = [number + shift for number in decoded]
        missing = _undecoded([number + shift for number in decoded], packet_times, info)
    notes = [_join_note(packet_times, name)] if packet_times.offsets else []
    wrong: tuple[int, ...] = ()
    if any(stamp is None for stamp in shown) or any(b <= a for a, b in pairwise(shown)):  # type: ignore[operator]
        repaired = repair_stamps(shown)
        if repaired is None:
            return _constant_timing(decoded, packet_times, info, name)
        shown, wrong = list(repaired[0]), repaired[1]
        # OpenCV has none for the end of a VOB, nor of its parts.
        is_usual = len(wrong) <= len(packet_times.offsets) or wrong == (len(shown) - 1,)
        if not (info.may_jump and is_usual):
            notes.append(_repair_note(wrong, shown, tick, name))
    if missing and not reports_errors():
        missing = set()
    is_original = not wrong and not packet_times.offsets
    raw = () if is_original else tuple(number * tick for number in decoded)
    return _clip_timing(shown, missing, packet_times, info, raw, notes)


def _clip_timing(
    shown: Sequence[Stamp | None],
    missing: set[Fraction],
    packet_times: PacketTimes,
    info: ContainerInfo,
    raw: tuple[Fraction, ...],
    notes: Sequence[str],
) -> ClipTiming:
    tick = packet_times.time_base
    ticks = sorted({*(stamp for stamp in shown if stamp is not None), *missing})
    pts = tuple(number * tick for number in ticks)
    last = tick * _duration_at(ticks[-1], packet_times)
    bad = tuple(index for index, at in enumerate(ticks) if at in missing)
    found = ClipTiming(Fraction(1), pts, last, variable=False, bad=bad, decoder_seconds=raw, notes=tuple(notes))
    return _with_rate(found, tick, info)


def _with_rate(timing: ClipTiming, tick: Fraction, info: ContainerInfo) -> ClipTiming:
    pts, last = timing.pts_seconds, timing.last_duration_seconds
    rest = {"bad": timing.bad, "decoder_seconds": timing.decoder_seconds, "notes": timing.notes}
    if len(pts) == 1:
        rate = standard_rate(info.rates[0]) if info.rates else 1 / last if last else _DEFAULT_RATE
        return ClipTiming(rate, pts, last or 1 / rate, False, **rest)  # type: ignore[arg-type]
    constant = find_constant_rate(pts, tick_seconds=tick, hints=info.rates)
    if constant is not None:
        even = tuple(pts[0] + number / constant for number in range(len(pts)))
        return ClipTiming(constant, even, 1 / constant, False, **rest)  # type: ignore[arg-type]
    last = last or pts[-1] - pts[-2]
    mean = len(pts) / (pts[-1] - pts[0] + last)
    return ClipTiming(mean, pts, last, True, **rest)  # type: ignore[arg-type]


def _duration_at(at: Stamp, packet_times: PacketTimes) -> int:
    """Return the duration of the packet that is shown at a joined time; 0 if unknown."""
    pieces = packet_times.pieces or (0,) * len(packet_times.pts)
    offsets = packet_times.offsets or (Fraction(0),)
    found = zip(packet_times.pts, packet_times.durations, pieces, strict=True)
    return max((duration for pts, duration, piece in found if pts + offsets[piece] == at), default=0)


def _constant_timing(decoded: Sequence[int], packet_times: PacketTimes, info: ContainerInfo, name: str) -> ClipTiming:
    """Return times at the header's rate, for a file without usable time stamps (raw H.264, B-frames in AVI)."""
    rate = standard_rate(info.rates[0]) if info.rates else _DEFAULT_RATE
    pts = tuple(number / rate for number in range(len(decoded)))
    raw = tuple(number * packet_times.time_base for number in decoded)
    note = f"{name} has no usable time stamps; its frames are shown at {float(rate):g} per second"
    notes = (note,) if packet_times.pts else ()
    return ClipTiming(rate, pts, 1 / rate, False, decoder_seconds=raw, notes=notes)


def _join_note(packet_times: PacketTimes, name: str) -> str:
    jumps = len(packet_times.offsets) - 1
    how_often = "once" if jumps == 1 else f"{jumps} times"
    return f"the clock of {name} jumps {how_often}; its parts are joined without gaps"


def _repair_note(wrong: Sequence[int], shown: Sequence[Stamp | None], tick: Fraction, name: str) -> str:
    first = float(((shown[wrong[0]] or 0) - (shown[0] or 0)) * tick)
    what = "time stamp of {} is" if len(wrong) == 1 else "time stamps of {} are"
    return (
        f"{len(wrong)} {what.format(name)} repeated or out of order (frame {wrong[0]}); replaced by times between"
        f" the neighbours', {first:.3f} s" + (" for the first" if len(wrong) > 1 else "")
    )


def _shift(decoded: Sequence[int], packet_times: Sequence[int]) -> int:
    """Find the offset from the decoder's clock to the file's that puts every decoded frame on a packet.

    The decoder's clock starts with the first packet, even if that does not decode. If the container declares another
    start, the first decoded frame is matched with one of the first packets.
    """
    packet_ticks = set(packet_times)
    if not packet_ticks:
        return 0
    first = min(packet_ticks)
    for shift in (first, *(start - decoded[0] for start in sorted(packet_ticks)[:64])):
        if all(tick + shift in packet_ticks for tick in decoded):
            return shift
    return first - decoded[0]


def _undecoded(shown: Sequence[Stamp], packet_times: PacketTimes, info: ContainerInfo) -> set[Fraction]:
    """Return the time stamps of packets without a decoded frame."""
    missing = set(packet_times.pts) - set(shown)
    if info.container in _RECORDING_CONTAINERS or (packet_times.pts and packet_times.pts[0] in shown):
        missing = {at for at in missing if at > shown[0]}  # earlier frames refer to frames that were cut off
    return {Fraction(at) for at in missing}


def _align(
    decoded: Sequence[int], packet_times: PacketTimes, info: ContainerInfo
) -> tuple[list[Stamp | None], set[Fraction]]:
    """Put every decoded frame of joined pieces on a packet; times may occur in several pieces, so the order decides.

    Returns:
        The joined time of each frame in ticks, None if there is no packet for it; and those of packets without a frame.
        Packets before the first frame of a piece do not count: they refer to frames that were cut off.
    """
    shift = min(packet_times.pts)
    known = set(packet_times.pts)
    if 2 * sum(tick + shift in known for tick in decoded) < len(decoded):  # OpenCV invents stamps where parts meet
        shift = _shift(decoded, packet_times.pts)
    planned = sorted((piece, pts) for piece, pts in zip(packet_times.pieces, packet_times.pts, strict=True))
    places: dict[int, list[int]] = {}
    for place, (_, pts) in enumerate(planned):
        places.setdefault(pts, []).append(place)
    shown: list[Stamp | None] = []
    used: list[int] = []
    for tick in decoded:
        candidates = (place for place in places.get(tick + shift, ()) if not used or place > used[-1])
        found = next(candidates, None)
        if found is None:
            shown.append(None)
            continue
        piece, pts = planned[found]
        shown.append(pts + packet_times.offsets[piece])
        used.append(found)
    firsts: dict[int, int] = {}
    for place in used:
        firsts.setdefault(planned[place][0], place)
    taken = set(used)
    missing = {
        pts + packet_times.offsets[piece]
        for place, (piece, pts) in enumerate(planned)
        if place not in taken and place > firsts.get(piece, len(planned))
    }
    return shown, missing
