"""The times of single fields of an interlaced video."""

from dataclasses import replace
from itertools import pairwise

from vidnst.media.input.container import ContainerInfo
from vidnst.media.input.packet_times import PacketTimes


def of_fields(times: PacketTimes) -> PacketTimes:
    """Return the times of fields: two for each frame, the second halfway to the next frame.

    After the last frame, the distance is that of the frame before, as bwdif assumes it.
    """
    if not times.pts:
        return times
    order = sorted(range(len(times.pts)), key=lambda number: times.pts[number])
    shown = [times.pts[number] for number in order]
    last_step = shown[-1] - shown[-2] if len(shown) > 1 else times.durations[order[-1]]
    steps = [later - at for at, later in pairwise(shown)] + [last_step]
    pts = tuple(tick for at, step in zip(shown, steps, strict=True) for tick in (2 * at, 2 * at + step))
    durations = tuple(step for step in steps for _ in range(2))
    return replace(times, time_base=times.time_base / 2, pts=pts, durations=durations)


def with_double_rate(info: ContainerInfo) -> ContainerInfo:
    """Return a file's facts with twice the frame rates."""
    video = info.video
    mean, base = (rate and 2 * rate for rate in (video.average_rate, video.base_rate))
    return replace(info, video=replace(video, average_rate=mean, base_rate=base))
