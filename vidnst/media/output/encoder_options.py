"""ffmpeg's options for an encoder: quality, speed, and what a container or a player needs. Nothing is run here."""

from vidnst.config import OutputConfig
from vidnst.errors import ConfigError
from vidnst.media.output.codecs import HARDWARE_QUALITY, Codec
from vidnst.media.output.x265 import x265_words


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
