"""Videos that end before their headers say, since a recording or a copy was interrupted, and damaged packets."""

from fractions import Fraction
from pathlib import Path

from vidnst.media.input.container import ContainerInfo
from vidnst.media.input.incomplete import is_cut_short
from vidnst.media.input.packet_times import PacketTimes, read_end_seconds

_FEWEST_FRAMES = 2
_LEAST_SHARE = Fraction(1, 100)
"""Missing frames, and share of the duration, from which on an end is early: headers are rounded."""
_WITH_LENGTH = frozenset({"matroska", "avi"})
"""Containers that tell how many bytes they have."""
_USUAL_FRAME_SECONDS = Fraction(1, 25)


def damage_notes(path: Path, info: ContainerInfo, times: PacketTimes) -> tuple[str, ...]:
    """Describe what a video lacks by its headers and packets, a sentence without a full stop each.

    Raises:
        SourceError: the file cannot be read.
    """
    notes = [_early_end(path, info, times)]
    if times.damaged:
        count, at = len(times.damaged), float(min(times.damaged) * times.time_base)
        what = "1 packet" if count == 1 else f"{count} packets"
        first = "" if count == 1 else "the first "
        notes.append(
            f"{what} of {path.name} {'is' if count == 1 else 'are'} damaged or cut off ({first}at {at:.3f} s); frames"
            f" from {'it' if count == 1 else 'them'} may be missing or look wrong"
        )
    if info.container == "gif" and is_cut_short(path):
        notes.append(f"{path.name} is incomplete: its end mark is missing, so frames may be missing or look wrong")
    return tuple(note for note in notes if note)


def _early_end(path: Path, info: ContainerInfo, times: PacketTimes) -> str:
    declared, held = _declared_seconds(info), times.end * times.time_base
    if declared is None or not times.pts or times.offsets:
        return ""
    if info.container.split(",")[0] in _WITH_LENGTH and not is_cut_short(path):
        return ""  # the last frame may be shown for long, and Matroska need not tell how long
    # Some containers do not tell how long the last frame is shown, so the distances of the others count, too.
    frame = max(1 / info.rates[0] if info.rates else _USUAL_FRAME_SECONDS, _mean_step_seconds(times))
    least = max(_FEWEST_FRAMES * frame, declared * _LEAST_SHARE)
    if declared - held <= least:
        return ""
    if info.audio and info.video.duration_seconds is None:  # the duration may be that of the sound
        held = max(held, read_end_seconds(path, info))
    if declared - held <= least:
        return ""
    return (
        f"{path.name} is incomplete: its header says {float(declared):.3f} s, of which {float(held):.3f} s are there;"
        " what is missing is not rendered"
    )


def _mean_step_seconds(times: PacketTimes) -> Fraction:
    return (max(times.pts) - min(times.pts)) * times.time_base / max(1, len(times.pts) - 1)


def _declared_seconds(info: ContainerInfo) -> Fraction | None:
    """Return how long the header says that the video is; None if it does not tell, and libavformat estimates it."""
    if info.may_jump:
        return None
    declared = [info.video.duration_seconds, info.duration_seconds]
    if (
        "avi" in info.container.split(",") and info.video.frame_count and info.rates
    ):  # its duration is that of the index
        declared = [info.video.frame_count / info.rates[0]]
    return next((seconds for seconds in declared if seconds), None)
