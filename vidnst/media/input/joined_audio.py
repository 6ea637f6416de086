"""Audio of recordings that were joined byte by byte: copied to files whose clock does not jump."""

from collections.abc import Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

from vidnst.errors import SourceError
from vidnst.media import ffmpeg
from vidnst.media.input.container import ask_reader
from vidnst.media.input.packet_times import PartStart
from vidnst.media.input.stream_facts import AudioStream

UNJOINABLE_CODECS = frozenset({"pcm_bluray", "pcm_dvd", "s302m"})
"""Codecs that no container but those of recordings holds."""
_MATROSKA_CODECS = frozenset({"truehd", "mlp", "mp1"})
"""Codecs that NUT, whose clock is exact, does not hold."""
_ANSWER_BYTES = 1 << 16


def write_joined_audio(path: Path, stream: AudioStream, parts: Sequence[PartStart], target: Path) -> Fraction:
    """Copy one audio stream of a recording to a file of its own.

    Args:
        path: the recording.
        parts: its parts, from `read_part_starts`.
        target: the file to write.

    Returns:
        When it begins, in seconds on the clock of the clip.

    Raises:
        SourceError: the stream cannot be copied.
    """
    answer, _ = ask_reader(
        path,
        "join",
        max_bytes=_ANSWER_BYTES,
        stream=stream.index,
        starts=[list(asdict(part).values()) for part in parts],
        output=ffmpeg.file_url(target),
        format="matroska" if stream.codec in _MATROSKA_CODECS else "nut",
    )
    first = answer.get("first")
    if not isinstance(first, int):
        raise SourceError(f"the audio of {path} cannot be joined: {answer.get('text', 'it is empty')}", "leave it out")
    return first * stream.time_base
