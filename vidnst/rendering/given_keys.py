"""Key frames that a person has painted: checks their pictures, and reads them at the render's size."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidnst.config import RenderConfig
from vidnst.config.style import Style
from vidnst.errors import ConfigError, RangeError, SourceError, StyleError
from vidnst.events import OnEvent, Warned
from vidnst.farm.jobs import GivenPart
from vidnst.farm.plan import GivenFrames
from vidnst.formatting import counted
from vidnst.frames import ClipInfo, to_16_bits
from vidnst.lru_cache import LruCache
from vidnst.media.input.fingerprint import fingerprint
from vidnst.media.input.image_files import IMAGE_SUFFIXES
from vidnst.media.input.key_files import named_keys
from vidnst.media.input.key_pictures import fit_key_picture, read_key_picture

_SHAPE_TOLERANCE = 0.01
"""Largest difference of the ratio of sides from the source's."""
_LISTED = 8
"""Frames that a sentence about keys names."""
_KEPT = 4
"""Keys whose pixels are kept in memory: the nodes of one follow each other."""


@dataclass(frozen=True, slots=True)
class PaintedKey:
    """A frame that a person has painted."""

    frame: int
    path: Path
    fingerprint: str
    is_whole: bool
    """True if it is opaque everywhere."""
    size: tuple[int, int]
    """Width and height in pixels of its picture."""


def find_keys(
    config: RenderConfig, clip: ClipInfo, *, start: int, end: int, size: tuple[int, int], on_event: OnEvent
) -> tuple[PaintedKey, ...]:
    """Find and check the painted keys of a render, in the order of their frames.

    Args:
        size: width and height in pixels of the rendered frames.
        on_event: hears of keys that are fitted to that size, and of what changes all keys after painting.

    Raises:
        ConfigError: a name has no number, two keys are for one frame, or the settings do not go with keys.
        RangeError: a key is outside the range.
        SourceError: a picture cannot be read, has another shape, or is transparent everywhere.
    """
    if not config.keys.are_given:
        return ()
    _check_settings(config)
    paths: dict[int, Path] = {}
    for frame, path in named_keys(config):
        if frame in paths:
            raise ConfigError(f"frame {frame} has two keys, {paths[frame]} and {path}", "leave one of them out")
        if not start <= frame < end:
            raise RangeError(
                f"key {path} is for frame {frame}, and the range has frames {start} to {end - 1}",
                "leave it out, or render a range that has its frame",
            )
        paths[frame] = path
    keys = tuple(_checked(frame, path, clip) for frame, path in sorted(paths.items()))
    for text in _fitted_in_words(keys, size):
        on_event(Warned(text))
    if effects := _later_effects(config):
        on_event(Warned(f"the painted keys are changed by {' and '.join(effects)} after painting"))
    return keys


def _fitted_in_words(keys: Sequence[PaintedKey], size: tuple[int, int]) -> Iterator[str]:
    """Yield a sentence for each size other than the render's that keys have."""
    for given in dict.fromkeys(key.size for key in keys if key.size != size):
        fitted = [key for key in keys if key.size == given]
        which = f"key {fitted[0].path} of frame {fitted[0].frame} is"
        if len(fitted) > 1:
            which = f"the {counted(len(fitted), 'painted key')} of frames {_listed(fitted)} are"
        yield f"{which} fitted from {given[0]}x{given[1]} to {size[0]}x{size[1]} pixels"


def _listed(keys: Sequence[PaintedKey]) -> str:
    """List the frames of keys: the first few, and how many more."""
    more = f" and {len(keys) - _LISTED} more" if len(keys) > _LISTED else ""
    return ", ".join(str(key.frame) for key in keys[:_LISTED]) + more


def _later_effects(config: RenderConfig) -> list[str]:
    """Name the settings that change frames after painting, in their order."""
    named = {
        f"colour.keep {config.colour.keep} (--keep-colours)": config.colour.keep != "none",
        "photo.enabled (--preset photo, --photo)": config.photo.enabled,
        "filters.after (--filter)": bool(config.filters.after),
    }
    return [name for name, is_used in named.items() if is_used]


