"""Compositors' frames, EXR and DPX: their headers, and their pixels as display values."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vidnst.media.dpx import read_dpx, read_dpx_header
from vidnst.media.exr import read_exr, read_exr_header
from vidnst.media.scene_light import DisplayFrame, to_display

SCENE_SUFFIXES = frozenset({".exr", ".dpx"})
"""Suffixes, in lower case, of files that hold scene light, logarithmic values, or display values."""


@dataclass(frozen=True, slots=True)
class SceneHeader:
    """The header of an EXR or DPX file."""

    width: int
    height: int
    format: Literal["EXR", "DPX"]
    has_alpha: bool
    is_grey: bool


def is_scene_image(path: Path) -> bool:
    """Return whether a name is that of an EXR or DPX file."""
    return path.suffix.lower() in SCENE_SUFFIXES


def read_scene_header(path: Path) -> SceneHeader:
    """Read the header of an EXR or DPX file.

    Raises:
        SourceError: the file is missing, damaged or too large, or holds no picture that can be read.
    """
    if path.suffix.lower() == ".exr":
        exr = read_exr_header(path)
        return SceneHeader(exr.width, exr.height, "EXR", exr.alpha, exr.is_grey)
    dpx = read_dpx_header(path)
    return SceneHeader(dpx.width, dpx.height, "DPX", dpx.alpha, dpx.is_grey)


def read_scene_image(path: Path, transform: str = "auto") -> DisplayFrame:
    """Read an EXR or DPX file as display values of straight alpha.

    Args:
        transform: see `to_display`; `auto` is `srgb` for EXR, and what its header says for DPX.

    Raises:
        SourceError: see `read_scene_header`; also if the pixels do not decode.
        ConfigError: the transform needs OpenColorIO, and it is missing.
    """
    if path.suffix.lower() == ".exr":
        return to_display(read_exr(path), "srgb" if transform == "auto" else transform)
    return to_display(read_dpx(path), read_dpx_header(path).transform if transform == "auto" else transform)
