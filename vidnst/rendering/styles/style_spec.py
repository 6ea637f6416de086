"""Styles as a user writes them: texts read into pictures and clips, with where and when they hold."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from vidnst.config.style import Style, as_style, exists
from vidnst.config.timecode import moment_seconds
from vidnst.errors import ConfigError, SourceError, StyleError
from vidnst.frames import ClipInfo, Pixels
from vidnst.rendering.styles.timeline import REST, TimedStyle, check_entries, unseen

_FLAT_LEVELS = 2.0  # standard deviation, in levels of 255, under which a picture has no texture to take

_TRIED = 3
"""Frames of a style clip that are looked at for texture."""


@dataclass(frozen=True, slots=True)
class StylePicture:
    """A style as it was read."""

    path: Path
    weight: float
    pixels: Pixels
    """Of a clip, its first frame."""
    fingerprint: str
    at: str | None = None
    """From which moment it holds, as it was written; None is always."""
    shots: tuple[int, ...] = ()
    """Shots that it is for, from 0; empty is all."""
    region: str | None = None
    """None is what no mask covers."""
    clip: ClipInfo | None = None
    """Where the style moves: a frame for each of the render's."""

    @property
    def text(self) -> Style:
        """What it was read from, with its absolute path."""
        return Style(os.path.abspath(self.path), self.weight, self.at, self.shots, self.region)


def read_styles(styles: Sequence[str | Style]) -> tuple[StylePicture, ...]:
    """Style pictures and clips from texts like `a.jpg`, `a.jpg:45` or `a.mp4@10s#sky`.

    Raises:
        StyleError: none given, missing, unreadable, or (nearly) of one colour.
        ConfigError: a weight or a moment is wrong.
    """
    if not styles:
        raise StyleError("no style was given", "add --style IMAGE")
    return tuple(_read_style(as_style(style)) for style in styles)


def _read_style(text: Style) -> StylePicture:
    from vidnst.media.images import is_image, read_image
    from vidnst.media.input.fingerprint import fingerprint

    path = Path(text.path)
    parts = (text.at, text.shots, text.region)
    clip = None if exists(path) and path.is_file() and is_image(path) else _probe_clip(path)
    if clip is not None:
        pixels = _first_of(clip)
        return StylePicture(path, text.weight, pixels, fingerprint(clip.paths), *parts, clip)
    try:
        pixels = read_image(path)
    except SourceError as error:
        raise StyleError(error.what, error.remedy) from error
    if _is_flat(pixels):
        raise StyleError(f"style picture {path} is of one colour", "take one with brush strokes or texture")
    return StylePicture(path, text.weight, pixels, fingerprint([path]), *parts)


def _probe_clip(path: Path) -> ClipInfo | None:
    """The clip at a path that is no picture by its name; None where it is a single picture after all.

    Raises:
        StyleError: nothing is there, or a folder's pictures cannot be used.
    """
    from vidnst.media.input.probe import probe

    is_file = exists(path) and path.is_file()
    try:
        clip = probe(path)
    except SourceError as error:
        if is_file:
            return None  # what is wrong with it, reading it as a picture says
        if not exists(path) and not set("*?[%") & set(str(path)):
            raise StyleError(f"no style picture at {path}", "check the path") from error
        raise StyleError(f"style {path}: {error.what}", error.remedy) from error
    return None if is_file and clip.frame_count == 1 else clip


def _first_of(clip: ClipInfo) -> Pixels:
    """The first frame of a style clip, of which some frames at least must have texture."""
    from vidnst.media.input.frame_reader import FrameReader

    last = clip.frame_count - 1
    indices = sorted({last * number // (_TRIED - 1) for number in range(_TRIED)})
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


def placed(styles: Sequence[StylePicture], clip: ClipInfo) -> tuple[TimedStyle, ...]:
    """The styles as entries of a timeline over a clip.

    Raises:
        ConfigError: moments out of order, moments and shots in one region, or a moment that no frame of the clip sees.
    """
    entries = tuple(
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
    check_entries(entries)
    for entry in unseen(entries, clip_seconds(clip)):
        raise ConfigError(
            f"nothing of style {entry.name} at {styles[entry.style].at} would be seen in {clip.source}, which ends at"
            f" {float(clip.duration_seconds):.3f} s (frame {clip.frame_count})",
            "leave it out, or give it a moment inside the clip",
        )
    return entries


def placing_notes(
    styles: Sequence[StylePicture], entries: Sequence[TimedStyle], clip: ClipInfo, start: int, end: int
) -> list[str]:
    """What about moments and clips may not be what the user thinks; nothing that hinders."""
    times = clip_seconds(clip)
    notes = []
    for entry in entries:
        if entry.at is not None and entry.at > clip.duration_seconds:
            notes.append(f"style {entry.name} at {styles[entry.style].at} is never reached: {clip.source} ends before")
    for entry in unseen(entries, times[start:end]):
        notes.append(
            f"nothing of style {entry.name} at {styles[entry.style].at} is seen in frames {start} to {end - 1}"
        )
    for style in styles:
        if style.clip is not None and style.clip.frame_count < end:
            frames = style.clip.frame_count
            notes.append(f"style {style.path.name} has {frames} frames for {clip.frame_count}: it is played round")
    return notes


def clip_seconds(clip: ClipInfo) -> list[Fraction]:
    """When each frame of a clip appears, from its first."""
    return [at - clip.pts_seconds[0] for at in clip.pts_seconds]