def _check_settings(config: RenderConfig) -> None:
    """Raise ConfigError for settings that painted keys do not go with."""
    schedule = config.schedule
    if not config.stylizes:
        raise ConfigError("painted keys have no effect without iterations", "leave out --iterations 0")
    if schedule.kind == "network":
        _check_training(config)
    elif schedule.kind != "keys":
        raise ConfigError(
            f"frames follow painted keys only with the schedules keys and network, not with {schedule.kind}, which"
            " comes of --schedule or --stability 0",
            "leave out --schedule and --stability 0",
        )
    if schedule.loop:
        raise ConfigError("painted keys and --loop do not go together", "leave out --loop")
    if config.input.registration != "none":
        raise ConfigError(
            f"painted keys and input.registration {config.input.registration} do not go together: a key would not move"
            " with the registered frames",
            "register the frames in a render of their own, and paint keys of its output",
        )
    if config.motion.light_share is not None:
        raise ConfigError(
            "painted keys and --light-share do not go together: a key is painted in its own light",
            "leave out --light-share, or set motion.light_share=null",
        )


def _check_training(config: RenderConfig) -> None:
    """Raise ConfigError if a network paints that cannot learn the keys."""
    if config.schedule.is_instant:
        raise ConfigError(
            "a network that is not trained on the clip cannot learn painted keys", "add --engine optimize or network"
        )
    if config.model.network is not None:
        raise ConfigError(
            f"the network in {config.model.network} is trained, and learns no painted keys",
            "leave out --network, or give the keys to `vidnst train`",
        )


def _checked(frame: int, path: Path, clip: ClipInfo) -> PaintedKey:
    if not path.is_file():
        raise SourceError(f"there is no key {path} of frame {frame}", "check the path")
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise SourceError(
            f"key {path} of frame {frame} is no picture", "paint over one frame, and save it for example as .png"
        )
    try:
        pixels, opaque = read_key_picture(path)
    except SourceError as error:
        raise SourceError(f"key {path} of frame {frame} cannot be used: {error.what}", error.remedy) from error
    height, width = pixels.shape[:2]
    if abs(width * clip.height / (height * clip.width) - 1) > _SHAPE_TOLERANCE:
        raise SourceError(
            f"key {path} of frame {frame} has {width}x{height} pixels, another shape than {clip.source} with"
            f" {clip.width}x{clip.height}",
            "paint over a frame of the source as it is, for example one of `vidnst keys`",
        )
    if opaque is not None and not opaque.any():
        raise SourceError(f"key {path} of frame {frame} is transparent everywhere", "leave it out")
    return PaintedKey(frame, path, fingerprint([path]), opaque is None, (width, height))


def read_key(key: PaintedKey, size: tuple[int, int], *, weight: float) -> GivenPart:
    """Read a key at the render's size.

    Args:
        size: width and height in pixels.
        weight: see `GivenPart`.

    Raises:
        SourceError: the picture cannot be read any more.
    """
    pixels, opaque = fit_key_picture(*read_key_picture(key.path), size)
    return GivenPart(to_16_bits(pixels), opaque, weight)


class KeyPictures:
    """Gives the pixels of painted keys.

    Args:
        keys: those of a render.
        size: width and height in pixels.
        weight: see `GivenPart`.
    """

    def __init__(self, keys: Sequence[PaintedKey], size: tuple[int, int], *, weight: float) -> None:
        self._keys = {key.frame: key for key in keys}
        self._size = size
        self._weight = weight
        self._read = LruCache[int, GivenPart](_KEPT)

    @property
    def are_given(self) -> bool:
        """True if there are any."""
        return bool(self._keys)

    def get(self, frame: int) -> GivenPart | None:
        """Return what is given of a frame; None if nothing is. Errors as in `read_key`."""
        key = self._keys.get(frame)
        if key is None:
            return None
        return self._read.get(frame, lambda: read_key(key, self._size, weight=self._weight))


def given_frames(keys: Sequence[PaintedKey]) -> GivenFrames:
    """Return the frames of keys, for a plan."""
    return GivenFrames(
        frozenset(key.frame for key in keys if key.is_whole), frozenset(key.frame for key in keys if not key.is_whole)
    )


def key_styles(keys: Sequence[PaintedKey]) -> tuple[Style, ...]:
    """Return the keys that can be the style: those that are opaque everywhere.

    Raises:
        StyleError: there is none among them.
    """
    styles = tuple(Style(str(key.path)) for key in keys if key.is_whole)
    if keys and not styles:
        raise StyleError("every key is transparent somewhere, so none can be the style", "add --style IMAGE")
    return styles


def key_marks(keys: Sequence[PaintedKey]) -> dict[str, str]:
    """Return a fingerprint of each key, by its frame."""
    return {str(key.frame): key.fingerprint for key in keys}


def absolute_keys(config: RenderConfig) -> dict[str, object]:
    """Return the settings of keys with absolute paths, as JSON values."""
    keys = config.keys
    return keys.model_dump(mode="json") | {
        "pictures": {str(frame): _absolute(path) for frame, path in keys.pictures.items()},
        "folder": None if keys.folder is None else _absolute(keys.folder),
    }


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))
