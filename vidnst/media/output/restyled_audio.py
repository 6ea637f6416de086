"""A restyled soundtrack as the audio of an output, in place of the source's."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from vidnst.frames import ClipInfo
from vidnst.media.input.container import ContainerInfo
from vidnst.media.input.sound import RawSound
from vidnst.media.input.stream_facts import AudioStream, StreamKind
from vidnst.media.output.audio_input import AudioInput
from vidnst.media.output.audio_plan import AudioPlan

NO_STREAM = -1
"""Index of the stream of a soundtrack that the source does not have."""


@dataclass(frozen=True, slots=True)
class RestyledTrack:
    """A track, from the beginning of the rendered range."""

    stream: AudioStream
    """The source's stream, or one made by `made_stream`."""
    encoder: str
    sound: RawSound


@dataclass(frozen=True, slots=True)
class Soundtrack:
    """All tracks of an output."""

    tracks: tuple[RestyledTrack, ...]

    @property
    def plan(self) -> AudioPlan:
        """The streams of the output, and how each is encoded."""
        return AudioPlan(tuple(track.stream for track in self.tracks), tuple(track.encoder for track in self.tracks))

    def inputs(self, begin: Fraction) -> list[AudioInput]:
        """Return ffmpeg's inputs, one for each track, for a range that begins at this time of the clip's clock."""
        return [
            AudioInput(track.sound.path, (0,), begin, begin, drops_gap=False, decoder=tuple(track.sound.options))
            for track in self.tracks
        ]


def made_stream(rate: int, channels: int) -> AudioStream:
    """Return the stream of a soundtrack that the source does not have."""
    layout = "mono" if channels == 1 else "stereo"
    return AudioStream(
        index=NO_STREAM, kind=StreamKind.AUDIO, codec="", layout=layout, channels=channels, sample_rate=rate
    )


def map_made(streams: Sequence[AudioStream], first_input: int) -> list[str]:
    """Return the output options that choose the tracks, one of each input from `first_input` on.

    Tracks of the source, which is input 1, get its tags and dispositions.
    """
    options: list[str] = []
    for number, stream in enumerate(streams):
        options += ["-map", f"{first_input + number}:a:0"]
        if stream.index != NO_STREAM:
            options += [f"-map_metadata:s:a:{number}", f"1:s:{stream.index}"]
            options += [f"-disposition:a:{number}", "+".join(sorted(stream.dispositions)) or "0"]
    return options


def sound_range(clip: ClipInfo, source: ContainerInfo, start: int, end: int) -> tuple[Fraction, Fraction | None]:
    """Return where the sound of the frames `start <= index < end` begins and ends on the clip's clock.

    The whole clip has all of the file's sound, also what comes before its first frame; None is the end of the file.
    """
    begin = clip.pts_seconds[start] if start else source.start_seconds
    return begin, clip.pts_seconds[end] if end < clip.frame_count else None
