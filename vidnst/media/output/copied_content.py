"""All that an output gets from its source but pictures and sound, as options of ffmpeg."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vidnst.media.input.container import ContainerInfo
from vidnst.media.input.stream_facts import AudioStream
from vidnst.media.output.chapters import chapters_input, cut_chapters
from vidnst.media.output.dry_mux import tag_options
from vidnst.media.output.kept_streams import StreamDecision
from vidnst.media.output.stream_copy import (
    CopiedRange,
    copy_input,
    copy_maps,
    copy_options,
    extract_covers,
)
from vidnst.media.output.track_labels import sound_tags, video_tags


@dataclass(frozen=True, slots=True)
class CopiedContent:
    """Options of ffmpeg that copy tags, chapters and streams of a source."""

    inputs: tuple[str, ...] = ()
    """Further inputs, after the one that has the sound."""
    maps: tuple[str, ...] = ()
    """Output options that select streams, tags and chapters, after those of pictures and sound."""
    options: tuple[str, ...] = ()
    """Output options of the streams, after those of pictures and sound."""


def copied_content(
    path: Path,
    source: ContainerInfo,
    kept: Sequence[StreamDecision],
    sound: Sequence[AudioStream],
    part: CopiedRange,
    *,
    suffix: str,
    folder: Path,
    first_input: int,
) -> CopiedContent:
    """Return the options for an output.

    Args:
        path: the source's file, which is input 1, too.
        kept: the streams that are copied.
        sound: the audio of the output, in order.
        part: the rendered range.
        suffix: that of the output.
        folder: a folder for temporary files that ffmpeg reads.
        first_input: the number that the first further input gets.
    """
    chapters = cut_chapters(source.chapters, part)
    inputs = copy_input(path, source, part) if kept else []
    chapters_number = first_input + bool(kept) if chapters else -1
    if chapters:
        inputs += chapters_input(chapters, folder / "chapters.txt")
    maps = [*copy_maps(kept, first_input, suffix), *tag_options(1, chapters=chapters_number)]
    covers = extract_covers(path, kept, suffix, folder)
    options = [*video_tags(source, suffix), *sound_tags(sound, suffix), *copy_options(kept, part, suffix, covers)]
    return CopiedContent(tuple(inputs), tuple(maps), tuple(options))
