"""Output formats: the codec, pixel format and ffmpeg options for an output's name and configuration.

Tables and pure functions; nothing is run or written here.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from vidnst.config import OutputConfig
from vidnst.errors import ConfigError, OutputError
from vidnst.frames import ChromaSteps
from vidnst.media.input.image_files import WRITABLE_SUFFIXES as PICTURE_SUFFIXES
from vidnst.media.output.codecs import (
    ANIMATIONS,
    BY_SUFFIX,
    CODECS,
    EVEN_UNLESS_444,
    HARDWARE,
    VAAPI_DEVICE,
    Codec,
)
from vidnst.media.output.encoder_options import encoder_options
from vidnst.media.output.frame_sequence import sequence_pattern


class OutputKind(StrEnum):
    """Kinds of outputs."""

    VIDEO = "video"
    ANIMATION = "animation"
    FOLDER = "folder"
    SEQUENCE = "sequence"
    """Numbered image files."""
    IMAGE = "image"


_DEEP_PICTURES = frozenset({".png", ".tif", ".tiff"})
"""Suffixes of pictures that may have 16 bits."""


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """The chosen format of an output."""

    path: Path
    kind: OutputKind
    codec: str
    """Name in the configuration; empty for images."""
    encoder: str = ""
    """ffmpeg's encoder; empty if ffmpeg is not needed."""
    pixel_format: str = ""
    options: tuple[str, ...] = ()
    """Output options for the video stream."""
    hardware: str = "none"
    alpha: bool = False
    """True if it has an alpha channel that is used."""

    @property
    def suffix(self) -> str:
        """Suffix of the output in lower case."""
        return self.path.suffix.lower()

    @property
    def high_bit_depth(self) -> bool:
        """True if more than 8 bits per channel are coded."""
        return self.pixel_format.endswith(("10le", "12le", "16le", "48be", "64be"))

    @property
    def device_options(self) -> list[str]:
        """ffmpeg options, before all inputs, that open the encoding device."""
        return ["-vaapi_device", VAAPI_DEVICE] if self.hardware == "vaapi" else []

    @property
    def device_filters(self) -> list[str]:
        """Filters that upload frames to the encoding device."""
        return ["hwupload"] if self.hardware == "vaapi" else []

    @property
    def chroma(self) -> ChromaSteps:
        """Luma samples for each sample of chroma, across and down."""
        if self.suffix == ".webp":  # libwebp's only one, unless it codes without loss
            return 2, 2
        if not self.yuv or "444" in self.pixel_format:
            return 1, 1
        return (2, 1) if "422" in self.pixel_format else (2, 2)

    @property
    def yuv(self) -> bool:
        """True if colours are converted from RGB, so that a matrix must be chosen and tagged."""
        return self.pixel_format.startswith(("yuv", "nv12", "p010"))


def choose_format(output: Path, settings: OutputConfig, *, frames: int, width: int, height: int) -> OutputFormat:
    """Choose the format of `output`.

    Args:
        frames: number of frames; a single one may become an image.
        width, height: frame size in pixels; with an odd side H.264, H.265 and ProRes need 4:4:4.

    Raises:
        OutputError: the suffix is unknown, or does not fit the codec.
        ConfigError: the codec does not support the quality, speed, chroma or hardware.
    """
    suffix = output.suffix.lower()
    if sequence_pattern(output) is not None:
        if settings.codec not in ("auto", suffix[1:]):
            raise OutputError(f"{output.name} cannot hold {settings.codec}", "leave out the codec")
        return _pictures(output, OutputKind.SEQUENCE, settings)
    # ffmpeg writes an APNG of one frame as a plain PNG, which is no animation to its readers.
    is_picture = settings.codec in ("auto", "png", "webp") and suffix in PICTURE_SUFFIXES
    is_png = settings.codec in ("auto", "apng") and suffix in CODECS["apng"].suffixes
    if frames == 1 and (is_picture or is_png):
        return _pictures(output, OutputKind.IMAGE, settings)
    name = _codec_name(output, suffix, settings)
    if name == "png":
        return _pictures(output, OutputKind.FOLDER, settings)
    codec = CODECS[name]
    if suffix not in codec.suffixes:
        raise OutputError(
            f"{output.name} cannot hold {name}", f"end it with {' or '.join(codec.suffixes)}, or choose another codec"
        )
    chroma = _chroma(name, codec, settings, odd=bool(width % 2 or height % 2))
    if settings.hardware == "none":
        codec = codec.encoder_for.get(chroma, codec)
    target = OutputFormat(
        path=output,
        kind=OutputKind.ANIMATION if name in ANIMATIONS else OutputKind.VIDEO,
        codec=name,
        encoder=_encoder(name, codec, settings),
        pixel_format=_pixel_format(name, codec, settings, chroma),
        options=encoder_options(name, codec, settings, chroma, suffix, size=(width, height)),
        hardware=settings.hardware,
        alpha=settings.keeps_alpha,
    )
    return _checked_bits(target, settings)


