"""Output formats: the codec, pixel format and ffmpeg options for an output's name and configuration.

Tables and pure functions; nothing is run or written here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from vidnst.config import OutputConfig
from vidnst.errors import ConfigError, OutputError
from vidnst.media.input.image_files import WRITABLE_SUFFIXES as PICTURE_SUFFIXES
from vidnst.media.output.frame_sequence import sequence_pattern
from vidnst.media.output.x265 import x265_words

_MPEG4 = (".mp4", ".m4v", ".mov", ".mkv")
_VP9 = (".webm", ".mkv", ".mp4")
_ALL_CHROMA = ("420", "422", "444")
_X26X_SPEEDS = frozenset(
    ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo")
)


class OutputKind(StrEnum):
    """Kinds of outputs."""

    VIDEO = "video"
    ANIMATION = "animation"
    FOLDER = "folder"
    SEQUENCE = "sequence"
    """Numbered image files."""
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Codec:
    """A video codec: its encoder, containers and options."""

    encoder: str
    """ffmpeg's software encoder."""
    suffixes: tuple[str, ...]
    """Suffixes of containers that support it; the first is the usual one."""
    chroma: tuple[str, ...]
    """Supported chroma subsamplings; the first is the default; empty if there is no choice."""
    options: str = ""
    """ffmpeg's output options, separated by spaces."""
    quality: tuple[int, int] | None = None
    """Default and largest constant rate factor; None if the codec has none."""
    speed_option: str = ""
    default_speed: str = ""
    speeds: frozenset[str] | None = None
    """Names of presets; None if presets are numbers."""
    bits: tuple[int, ...] = (8,)
    """Bits per channel that it may code; frames of 8 bits are always taken."""


CODECS: Mapping[str, Codec] = MappingProxyType(
    {
        "h264": Codec("libx264", _MPEG4, _ALL_CHROMA, "", (18, 51), "-preset", "medium", _X26X_SPEEDS, bits=(8, 10)),
        "h265": Codec(
            "libx265", _MPEG4, _ALL_CHROMA, "", (20, 51), "-preset", "medium", _X26X_SPEEDS, bits=(8, 10, 12)
        ),
        "av1": Codec(
            "libsvtav1", (".mp4", ".m4v", ".mkv", ".webm"), ("420",), "", (24, 63), "-preset", "6", bits=(8, 10)
        ),
        "vp9": Codec(
            "libvpx-vp9",
            _VP9,
            _ALL_CHROMA,
            "-b:v 0 -deadline good -row-mt 1",
            (24, 63),
            "-cpu-used",
            "3",
            bits=(8, 10, 12),
        ),
        "prores": Codec("prores_ks", (".mov", ".mkv"), ("422", "444"), "-vendor apl0", bits=(10,)),
        "ffv1": Codec("ffv1", (".mkv",), (), "-level 3 -g 1 -slices 4 -slicecrc 1", bits=(8, 10, 12, 16)),
        "gif": Codec("gif", (".gif",), ()),
        # libwebp_anim compresses better, but merges equal frames and drops the duration of the last one.
        "webp": Codec("libwebp", (".webp",), (), "-quality 90 -loop 0"),
        "apng": Codec("apng", (".apng", ".png"), (), "-pred mixed -plays 0", bits=(8, 16)),
    }
)
"""Codecs by their names in the configuration."""

_EVEN_UNLESS_444 = frozenset({"h264", "h265", "prores"})
"""Codecs whose encoders refuse odd sides with subsampled chroma, or (prores_ks) corrupt the last column."""

_DEEP_PICTURES = frozenset({".png", ".tif", ".tiff"})
"""Suffixes of pictures that may have 16 bits."""

ANIMATIONS = frozenset({"gif", "webp", "apng"})

_BY_SUFFIX = {
    ".mp4": "h264",
    ".m4v": "h264",
    ".webm": "vp9",
    ".mov": "prores",
    ".mkv": "ffv1",
    ".gif": "gif",
    ".webp": "webp",
    ".apng": "apng",
}

