"""Painted keys as options of the command line, turned into settings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vidnst.errors import ConfigError

_MOST_DIGITS = 9
"""Of the number of a frame."""


def key_settings(texts: Sequence[str], folder: Path | None) -> dict[str, Any]:
    """Turn painted keys, and a folder of them, into settings by dotted key; texts and errors as in `parse_keys`."""
    pictures = parse_keys(texts, "--key")
    settings: dict[str, Any] = {"keys.pictures": pictures} if pictures else {}
    return settings | ({} if folder is None else {"keys.folder": str(folder)})


def parse_keys(texts: Sequence[str], option: str) -> dict[int, str]:
    """Parse keys such as `40=painted.png` into pictures by their frames.

    Raises:
        ConfigError: a text is not FRAME=PICTURE, or a frame has two keys.
    """
    pictures: dict[int, str] = {}
    for text in texts:
        number, sign, path = text.partition("=")
        if not sign or not path or not number.isdecimal() or len(number) > _MOST_DIGITS:
            raise ConfigError(f"{option} {text!r} is not FRAME=PICTURE", f"write for example {option} 40=painted.png")
        if (frame := int(number)) in pictures:
            raise ConfigError(f"frame {frame} has two keys, {pictures[frame]} and {path}", "leave one of them out")
        pictures[frame] = path
    return pictures
