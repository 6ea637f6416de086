"""Chapters of the output: those of the source, cut to the rendered range."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vidnst.media import ffmpeg
from vidnst.media.input.stream_facts import Chapter
from vidnst.media.output.stream_copy import CopiedRange

_SPECIAL = re.compile(r"([=;#\\\n])")
_NANOSECONDS = 1_000_000_000


def cut_chapters(chapters: Sequence[Chapter], part: CopiedRange) -> tuple[Chapter, ...]:
    """Return the chapters that lie in a range, with their times in the output."""
    first, stop = part.at, part.stop
    cut = []
    for chapter in chapters:
        start, end = (at - part.begin + part.at for at in (chapter.start_seconds, chapter.end_seconds))
        end = end if stop is None else min(end, stop)
        if end > max(start, first):
            cut.append(replace(chapter, start_seconds=max(start, first), end_seconds=end))
    return tuple(cut)


def chapters_input(chapters: Sequence[Chapter], file: Path) -> list[str]:
    """Write chapters into a file, and return the options of an input of ffmpeg that reads it."""
    lines = [";FFMETADATA1"]
    for chapter in chapters:
        start, end = (round(at * _NANOSECONDS) for at in (chapter.start_seconds, chapter.end_seconds))
        lines += ["[CHAPTER]", f"TIMEBASE=1/{_NANOSECONDS}", f"START={start}", f"END={end}"]
        if chapter.title:
            lines.append("title=" + _SPECIAL.sub(r"\\\1", chapter.title.replace("\0", "")))
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return [*ffmpeg.PROTOCOL_OPTIONS, "-f", "ffmetadata", "-i", ffmpeg.file_url(file)]
