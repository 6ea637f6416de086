"""The source's audio as an input of ffmpeg: cut to the range, and in step with the pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vidnst.media import ffmpeg
from vidnst.media.input.container import INPUT_OPTIONS, ContainerInfo
from vidnst.media.input.stream_facts import AudioStream


@dataclass(frozen=True, slots=True)
class AudioInput:
    """A file with audio, and where its clock stands."""

    path: Path
    indices: tuple[int, ...]
    """Indices of the streams in this file, in the order of the output."""
    start_seconds: Fraction
    """What ffmpeg takes as the beginning of the file, on the clock of the clip."""
    earliest_seconds: Fraction
    """When the first of the streams begins, on the clock of the clip."""
    drops_gap: bool
    """True if ffmpeg counts from the first of the streams instead, unless it seeks: it does so with recordings."""

    def options(self, begin: Fraction, end: Fraction | None, delay: Fraction) -> list[str]:
        """Return the input options for a range.

        Args:
            begin: the time that becomes zero, in seconds on the clip's clock.
            end: the end of the range; None is that of the file.
            delay: what to add to all times.
        """
        zero = max(begin, self.earliest_seconds) if self.drops_gap else max(begin, self.start_seconds)
        seek = begin - self.start_seconds
        options = ["-ss", as_seconds(seek)] if seek > 0 else []
        if end is not None:
            options += ["-t", as_seconds(end - begin)]
        options += ["-itsoffset", as_seconds(delay + zero - begin)]
        return [*options, *INPUT_OPTIONS, "-i", ffmpeg.file_url(self.path)]


def source_input(path: Path, info: ContainerInfo, streams: Sequence[AudioStream]) -> AudioInput:
    """Return the input for streams of a source whose clock does not jump."""
    starts = [stream.start_seconds for stream in streams if stream.start_seconds is not None]
    return AudioInput(
        path,
        tuple(stream.index for stream in streams),
        start_seconds=info.start_seconds,
        earliest_seconds=min(starts, default=info.start_seconds),
        drops_gap=info.may_jump,
    )


def as_seconds(value: Fraction) -> str:
    """Format decimal seconds to a microsecond for ffmpeg."""
    return f"{round(value * 1_000_000) / 1_000_000:.6f}"
