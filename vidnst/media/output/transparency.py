"""The transparency of an output: the source's where the format can hold it."""

from pathlib import Path

from vidnst.config import OutputConfig
from vidnst.errors import ConfigError
from vidnst.frames import ClipInfo
from vidnst.media.output.formats import OutputFormat, OutputKind, choose_format

_PICTURES = frozenset({".png", ".tif", ".tiff", ".webp", ".exr"})
_KEEPING = ".webm, .mov, .mkv, .gif, .webp, .apng and a folder of PNG frames"


def resolve_alpha(
    output: Path, settings: OutputConfig, clip: ClipInfo, *, background: str, frames: int, size: tuple[int, int]
) -> tuple[OutputConfig, str]:
    """Decide whether the transparency of a source is kept, in place of `auto`.

    Args:
        background: the colour that transparent pixels are laid over, as the user wrote it.
        frames: number of frames of the output.
        size: its width and height in pixels.

    Returns:
        The settings with `keep` or `drop`, and how transparency is changed; empty if it is kept, or there is none.

    Raises:
        OutputError: the suffix is unknown, or does not fit the codec.
        ConfigError: transparency is to be kept, and the format cannot hold it.
    """
    if not clip.has_alpha:
        return settings.model_copy(update={"alpha": "drop"}), ""
    if settings.alpha == "drop":
        return settings, f"laid over {background} (--background)"
    plain = settings.model_copy(update={"alpha": "drop"})
    target = choose_format(output, plain, frames=frames, width=size[0], height=size[1])
    kept = settings.model_copy(update={"alpha": "keep"})
    if obstacle := _obstacle(target, settings):
        if settings.alpha == "keep":
            raise ConfigError(f"output.alpha: {obstacle}", f"{_KEEPING} hold transparency, or take auto or drop")
        return plain, f"laid over {background} (--background), since {obstacle}; {_KEEPING} would keep it"
    choose_format(output, kept, frames=frames, width=size[0], height=size[1])
    return kept, "a pixel of a GIF is either opaque or transparent" if target.codec == "gif" else ""


def _obstacle(target: OutputFormat, settings: OutputConfig) -> str:
    """Say why a format cannot hold transparency; empty if it can."""
    name = target.path.name
    if target.kind in (OutputKind.IMAGE, OutputKind.SEQUENCE):
        return "" if target.suffix in _PICTURES else f"{name} cannot hold it"
    if target.kind is OutputKind.FOLDER or target.codec in ("gif", "webp", "apng"):
        return ""
    if target.hardware != "none" or target.codec not in ("prores", "vp9", "ffv1"):
        return f"{name} ({target.encoder}) cannot hold it"
    if target.codec == "vp9" and target.suffix == ".mp4":
        return f"{name} cannot hold it, as WebM can"
    if target.codec == "vp9" and settings.coded_bits > 8:
        return f"{name} (VP9) cannot hold it with {settings.coded_bits} bits"
    if target.codec == "vp9" and settings.chroma not in ("auto", "420"):
        return f"{name} (VP9) cannot hold it with {settings.chroma}"
    if target.codec == "prores" and settings.chroma == "422":
        return f"{name} (ProRes) cannot hold it with 422"
    if target.codec == "ffv1" and settings.chroma == "420" and settings.coded_bits == 12:
        return f"{name} (FFV1) cannot hold it with 420 and 12 bits"
    return ""
