"""Images that a run keeps next to its rendered frames, made shot by shot in order, each from the one before."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from vidnst.files.atomic_write import translate_os_errors, write_atomically
from vidnst.files.part_files import remove_parts
from vidnst.runs.layout import FrameFolder, frame_name
from vidnst.runs.safe_files import check_folder, file_names, open_file

_MAX_STATE_BYTES = 8 << 30
"""A pass over frames keeps a few pictures of floats."""


class ImageFolder:
    """The folder `before` or `finished` of a run that this process has locked. Threads may write different frames.

        <frame, 8 digits>.png
        <shot>.npz          what the next frame of a shot is made with, besides the frame itself

    The state is replaced after the image that it belongs to is in its place, so a kill between the two only makes that
    image again.

    Raises:
        RunError: it is no folder of its own. OutputError: it cannot be written.
    """

    def __init__(self, run: Path, name: FrameFolder) -> None:
        self.folder = run / name
        check_folder(self.folder)
        with translate_os_errors(run):
            self.folder.mkdir(exist_ok=True)
            remove_parts(self.folder)
            self._names = file_names(self.folder)

    def path(self, index: int) -> Path:
        """The path of frame `index` of the source."""
        return self.folder / frame_name(index)

    def has(self, index: int) -> bool:
        """True if it was written in an earlier session, or in this one."""
        return self.path(index).name in self._names

    def write(self, index: int, write: Callable[[Path], object]) -> None:
        """Write an image as `write_atomically` does."""
        path = self.path(index)
        write_atomically(path, write)
        self._names.add(path.name)

    def write_state(self, shot: int, index: int, state: Mapping[str, NDArray[Any]]) -> None:
        """Write what frame `index` leaves to the next one of its shot, and replace what the one before left."""
        path = self._state_path(shot)

        def save(part: Path) -> None:
            with part.open("wb") as file:
                np.savez(file, allow_pickle=False, **{"frame": np.array(index), **state})

        write_atomically(path, save)

    def read_state(self, shot: int) -> tuple[int, dict[str, NDArray[Any]]] | None:
        """The frame of a shot that was written last, and what it left; None if that is unknown."""
        try:
            with open_file(self._state_path(shot), max_bytes=_MAX_STATE_BYTES) as file:
                _check_members(file)
                with np.load(file, allow_pickle=False) as arrays:
                    state = {name: arrays[name] for name in arrays.files}
            return int(state.pop("frame")), state
        except Exception:  # numpy fails in a dozen ways; then the shot is made again, to the same bytes
            return None

    def _state_path(self, shot: int) -> Path:
        return self.folder / f"{shot}.npz"


def _check_members(file: BinaryIO) -> None:
    """Make sure that arrays are not larger than their file: one that came from elsewhere may be packed tightly."""
    with ZipFile(file) as archive:
        if sum(member.file_size for member in archive.infolist()) > _MAX_STATE_BYTES:
            raise ValueError("the arrays are too large")
    file.seek(0)
