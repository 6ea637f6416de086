"""Styles as they are asked for: a picture or clip with its weight, and where and when it holds."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

from vidnst.config.timecode import parse_seconds
from vidnst.errors import ConfigError

REGION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
"""What a region may be called."""
_SHOTS = re.compile(r"shot(\d{1,6}(?:,\d{1,6})*)")


@dataclass(frozen=True, slots=True)
class Style:
    """The parts of a text like `a.jpg:45@10s#sky`."""

    path: str
    weight: float = 1.0
    at: str | None = None
    """A moment as it was written; None is always."""
    shots: tuple[int, ...] = ()
    region: str | None = None

    def __str__(self) -> str:
        moment = f"@shot{','.join(map(str, self.shots))}" if self.shots else "" if self.at is None else f"@{self.at}"
        region = "" if self.region is None else f"#{self.region}"
        return f"{self.path}:{self.weight:g}{moment}{region}"


def parse_style(text: str) -> Style:
    """The parts of `PATH[:WEIGHT][@MOMENT][#REGION]`; a file whose very name ends so wins.

    Raises:
        ConfigError: the weight or the moment is wrong.
    """
    region, at = None, None
    shots: tuple[int, ...] = ()
    head, mark, tail = text.rpartition("#")
    if mark and head and not exists(text) and REGION_NAME.fullmatch(tail):
        text, region = head, tail
    head, mark, tail = text.rpartition("@")
    if mark and head and not exists(text):
        path = split_weight(head)[0]
        if found := _SHOTS.fullmatch(tail.strip()):
            text, shots = head, tuple(map(int, found[1].split(",")))
        elif _is_moment(tail):
            text, at = head, tail.strip()
        elif exists(path):
            raise ConfigError(
                f"{tail!r} is no moment for style {path}",
                "write a frame (20), seconds (1.5s), a time (0:01.5), or shot2 for the third shot",
            )
    path, weight = split_weight(text)
    return Style(str(path), weight, at, shots, region)


def exists(path: str | Path) -> bool:
    """Whether there is such a file; names that no system takes are of none."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def split_weight(text: str) -> tuple[Path, float]:
    """Path and weight of a text like `a.jpg:45`; a file whose very name ends so wins."""
    head, colon, tail = text.rpartition(":")
    if not colon or exists(text):
        return Path(text), 1.0
    try:
        weight = float(tail)
    except ValueError:
        return Path(text), 1.0
    if not (math.isfinite(weight) and weight > 0):
        raise ConfigError(f"style weight {tail} of {head} is not above 0", "give a positive number")
    return Path(head), weight


def _is_moment(text: str) -> bool:
    if re.fullmatch(r"\d{1,12}", text.strip()):
        return True
    try:
        parse_seconds(text)
    except ConfigError:
        return False
    return True
