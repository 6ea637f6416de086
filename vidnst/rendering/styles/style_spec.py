"""Reads style pictures and clips, and places them on the timeline."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from vidnst.config import RenderConfig
from vidnst.config.style import Style, as_style, exists
from vidnst.config.timecode import moment_seconds
from vidnst.errors import ConfigError, SourceError, StyleError
from vidnst.frames import ClipInfo, Pixels
from vidnst.media.images import read_image
from vidnst.media.input.fingerprint import fingerprint
from vidnst.media.input.frame_reader import FrameReader
from vidnst.media.input.image_header import is_still, read_image_header
from vidnst.media.input.probe import probe
from vidnst.rendering.styles.timeline import REST, TimedStyle, check_timeline, never_shown

_FLAT_LEVELS = 2.0
"""Standard deviation in levels of 255 below which a picture has no texture."""
_CHECKED_FRAMES = 3
"""Frames of a style clip that are checked for texture."""


@dataclass(frozen=True, slots=True)
class StylePicture:
    """A style picture, or the first frame of a style clip, with when and where it holds."""

    path: Path
    weight: float
    pixels: Pixels
    fingerprint: str
    at: str | None = None
    """Moment from which it holds, as it was written; None is always."""
    shots: tuple[int, ...] = ()
    """Shots in which it holds, from 0; empty is all."""
    region: str | None = None
    """Region in which it holds; None is what no mask covers."""
    clip: ClipInfo | None = None
    """The clip, if the style moves: a frame for each frame of the render."""

    @property
    def style(self) -> Style:
        """The style as it was asked for, with its absolute path."""
        return Style(os.path.abspath(self.path), self.weight, self.at, self.shots, self.region)


def read_styles(styles: Sequence[str | Style], *, remedy: str = "add --style IMAGE") -> tuple[StylePicture, ...]:
    """Read style pictures and clips, given as `Style` or as texts like `a.jpg:45` or `a.mp4@10s#sky`.

    Args:
        styles: pictures and clips.
        remedy: what to do if there are none.

    Raises:
        StyleError: none given, missing, unreadable, or (nearly) of one colour.
        ConfigError: a weight or a moment is wrong.
    """
    if not styles:
        raise StyleError("no style was given", remedy)
    return tuple(_read_style(as_style(style)) for style in styles)


def _read_style(style: Style) -> StylePicture:
    path = Path(style.path)
    parts = (style.at, style.shots, style.region)
    clip = None if is_still(path) and not _moves(path) else _probe_clip(path)
    if clip is not None:
        pixels = _first_of(clip)
        return StylePicture(path, style.weight, pixels, fingerprint(clip.paths), *parts, clip)
    try:
        pixels = read_image(path)
    except SourceError as error:
        raise StyleError(error.what, error.remedy) from error
    if _is_flat(pixels):
        raise StyleError(f"style picture {path} is of one colour", "take one with brush strokes or texture")
    return StylePicture(path, style.weight, pixels, fingerprint([path]), *parts)


def _moves(path: Path) -> bool:
    """Return whether an image file has several frames; one that cannot be read has not."""
    try:
        return read_image_header(path).frames > 1
    except SourceError:
        return False


def _probe_clip(path: Path) -> ClipInfo | None:
    """Return the clip at a path that is no picture by its name; None if it is a single picture after all.

    Raises:
        StyleError: there is no such file, or a folder's pictures cannot be used.
    """
    is_file = exists(path) and path.is_file()
    try:
        clip = probe(path)
    except SourceError as error:
        if is_file:
            return None  # reading it as a picture says what is wrong with it
        if not exists(path) and not set("*?[%") & set(str(path)):
            raise StyleError(f"no style picture at {path}", "check the path") from error
        raise StyleError(f"style {path}: {error.what}", error.remedy) from error
    return None if is_file and clip.frame_count == 1 else clip


def _first_of(clip: ClipInfo) -> Pixels:
    """Return the first frame of a style clip, after checking that some of its frames have texture."""
    last = clip.frame_count - 1
    indices = sorted({last * number // (_CHECKED_FRAMES - 1) for number in range(_CHECKED_FRAMES)})
    try:
        with FrameReader(clip, on_bad_frame="repeat") as reader:
            frames = [reader.read(index).pixels for index in indices]
    except SourceError as error:
        raise StyleError(error.what, error.remedy) from error
    if all(map(_is_flat, frames)):
        raise StyleError(f"style clip {clip.source} is of one colour", "take one with brush strokes or texture")
    return frames[0]


def _is_flat(pixels: Pixels) -> bool:
    return bool(pixels.astype(np.float32).std(axis=(0, 1)).max() * 255 / np.iinfo(pixels.dtype).max < _FLAT_LEVELS)


def timeline_of(styles: Sequence[StylePicture], clip: ClipInfo) -> tuple[TimedStyle, ...]:
    """Place the styles on the timeline of a clip.

    Raises:
        ConfigError: moments out of order, moments and shots in one region, or a style that no frame shows.
    """
    timeline = tuple(
        TimedStyle(
            number,
            style.weight,
            style.path.name,
            None if style.at is None else moment_seconds(style.at, clip),
            style.shots,
            style.region or REST,
        )
        for number, style in enumerate(styles)
    )
    check_timeline(timeline)
    for entry in never_shown(timeline, clip_seconds(clip)):
        raise ConfigError(
            f"nothing of style {entry.name} at {styles[entry.style].at} would be seen in {clip.source}, which ends at"
            f" {float(clip.duration_seconds):.3f} s (frame {clip.frame_count})",
            "leave it out, or give it a moment inside the clip",
        )
    return timeline


def timeline_warnings(
    styles: Sequence[StylePicture], timeline: Sequence[TimedStyle], clip: ClipInfo, start: int, end: int
) -> list[str]:
    """Return warnings about moments and style clips that may not do what the user expects."""
    times = clip_seconds(clip)
    notes = []
    for entry in timeline:
        if entry.at is not None and entry.at > clip.duration_seconds:
            notes.append(f"style {entry.name} at {styles[entry.style].at} is never reached: {clip.source} ends before")
    for entry in never_shown(timeline, times[start:end]):
        notes.append(
            f"nothing of style {entry.name} at {styles[entry.style].at} is seen in frames {start} to {end - 1}"
        )
    for style in styles:
        if style.clip is not None and style.clip.frame_count < end:
            frames = style.clip.frame_count
            notes.append(f"style {style.path.name} has {frames} frames for {clip.frame_count}: it is played in a loop")
    return notes


def clip_seconds(clip: ClipInfo) -> list[Fraction]:
    """Return the time of each frame of a clip, from its first frame."""
    return [at - clip.pts_seconds[0] for at in clip.pts_seconds]


def needs_guidance(styles: Sequence[StylePicture], config: RenderConfig) -> bool:
    """Return True if a style holds only somewhere or at some time, or moves."""
    somewhere = any(style.at or style.shots or style.region or style.clip for style in styles)
    return somewhere or bool(config.regions.masks)
