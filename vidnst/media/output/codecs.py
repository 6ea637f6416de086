"""The codecs of videos and animations: encoders, containers, chroma subsamplings, bits and options. Tables only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_MPEG4 = (".mp4", ".m4v", ".mov", ".mkv")
_VP9 = (".webm", ".mkv", ".mp4")
_ALL_CHROMA = ("420", "422", "444")
_AV1 = (".mp4", ".m4v", ".mkv", ".webm")
_X26X_SPEEDS = frozenset(
    ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo")
)


@dataclass(frozen=True, slots=True)
class Codec:
    """A video codec: its encoder, containers and options."""

    encoder: str
    """ffmpeg's software encoder."""
    suffixes: tuple[str, ...]
    """Suffixes of containers that support it; the first is the usual one."""
    chroma: tuple[str, ...]
    """Supported chroma subsamplings, or rgb; the first is the default; empty if there is no choice."""
    options: str = ""
    """ffmpeg's output options, separated by spaces."""
    quality: tuple[int, int] | None = None
    """Default of large frames, and largest, constant rate factor; None if the codec has none."""
    speed_option: str = ""
    default_speed: str = ""
    speeds: frozenset[str] | None = None
    """Names of presets; None if presets are numbers."""
    bits: tuple[int, ...] = (8,)
    """Bits per channel that it may code; frames of 8 bits are always taken."""
    encoder_for: Mapping[str, "Codec"] = field(default_factory=lambda: MappingProxyType({}))
    """Another encoder for the chroma subsamplings that the usual one lacks."""


_LIBAOM = Codec(
    "libaom-av1",
    _AV1,
    ("422", "444"),
    "-b:v 0 -row-mt 1",
    (24, 63),
    "-cpu-used",
    "6",
    frozenset(map(str, range(9))),
    bits=(8, 10),
)

CODECS: Mapping[str, Codec] = MappingProxyType(
    {
        "h264": Codec("libx264", _MPEG4, _ALL_CHROMA, "", (18, 51), "-preset", "medium", _X26X_SPEEDS, bits=(8, 10)),
        "h265": Codec(
            "libx265",
            _MPEG4,
            _ALL_CHROMA,
            "",
            (20, 51),
            "-preset",
            "medium",
            _X26X_SPEEDS,
            bits=(8, 10, 12),
        ),
        # SVT-AV1 codes 4:2:0 alone, but that much faster than libaom.
        "av1": Codec(
            "libsvtav1",
            _AV1,
            _ALL_CHROMA,
            "",
            (24, 63),
            "-preset",
            "6",
            bits=(8, 10),
            encoder_for=MappingProxyType({"422": _LIBAOM, "444": _LIBAOM}),
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
        "ffv1": Codec(
            "ffv1", (".mkv",), ("rgb", *_ALL_CHROMA), "-level 3 -g 1 -slices 4 -slicecrc 1", bits=(8, 10, 12, 16)
        ),
        "gif": Codec("gif", (".gif",), ()),
        # libwebp_anim compresses better, but merges equal frames and drops the last frame's duration.
        "webp": Codec("libwebp", (".webp",), (), "-quality 90"),
        "apng": Codec("apng", (".apng", ".png"), (), "-pred mixed", bits=(8, 16)),
    }
)
"""Codecs by their names in the configuration."""

EVEN_UNLESS_444 = frozenset({"h264", "h265", "prores"})
"""Codecs whose encoders refuse odd sides with subsampled chroma, or (prores_ks) corrupt the last column."""

ANIMATIONS = frozenset({"gif", "webp", "apng"})

BY_SUFFIX = {
    ".mp4": "h264",
    ".m4v": "h264",
    ".webm": "vp9",
    ".mov": "prores",
    ".mkv": "ffv1",
    ".gif": "gif",
    ".webp": "webp",
    ".apng": "apng",
}

VAAPI_DEVICE = "/dev/dri/renderD128"
HARDWARE = {"h264": "h264", "h265": "hevc", "av1": "av1", "vp9": "vp9", "prores": "prores"}
HARDWARE_QUALITY = {
    "nvenc": ("-rc", "vbr", "-b:v", "0", "-cq", "{}"),
    "vaapi": ("-rc_mode", "CQP", "-qp", "{}"),
    "qsv": ("-global_quality", "{}"),
    "amf": ("-rc", "cqp", "-qp_i", "{}", "-qp_p", "{}"),
    "videotoolbox": ("-q:v", "{}"),
}
