"""The bits per channel of an output: those of the source as far as its format has them."""

from pathlib import Path

from vidnst.config import OutputConfig
from vidnst.frames import ClipInfo
from vidnst.media.output.formats import OutputFormat, choose_format, supported_bits

_RARELY_PLAYED = frozenset({"h264"})
"""Codecs that hardly any player shows with more than 8 bits, so that they get more only if asked for."""
_USUAL_MAXIMUM = {"h264": 8, "h265": 10, "vp9": 10}
"""Bits above which few players show a codec, where it has more."""

_KEEPING = ".mov (prores) and output.codec=h265 keep 10, .mkv (ffv1) and a folder of PNG frames up to 16"
_KEEPING_MORE = "; .mkv (ffv1) and a folder of PNG frames keep up to 16"


def resolve_bits(
    output: Path, settings: OutputConfig, clip: ClipInfo, *, frames: int, size: tuple[int, int]
) -> tuple[OutputConfig, str]:
    """Put a number in the place of `auto` or `most` bits.

    Args:
        frames: number of frames of the output.
        size: its width and height in pixels.

    Returns:
        The settings, and how the bits are changed; empty if none is lost.

    Raises:
        OutputError: the suffix is unknown, or does not fit the codec.
        ConfigError: the format has not the bits that the settings name, or does not support another setting.
    """
    target = choose_format(output, settings, frames=frames, width=size[0], height=size[1])
    wanted = clip.stored_bits
    if settings.bits == "most":
        bits = _most(target)
    elif settings.bits == "auto":
        bits = _fitting(target, wanted)
    else:
        return settings, f"to {settings.bits} bits" if settings.bits < wanted else ""
    how = f"to {bits} bits{_reason(target, wanted, bits)}" if bits < wanted else ""
    return settings.model_copy(update={"bits": bits}), how


def _most(target: OutputFormat) -> int:
    most = max(supported_bits(target))
    return min(most, _USUAL_MAXIMUM.get(target.codec, most))


def _fitting(target: OutputFormat, wanted: int) -> int:
    """Return the fewest bits that hold the wanted ones, or else the most; always 8 for a source of 8."""
    if target.suffix == ".exr":
        return 16
    if wanted <= 8 or target.hardware != "none":
        return 8
    supported = [bits for bits in supported_bits(target) if target.codec not in _RARELY_PLAYED or bits == 8]
    return next((bits for bits in supported if bits >= wanted), max(supported))


def _reason(target: OutputFormat, wanted: int, bits: int) -> str:
    """Say why an output has fewer bits than its source, and what has more."""
    most = max(supported_bits(target))
    if target.hardware != "none" and bits < most:
        return f"; --bits {most} asks the hardware for more"
    if target.codec in _RARELY_PLAYED and bits < most:
        return f", which all players show; --bits {most} {'keeps them' if most >= wanted else 'keeps more'}, {_KEEPING}"
    name = "WebM with transparency" if target.alpha and target.codec == "vp9" else target.encoder or target.suffix
    remedy = _KEEPING_MORE if target.codec == "prores" or bits >= 10 else f"; {_KEEPING}"
    return f", the most that {name} has{remedy}"
