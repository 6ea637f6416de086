"""Output formats: what a name and the configuration mean, and the words with which ffmpeg is asked for it.

Tables and pure functions; nothing is run or written here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from vidnst.config import OutputConfig
from vidnst.errors import ConfigError, EncoderError, OutputError
from vidnst.media.images import IMAGE_SUFFIXES as PICTURE_SUFFIXES

_MPEG4 = (".mp4", ".m4v", ".mov", ".mkv")
_X26X_SPEEDS = frozenset(
    ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo")
)


class OutputKind(StrEnum):
    """What the output is to the file system."""

    VIDEO = "video"
    ANIMATION = "animation"
    FOLDER = "folder"
    PICTURE = "picture"


@dataclass(frozen=True, slots=True)
class Codec:
    """One way to encode moving pictures."""

    encoder: str
    """ffmpeg's encoder in software."""
    suffixes: tuple[str, ...]
    """Containers that hold it; the first is the customary one."""
    chroma: tuple[str, ...]
    """Chroma samplings that it offers; the first is the default; empty where that is no choice."""
    options: tuple[str, ...] = ()
    quality: tuple[int, int] | None = None
    """Customary constant rate factor and the worst possible; None where the codec knows none."""
    speed_option: str = ""
    default_speed: str = ""
    speeds: frozenset[str] | None = None
    """Names of presets; None for numbers."""
    ten_bit: bool = False
    """Whether 4:x:x is coded with 10 bits."""


CODECS: Mapping[str, Codec] = MappingProxyType(
    {
        "h264": Codec("libx264", _MPEG4, ("420", "422", "444"), (), (18, 51), "-preset", "medium", _X26X_SPEEDS),
        "h265": Codec(
            "libx265",
            _MPEG4,
            ("420", "422", "444"),
            ("-x265-params", "log-level=error"),
            (20, 51),
            "-preset",
            "medium",
            _X26X_SPEEDS,
        ),
        "av1": Codec("libsvtav1", (".mp4", ".m4v", ".mkv", ".webm"), ("420",), (), (24, 63), "-preset", "6"),
        "vp9": Codec(
            "libvpx-vp9",
            (".webm", ".mkv", ".mp4"),
            ("420", "422", "444"),
            ("-b:v", "0", "-deadline", "good", "-row-mt", "1"),
            (24, 63),
            "-cpu-used",
            "3",
        ),
        "prores": Codec("prores_ks", (".mov", ".mkv"), ("422", "444"), ("-vendor", "apl0"), ten_bit=True),
        "ffv1": Codec(
            "ffv1", (".mkv",), (), ("-level", "3", "-g", "1", "-slices", "4", "-slicecrc", "1"), ten_bit=True
        ),
        "gif": Codec("gif", (".gif",), ()),
        # libwebp_anim packs tighter, but merges equal frames and forgets how long the last one stays.
        "webp": Codec("libwebp", (".webp",), (), ("-quality", "90", "-loop", "0")),
        "apng": Codec("apng", (".apng", ".png"), (), ("-pred", "mixed", "-plays", "0")),
    }
)
"""Codecs by the name that the configuration gives them."""

_EVEN_UNLESS_444 = frozenset({"h264", "h265", "prores"})
"""Encoders that refuse odd sides where chroma is subsampled, or (prores_ks) spoil the last column."""

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
_HARDWARE_QUALITY = {
    "nvenc": ("-rc", "vbr", "-b:v", "0", "-cq", "{}"),
    "vaapi": ("-rc_mode", "CQP", "-qp", "{}"),
    "qsv": ("-global_quality", "{}"),
    "amf": ("-rc", "cqp", "-qp_i", "{}", "-qp_p", "{}"),
    "videotoolbox": ("-q:v", "{}"),
}


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """An output, decided."""

    path: Path
    kind: OutputKind
    codec: str
    """Its name in the configuration; empty for a picture."""
    encoder: str = ""
    """ffmpeg's encoder; empty where ffmpeg is not needed."""
    pixel_format: str = ""
    options: tuple[str, ...] = ()
    """Output options for the video stream."""
    hardware: str = "none"

    @property
    def suffix(self) -> str:
        """The output's suffix in lower case."""
        return self.path.suffix.lower()

    @property
    def high_bit_depth(self) -> bool:
        """Whether more than 8 bits per channel are coded."""
        return self.pixel_format.endswith(("10le", "16le", "48be"))

    @property
    def device_options(self) -> list[str]:
        """ffmpeg's options, before all inputs, that open the encoding device."""
        return ["-vaapi_device", _VAAPI_DEVICE] if self.hardware == "vaapi" else []

    @property
    def device_filters(self) -> list[str]:
        """Filters that bring the pictures to the encoding device."""
        return ["hwupload"] if self.hardware == "vaapi" else []

    @property
    def yuv(self) -> bool:
        """Whether colours are converted from RGB, so that a matrix must be chosen and tagged."""
        return self.pixel_format.startswith(("yuv", "nv12", "p010"))


