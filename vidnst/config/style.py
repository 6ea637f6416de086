"""The text form of a style: `PATH[:WEIGHT][@MOMENT][#REGION]`."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

from vidnst.config.base import REGION_NAME
from vidnst.config.timecode import parse_seconds
from vidnst.errors import ConfigError

_SHOTS = re.compile(r"shot(\d{1,6}(?:,\d{1,6})*)")


@dataclass(frozen=True, slots=True)
class Style:
    """The parts of a text like `a.jpg:45@10s#sky`."""

    path: str
    weight: float = 1.0
    at: str | None = None
    """The moment from which the style applies, as written by the user; None: always."""
    shots: tuple[int, ...] = ()
    region: str | None = None

    def __str__(self) -> str:
        moment = f"@shot{','.join(map(str, self.shots))}" if self.shots else "" if self.at is None else f"@{self.at}"
        region = "" if self.region is None else f"#{self.region}"
        return f"{self.path}:{self.weight:g}{moment}{region}"


def parse_style(text: str) -> Style:
    """Parse `PATH[:WEIGHT][@MOMENT][#REGION]`; an existing file of that very name takes precedence.

    Raises:
        ConfigError: the weight or the moment is invalid.
    """
    region, at = None, None
    shots: tuple[int, ...] = ()
    head, mark, tail = text.rpartition("#")
    if mark and head and not exists(text) and re.fullmatch(REGION_NAME, tail):
        text, region = head, tail
    head, mark, tail = text.rpartition("@")
    if mark and head and not exists(text):
        path = split_weight(head)[0]
        if match := _SHOTS.fullmatch(tail.strip()):
            text, shots = head, tuple(map(int, match[1].split(",")))
        elif _is_moment(tail):
            text, at = head, tail.strip()
        elif exists(path):
            raise ConfigError(
                f"{tail!r} is not a valid moment for style {path}",
                "write a frame (20), seconds (1.5s), a time (0:01.5), or shot2 for the third shot",
            )
    path, weight = split_weight(text)
    return Style(str(path), weight, at, shots, region)


def as_style(style: str | Style) -> Style:
    """Return a style as its parts.

    Raises:
        ConfigError: the text has a wrong weight or moment.
    """
    return style if isinstance(style, Style) else parse_style(style)


def exists(path: str | Path) -> bool:
    """Return True if a file exists; names that the system cannot represent do not."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def split_weight(text: str) -> tuple[Path, float]:
    """Split a text such as `a.jpg:45` into path and weight; an existing file of that very name takes precedence."""
    head, colon, tail = text.rpartition(":")
    if not colon or exists(text):
        return Path(text), 1.0
    try:
        weight = float(tail)
    except ValueError:
        return Path(text), 1.0
    if not (math.isfinite(weight) and weight > 0):
        raise ConfigError(f"the weight {tail} of style {head} is not above 0", "give a positive number")
    return Path(head), weight


def _is_moment(text: str) -> bool:
    if re.fullmatch(r"\d{1,12}", text.strip()):
        return True
    try:
        parse_seconds(text)
    except ConfigError:
        return False
    return True
