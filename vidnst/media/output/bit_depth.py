"""The bits per channel of an output: those of the source as far as its format has them."""

from pathlib import Path

from vidnst.config import OutputConfig
from vidnst.frames import ClipInfo
from vidnst.media.output.formats import OutputFormat, choose_format, supported_bits

_USUAL_MAXIMUM = {"h264": 8, "h265": 10, "vp9": 10}
"""Bits above which few players show a codec, where it has more."""


def resolve_bits(
    output: Path, settings: OutputConfig, clip: ClipInfo, *, frames: int, size: tuple[int, int]
) -> tuple[OutputConfig, tuple[str, ...]]:
    """Put a number in the place of `auto` or `most` bits.

    Args:
        frames: number of frames of the output.
        size: its width and height in pixels.

    Returns:
        The settings, and notes for the user on what is lost, or hard to play.

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
        return settings, ()
    notes = _notes(target, clip, wanted, bits)
    return settings.model_copy(update={"bits": bits}), notes


def _most(target: OutputFormat) -> int:
    most = max(supported_bits(target))
    return min(most, _USUAL_MAXIMUM.get(target.codec, most))


def _fitting(target: OutputFormat, wanted: int) -> int:
    """Return the fewest bits that hold the wanted ones, or else the most; always 8 for a source of 8."""
    if wanted <= 8 or target.hardware != "none":
        return 8
    supported = supported_bits(target)
    return next((bits for bits in supported if bits >= wanted), max(supported))


def _notes(target: OutputFormat, clip: ClipInfo, wanted: int, bits: int) -> tuple[str, ...]:
    name = target.path.name
    notes = []
    if bits < wanted:
        notes.append(
            f"{clip.source} has {wanted} bits per channel, and {name} keeps {bits}{_remedy(target, wanted, bits)}"
        )
    if target.codec == "h264" and bits > 8:
        notes.append(
            f"{name} is H.264 with {bits} bits, like its source, which many players cannot show;"
            " --set output.codec=h265 is shown by more, --bits 8 by all"
        )
    return tuple(notes)


def _remedy(target: OutputFormat, wanted: int, bits: int) -> str:
    if target.hardware != "none" and bits < max(supported_bits(target)):
        return "; --bits 10 asks the hardware for more"
    if target.codec == "prores" or bits >= 10:
        return "; .mkv (ffv1) and a folder of PNG frames keep up to 16"
    return "; .mov (prores) and output.codec=h265 keep 10, .mkv (ffv1) and a folder of PNG frames up to 16"
