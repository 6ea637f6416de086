"""Thumbnails of runs and their sources, made one at a time and cached."""

import os
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

from vidnst.errors import RunError, VidnstError
from vidnst.frames import ClipInfo, Pixels
from vidnst.lru_cache import LruCache
from vidnst.media.draw.thumbnails import encode_thumbnail
from vidnst.media.images import read_image
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.probe import probe_input
from vidnst.media.input.quick_frame import read_quick_frame
from vidnst.runs import Manifest, RunLayout, RunPlan, run_folder_of
from vidnst.runs.request import load_request
from vidnst.runs.safe_files import is_file
from vidnst.runs.status import is_file_or_folder, modification_time_ns

_LONGEST_SIDE_PX, _MAX_BYTES = 480, 60_000
_CACHED_IMAGES, _CACHED_CLIPS = 256, 16

_Origin: TypeAlias = Literal["frame", "output", "source"]
"""A PNG of a run, a frame of its output, or a frame of its source."""


class Thumbnails:
    """JPEG thumbnails of frames, for any thread; what cannot be shown is None."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._images: LruCache[tuple[_Origin, Path, int, int], bytes | None] = LruCache(_CACHED_IMAGES)
        self._sources: LruCache[Path, ClipInfo | None] = LruCache(_CACHED_CLIPS)

    def result(self, run: Path, index: int, *, anywhere: bool = True) -> bytes | None:
        """Frame `index` of the source as the run has rendered it; from its output, where it has kept no frames.

        Args:
            anywhere: whether an output that does not lie next to the run folder may be shown: a foreign run folder can
                name any file.
        """
        layout = RunLayout(run)
        if (path := layout.find_frame(index)) is not None:
            return self._thumbnail("frame", path, index)
        if any(map(_has_entries, (layout.finished, layout.frames))):  # this one has not been rendered yet
            return None
        with suppress(VidnstError, OSError):
            output, file, number = _output(run, index)
            if (anywhere or run_folder_of(output) == Path(os.path.abspath(run))) and is_file_or_folder(file):
                return self._thumbnail("output", file, number)
        return None

    def source(self, run: Path, index: int) -> bytes | None:
        """Frame `index` of a run's source; as it was filtered, where the run has it so."""
        filtered = RunLayout(run).frame(index, "before")
        if is_file(filtered):
            return self._thumbnail("frame", filtered, index)
        return self._thumbnail("source", run, index)

    def _thumbnail(self, origin: _Origin, path: Path, index: int) -> bytes | None:
        key = (origin, path, index, 0 if origin == "source" else modification_time_ns(path))
        with self._lock:  # one image is decoded at a time: renders want the cores
            return self._images.get(key, partial(self._encode, origin, path, index))

    def _encode(self, origin: _Origin, path: Path, index: int) -> bytes | None:
        with suppress(VidnstError, OSError, ValueError):
            pixels = self._read(origin, path, index)
            if pixels is not None:
                return encode_thumbnail(pixels, longest_side=_LONGEST_SIDE_PX, max_bytes=_MAX_BYTES)
        return None

    def _read(self, origin: _Origin, path: Path, index: int) -> Pixels | None:
        match origin:
            case "frame":
                return read_image(path)
            case "output":
                return read_quick_frame(path, index)
            case "source":
                return self._read_source(path, index)

    def _read_source(self, run: Path, index: int) -> Pixels | None:
        if run not in self._sources:
            self._sources[run] = None  # a source that cannot be read is not tried again
            request = load_request(run, {})
            self._sources[run] = probe_input(request.source, request.config.input)
        clip = self._sources[run]
        if clip is None or index >= clip.frame_count:
            return None
        with FrameReader(clip, on_bad_frame="repeat") as reader:
            return reader.read(index).pixels


def _has_entries(folder: Path) -> bool:
    """True if there is anything in a folder, or a link in its place."""
    try:
        with os.scandir(folder) as entries:
            return folder.is_symlink() or next(entries, None) is not None
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _output(run: Path, index: int) -> tuple[Path, Path, int]:
    """The output of a run, the file that shows frame `index` of the source, and the frame's position in it.

    Raises:
        RunError: its records are damaged, or it has planned nothing.
    """
    plan = RunPlan.read(run)
    if plan is None:
        raise RunError(f"{run} has planned nothing")
    output = Path(Manifest.read(run).output)
    files = plan.output_files(output)
    if files and plan.start <= index < plan.end:
        return output, files[index - plan.start], 0
    return output, output, index - plan.start