def _pictures(output: Path, kind: OutputKind, settings: OutputConfig) -> OutputFormat:
    name = "png" if kind is OutputKind.FOLDER else ""
    target = OutputFormat(output, kind, name, alpha=settings.keeps_alpha)
    only = "444" if target.chroma == (1, 1) else "420"
    if settings.chroma not in ("auto", only):
        raise ConfigError(f"output.chroma: {output.name} has {only}, not {settings.chroma}", "leave it out")
    return _checked_bits(target, settings)


def supported_bits(target: OutputFormat) -> tuple[int, ...]:
    """Return the bits per channel that an output may have, ascending."""
    if target.suffix == ".exr":
        return (16,)
    if target.kind in (OutputKind.IMAGE, OutputKind.SEQUENCE, OutputKind.FOLDER):
        return (8, 16) if target.suffix in ("", *_DEEP_PICTURES) else (8,)
    codec = CODECS[target.codec]
    if target.alpha and target.codec == "vp9":
        return (8,)  # libvpx does not decode its alpha with more
    if target.hardware == "none" or target.codec == "prores":
        return codec.bits
    return (8,) if target.codec == "h264" else (8, 10)


def _checked_bits(target: OutputFormat, settings: OutputConfig) -> OutputFormat:
    bits, supported = settings.coded_bits, supported_bits(target)
    if bits != 8 and bits not in supported:
        name = " ".join(filter(None, (target.codec or target.suffix[1:], target.hardware.replace("none", ""))))
        raise ConfigError(
            f"output.bits: {name} has {' or '.join(map(str, supported))} bits, not {bits}",
            "choose one of these, or auto, or another codec",
        )
    return target


def _codec_name(output: Path, suffix: str, settings: OutputConfig) -> str:
    if settings.codec == "png":
        if suffix in PICTURE_SUFFIXES or suffix in BY_SUFFIX:
            raise OutputError(f"{output.name} is a file, but PNG frames need a folder", "give a name without suffix")
        return "png"
    if settings.codec != "auto":
        return settings.codec
    if not suffix:
        return "png"
    if suffix in BY_SUFFIX:
        return BY_SUFFIX[suffix]
    if suffix in PICTURE_SUFFIXES:
        raise OutputError(
            f"{output.name} is one image, but there are several frames",
            f"number them ({output.stem}_%04d{suffix}), or give a name without suffix for a folder of PNG frames",
        )
    raise OutputError(
        f"the name {output.name} does not determine a format",
        f"end it with {', '.join(BY_SUFFIX)}, or nothing for a folder of PNG frames",
    )


def _encoder(name: str, codec: Codec, settings: OutputConfig) -> str:
    if settings.hardware == "none":
        return codec.encoder
    if name not in HARDWARE:
        raise ConfigError(f"output.hardware: {settings.hardware} has no encoder for {name}", "set it to none")
    return f"{HARDWARE[name]}_{settings.hardware}"


def _chroma(name: str, codec: Codec, settings: OutputConfig, *, odd: bool) -> str:
    if settings.chroma == "auto":
        if not codec.chroma:
            return ""
        full = (odd and name in EVEN_UNLESS_444) or (name == "prores" and settings.keeps_alpha)
        return "444" if full else codec.chroma[0]
    if settings.chroma not in codec.chroma:
        offered = f"it has {', '.join(codec.chroma)}" if codec.chroma else "leave it out"
        raise ConfigError(f"output.chroma: {name} has no {settings.chroma}", offered)
    if odd and settings.chroma != "444" and name in EVEN_UNLESS_444:
        raise ConfigError(
            f"output.chroma: {name} with {settings.chroma} needs even sides", "take 444, or give --size to resize"
        )
    return settings.chroma


def _pixel_format(name: str, codec: Codec, settings: OutputConfig, chroma: str) -> str:
    bits = settings.coded_bits
    depth = f"{bits}le" if bits > 8 else ""
    a = "a" if settings.keeps_alpha else ""
    if chroma == "rgb":
        return f"gbr{a}p{depth}" if depth else "bgra" if a else "bgr0"
    if name == "apng":
        return ("rgba64be" if a else "rgb48be") if depth else ("rgba" if a else "rgb24")
    if name == "webp":
        return "bgra"  # libwebp converts it to its own 4:2:0
    if name == "gif":
        return ""  # determined by the palette
    if settings.hardware in ("vaapi", "qsv", "amf"):
        if chroma != "420":
            raise ConfigError(f"output.chroma: {settings.hardware} has 420 only", "set output.hardware to none")
        return "p010le" if depth else "nv12"
    if settings.hardware in ("nvenc", "videotoolbox") and depth and name != "prores":
        if chroma != "420":
            raise ConfigError(f"output.bits: {settings.hardware} has {bits} with 420 only", "leave output.chroma out")
        return "p010le"
    return f"yuv{a}{chroma}p{'10le' if name == 'prores' else depth}"
