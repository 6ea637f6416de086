"""The spectrograms of a report: of the source's soundtrack, of the style, and of the result."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from vidnst.errors import VidnstError
from vidnst.frames import ClipInfo
from vidnst.media.draw.spectrogram import draw_spectrogram
from vidnst.media.draw.thumbnails import encode_thumbnail
from vidnst.media.input.sound import read_excerpt
from vidnst.report.html.report_page import Thumbnail
from vidnst.runs.record import RunRecord

_SECONDS = 60.0
_RATE = 44_100
_LONGEST_PX, _MOST_BYTES = 800, 120_000


def read_spectrograms(record: RunRecord, clip: ClipInfo | None = None) -> tuple[Thumbnail, ...]:
    """Draw the first minute of the first track of each; none if the sound stays as it is, or cannot be read.

    Args:
        record: the run.
        clip: the source, if it has been probed.
    """
    config = record.request.config
    if config.audio.style is None or not config.audio.strength:
        return ()
    begin = 0.0
    if record.plan is not None and record.plan.start:
        first = record.plan.start
        begin = float(clip.pts_seconds[first] - clip.pts_seconds[0] if clip else first / record.plan.rate)
    source = record.request.source
    places = [("source", Path(source), begin)] if isinstance(source, str | Path) else []
    places += [("style", Path(config.audio.style), 0.0), ("result", record.request.output, 0.0)]
    return tuple(_drawn(places))


def _drawn(places: list[tuple[str, Path, float]]) -> Iterator[Thumbnail]:
    for what, path, begin in places:
        with suppress(VidnstError, OSError):
            sound = read_excerpt(path, _RATE, channels=1, seconds=_SECONDS, start=begin)
            picture = draw_spectrogram(sound[0], _RATE)
            data = encode_thumbnail(picture, longest_side=_LONGEST_PX, max_bytes=_MOST_BYTES)
            yield Thumbnail(f"{what}: {path.name}, {sound.shape[1] / _RATE:.1f} s", data)
