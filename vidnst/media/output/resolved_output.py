"""An output's settings with what they leave to the source decided: transparency, HDR, chroma and bits per channel."""

from dataclasses import dataclass
from pathlib import Path

from vidnst.config import OutputConfig, RenderConfig
from vidnst.frames import ClipInfo
from vidnst.media.output.bit_depth import resolve_bits
from vidnst.media.output.chroma import resolve_chroma
from vidnst.media.output.hdr_output import resolve_hdr
from vidnst.media.output.transparency import resolve_alpha


@dataclass(frozen=True, slots=True)
class ResolvedOutput:
    """The settings of an output for a certain source."""

    settings: OutputConfig
    given: OutputConfig
    """The settings as they were given."""
    alpha: str = ""
    """How transparency is changed; empty if it is kept, or there is none."""
    hdr: str = ""
    """How HDR is changed or kept; empty if there is none."""
    bits: str = ""
    """How the bits per channel are changed; empty if none is lost."""
    chroma: str = ""
    """How the chroma subsampling is changed; empty if none is lost."""
    notes: tuple[str, ...] = ()
    """Settings that have no effect, as sentences without a full stop."""


def resolve_output(
    output: Path, config: RenderConfig, clip: ClipInfo, *, frames: int, size: tuple[int, int]
) -> ResolvedOutput:
    """Decide what the settings leave to the source.

    Args:
        config: the settings of the render.
        frames: number of frames of the output.
        size: its width and height in pixels.

    Raises:
        OutputError: the suffix is unknown, or does not fit the codec.
        ConfigError: the format cannot hold what the settings ask for.
    """
    background = config.input.background
    settings, alpha = resolve_alpha(output, config.output, clip, background=background, frames=frames, size=size)
    settings, hdr = resolve_hdr(output, settings, clip, frames=frames, size=size)
    settings, chroma = resolve_chroma(output, settings, clip, frames=frames, size=size)
    settings, bits = resolve_bits(output, settings, clip, frames=frames, size=size)
    if clip.hdr is None and hdr:
        return ResolvedOutput(settings, config.output, alpha, bits=bits, chroma=chroma, notes=(hdr,))
    return ResolvedOutput(settings, config.output, alpha, hdr, bits, chroma)
