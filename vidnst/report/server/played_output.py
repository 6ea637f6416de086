"""The output of a run as a browser can play it: only what the run's record names, next to the run folder."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from vidnst.errors import RunError, VidnstError
from vidnst.runs import Manifest, RunLayout, RunLog, lock_holder
from vidnst.runs.layout import owns_output
from vidnst.runs.safe_files import is_file, open_file

_MAX_BYTES = 1 << 42
_LONGEST_PIECE = 8 << 20
"""Bytes of one answer to a request for a range; browsers ask for the rest when they need it."""
_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".png": "image/png",
    ".apng": "image/apng",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".avif": "image/avif",
}
_RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})")


@dataclass(frozen=True, slots=True)
class PlayedOutput:
    """A finished output, one file that browsers know."""

    path: Path
    media_type: str

    @property
    def kind(self) -> Literal["video", "image"]:
        """The element that shows it."""
        return "video" if self.media_type.startswith("video/") else "image"

    def open(self) -> BinaryIO:
        """Open the file.

        Raises:
            OSError: it is missing, or a link or anything else but a file of its own.
        """
        try:
            return open_file(self.path, max_bytes=_MAX_BYTES)
        except RunError as error:
            raise OSError(str(error)) from error


def played_output(run: Path) -> PlayedOutput | None:
    """Return the output of a finished run that a page can play; None if there is none.

    A foreign run folder can name any file, so the output must lie next to its run folder, which is named after it.
    """
    try:
        output = Path(Manifest.read(run).output)
        is_finished = RunLog.read(run).session_end == "finished" and not lock_holder(RunLayout(run).lock)
    except (VidnstError, OSError):
        return None
    return playable(run, output) if is_finished else None


def playable(run: Path, output: Path) -> PlayedOutput | None:
    """Return the output of a run that is known to be finished; see `played_output`."""
    media_type = _TYPES.get(output.suffix.lower())
    if media_type is None or not owns_output(run, output) or not is_file(output, max_bytes=_MAX_BYTES):
        return None
    return PlayedOutput(output, media_type)


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first byte, and the one after the last, that a Range header asks for; None for the whole file.

    A header that asks for several ranges, or makes no sense, is ignored, as HTTP allows.

    Raises:
        ValueError: no byte of the file is in the range.
    """
    match = _RANGE.fullmatch((header or "").strip())
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        begin, end = max(0, size - int(last)), size
    else:
        begin, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < begin:
            return None
    if begin >= size or begin >= end:
        raise ValueError("the range is outside of the file")
    return begin, min(end, begin + _LONGEST_PIECE)
