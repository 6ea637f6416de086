"""Which of a source's audio tracks come along, and how; what cannot is found out before anything is painted."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from vidnst.media import ffmpeg
from vidnst.media.input.container import INPUT_OPTIONS, ContainerInfo
from vidnst.media.input.joined_audio import UNJOINABLE_CODECS
from vidnst.media.input.stream_facts import AudioStream
from vidnst.media.output import audio

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
    restyled_after: str = ""
    """Name of the sound whose texture the streams get; empty if they stay as they are."""


def plan_audio(
    path: Path, info: ContainerInfo, suffix: str, *, joined: bool = False, restyled_after: str = ""
) -> AudioPlan:
    """Decide for every audio track: copied where the container holds its codec, else encoded, else dropped.

    A track is tried where it is not clear from the facts: the first seconds are copied, or decoded and encoded.

    Args:
        path: the source.
        suffix: that of the output.
        joined: whether the source is of several recordings, joined byte by byte.
        restyled_after: name of the sound whose texture the tracks get, so that none can be copied; empty for none.
    """
    streams, encoders, notes = [], [], []
    for number, stream in enumerate(info.audio, start=1):
        if joined and (stream.codec in UNJOINABLE_CODECS or stream.start_seconds is None):
            what = f"audio track {number} of {path.name} (codec {stream.codec or 'not known'})"
            notes.append(f"{what} is dropped, since its parts cannot be joined")
            continue
        encoder = _usable_encoder(path, stream, suffix, restyled=bool(restyled_after))
        if encoder is None:
            codec = f"codec {stream.codec}" if stream.codec else "a codec that is not known"
            notes.append(
                f"audio track {number} of {path.name} ({codec}) is dropped, since it can be neither copied to"
                f" {suffix} nor decoded"
            )
        else:
            streams.append(stream)
            encoders.append(encoder)
    return AudioPlan(tuple(streams), tuple(encoders), tuple(notes), restyled_after)


def _usable_encoder(path: Path, stream: AudioStream, suffix: str, *, restyled: bool) -> str | None:
    described = stream.decodable and stream.channels > 0 and stream.sample_rate > 0
    if restyled:
        encoder = audio.restyled_encoder_for(suffix, stream)
        return encoder if described and _works(path, stream, suffix, encoder) else None
    wanted = audio.encoder_for(suffix, stream)
    if wanted == "copy" and described:
        return wanted
    candidates = dict.fromkeys((wanted, audio.reencoder_for(suffix)))
    return next((encoder for encoder in candidates if _works(path, stream, suffix, encoder)), None)


def _works(path: Path, stream: AudioStream, suffix: str, encoder: str) -> bool:
    """Copy or encode the first seconds of a track into a file of the output's container."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, f"trial{suffix}")
        args = ["-loglevel", "error", *INPUT_OPTIONS, "-i", ffmpeg.file_url(path), "-map", f"0:{stream.index}"]
        args += [
            *audio.output_options(suffix, [stream], [encoder]),
            "-frames:a",
            _TRIAL_PACKETS,
            "-y",
            ffmpeg.file_url(target),
        ]
        status, _, errors = ffmpeg.run_and_capture(args, seconds=_TRIAL_TIMEOUT_SECONDS)
        return status == 0 and target.is_file() and _NOTHING_WRITTEN not in errors
