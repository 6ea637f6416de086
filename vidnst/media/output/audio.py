"""Audio of the output: copied from the source if the container supports it, else re-encoded."""

from collections.abc import Sequence

from vidnst.config import OutputConfig
from vidnst.media.input.stream_facts import AudioStream
from vidnst.media.output.formats import OutputFormat, OutputKind

_PCM_MOV = {f"pcm_{kind}{end}" for kind in ("s16", "s24", "s32", "f32", "f64") for end in ("le", "be")}
_MP4 = {"aac", "mp3", "mp2", "ac3", "eac3", "alac", "flac", "opus", "dts"}
_MKV = {"aac", "mp3", "mp2", "ac3", "eac3", "dts", "truehd", "mlp", "flac", "alac", "opus", "vorbis", "tta", "wavpack"}

_COPIED: dict[str, frozenset[str]] = {
    ".mp4": frozenset(_MP4),
    ".m4v": frozenset(_MP4),
    ".mov": frozenset({"aac", "mp3", "ac3", "eac3", "alac", "pcm_u8", "pcm_mulaw", "pcm_alaw"} | _PCM_MOV),
    ".mkv": frozenset(_MKV | {"pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le"}),
    ".webm": frozenset({"opus", "vorbis"}),
}
"""Codecs that each container supports and players expect. ffmpeg also writes PCM to mp4, but few players read it."""

_ENCODERS = {".mp4": "aac", ".m4v": "aac", ".mov": "pcm_s24le", ".mkv": "flac", ".webm": "libopus"}
_LOSSLESS_ENCODERS = {".mp4": "alac", ".m4v": "alac", ".mov": "pcm_s24le", ".mkv": "flac", ".webm": "libopus"}
_LOSSY_ENCODERS = {".mp4": "aac", ".m4v": "aac", ".mov": "aac", ".mkv": "aac", ".webm": "libopus"}
_LOSSLESS = frozenset({"flac", "alac", "tta", "wavpack", "truehd", "mlp", "ape", "s302m"})
_ALAC_LAYOUTS = frozenset(
    {"3.0", "4.0", "5.0", "5.0(side)", "5.1", "5.1(side)", "6.1(back)", "7.1(wide)"}
    | {f"{channels} channels" for channels in (4, 5, 6)}  # as PCM in Matroska, which names no layout
)
"""Of more than two channels, those that ffmpeg's ALAC encoder keeps; of others it drops or moves channels."""
_KILOBITS_PER_CHANNEL = {"aac": 96, "libopus": 80}
_CHANNELS = {"mono": 1, "stereo": 2, "2.1": 3, "3.0": 3, "quad": 4, "4.0": 4, "5.0": 5, "5.1": 6, "6.1": 7, "7.1": 8}


def encoder_for(suffix: str, stream: AudioStream) -> str:
    """Return `copy`, or the encoder that a container needs for this stream."""
    return "copy" if stream.codec in _COPIED[suffix] else _ENCODERS[suffix]


def reencoder_for(suffix: str) -> str:
    """Return the encoder for what a container does not hold as it is."""
    return _ENCODERS[suffix]


def restyled_encoder_for(suffix: str, stream: AudioStream) -> str:
    """Return the encoder for a restyled track: without loss where the source's codec has none and the container may.

    A layout that the encoder would turn into another one is encoded with loss.
    """
    encoder = _LOSSLESS_ENCODERS[suffix]
    is_lossless = stream.codec in _LOSSLESS or stream.codec.startswith("pcm_")
    keeps_layout = encoder != "alac" or stream.channels <= 2 or stream.layout in _ALAC_LAYOUTS
    return encoder if is_lossless and keeps_layout else _LOSSY_ENCODERS[suffix]


def keeps_audio(target: OutputFormat, settings: OutputConfig) -> bool:
    """Return whether the output contains the source's audio."""
    return settings.audio == "keep" and target.kind is OutputKind.VIDEO and target.suffix in _COPIED


def output_options(suffix: str, streams: Sequence[AudioStream], encoders: Sequence[str] | None = None) -> list[str]:
    """Return ffmpeg's output options for the streams, in this order.

    Args:
        encoders: `copy` or an encoder for each; None is what `encoder_for` returns.
    """
    options: list[str] = []
    for number, stream in enumerate(streams):
        encoder = encoders[number] if encoders else encoder_for(suffix, stream)
        options += [f"-c:a:{number}", encoder]
        if encoder in _KILOBITS_PER_CHANNEL:
            channels = min(8, _channels(stream.layout))
            bitrate = max(128, _KILOBITS_PER_CHANNEL[encoder] * channels)
            options += [f"-b:a:{number}", f"{min(bitrate, 510)}k"]
            # Opus supports only these layouts, not 5.1(side) (ffmpeg ticket 5718).
            options += [f"-filter:a:{number}", "aformat=channel_layouts=7.1|5.1|quad|stereo|mono"]
    return options


def _channels(layout: str) -> int:
    first = layout.partition("(")[0].split()
    if not first:
        return 2
    return int(first[0]) if first[0].isdecimal() else _CHANNELS.get(first[0], 2)
