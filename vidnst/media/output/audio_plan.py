"""Which of a source's audio tracks come along, and how; what cannot is found out before anything is painted."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vidnst.errors import SourceError
from vidnst.media import ffmpeg
from vidnst.media.input.container import ContainerInfo
from vidnst.media.input.joined_audio import UNJOINABLE_CODECS
from vidnst.media.input.stream_facts import AudioStream
from vidnst.media.output import audio
from vidnst.media.output.audio_input import joined_inputs

_TRIAL_PACKETS = "40"
_NOTHING_WRITTEN = "Nothing was written"
"""ffmpeg's warning that no packet reached the output, which is no error to it."""
_TRIAL_TIMEOUT_SECONDS = 120


@dataclass(frozen=True, slots=True)
class AudioPlan:
    """The audio of an output."""

    streams: tuple[AudioStream, ...] = ()
    """The source's streams that come along, in order."""
    encoders: tuple[str, ...] = ()
    """The treatment of each: `copy`, or the name of an encoder."""
    notes: tuple[str, ...] = ()
    """What is lost, as sentences without a full stop."""
    faults: Mapping[int, str] = field(default_factory=dict)
    """Why tracks do not come along, by their indices."""
    restyled_after: str = ""
    """Name of the sound whose texture the streams get; empty if they stay as they are."""


def plan_audio(
    path: Path, info: ContainerInfo, suffix: str, *, joined: bool = False, restyled_after: str = ""
) -> AudioPlan:
    """Decide for every audio track: copied where the container holds its codec, else encoded, else dropped.

    A track is tried where it is not clear from the facts: the first seconds are copied, or decoded and encoded. Tracks
    of joined recordings are joined as for the output.

    Args:
        path: the source.
        suffix: that of the output.
        joined: whether the source is of several recordings, joined byte by byte.
        restyled_after: name of the sound whose texture the tracks get, so that none can be copied; empty for none.
    """
    streams, encoders, notes = [], [], []
    faults: dict[int, str] = {}
    for number, stream in enumerate(info.audio, start=1):
        encoder = None
        if joined and not _can_be_joined(path, info, stream):
            faults[stream.index] = "its parts cannot be joined"
        elif (encoder := _usable_encoder(path, info, stream, suffix, restyled=bool(restyled_after))) is None:
            faults[stream.index] = f"it can be neither copied to {suffix} nor decoded"
        if encoder is None:
            codec = f"codec {stream.codec}" if stream.codec else "a codec that is not known"
            notes.append(f"audio track {number} of {path.name} ({codec}) is dropped, since {faults[stream.index]}")
        else:
            streams.append(stream)
            encoders.append(encoder)
    return AudioPlan(tuple(streams), tuple(encoders), tuple(notes), faults, restyled_after)


def _can_be_joined(path: Path, info: ContainerInfo, stream: AudioStream) -> bool:
    if stream.codec in UNJOINABLE_CODECS or stream.start_seconds is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            joined_inputs(path, info, [stream], Path(folder))
        except SourceError:
            return False
    return True


def _usable_encoder(path: Path, info: ContainerInfo, stream: AudioStream, suffix: str, *, restyled: bool) -> str | None:
    described = stream.decodable and stream.channels > 0 and stream.sample_rate > 0
    if restyled:
        encoder = audio.restyled_encoder_for(suffix, stream)
        return encoder if described and _works(path, info, stream, suffix, encoder) else None
    wanted = audio.encoder_for(suffix, stream)
    if wanted == "copy" and described:
        return wanted
    candidates = dict.fromkeys((wanted, audio.reencoder_for(suffix)))
    return next((encoder for encoder in candidates if _works(path, info, stream, suffix, encoder)), None)


def _works(path: Path, info: ContainerInfo, stream: AudioStream, suffix: str, encoder: str) -> bool:
    """Copy or encode the first seconds of a track into a file of the output's container."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, f"trial{suffix}")
        args = ["-loglevel", "error", *info.input_options, "-i", ffmpeg.file_url(path), "-map", f"0:{stream.index}"]
        args += [
            *audio.output_options(suffix, [stream], [encoder]),
            "-frames:a",
            _TRIAL_PACKETS,
            "-y",
            ffmpeg.file_url(target),
        ]
        status, _, errors = ffmpeg.run_and_capture(args, seconds=_TRIAL_TIMEOUT_SECONDS)
        return status == 0 and target.is_file() and _NOTHING_WRITTEN not in errors
