"""HDR of an output: tone-mapped, or the source's transfer, primaries and metadata where the codec has them."""

from fractions import Fraction
from pathlib import Path

import numpy as np

from vidnst.config import OutputConfig
from vidnst.errors import ConfigError
from vidnst.frames import ClipInfo, HdrInfo, Pixels, from_float, to_float
from vidnst.media.input.alpha import row_blocks
from vidnst.media.input.hdr import PQ, TRANSFERS, to_hdr
from vidnst.media.output.formats import choose_format
from vidnst.media.output.x265 import x265_words

_KEEPING = frozenset({"h265", "av1"})
_WITHOUT_METADATA = "libaom-av1"
"""An encoder that writes no mastering display."""


def resolve_hdr(
    output: Path, settings: OutputConfig, clip: ClipInfo, *, frames: int, size: tuple[int, int]
) -> tuple[OutputConfig, str]:
    """Decide what becomes of HDR, and give an output that keeps it at least ten bits.

    Returns:
        The settings, and what becomes of HDR, or a note that there is none; empty if nobody asks for any.

    Raises:
        ConfigError: HDR is to be kept, and the codec or its bits cannot.
    """
    if clip.hdr is None:
        note = f"{clip.source} is not HDR (PQ or HLG), so there is none to keep" if settings.hdr == "keep" else ""
        return settings.model_copy(update={"hdr": "tone-map"}), note
    name = TRANSFERS[clip.hdr.transfer]
    if settings.hdr == "tone-map":
        return settings, (
            f"tone-mapped to SDR (BT.709), from a peak of {clip.hdr.peak_nits:g} cd/m2; --hdr keep writes {name} as"
            " H.265 or AV1"
        )
    if settings.bits == 8:
        raise ConfigError("output.hdr: HDR needs at least 10 bits, not 8", "leave output.bits out")
    bits = 10 if settings.bits == "most" or (settings.bits == "auto" and clip.stored_bits < 10) else settings.bits
    settings = settings.model_copy(update={"bits": bits})
    target = choose_format(output, settings, frames=frames, width=size[0], height=size[1])
    if target.codec not in _KEEPING or target.hardware != "none":
        raise ConfigError(
            f"output.hdr: {target.encoder or target.path.name} cannot keep HDR",
            "take --set output.codec=h265 or av1, or --hdr tone-map",
        )
    if target.encoder == _WITHOUT_METADATA:
        raise ConfigError(
            f"output.chroma: {target.encoder}, which AV1 needs for {settings.chroma}, cannot keep HDR",
            "leave output.chroma out, or take --set output.codec=h265",
        )
    return settings, "colours are painted as SDR and mapped back"


def hdr_pixels(pixels: Pixels, hdr: HdrInfo) -> Pixels:
    """Map a finished frame, `(H, W, 3)` sRGB, back to the R'G'B' of its HDR source, `(H, W, 3)` uint16."""
    result = np.empty(pixels.shape, np.uint16)
    for rows in row_blocks(len(pixels)):
        result[rows] = from_float(to_hdr(to_float(pixels[rows]), hdr), 16)
    return result


def hdr_options(codec: str, hdr: HdrInfo, size: tuple[int, int]) -> list[str]:
    """Return ffmpeg's options for the mastering display and the light levels of a source.

    Args:
        size: width and height of the output in pixels.
    """
    light = None if hdr.content_light is None else f"{hdr.content_light[0]},{hdr.content_light[1]}"
    if codec == "h265":
        words = [*x265_words(*size), "repeat-headers=1", *(["hdr10=1"] if hdr.transfer == PQ else [])]
        words += [f"master-display={_display(hdr, 50_000, 10_000)}"] if hdr.primaries else []
        words += [f"max-cll={light}"] if light else []
        return ["-x265-params", ":".join(words)]
    words = [f"mastering-display={_display(hdr, 1, 1)}"] if hdr.primaries else []
    words += [f"content-light={light}"] if light else []
    return ["-svtav1-params", ":".join(words)] if words else []


def _display(hdr: HdrInfo, chroma_unit: int, light_unit: int) -> str:
    """Write a mastering display as x265 (whole numbers of small units) and SVT-AV1 (plain numbers) want it."""

    def number(value: Fraction, unit: int) -> str:
        return str(round(value * unit)) if unit > 1 else f"{float(value):.5f}"

    assert hdr.primaries is not None
    red, green, blue, white = (hdr.primaries[at : at + 2] for at in (0, 2, 4, 6))
    points = zip(["G", "B", "R", "WP"], (green, blue, red, white), strict=True)
    text = "".join(f"{name}({number(x, chroma_unit)},{number(y, chroma_unit)})" for name, (x, y) in points)
    return f"{text}L({number(hdr.max_luminance, light_unit)},{number(hdr.min_luminance, light_unit)})"
