"""Outputs that are numbered image files, such as `shot_%04d.exr`: their names, checks, writing and verification."""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from vidnst.config import OutputConfig
from vidnst.errors import CancelledError, OutputError, OutputExistsError, SourceError
from vidnst.files.atomic_write import translate_os_errors, write_bytes_atomically
from vidnst.files.part_files import PartMaker, remove_part
from vidnst.frames import WHITE, AlphaPlane, ClipInfo, Pixels, Rgb, to_bits
from vidnst.media import images
from vidnst.media.exr import exr_values, read_exr
from vidnst.media.input.alpha import AlphaPlanes, alpha_bits, over_background, uncovered
from vidnst.media.input.frame_numbers import NumberPattern
from vidnst.media.input.image_files import WRITABLE_SUFFIXES
from vidnst.media.output.spared_inputs import check_spares_inputs

_LOSSLESS = frozenset({".png", ".tif", ".tiff", ".bmp"})
_DEEP = frozenset({".png", ".tif", ".tiff"})
"""Suffixes of files that keep 16 bits."""
_REMEDY = "the finished frames are kept; resume to write them again, or choose another format"


def sequence_pattern(output: Path) -> NumberPattern | None:
    """Return the pattern of an output that is a sequence of image files; None for any other output."""
    return NumberPattern.parse(output) if output.suffix.lower() in WRITABLE_SUFFIXES else None


def sequence_numbers(clip: ClipInfo, start: int, end: int, settings: OutputConfig) -> tuple[int, ...]:
    """Return the numbers in the names of an output's files.

    They are those of the source's images, or else the frames' positions in the source. `output.start_number` replaces
    the first one, and the distances stay.
    """
    own = clip.numbers[start:end] or tuple(range(start, end))
    shift = 0 if settings.start_number is None else settings.start_number - own[0]
    return tuple(number + shift for number in own)


def sequence_files(
    output: Path, settings: OutputConfig, *, clip: ClipInfo, start: int, end: int
) -> tuple[Path, ...] | None:
    """Return the files of an output, in order; None if it is not a sequence of image files."""
    pattern = sequence_pattern(output)
    if pattern is None:
        return None
    return tuple(map(pattern.path, sequence_numbers(clip, start, end, settings)))


def check_sequence(output: Path, files: Sequence[Path], *, overwrite: bool, inputs: Sequence[str | Path]) -> None:
    """Check that a sequence of files can be written; the folder is checked elsewhere.

    Args:
        output: the pattern.
        files: those that are to be written.
        overwrite: True to allow replacing existing ones.
        inputs: files and folders that are read and must not be replaced.

    Raises:
        OutputError: the pattern matches an input, or existing files that must not be replaced.
    """
    pattern = sequence_pattern(output)
    assert pattern is not None
    folder = os.path.realpath(output.parent)
    matched = next(
        (
            path
            for path in map(Path, inputs)
            if pattern.number(path.name) is not None and os.path.realpath(path.parent) == folder
        ),
        None,
    )
    if matched is not None:
        raise OutputError(f"{output} matches {matched.name}, which is an input", "choose another name or folder")
    check_spares_inputs(files, inputs)
    existing = _existing(pattern)
    if not existing:
        return
    if not overwrite:
        more = f" and {len(existing) - 1} more that match {output.name} exist" if len(existing) > 1 else " exists"
        raise OutputExistsError(f"{existing[0]}{more} already", "choose another name, or replace them with --overwrite")
    for path in files:
        if os.path.lexists(path) and not path.is_file():
            raise OutputError(f"{path} is not a file that can be replaced", "choose another name")


def left_alone(output: Path, files: Sequence[Path]) -> str | None:
    """Describe the files that match a pattern but are not of this output, which stay as they are; None without any."""
    pattern = sequence_pattern(output)
    others = sorted(set(_existing(pattern)) - set(files)) if pattern else []
    if not others:
        return None
    named = others[0].name if len(others) == 1 else f"{others[0].name} and {len(others) - 1} more"
    return f"{named} match {output.name} but are not frames of this render; they stay as they are"


def write_sequence(
    frames: Sequence[Path],
    output: Path,
    files: Sequence[Path],
    *,
    transform: str,
    alpha: AlphaPlanes | None = None,
    background: Rgb = WHITE,
    on_progress: Callable[[int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    parts: PartMaker,
) -> None:
    """Write finished frames as image files, verify each, and give them their names when all are complete.

    Args:
        frames: PNG files, 8- or 16-bit RGB.
        output: the pattern.
        files: names of the result, as many.
        transform: what turns display values into those of EXR files.
        alpha: the transparency of the frames, which are laid over `background`; None if they are opaque.
        on_progress: called with the number of frames written.
        cancelled: polled after each frame; True stops.
        parts: makes the temporary folder.

    Raises:
        OutputError, DiskFullError: a file cannot be written, or does not read back as it was written.
        CancelledError: `cancelled` returned True.
    """
    folder: Path | None = None
    try:
        with translate_os_errors(output.parent):
            folder = parts.directory(output)
            with closing(alpha() if alpha else _opaque()) as planes:
                for done, (frame, file, plane) in enumerate(zip(frames, files, planes, strict=False), start=1):
                    if cancelled and cancelled():
                        raise CancelledError("stopped while the frames were written")
                    _write_frame(frame, folder / file.name, transform, plane, background)
                    if on_progress:
                        on_progress(done)
            if (count := sum(1 for _ in os.scandir(folder))) != len(files):
                raise OutputError(f"{output.name} has {count} files instead of {len(files)}", _REMEDY)
            for file in files:
                (folder / file.name).replace(file)
    finally:
        if folder is not None:
            remove_part(folder)


def _opaque() -> Generator[None, None, None]:
    while True:
        yield None


def _write_frame(frame: Path, part: Path, transform: str, plane: AlphaPlane | None, background: Rgb) -> None:
    pixels = shown = images.read_image(frame)
    is_exr = part.suffix.lower() == ".exr"
    if plane is not None:
        plane = alpha_bits(plane, shown.itemsize * 8)
        pixels = uncovered(shown, plane, background)
        images.write_image(part, pixels, plane, transform=transform)
        shown = over_background(pixels, plane, background)
    elif part.suffix.lower() == ".png":
        write_bytes_atomically(part, frame.read_bytes())
    else:
        images.write_image(part, shown, transform=transform)
    try:
        same = _exr_reads_back(part, pixels, plane, transform) if is_exr else _reads_back(part, shown, background)
    except SourceError as error:
        raise OutputError(f"a written frame does not decode: {error.what}", _REMEDY) from error
    if not same:
        raise OutputError(f"{part.name} does not read back as it was written", _REMEDY)


def _exr_reads_back(part: Path, pixels: Pixels, alpha: AlphaPlane | None, transform: str) -> bool:
    found = read_exr(part)
    planes = found.colours if found.alpha is None else np.dstack([found.colours, found.alpha])
    return np.array_equal(planes, exr_values(pixels, transform, alpha))


def _reads_back(part: Path, pixels: Pixels, background: Rgb) -> bool:
    suffix = part.suffix.lower()
    seen = images.read_image(part, background=background)
    if suffix in _LOSSLESS:
        return np.array_equal(seen, pixels if suffix in _DEEP else to_bits(pixels, 8))
    return seen.shape == pixels.shape


def _existing(pattern: NumberPattern) -> list[Path]:
    try:
        return list(pattern.files().values())
    except (OSError, SourceError) as error:
        raise OutputError(f"the folder {pattern.folder} cannot be read: {error}", "choose another folder") from error
