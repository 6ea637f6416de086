"""The soundtrack of a render: decoded, handed out in chunks, and put together from restyled ones.

Everything is levelled by EBU R128: tracks and styles are restyled at the loudness of broadcasts, and the result gets
that of the source. Samples lie in temporary files of the run folder, so an hour takes no more memory than a minute.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from vidnst.errors import RunError
from vidnst.events import Cancelled, OnEvent, Warned, ignore
from vidnst.farm.jobs import Shared, SoundJob
from vidnst.farm.plan import SoundId
from vidnst.files.part_files import PartMaker
from vidnst.media.input.container import read_container
from vidnst.media.input.sound import RawSound, decode_track, loudness, read_style_sound
from vidnst.media.input.stream_facts import AudioStream
from vidnst.media.output.audio_input import joined_inputs, source_input
from vidnst.media.output.restyled_audio import RestyledTrack, Soundtrack, sound_range
from vidnst.rendering.prepare import CheckedRequest
from vidnst.runs import RunStore
from vidnst.style.sound.chunks import ChunkSpan, Samples, chunk_spans, join_chunks

_LEVEL_LUFS = -23.0
"""Loudness at which sounds are restyled."""
_KNEE = 0.9
"""Peak from which a louder result is bent, so that none is clipped."""


@dataclass(frozen=True, slots=True)
class DecodedTrack:
    """A track of the source, or noise in its place."""

    stream: AudioStream
    encoder: str
    sound: RawSound
    style: Samples
    """The style's samples at the track's rate and at the common level."""
    gain: float
    """Factor that brings the track to that level; 0 for silence."""
    goal_lufs: float | None
    """Loudness of the result; None for silence."""
    is_made: bool
    spans: tuple[ChunkSpan, ...]


class SoundTracks:
    """All tracks of a render whose soundtrack is restyled; none if it stays as it is. Close it.

    Args:
        tracks: the tracks, in the order of the output.
        parts: makes temporary files.
        output: what they are for.
    """

    def __init__(
        self, tracks: Sequence[DecodedTrack] = (), parts: PartMaker | None = None, output: Path | None = None
    ) -> None:
        self.tracks = tuple(tracks)
        self._parts = parts or PartMaker()
        self._output = output or Path()
        self._files = [track.sound.path for track in tracks]

    @property
    def chunks(self) -> tuple[int, ...]:
        """The number of chunks of each track."""
        return tuple(len(track.spans) for track in self.tracks)

    def job(self, node: SoundId, *, strength: float, iterations: int, style_sets: Sequence[Shared]) -> SoundJob:
        """Return the work of a chunk.

        Args:
            style_sets: what makes the worker of each track.

        Raises:
            SourceError: the decoded track has been cut off.
        """
        track = self.tracks[node.track]
        span = track.spans[node.chunk]
        samples = track.sound.read(span.start, span.end) * np.float32(track.gain)
        strength = 1.0 if track.is_made else strength
        return SoundJob(node, samples, strength, iterations, held=not track.is_made, style_set=style_sets[node.track])

    def assembled(self, store: RunStore) -> Soundtrack | None:
        """Put the restyled chunks together; None if the soundtrack stays as it is.

        Raises:
            RunError: a chunk cannot be read.
            EncoderError: ffmpeg failed.
        """
        if not self.tracks:
            return None
        first, tracks = 0, []
        for number, track in enumerate(self.tracks):
            tracks.append(RestyledTrack(track.stream, track.encoder, self._joined(store, track, number, first)))
            first += len(track.spans)
        return Soundtrack(tuple(tracks))

    def _joined(self, store: RunStore, track: DecodedTrack, number: int, first: int) -> RawSound:
        def read(chunk: int) -> Samples:
            values = store.read_network(SoundId(first + chunk, number, chunk))
            if values.size != len(track.spans[chunk]) * track.sound.channels:
                raise RunError(
                    f"chunk {chunk + 1} of the soundtrack in {store.folder} has another length",
                    "start afresh with --restart",
                )
            return values.reshape(track.sound.channels, -1)

        joined, result = self.new_file(track.sound), self.new_file(track.sound)
        joined.write(join_chunks(track.spans, read))
        found = loudness(joined) if track.goal_lufs is not None else None
        factor = 1.0 if found is None or track.goal_lufs is None else 10 ** ((track.goal_lufs - found) / 20)
        peak = max((float(np.abs(piece).max(initial=0)) for piece in joined.pieces()), default=0.0) * factor
        result.write(_levelled(joined.pieces(), factor, bends=peak > 1))
        joined.path.unlink(missing_ok=True)
        return result

    def new_file(self, like: RawSound) -> RawSound:
        """Make an empty file for a sound like another one."""
        path = self._parts.file(self._output)
        self._files.append(path)
        return RawSound(path, like.rate, like.channels, like.layout)

    def close(self) -> None:
        """Remove the temporary files."""
        for path in self._files:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _levelled(pieces: Iterator[Samples], factor: float, *, bends: bool) -> Iterator[Samples]:
    """Yield pieces times a factor; if they would be clipped, peaks are bent below full scale."""
    for piece in pieces:
        louder = piece * np.float32(factor)
        if bends:
            size = np.abs(louder)
            over = np.maximum(size - _KNEE, 0) / (1 - _KNEE)
            louder = np.sign(louder) * (np.minimum(size, _KNEE) + (1 - _KNEE) * np.tanh(over))
        yield louder.astype(np.float32)


def open_sound(
    checked: CheckedRequest, store: RunStore, cancelled: Cancelled | None = None, on_event: OnEvent = ignore
) -> SoundTracks:
    """Decode the tracks of a render whose soundtrack is restyled, or make noise in their place.

    Args:
        on_event: hears of samples of the source that are not finite.

    Raises:
        EncoderError, DiskFullError: ffmpeg failed.
        StyleError: the style's sound cannot be read.
        CancelledError: `cancelled` said so.
    """
    if checked.sound is None:
        return SoundTracks()
    parts, output = store.part_maker(checked.request.output), checked.request.output
    opening = SoundTracks((), parts, output)
    try:
        tracks = [
            _decoded(checked, opening, stream, encoder, cancelled, on_event)
            for stream, encoder in zip(checked.sound.plan.streams, checked.sound.plan.encoders, strict=True)
        ]
    except BaseException:
        opening.close()
        raise
    return SoundTracks(tracks, parts, output)


def _decoded(
    checked: CheckedRequest,
    opening: SoundTracks,
    stream: AudioStream,
    encoder: str,
    cancelled: Cancelled | None,
    on_event: OnEvent,
) -> DecodedTrack:
    assert checked.sound is not None
    sound = opening.new_file(RawSound(Path(), stream.sample_rate, stream.channels, stream.layout))
    style, style_lufs = _style(checked.sound.style, stream.sample_rate)
    if checked.sound.is_made:
        from vidnst.style.sound.noise import shaped_noise

        count = round(checked.sound.seconds * stream.sample_rate)
        sound.write(shaped_noise(style, stream.sample_rate, count, seed=checked.config.optimize.seed))
        gain, goal = 1.0, style_lufs
    else:
        if wrong := _decode(checked, stream, sound, cancelled):
            on_event(
                Warned(f"{wrong} samples of the soundtrack of {checked.clip.source} are not finite; they become 0")
            )
        goal = loudness(sound)
        gain = 0.0 if goal is None else 10 ** ((_LEVEL_LUFS - goal) / 20)
    spans = chunk_spans(sound.samples, stream.sample_rate)
    return DecodedTrack(stream, encoder, sound, style, gain, goal, checked.sound.is_made, spans)


def _style(path: Path, rate: int) -> tuple[Samples, float | None]:
    """Return the style's samples at the common level, and its own loudness."""
    style = read_style_sound(path, rate)
    with tempfile.TemporaryDirectory() as folder:
        raw = RawSound(Path(folder, "style.raw"), rate, style.shape[0])
        raw.write(iter([style]))
        found = loudness(raw)
    return style * np.float32(1 if found is None else 10 ** ((_LEVEL_LUFS - found) / 20)), found


def _decode(checked: CheckedRequest, stream: AudioStream, sound: RawSound, cancelled: Cancelled | None) -> int:
    assert checked.sound is not None
    clip = checked.clip
    path, info = clip.paths[0], read_container(clip.paths[0])
    begin, end = sound_range(clip, info, checked.start, checked.end)
    with tempfile.TemporaryDirectory() as folder:
        joined = joined_inputs(path, info, [stream], Path(folder)) if clip.parts > 1 else []
        source = joined[0] if joined else source_input(path, info, [stream])
        options, index = source.options(begin, end, begin - begin), 0 if joined else stream.index
        return decode_track(options, index, sound, most_seconds=checked.sound.most_seconds, cancelled=cancelled)
