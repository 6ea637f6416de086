"""The source's audio as an input of ffmpeg: cut to the range, and in step with the pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vidnst.media import ffmpeg
from vidnst.media.input.container import INPUT_OPTIONS, ContainerInfo
from vidnst.media.input.joined_audio import write_joined_audio
from vidnst.media.input.packet_times import read_part_starts
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
    decoder: tuple[str, ...] = INPUT_OPTIONS
    """ffmpeg's options about what may be in the file."""

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
        return [*options, *self.decoder, "-i", ffmpeg.file_url(self.path)]


def source_input(path: Path, info: ContainerInfo, streams: Sequence[AudioStream]) -> AudioInput:
    """Return the input for streams of a source whose clock does not jump."""
    starts = [stream.start_seconds for stream in streams if stream.start_seconds is not None]
    return AudioInput(
        path,
        tuple(stream.index for stream in streams),
        start_seconds=info.start_seconds,
        earliest_seconds=min(starts, default=info.start_seconds),
        drops_gap=info.may_jump,
        decoder=info.input_options,
    )


def joined_inputs(path: Path, info: ContainerInfo, streams: Sequence[AudioStream], folder: Path) -> list[AudioInput]:
    """Write each stream of a source whose clock jumps to a file in `folder`, and return the inputs for them.

    Raises:
        SourceError: a stream cannot be read.
    """
    starts = read_part_starts(path, info)
    inputs = []
    for stream in streams:
        target = folder / f"{stream.index}.joined"
        begin = write_joined_audio(path, info, stream, starts[stream.index], target)
        inputs.append(AudioInput(target, (0,), start_seconds=begin, earliest_seconds=begin, drops_gap=False))
    return inputs


def map_options(streams: Sequence[AudioStream], *, joined: bool) -> list[str]:
    """Return the output options that choose the streams: of input 1, or if joined of the inputs after it.

    Joined streams get the tags and dispositions of those in the source, which stays input 1.
    """
    if not joined:
        return [word for stream in streams for word in ("-map", f"1:{stream.index}")]
    options: list[str] = []
    for number, stream in enumerate(streams):
        options += ["-map", f"{number + 2}:a:0", f"-map_metadata:s:a:{number}", f"1:s:{stream.index}"]
        options += [f"-disposition:a:{number}", "+".join(sorted(stream.dispositions)) or "0"]
    return options


def as_seconds(value: Fraction) -> str:
    """Format decimal seconds to a microsecond for ffmpeg."""
    return f"{round(value * 1_000_000) / 1_000_000:.6f}"
