"""ffmpeg's options that keep the times of frames, the repetitions of animations, and the order of packets."""

import math
from collections.abc import Sequence
from fractions import Fraction

from vidnst.media.output import png_stream
from vidnst.media.output.audio_input import as_seconds
from vidnst.media.output.formats import OutputFormat

_MAX_BUFFERED_FRAMES = 256
"""More frames than any encoder buffers before its first packet."""
_DEFAULT_INTERLEAVE_MICROSECONDS = 10_000_000


def interleave_options(pts_seconds: Sequence[Fraction]) -> list[str]:
    """Return ffmpeg's options for how far audio may precede video before the muxer writes it out of order.

    ffmpeg's default of ten seconds is less than an encoder may buffer if frames last long; the order of packets would
    then depend on chance.
    """
    later = pts_seconds[_MAX_BUFFERED_FRAMES:] or pts_seconds[-1:]
    buffered = max(after - at for at, after in zip(pts_seconds, later, strict=False))
    return ["-max_interleave_delta", str(max(_DEFAULT_INTERLEAVE_MICROSECONDS, math.ceil(buffered * 1_000_000)))]


def repeat_options(target: OutputFormat, plays: int) -> list[str]:
    """Return ffmpeg's output options for how often an animation is shown, 0 for ever; none for videos."""
    match target.codec:
        case "gif":  # which counts repetitions
            return ["-loop", str(plays - 1 or -1) if plays else "0"]
        case "webp":
            return ["-loop", str(plays)]
        case "apng":
            return ["-plays", str(plays)]
    return []


def stamp_options(
    target: OutputFormat,
    pts_seconds: Sequence[Fraction],
    last_duration_seconds: Fraction,
    *,
    delay: Fraction,
    with_final_delay: bool = False,
) -> list[str]:
    """Return ffmpeg's output options that keep each frame's time stamp and duration.

    Args:
        pts_seconds, last_duration_seconds: the times of the frames.
        delay: seconds by which the video begins after the output's start.
        with_final_delay: True if the duration of a GIF's last frame must be given to the muxer.
    """
    options = ["-enc_time_base", "demux"]
    if target.suffix in (".mp4", ".m4v", ".mov"):
        options += ["-video_track_timescale", "90000"]
        # In these containers the packet that is stored last determines the duration of the last frame, and with
        # B-frames that packet is another frame's; a key frame at the end stores the last frame last.
        at = pts_seconds[-1] - pts_seconds[0] + delay - Fraction(1, 2000)
        options += ["-force_key_frames", as_seconds(max(Fraction(0), at))]
        if target.encoder == "libx265":  # otherwise frames before a key frame may be stored after it
            options += ["-forced-idr", "1"]
    if target.codec == "av1":  # SVT-AV1 gives all packets the mean duration
        ticks = round(last_duration_seconds * png_stream.TICKS_PER_SECOND)
        last = len(pts_seconds) - 1
        options += ["-bsf:v:0", f"setts=duration=if(eq(N\\,{last})\\,{ticks}/1000000/TB\\,DURATION)"]
    if target.codec == "gif" and with_final_delay:
        options += ["-final_delay", str(round(last_duration_seconds * 100))]
    if target.codec == "apng":
        options += ["-final_delay", f"{last_duration_seconds.limit_denominator(1000)}"]
    return options
