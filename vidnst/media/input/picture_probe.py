"""Probing of pictures: a sequence of images, or one file with several frames."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from vidnst.errors import SourceError
from vidnst.frames import AlphaPlane, ClipInfo, SourceKind
from vidnst.media import images
from vidnst.media.input.animation import AnimationReader
from vidnst.media.input.capture_order import PictureOrder, by_capture_time, disagreement
from vidnst.media.input.frame_rate import find_constant_rate
from vidnst.media.input.image_chroma import read_image_chroma
from vidnst.media.input.image_header import ImageHeader, read_image_header
from vidnst.media.input.limits import check_animation, check_frame_count
from vidnst.media.input.tiff_pages import list_pages

_Progress = Callable[[int], None] | None

_TICK_SECONDS = {"GIF": Fraction(1, 100)}
_FINE_TICK_SECONDS = Fraction(1, 1000)
_MOST_NAMED = 3


def probe_pictures(
    paths: Sequence[Path],
    *,
    name: str,
    fps: Fraction = Fraction(25),
    order: PictureOrder = "auto",
    on_progress: _Progress = None,
) -> ClipInfo:
    """Describe a sequence of images as `probe_images` does; a single file with several frames is a clip by itself.

    Raises:
        SourceError: as `probe_images`; a frame does not decode, or pages of a TIFF file have different sizes.
    """
    if len(paths) == 1:
        header = read_image_header(paths[0])
        if header.frames > 1:
            return _probe_frames(paths[0], header, name=name, fps=fps, on_progress=on_progress)
    return probe_images(paths, name=name, fps=fps, order=order, on_progress=on_progress)


def probe_images(
    paths: Sequence[Path],
    *,
    name: str,
    fps: Fraction = Fraction(25),
    order: PictureOrder = "auto",
    on_progress: _Progress = None,
) -> ClipInfo:
    """Describe an image sequence as a clip, each image shown for 1/fps seconds.

    Args:
        order: time sorts the images by their time of capture; else they stay in their order.

    Raises:
        SourceError: an image cannot be read, has another size than the first, or no time of capture to sort by.
    """
    first = read_image_header(paths[0])
    taken = [first.taken]
    has_alpha = _is_transparent(paths[0], first)
    is_deep = first.deep
    partial = [(paths[0], first)] if _is_partial(first) else []
    for number, path in enumerate(paths[1:], start=2):
        header = read_image_header(path)
        if (header.width, header.height) != (first.width, first.height):
            raise SourceError(
                f"{paths[0]} has {first.width}x{first.height} pixels but {path} has {header.width}x{header.height}",
                "give images of one size",
            )
        taken.append(header.taken)
        has_alpha = has_alpha or _is_transparent(path, header)
        is_deep = is_deep or header.deep
        if _is_partial(header):
            partial.append((path, header))
        if on_progress and number % 100 == 0:
            on_progress(number)
    if order == "time" and len(paths) > 1:
        paths = [paths[number] for number in by_capture_time(paths, taken)]
    notes = [disagreement(paths, taken)] if order != "time" else []
    notes += _unused(partial)
    depth = max(images.read_image(paths[0]).dtype.itemsize * 8, 16 if is_deep else 8)
    return ClipInfo(
        source=name,
        kind=SourceKind.PICTURES,
        paths=tuple(paths),
        width=first.width,
        height=first.height,
        rate=fps,
        pts_seconds=tuple(number / fps for number in range(len(paths))),
        last_duration_seconds=1 / fps,
        variable_rate=False,
        bit_depth=depth,
        stored_bits=depth,
        chroma=read_image_chroma(paths[0], first),
        has_alpha=has_alpha,
        video_codec=first.format.lower(),
        notes=tuple(filter(None, notes)),
    )


def _is_partial(header: ImageHeader) -> bool:
    return header.frames > 1 or header.others > 0 or header.hdr


def _unused(partial: Sequence[tuple[Path, ImageHeader]]) -> list[str]:
    """Return notes on files that are not used as they are."""
    notes = []
    for path, header in partial[:_MOST_NAMED]:
        if header.frames > 1:
            notes.append(f"{path.name} has {header.frames} frames, of which only the first is used in a sequence")
        if header.hdr:
            notes.append(f"{path.name} is HDR (PQ or HLG), and is shown as if it were SDR: convert it first")
        if header.others:
            notes.append(f"{path.name} has {header.others + 1} images, of which only the primary one is used")
    if len(partial) > _MOST_NAMED:
        notes.append(f"{len(partial) - _MOST_NAMED} more pictures are HDR, or have several images of which one is used")
    return notes


def _probe_frames(path: Path, header: ImageHeader, *, name: str, fps: Fraction, on_progress: _Progress) -> ClipInfo:
    """Describe a file with several frames; those of an animation are all decoded, pages of a TIFF file are not."""
    check_frame_count(str(path), header.frames)
    check_animation(str(path), header.frames, header.width, header.height)
    with AnimationReader(path, header) as reader:
        depth = reader.read(0).dtype.itemsize * 8
        if header.format == "TIFF":
            _check_pages(path)
            durations = [1 / fps] * header.frames
            has_alpha = header.has_alpha and any(_has_holes(_alpha_of(reader, page)) for page in range(header.frames))
        else:
            durations, has_alpha = _read_frames(reader, header.frames, on_progress)
    timing = _timing(durations, _TICK_SECONDS.get(header.format, _FINE_TICK_SECONDS))
    pts, rate, variable = timing
    return ClipInfo(
        source=name,
        kind=SourceKind.ANIMATION,
        paths=(path,),
        width=header.width,
        height=header.height,
        rate=rate,
        pts_seconds=pts,
        last_duration_seconds=durations[-1] if variable else 1 / rate,
        variable_rate=variable,
        bit_depth=depth,
        stored_bits=depth,
        chroma=read_image_chroma(path, header),
        plays=None if header.format == "TIFF" else header.plays,
        has_alpha=has_alpha,
        video_codec=header.format.lower(),
    )


def _check_pages(path: Path) -> None:
    first, *others = list_pages(path)
    for number, page in enumerate(others, start=2):
        if not page.width:
            raise SourceError(f"page {number} of {path} cannot be read", "check the file")
        if (page.width, page.height) != (first.width, first.height):
            raise SourceError(
                f"page 1 of {path} has {first.width}x{first.height} pixels but page {number} has"
                f" {page.width}x{page.height}",
                "save pages of one size, or a file for each",
            )


def _read_frames(reader: AnimationReader, frames: int, on_progress: _Progress) -> tuple[list[Fraction], bool]:
    """Decode all frames; returns their durations, and whether one is transparent somewhere."""
    durations, has_alpha = [], False
    for index in range(frames):
        reader.read(index)
        durations.append(reader.seconds(index))
        has_alpha = has_alpha or _has_holes(reader.alpha(index))
        if on_progress and index % 100 == 99:
            on_progress(index + 1)
    return durations, has_alpha


def _is_transparent(path: Path, header: ImageHeader) -> bool:
    """Return whether a pixel of an image is transparent; not for one that does not decode, which reading will tell."""
    if not (header.has_alpha or header.format in ("HEIF", "AVIF")):
        return False
    try:
        return _has_holes(images.read_image_alpha(path))
    except SourceError:
        return False


def _alpha_of(reader: AnimationReader, index: int) -> AlphaPlane | None:
    """Read the alpha of a frame; None for one that does not decode."""
    try:
        return reader.alpha(index)
    except SourceError:
        return None


def _has_holes(alpha: AlphaPlane | None) -> bool:
    return alpha is not None and bool(alpha.min() < np.iinfo(alpha.dtype).max)


def _timing(durations: Sequence[Fraction], tick: Fraction) -> tuple[tuple[Fraction, ...], Fraction, bool]:
    """Return time stamps, the rate, and whether it varies; the last frame counts like all others."""
    ends = [Fraction(0)]
    for duration in durations:
        ends.append(ends[-1] + duration)
    constant = find_constant_rate(ends, tick_seconds=tick)
    if constant is not None:
        return tuple(number / constant for number in range(len(durations))), constant, False
    return tuple(ends[:-1]), len(durations) / ends[-1], True
