"""The chroma subsampling of an output: the source's where players commonly cope with it.

4:4:4 and 4:2:2 of H.264, H.265, VP9 (profiles 1 and 3) and AV1 need more than the profiles that every player has, so
that `auto` gives these codecs 4:2:0, and says so. ProRes is made for editing, where 4444 is as common as 422; FFV1,
animations and images keep RGB.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from vidnst.config import OutputConfig
from vidnst.frames import ChromaSteps, ClipInfo
from vidnst.media.output.codecs import CODECS
from vidnst.media.output.formats import OutputFormat, choose_format

_NAMES: Mapping[ChromaSteps, str] = MappingProxyType(
    {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0", (1, 2): "4:4:0", (4, 1): "4:1:1", (4, 4): "4:1:0"}
)
_FULLER = ("422", "444")


def chroma_name(steps: ChromaSteps | None) -> str:
    """Return the usual name of a subsampling, such as 4:2:0."""
    if steps is None:
        return "grey"
    return _NAMES.get(steps, f"one sample for {steps[0]}x{steps[1]} pixels")


def loses_chroma(source: ChromaSteps | None, output: ChromaSteps) -> bool:
    """Return whether an output has fewer samples of chroma than its source, across or down."""
    return source is not None and (output[0] > source[0] or output[1] > source[1])


def resolve_chroma(
    output: Path, settings: OutputConfig, clip: ClipInfo, *, frames: int, size: tuple[int, int]
) -> tuple[OutputConfig, str]:
    """Give ProRes the chroma of its source in the place of `auto`, and say what becomes of the chroma.

    Args:
        frames: number of frames of the output.
        size: its width and height in pixels.

    Returns:
        The settings, and how chroma is changed; empty if none is lost.

    Raises:
        OutputError: the suffix is unknown, or does not fit the codec.
        ConfigError: the format has not the chroma that the settings name, or does not support another setting.
    """
    target = choose_format(output, settings, frames=frames, width=size[0], height=size[1])
    if not loses_chroma(clip.chroma, target.chroma):
        return settings, ""
    if settings.chroma == "auto" and target.codec == "prores" and target.hardware == "none":
        return settings.model_copy(update={"chroma": "444"}), ""
    return settings, f"to {chroma_name(target.chroma)}{_remedy(target, settings, clip)}"


def _remedy(target: OutputFormat, settings: OutputConfig, clip: ClipInfo) -> str:
    offered = CODECS[target.codec].chroma if target.codec in CODECS and target.hardware == "none" else ()
    if settings.chroma != "auto":
        return ""
    if not offered or settings.keeps_alpha:
        return "; .mov (prores) and .mkv (ffv1) keep it"
    fitting = next((name for name in _FULLER if name in offered and not _too_little(name, clip)), offered[-1])
    return f", which all players show; --set output.chroma={fitting} keeps it, as .mov (prores) and .mkv (ffv1) do"


def _too_little(name: str, clip: ClipInfo) -> bool:
    return loses_chroma(clip.chroma, (2, 1) if name == "422" else (1, 1))