_VAAPI_DEVICE = "/dev/dri/renderD128"
_HARDWARE = {"h264": "h264", "h265": "hevc", "av1": "av1", "vp9": "vp9", "prores": "prores"}
HARDWARE_QUALITY = {
    "nvenc": ("-rc", "vbr", "-b:v", "0", "-cq", "{}"),
    "vaapi": ("-rc_mode", "CQP", "-qp", "{}"),
    "qsv": ("-global_quality", "{}"),
    "amf": ("-rc", "cqp", "-qp_i", "{}", "-qp_p", "{}"),
    "videotoolbox": ("-q:v", "{}"),
}


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
        return ["-vaapi_device", _VAAPI_DEVICE] if self.hardware == "vaapi" else []

    @property
    def device_filters(self) -> list[str]:
        """Filters that upload frames to the encoding device."""
        return ["hwupload"] if self.hardware == "vaapi" else []

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
        return _checked_bits(OutputFormat(output, OutputKind.SEQUENCE, "", alpha=settings.keeps_alpha), settings)
    # ffmpeg writes an APNG of one frame as a plain PNG, which is no animation to its readers.
    is_picture = settings.codec in ("auto", "png", "webp") and suffix in PICTURE_SUFFIXES
    is_png = settings.codec in ("auto", "apng") and suffix in CODECS["apng"].suffixes
    if frames == 1 and (is_picture or is_png):
        return _checked_bits(OutputFormat(output, OutputKind.IMAGE, "", alpha=settings.keeps_alpha), settings)
    name = _codec_name(output, suffix, settings)
    if name == "png":
        return _checked_bits(OutputFormat(output, OutputKind.FOLDER, "png", alpha=settings.keeps_alpha), settings)
    codec = CODECS[name]
    if suffix not in codec.suffixes:
        raise OutputError(
            f"{output.name} cannot hold {name}", f"end it with {' or '.join(codec.suffixes)}, or choose another codec"
        )
    chroma = _chroma(name, codec, settings, odd=bool(width % 2 or height % 2))
    target = OutputFormat(
        path=output,
        kind=OutputKind.ANIMATION if name in ANIMATIONS else OutputKind.VIDEO,
        codec=name,
        encoder=_encoder(name, codec, settings),
        pixel_format=_pixel_format(name, codec, settings, chroma),
        options=_options(name, codec, settings, chroma, suffix, (width, height)),
        hardware=settings.hardware,
        alpha=settings.keeps_alpha,
    )
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
        if suffix in PICTURE_SUFFIXES or suffix in _BY_SUFFIX:
            raise OutputError(f"{output.name} is a file, but PNG frames need a folder", "give a name without suffix")
        return "png"
    if settings.codec != "auto":
        return settings.codec
    if not suffix:
        return "png"
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    if suffix in PICTURE_SUFFIXES:
        raise OutputError(
            f"{output.name} is one image, but there are several frames",
            f"number them ({output.stem}_%04d{suffix}), or give a name without suffix for a folder of PNG frames",
        )
    raise OutputError(
        f"the name {output.name} does not determine a format",
        f"end it with {', '.join(_BY_SUFFIX)}, or nothing for a folder of PNG frames",
    )


def _encoder(name: str, codec: Codec, settings: OutputConfig) -> str:
    if settings.hardware == "none":
        return codec.encoder
    if name not in _HARDWARE:
        raise ConfigError(f"output.hardware: {settings.hardware} has no encoder for {name}", "set it to none")
    return f"{_HARDWARE[name]}_{settings.hardware}"


def _chroma(name: str, codec: Codec, settings: OutputConfig, *, odd: bool) -> str:
    if settings.chroma is None:
        if not codec.chroma:
            return ""
        full = (odd and name in _EVEN_UNLESS_444) or (name == "prores" and settings.keeps_alpha)
        return "444" if full else codec.chroma[0]
    if name == "ffv1":
        return settings.chroma
    if settings.chroma not in codec.chroma:
        offered = f"it has {', '.join(codec.chroma)}" if codec.chroma else "leave it out"
        raise ConfigError(f"output.chroma: {name} has no {settings.chroma}", offered)
    if odd and settings.chroma != "444" and name in _EVEN_UNLESS_444:
        raise ConfigError(
            f"output.chroma: {name} with {settings.chroma} needs even sides", "take 444, or give --size to resize"
        )
    return settings.chroma


def _pixel_format(name: str, codec: Codec, settings: OutputConfig, chroma: str) -> str:
    bits = settings.coded_bits
    depth = f"{bits}le" if bits > 8 else ""
    a = "a" if settings.keeps_alpha else ""
    if name == "ffv1" and not chroma:
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


def _options(
    name: str, codec: Codec, settings: OutputConfig, chroma: str, suffix: str, size: tuple[int, int]
) -> tuple[str, ...]:
    options = codec.options.split() if settings.hardware == "none" else []
    if name == "h265" and settings.hardware == "none":
        options += ["-x265-params", ":".join(x265_words(*size))]
    options += _quality(name, codec, settings)
    options += _speed(name, codec, settings)
    if name == "prores":
        options += ["-profile:v", "4" if chroma == "444" else "3"]  # 4444 or 422 HQ
    if name == "h265" and suffix in (".mp4", ".m4v", ".mov"):
        options += ["-tag:v", "hvc1"]  # QuickTime cannot play hev1
    if suffix in (".mp4", ".m4v", ".mov"):
        options += ["-movflags", "+faststart"]
    return tuple(options)


def _quality(name: str, codec: Codec, settings: OutputConfig) -> list[str]:
    if codec.quality is None:
        if settings.quality is not None:
            raise ConfigError(f"output.quality: {name} has no rate factor", "leave it out")
        return []
    default, largest = codec.quality
    quality = default if settings.quality is None else settings.quality
    if quality > largest:
        raise ConfigError(f"output.quality: {quality} is above {name}'s maximum of {largest}", f"give 0 to {largest}")
    if settings.hardware == "none":
        return ["-crf", str(quality)]
    return [word.format(quality) for word in HARDWARE_QUALITY[settings.hardware]]


def _speed(name: str, codec: Codec, settings: OutputConfig) -> list[str]:
    if settings.hardware != "none":
        return ["-preset", settings.speed] if settings.speed else []
    if settings.speed is None:
        return [codec.speed_option, codec.default_speed] if codec.speed_option else []
    if not codec.speed_option:
        raise ConfigError(f"output.speed: {name} has no presets", "leave it out")
    if codec.speeds is not None and settings.speed not in codec.speeds:
        raise ConfigError(
            f"output.speed: {name} has no preset {settings.speed!r}", f"take one of {', '.join(sorted(codec.speeds))}"
        )
    if codec.speeds is None and not settings.speed.isdecimal():
        raise ConfigError(f"output.speed: presets of {name} are numbers", "give a number, such as 6")
    return [codec.speed_option, settings.speed]
