"""The disk that several renders take together, by file system."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vidnst.runs.disk_space import SLACK_BYTES, file_system, free_bytes
from vidnst.tools.forecast.forecast import Forecast
from vidnst.tools.forecast.memory_and_disk import DISK


@dataclass(frozen=True, slots=True)
class Disk:
    """What the run folders of several clips take on one file system."""

    folder: str
    """The first run folder there."""
    clips: int
    needed: int
    """Bytes, if none is finished before all have their frames."""
    least: int
    """Bytes, if each is finished, and its frames removed unless they are to be kept, before the next one begins."""
    there: int
    """Bytes that are free."""

    @property
    def fits(self) -> bool:
        """Whether there is enough in any case."""
        return self.needed <= self.there

    @property
    def fits_in_turn(self) -> bool:
        """Whether there is enough if the clips are finished one after the other."""
        return self.least <= self.there

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"fits": self.fits, "fits_in_turn": self.fits_in_turn}


def disks_of(forecasts: Sequence[Forecast]) -> tuple[Disk, ...]:
    """The disk of all clips together, by file system."""
    places: dict[int, list[Forecast]] = {}
    for found in forecasts:
        places.setdefault(file_system(Path(found.folder)), []).append(found)
    return tuple(_disk(clips) for clips in places.values())


def _disk(clips: Sequence[Forecast]) -> Disk:
    bytes_ = [need.needed - SLACK_BYTES for found in clips for need in found.needs if need.what == DISK]
    kept = [count for count, found in zip(bytes_, clips, strict=True) if found.keeps]
    passing = [count for count, found in zip(bytes_, clips, strict=True) if not found.keeps]
    folder = clips[0].folder
    least = sum(kept) + max(passing, default=0) + SLACK_BYTES
    return Disk(folder, len(clips), sum(bytes_) + SLACK_BYTES, least, free_bytes(Path(folder)))
