"""Audio of recordings that were joined byte by byte: copied to files whose clock does not jump."""

from collections.abc import Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

from vidnst.errors import SourceError
from vidnst.media import ffmpeg
from vidnst.media.input.container import ContainerInfo, ask_reader
from vidnst.media.input.packet_times import PartStart
from vidnst.media.input.stream_facts import AudioStream

UNJOINABLE_CODECS = frozenset({"pcm_bluray", "pcm_dvd", "s302m"})
"""Codecs that no container but those of recordings holds."""
_MATROSKA_CODECS = frozenset({"truehd", "mlp", "mp1"})
"""Codecs that NUT, whose clock is exact, does not hold."""
_ANSWER_BYTES = 1 << 16


def write_joined_audio(
    path: Path, info: ContainerInfo, stream: AudioStream, parts: Sequence[PartStart], target: Path
) -> Fraction:
    """Copy one audio stream of a recording to a file of its own.

    Args:
        path: the recording.
        info: what it holds.
        parts: its parts, from `read_part_starts`.
        target: the file to write.

    Returns:
        When it begins, in seconds on the clock of the clip.

    Raises:
        SourceError: the stream cannot be copied, or a part of it is in another codec.
    """
    answer, _ = ask_reader(
        path,
        "join",
        max_bytes=_ANSWER_BYTES,
        search_bytes=info.search_bytes,
        stream=stream.index,
        starts=[list(asdict(part).values()) for part in parts],
        output=ffmpeg.file_url(target),
        format="matroska" if stream.codec in _MATROSKA_CODECS else "nut",
    )
    first, unheard = answer.get("first"), answer.get("unheard")
    if unheard:
        raise SourceError(
            f"a part of the audio of {path} does not decode as {stream.codec}, as the part before does", "leave it out"
        )
    if not isinstance(first, int):
        raise SourceError(f"the audio of {path} cannot be joined: {answer.get('text', 'it is empty')}", "leave it out")
    return first * stream.time_base
