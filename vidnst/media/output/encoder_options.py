"""ffmpeg's options for an encoder: quality, speed, and what a container or a player needs. Nothing is run here."""

import math

from vidnst.config import OutputConfig
from vidnst.errors import ConfigError
from vidnst.media.output.codecs import HARDWARE_QUALITY, Codec
from vidnst.media.output.x265 import x265_words

_LARGE_PIXELS = 1280 * 720
"""Pixels of a frame from which on the customary rate factor is the default."""
_LOWERED_PER_OCTAVE, _MOST_LOWERED, _LARGEST = 3.5, 16, 51
"""How much lower it is for frames of half as many pixels, and at most, on a scale that ends at the third: see
tests/bench/RESULTS.md."""


def encoder_options(
    name: str, codec: Codec, settings: OutputConfig, chroma: str, suffix: str, *, size: tuple[int, int]
) -> tuple[str, ...]:
    """Return the options of a codec for frames of a size, width and height in pixels.

    Raises:
        ConfigError: the codec has no such quality or speed.
    """
    options = codec.options.split() if settings.hardware == "none" else []
    if name == "h265" and settings.hardware == "none":
        options += ["-x265-params", ":".join(x265_words(*size))]
    options += _quality(name, codec, settings, size)
    options += _speed(name, codec, settings)
    if name == "prores":
        options += ["-profile:v", "4" if chroma == "444" else "3"]  # 4444 or 422 HQ
    if name == "h265" and suffix in (".mp4", ".m4v", ".mov"):
        options += ["-tag:v", "hvc1"]  # QuickTime cannot play hev1
    if suffix in (".mp4", ".m4v", ".mov"):
        options += ["-movflags", "+faststart"]
    return tuple(options)


def _quality_for(size: tuple[int, int], usual: int, largest: int) -> int:
    """Return the default rate factor of frames of a size in pixels: smaller ones get a better one.

    At the customary factor coding adds half of their own warping error to small frames, or more. The bytes that prevent
    it are few there; in large frames they would not be.
    """
    octaves = math.log2(max(1.0, _LARGE_PIXELS / (size[0] * size[1])))
    lowered = min(_MOST_LOWERED, octaves * _LOWERED_PER_OCTAVE) * largest / _LARGEST
    return max(0, usual - round(lowered))


def _quality(name: str, codec: Codec, settings: OutputConfig, size: tuple[int, int]) -> list[str]:
    if codec.quality is None:
        if settings.quality is not None:
            raise ConfigError(f"output.quality: {name} has no rate factor", "leave it out")
        return []
    usual, largest = codec.quality
    default = usual if settings.hardware != "none" else _quality_for(size, usual, largest)
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
