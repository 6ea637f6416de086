"""Compositors' frames, EXR and DPX: read as display values, and surveyed for what painting cannot keep."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from vidnst.errors import BadFrameError, SourceError
from vidnst.media.dpx import DpxHeader, read_dpx, read_dpx_header
from vidnst.media.exr import REC709_CHROMATICITIES, ExrHeader, read_exr, read_exr_header
from vidnst.media.scene_light import OCIO_PREFIX, DisplayFrame, to_display

SCENE_SUFFIXES = frozenset({".exr", ".dpx"})
"""Suffixes, in lower case, of files that hold scene light, logarithmic values, or display values."""

_PRIMARIES_TOLERANCE = 0.002
_WELL_KNOWN_PRIMARIES = {
    "ACES2065-1": (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077),
    "ACEScg": (0.713, 0.293, 0.165, 0.830, 0.128, 0.044),
    "Linear Rec.2020": (0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    "Linear P3-D65": (0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
"""x and y of red, green and blue, by OpenColorIO's names of the colour spaces."""


def is_scene_image(path: Path) -> bool:
    """Return whether a name is that of an EXR or DPX file."""
    return path.suffix.lower() in SCENE_SUFFIXES


def read_scene_header(path: Path) -> tuple[int, int, Literal[1], Literal["EXR", "DPX"]]:
    """Read width, height, orientation (upright) and format of an EXR or DPX file.

    Raises:
        SourceError: the file is missing, damaged or too large, or holds no picture that can be read.
    """
    if path.suffix.lower() == ".exr":
        exr = read_exr_header(path)
        return exr.width, exr.height, 1, "EXR"
    dpx = read_dpx_header(path)
    return dpx.width, dpx.height, 1, "DPX"


def read_scene_image(path: Path, transform: str = "auto") -> DisplayFrame:
    """Read an EXR or DPX file as display values.

    Args:
        transform: see `to_display`; `auto` is `srgb` for EXR, and what its header says for DPX.

    Raises:
        SourceError: see `read_scene_header`; also if the pixels do not decode.
        ConfigError: the transform needs OpenColorIO, and it is missing.
    """
    if path.suffix.lower() == ".exr":
        return to_display(read_exr(path), "srgb" if transform == "auto" else transform)
    return to_display(read_dpx(path), read_dpx_header(path).transform if transform == "auto" else transform)


@dataclass(slots=True)
class _Found:
    """What a survey has counted."""

    frames: int = 0
    above: list[int] = field(default_factory=list)
    """Pixels over white of each frame that has some; `below` and `invalid` likewise."""
    below: list[int] = field(default_factory=list)
    invalid: list[int] = field(default_factory=list)
    peak: float = 0.0
    pixels: int = 0

    def add(self, frame: DisplayFrame) -> None:
        self.frames += 1
        self.pixels += int(np.prod(frame.pixels.shape[:2]))
        for counts, count in ((self.above, frame.above), (self.below, frame.below), (self.invalid, frame.invalid)):
            if count:
                counts.append(count)
        if frame.above:
            self.peak = max(self.peak, frame.peak)


def survey_scene(
    paths: Sequence[Path],
    transform: str,
    *,
    source: str,
    may_be_damaged: bool,
    on_progress: Callable[[int], None] | None = None,
) -> list[str]:
    """Decode all EXR and DPX files of a source, and describe what painting cannot keep, a clause each.

    Args:
        source: the source as the user named it.
        may_be_damaged: True to leave out files that do not decode.
        on_progress: called with the number of files seen so far.

    Raises:
        BadFrameError: a file does not decode, and none may be damaged.
    """
    found = _Found()
    headers: list[ExrHeader | DpxHeader] = []
    for number, path in enumerate(dict.fromkeys(paths), start=1):
        if not is_scene_image(path):
            continue
        try:
            found.add(read_scene_image(path, transform))
            headers.append(read_exr_header(path) if path.suffix.lower() == ".exr" else read_dpx_header(path))
        except SourceError as error:
            if not may_be_damaged:
                remedy = "repair the source, or repeat the frame before it with --on-bad-frame repeat"
                raise BadFrameError(error.what, remedy) from error
        if on_progress:
            on_progress(number)
    return [f"{source}: {note}" for note in (*_range_notes(found), *_header_notes(headers, transform))]


def _range_notes(found: _Found) -> list[str]:
    notes = []
    if found.above:
        notes.append(f"{_share(found.above, found)} over white (up to {found.peak:.4g}), which are painted as white")
    if found.below:
        notes.append(f"{_share(found.below, found)} under black, which are painted as black")
    if found.invalid:
        notes.append(f"{_share(found.invalid, found)} that are infinite or no numbers, painted as white or black")
    return notes


def _share(counts: Sequence[int], found: _Found) -> str:
    percent = 100 * sum(counts) / found.pixels
    share = f"{percent:.2g}%" if percent >= 0.01 else "less than 0.01%"
    verb = "has" if len(counts) == 1 else "have"
    return f"{len(counts)} of {found.frames} frames {verb} pixels ({share} of all)"


def _header_notes(every: Sequence[ExrHeader | DpxHeader], transform: str) -> list[str]:
    notes = []
    if any(header.alpha for header in every):
        notes.append("alpha is not read; colours are painted as they are over black")
    headers = [header for header in every if isinstance(header, ExrHeader)]
    if any(header.crops for header in headers):
        notes.append("pixels outside of the display window (overscan) are left out")
    if any(header.unused for header in headers):
        notes.append(f"further channels ({max(header.unused for header in headers)} in a frame) are left out")
    if aspect := next((header.pixel_aspect for header in headers if abs(header.pixel_aspect - 1) > 1e-3), None):
        notes.append(f"pixels are {aspect:.4g} times as wide as high, which is not kept")
    if not transform.startswith(OCIO_PREFIX) and (odd := next(filter(None, map(_other_primaries, headers)), None)):
        notes.append(odd)
    return notes


def _other_primaries(header: ExrHeader) -> str | None:
    """Describe the primaries of a file if they are not those of Rec. 709."""
    if header.chromaticities is None or _are_close(header.chromaticities[:6], REC709_CHROMATICITIES[:6]):
        return None
    known = (name for name, xy in _WELL_KNOWN_PRIMARIES.items() if _are_close(header.chromaticities[:6], xy))
    if name := next(known, None):
        return f'the primaries are those of {name}, not Rec. 709: add --input-transform "{OCIO_PREFIX}{name}"'
    return "the primaries are not those of Rec. 709, so colours shift: add --input-transform ocio:NAME"


def _are_close(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(abs(a - b) < _PRIMARIES_TOLERANCE for a, b in zip(one, other, strict=True))
