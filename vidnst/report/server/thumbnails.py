"""Small pictures of runs and their sources, made one at a time and remembered."""

import os
import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

from vidnst.errors import RunError, VidnstError
from vidnst.frames import ClipInfo, Pixels
from vidnst.runs import Manifest, RunLayout, RunPlan, run_folder_of
from vidnst.runs.status import frame_file, holds_output, is_plain, modified_ns

_LONGEST_PX, _MOST_BYTES = 480, 60_000
_KEPT, _CLIPS = 256, 16


class Thumbnails:
    """JPEG pictures of frames, for any number of threads; what cannot be shown is None."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, Path, int, int], bytes | None] = OrderedDict()
        self._clips: OrderedDict[Path, ClipInfo | None] = OrderedDict()

    def result(self, run: Path, index: int, *, anywhere: bool = True) -> bytes | None:
        """Frame `index` of the source as the run has rendered it; from its output, where it has kept no frames.

        Args:
            anywhere: whether an output that does not lie beside the run folder may be shown: a run folder of a
                stranger can name any file.
        """
        path = frame_file(run, index)
        if path is not None:
            return self._picture("result", path, index)
        if any(map(_holds_any, (RunLayout(run).finished, RunLayout(run).frames))):  # this one is still to be rendered
            return None
        with suppress(VidnstError, OSError):
            output, start = _output(run)
            if (anywhere or run_folder_of(output) == Path(os.path.abspath(run))) and holds_output(output):
                return self._picture("output", output, index - start)
        return None

    def source(self, run: Path, index: int) -> bytes | None:
        """Frame `index` of a run's source, as it lies there; filtered where the run has it so."""
        filtered = RunLayout(run).frame(index, "before")
        return self._picture("result", filtered, index) if is_plain(filtered) else self._picture("source", run, index)

    def _picture(self, kind: str, path: Path, index: int) -> bytes | None:
        key = (kind, path, index, 0 if kind == "source" else modified_ns(path))
        with self._lock:  # one picture is decoded at a time: renders want the cores
            if key not in self._kept:
                self._kept[key] = self._made(kind, path, index)
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]

    def _made(self, kind: str, path: Path, index: int) -> bytes | None:
        from vidnst.media.draw.thumbnails import encode_thumbnail
        from vidnst.media.images import read_image
        from vidnst.media.input.quick_frame import read_quick_frame

        with suppress(VidnstError, OSError, ValueError):
            if kind == "output":
                pixels: Pixels | None = read_quick_frame(path, index)
            else:
                pixels = read_image(path) if kind == "result" else self._source(path, index)
            if pixels is not None:
                return encode_thumbnail(pixels, longest_side=_LONGEST_PX, max_bytes=_MOST_BYTES)
        return None

    def _source(self, run: Path, index: int) -> Pixels | None:
        from vidnst.media.input.frame_reader import FrameReader

        if run not in self._clips:
            self._clips[run] = None  # a source that cannot be read is not tried again
            while len(self._clips) > _CLIPS:
                self._clips.popitem(last=False)
            self._clips[run] = _probed(run)
        clip = self._clips[run]
        if clip is None or index >= clip.frame_count:
            return None
        with FrameReader(clip, on_bad_frame="repeat") as reader:
            return reader.read(index).pixels


def _holds_any(folder: Path) -> bool:
    """Whether there is anything in a folder, or a link in its place."""
    try:
        with os.scandir(folder) as entries:
            return folder.is_symlink() or next(entries, None) is not None
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _output(run: Path) -> tuple[Path, int]:
    """A run's output, and the frame of the source that is its first.

    Raises:
        RunError: its record is damaged, or it has planned nothing.
    """
    plan = RunPlan.read(run)
    if plan is None:
        raise RunError(f"{run} has planned nothing")
    return Path(Manifest.read(run).output), plan.start


def _probed(run: Path) -> ClipInfo:
    from vidnst.media.input.probe import probe
    from vidnst.runs.request import recall_request

    request = recall_request(run, {})
    return probe(request.source, fps=request.config.input.fps)
