"""Finds the pictures of key frames that a person has painted, by the settings that name them."""

import re
from collections.abc import Iterator
from pathlib import Path

from vidnst.config import RenderConfig
from vidnst.errors import ConfigError, SourceError
from vidnst.media.input.image_files import list_images

SHEET_NAME = "sheet.jpg"
"""A contact sheet in a folder of keys, which is no key."""


def named_keys(config: RenderConfig) -> Iterator[tuple[int, Path]]:
    """Yield each key that the settings name, with its frame.

    Raises:
        ConfigError: there is no such folder or no picture in it, or the name of one has no number.
    """
    for frame, text in config.keys.pictures.items():
        yield frame, Path(text).expanduser()
    if config.keys.folder is None:
        return
    folder = Path(config.keys.folder).expanduser()
    if folder.is_file():
        raise ConfigError(
            f"--keys takes a folder, and {folder} is a file", "name a single key with --key FRAME=PICTURE"
        )
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder} of keys", "check the path")
    for path in key_files(folder):
        digits = re.findall(r"[0-9]+", path.stem)
        if not digits or len(digits[-1]) > 9:
            raise ConfigError(f"the name of key {path} ends in no frame", "name it for example 0040.png")
        yield int(digits[-1]), path


def key_files(folder: Path) -> list[Path]:
    """List the pictures in a folder of keys.

    Raises:
        ConfigError: there is none.
    """
    try:
        found = [path for path in list_images(folder) or () if path.name != SHEET_NAME]
    except SourceError as error:
        raise ConfigError(f"the folder {folder} of keys cannot be used: {error.what}", error.remedy) from error
    if not found:
        raise ConfigError(f"there are no pictures in the folder {folder} of keys", "paint a frame, or leave out --keys")
    return found
