"""Reads and checks what a restyled soundtrack needs, before any time is spent on it."""

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vidnst.config import RenderConfig
from vidnst.errors import ConfigError, SourceError
from vidnst.events import OnEvent, Warned
from vidnst.frames import ClipInfo, SourceKind
from vidnst.media.input.container import ContainerInfo, read_container
from vidnst.media.input.fingerprint import fingerprint
from vidnst.media.input.packet_times import read_sound_span
from vidnst.media.input.sound import read_style_sound
from vidnst.media.input.stream_facts import AudioStream
from vidnst.media.output import audio
from vidnst.media.output.audio_plan import AudioPlan, plan_audio
from vidnst.media.output.formats import OutputFormat, choose_format
from vidnst.media.output.restyled_audio import NO_STREAM, made_stream, sound_range
from vidnst.style.sound.chunks import chunk_count

_CHECKED_RATE, _MADE_RATE = 8000, 48_000
_COPIES, _VALUE_BYTES = 4, 4
"""Decoded, restyled in chunks, put together, and levelled; in float32."""
_MOST_SILENT_SECONDS = 3600
"""Longest silence that the time stamps of a source may ask for: a few bytes of it can demand any length."""


@dataclass(frozen=True, slots=True)
class CheckedSound:
    """The sound of a render whose soundtrack is restyled."""

    style: Path
    fingerprint: str
    """The fingerprint of the style's file."""
    plan: AudioPlan
    """The tracks, and how each is encoded."""
    seconds: Fraction
    """How long the soundtrack is, about."""

    @property
    def is_made(self) -> bool:
        """True if the source has no soundtrack, and gets one of the style alone."""
        return self.plan.streams[0].index == NO_STREAM

    @property
    def chunks(self) -> tuple[int, ...]:
        """The number of chunks of each track, about: the exact length is known when the track is decoded."""
        rates = (stream.sample_rate for stream in self.plan.streams)
        return tuple(chunk_count(round(self.seconds * rate), rate) for rate in rates)

    @property
    def most_seconds(self) -> Fraction:
        """Where decoding stops, whatever the time stamps say."""
        return self.seconds + _MOST_SILENT_SECONDS

    @property
    def disk_bytes(self) -> int:
        """Bytes that the run folder comes to hold of it, about."""
        values = sum(round(self.seconds * stream.sample_rate) * stream.channels for stream in self.plan.streams)
        return _COPIES * _VALUE_BYTES * values


def style_name(config: RenderConfig) -> str:
    """Return the name of the sound whose texture the soundtrack gets; empty if it stays as it is."""
    style = config.audio.style
    return "" if style is None or not config.audio.strength else Path(style).name or str(Path(style))


def style_path(config: RenderConfig) -> str | None:
    """Return the absolute path of that sound."""
    return None if config.audio.style is None else os.path.abspath(os.path.expanduser(config.audio.style))


def check_sound(
    output: Path, config: RenderConfig, clip: ClipInfo, start: int, end: int, size: tuple[int, int], on_event: OnEvent
) -> CheckedSound | None:
    """Check the sound of a render; None if it stays as it is.

    Args:
        output, config: of the render, with the settings of the output resolved.
        clip: the source.
        start, end: the frames that are rendered.
        size: their width and height.
        on_event: receives a warning if the source has no sound.

    Raises:
        StyleError: the style has no sound that can be read, is silent, or is not finite.
        ConfigError: the output has no sound.
        SourceError: the time stamps of the source's sound leave more than an hour silent.
    """
    path = style_path(config)
    if path is None or not style_name(config):
        return None
    target = choose_format(output, config.output, frames=end - start, width=size[0], height=size[1])
    if not audio.keeps_audio(target, config.output):
        why = "output.audio is none" if config.output.audio == "none" else f"{output.name} has no sound"
        raise ConfigError(f"audio.style has no effect: {why}", "choose a video with sound, or leave --style-audio out")
    style = read_style_sound(Path(path), _CHECKED_RATE)
    found = _source_plan(clip, target, start, end, style_name(config))
    if found is None and config.audio.fill:
        stream: AudioStream = made_stream(_MADE_RATE, style.shape[0])
        encoder = audio.restyled_encoder_for(target.suffix, stream)
        seconds = clip.pts_seconds[end - 1] - clip.pts_seconds[start] + clip.frame_duration_seconds(end - 1)
        found = AudioPlan((stream,), (encoder,)), seconds
    if found is None:
        on_event(
            Warned(f"{clip.source} has no soundtrack to restyle; --set audio.fill=true makes one of the style alone")
        )
        return None
    return CheckedSound(Path(path), fingerprint([Path(path)]), *found)


def _source_plan(
    clip: ClipInfo, target: OutputFormat, start: int, end: int, name: str
) -> tuple[AudioPlan, Fraction] | None:
    """Return the tracks of a source and their length; None if it has none that can be decoded."""
    if clip.kind is not SourceKind.VIDEO:
        return None
    info = read_container(clip.paths[0])
    plan = plan_audio(clip.paths[0], info, target.suffix, joined=clip.parts > 1, restyled_after=name)
    if not plan.streams:
        return None
    begin, stop = sound_range(clip, info, start, end)
    return plan, (_end_of_sound(clip, info, plan) if stop is None else stop) - begin


def _end_of_sound(clip: ClipInfo, info: ContainerInfo, plan: AudioPlan) -> Fraction:
    """Return where the sound of a whole file ends on the clip's clock, about where its parts are joined."""
    if clip.parts > 1:
        return info.start_seconds + max(stream.duration_seconds or clip.duration_seconds for stream in plan.streams)
    end, held = read_sound_span(clip.paths[0], info)
    seconds = end - info.start_seconds
    if seconds > clip.duration_seconds + held + _MOST_SILENT_SECONDS:
        raise SourceError(
            f"the sound of {clip.source} lasts {float(seconds):.0f} s by its time stamps, and {float(held):.0f} s of it"
            " are there",
            "correct its time stamps, or leave --style-audio out",
        )
    return end if held else info.start_seconds + clip.duration_seconds