def choose_format(output: Path, settings: OutputConfig, *, frames: int, width: int, height: int) -> OutputFormat:
    """Decide what `output` is to be.

    Args:
        frames: how many frames there are; a single one may become a picture.
        width, height: pixels of a frame; with an odd side H.264, H.265 and ProRes need 4:4:4.

    Raises:
        OutputError: the suffix says nothing, or does not go with the codec.
        ConfigError: quality, speed, chroma or hardware do not go with the codec.
    """
    suffix = output.suffix.lower()
    if frames == 1 and settings.codec in ("auto", "png", "webp") and suffix in PICTURE_SUFFIXES:
        return OutputFormat(output, OutputKind.PICTURE, "")
    name = _codec_name(output, suffix, settings)
    if name == "png":
        return OutputFormat(output, OutputKind.FOLDER, "png")
    codec = CODECS[name]
    if suffix not in codec.suffixes:
        raise OutputError(
            f"{output.name} cannot hold {name}", f"end it with {' or '.join(codec.suffixes)}, or take another codec"
        )
    chroma = _chroma(name, codec, settings, odd=bool(width % 2 or height % 2))
    return OutputFormat(
        path=output,
        kind=OutputKind.ANIMATION if name in ANIMATIONS else OutputKind.VIDEO,
        codec=name,
        encoder=_encoder(name, codec, settings),
        pixel_format=_pixel_format(name, codec, settings, chroma),
        options=_options(name, codec, settings, chroma, suffix),
        hardware=settings.hardware,
    )


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
            f"{output.name} is one picture, but there are several frames",
            "give a name without suffix for a folder of PNG frames, or a video",
        )
    raise OutputError(
        f"{output.name} does not say which format is wanted",
        f"end it with {', '.join(_BY_SUFFIX)}, or nothing for a folder of PNG frames",
    )


def _encoder(name: str, codec: Codec, settings: OutputConfig) -> str:
    if settings.hardware == "none":
        return codec.encoder
    if name not in _HARDWARE:
        raise ConfigError(f"output.hardware: no {settings.hardware} encoder makes {name}", "set it to none")
    return f"{_HARDWARE[name]}_{settings.hardware}"


def _chroma(name: str, codec: Codec, settings: OutputConfig, *, odd: bool) -> str:
    if settings.chroma is None:
        if not codec.chroma:
            return ""
        return "444" if odd and name in _EVEN_UNLESS_444 else codec.chroma[0]
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
    if name == "ffv1":
        if chroma:
            return f"yuv{chroma}p" + ("16le" if settings.bits == 16 else "")
        return "gbrp16le" if settings.bits == 16 else "bgr0"
    if name == "apng":
        return "rgb48be" if settings.bits == 16 else "rgb24"
    if name == "webp":
        return "bgra"  # libwebp then converts by itself, to its own 4:2:0
    if name == "gif":
        return ""  # decided by the palette
    if settings.hardware in ("vaapi", "qsv", "amf"):
        if chroma != "420":
            raise ConfigError(f"output.chroma: {settings.hardware} has 420 only", "set output.hardware to none")
        return "nv12"
    return f"yuv{chroma}p" + ("10le" if codec.ten_bit else "")


def _options(name: str, codec: Codec, settings: OutputConfig, chroma: str, suffix: str) -> tuple[str, ...]:
    options = [*(codec.options if settings.hardware == "none" else ())]
    options += _quality(name, codec, settings)
    options += _speed(name, codec, settings)
    if name == "prores":
        options += ["-profile:v", "4" if chroma == "444" else "3"]  # 4444 or 422 HQ
    if name == "h265" and suffix in (".mp4", ".m4v", ".mov"):
        options += ["-tag:v", "hvc1"]  # QuickTime shows nothing of hev1
    if suffix in (".mp4", ".m4v", ".mov"):
        options += ["-movflags", "+faststart"]
    return tuple(options)


def _quality(name: str, codec: Codec, settings: OutputConfig) -> list[str]:
    if codec.quality is None:
        if settings.quality is not None:
            raise ConfigError(f"output.quality: {name} has no rate factor", "leave it out")
        return []
    customary, worst = codec.quality
    quality = customary if settings.quality is None else settings.quality
    if quality > worst:
        raise ConfigError(f"output.quality: {quality} is above {name}'s {worst}", f"give 0 to {worst}")
    if settings.hardware == "none":
        return ["-crf", str(quality)]
    return [word.format(quality) for word in _HARDWARE_QUALITY[settings.hardware]]


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
        raise ConfigError(f"output.speed: {name} counts its presets", "give a number, such as 6")
    return [codec.speed_option, settings.speed]


def missing_encoder(wanted: str, there: frozenset[str]) -> EncoderError:
    """The error for an encoder that this ffmpeg was not built with."""
    usable = sorted(codec.encoder for codec in CODECS.values() if codec.encoder in there)
    hardware = sorted(name for name in there if name.endswith(("_nvenc", "_vaapi", "_qsv", "_amf", "_videotoolbox")))
    return EncoderError(
        f"this ffmpeg has no encoder {wanted}",
        f"take another codec; it has {', '.join(usable + hardware) or 'none that can be used'}",
    )
