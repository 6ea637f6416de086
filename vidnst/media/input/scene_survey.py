"""A survey of compositors' frames, EXR and DPX: what of them painting cannot keep."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vidnst.errors import BadFrameError, SourceError
from vidnst.media.dpx import DpxHeader, read_dpx_header
from vidnst.media.exr import ExrHeader, read_exr_header
from vidnst.media.scene_images import is_scene_image, read_scene_image
from vidnst.media.scene_light import DisplayFrame


@dataclass(slots=True)
class SceneSurvey:
    """What a survey has counted, and the headers that it has read."""

    frames: int = 0
    """Number of files that decode."""
    above: list[int] = field(default_factory=list)
    """Pixels over white of each frame that has some; `below`, `invalid` and `glowing` likewise."""
    below: list[int] = field(default_factory=list)
    invalid: list[int] = field(default_factory=list)
    glowing: list[int] = field(default_factory=list)
    peak: float = 0.0
    """Largest value of all frames with pixels over white."""
    pixels: int = 0
    """Pixels of all frames."""
    exr_headers: list[ExrHeader] = field(default_factory=list)
    dpx_headers: list[DpxHeader] = field(default_factory=list)

    def add(self, frame: DisplayFrame) -> None:
        """Count the pixels of a frame."""
        self.frames += 1
        self.pixels += int(np.prod(frame.pixels.shape[:2]))
        found = (frame.above, frame.below, frame.invalid, frame.glowing)
        for counts, count in zip((self.above, self.below, self.invalid, self.glowing), found, strict=True):
            if count:
                counts.append(count)
        if frame.above:
            self.peak = max(self.peak, frame.peak)

    def share(self, counts: Sequence[int]) -> str:
        """Describe how many frames have certain pixels, and how many these are."""
        percent = 100 * sum(counts) / self.pixels
        share = f"{percent:.2g}%" if percent >= 0.01 else "less than 0.01%"
        verb = "has" if len(counts) == 1 else "have"
        return f"{len(counts)} of {self.frames} frames {verb} some, {share} of all pixels"


def survey_scene(
    paths: Sequence[Path],
    transform: str,
    *,
    may_be_damaged: bool,
    on_progress: Callable[[int], None] | None = None,
) -> SceneSurvey:
    """Decode all EXR and DPX files of a source; others are left out.

    Args:
        transform: see `read_scene_image`.
        may_be_damaged: True to leave out files that do not decode.
        on_progress: called with the number of files seen so far.

    Raises:
        BadFrameError: a file does not decode, and none may be damaged.
    """
    found = SceneSurvey()
    for number, path in enumerate(dict.fromkeys(paths), start=1):
        if not is_scene_image(path):
            continue
        try:
            found.add(read_scene_image(path, transform))
            if path.suffix.lower() == ".exr":
                found.exr_headers.append(read_exr_header(path))
            else:
                found.dpx_headers.append(read_dpx_header(path))
        except SourceError as error:
            if not may_be_damaged:
                remedy = "repair the source, or repeat the frame before it with --on-bad-frame repeat"
                raise BadFrameError(error.what, remedy) from error
        if on_progress:
            on_progress(number)
    return found
