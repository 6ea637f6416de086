"""Outputs that are one image, or a folder of PNG frames."""

import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path

from vidnst.errors import CancelledError, OutputError
from vidnst.files.atomic_write import translate_os_errors
from vidnst.files.part_files import PartMaker, remove_part
from vidnst.frames import ClipInfo
from vidnst.media import images
from vidnst.media.input.alpha import AlphaPlanes, alpha_bits, uncovered
from vidnst.media.output.preflight import check_replaceable


def write_single_image(frame: Path, output: Path, alpha: AlphaPlanes | None, clip: ClipInfo) -> None:
    """Write a finished frame, a PNG file, as the image `output`, with the first plane of `alpha` if it is given."""
    pixels = images.read_image(frame)
    if alpha is None:
        images.write_image(output, pixels, transform=clip.transform)
        return
    with closing(alpha()) as planes:
        plane = alpha_bits(next(planes), pixels.itemsize * 8)
    images.write_image(output, uncovered(pixels, plane, clip.background), plane, transform=clip.transform)


def write_folder(
    frames: Sequence[Path],
    output: Path,
    start: int,
    on_progress: Callable[[int], None] | None,
    cancelled: Callable[[], bool] | None,
    merged: Generator[bytes, None, None] | None = None,
    *,
    parts: PartMaker,
) -> None:
    """Write finished frames as a folder of PNG files, which appears when it is complete.

    Args:
        frames: PNG files.
        start: number of the first one.
        on_progress, cancelled: see `encode`.
        merged: the files' contents where they differ from the frames, since they have transparency.
        parts: makes the temporary folder.
    """
    part: Path | None = None
    try:
        with translate_os_errors(output.parent):
            part = parts.directory(output)
            for number, path in enumerate(frames):
                if cancelled and cancelled():
                    raise CancelledError("stopped while the frames were copied")
                name = part / f"{start + number:06d}.png"
                if merged is None:
                    shutil.copyfile(path, name)
                else:
                    name.write_bytes(next(merged))
                if on_progress:
                    on_progress(number + 1)
            if output.exists():
                _remove_frames(output)
            part.replace(output)
    finally:
        if merged is not None:
            merged.close()
        if part is not None:
            remove_part(part)


def _remove_frames(folder: Path) -> None:
    """Remove a folder that holds nothing but frames of an earlier render."""
    check_replaceable(folder)
    paths = list(folder.iterdir())
    if nested := next((path for path in paths if path.is_dir() and not path.is_symlink()), None):
        raise OutputError(f"{folder} contains the folder {nested.name}", "choose another name")
    for path in paths:
        path.unlink()
    folder.rmdir()
