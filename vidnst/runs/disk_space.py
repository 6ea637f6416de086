"""How much disk a run takes, and how much disk and memory this machine has."""

import os
import shutil
from pathlib import Path

from vidnst.errors import DiskFullError

SLACK_BYTES = 64 << 20
"""Of a run folder, for what is not pictures."""


def required_bytes(*, frames: int, width: int, height: int, states: int, bits: int = 8, more_bits: int = 0) -> int:
    """Bytes that a run folder may come to hold.

    Stylized pictures hardly compress, so a frame is counted at its raw size.

    Args:
        frames: how many will be rendered and kept until they are encoded.
        width, height: their size in pixels.
        states: how many states are kept at once, 6 bytes a pixel.
        bits: per channel of a frame.
        more_bits: per channel of all further pictures of it that are kept.
    """
    pixels = width * height
    return frames * pixels * 3 * (bits + more_bits) // 8 + states * pixels * 6 + SLACK_BYTES


def free_bytes(folder: Path) -> int:
    """Bytes that are free on the disk of a folder, which need not exist yet."""
    return shutil.disk_usage(_there(folder)).free


def file_system(folder: Path) -> int:
    """A number of the file system on which a folder is, or would be made."""
    return _there(folder).stat().st_dev


def _there(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return place


def check_free_space(folder: Path, needed_bytes: int) -> None:
    """Refuse to begin what will not fit.

    Args:
        folder: where it is to be written; need not exist yet.
        needed_bytes: see `required_bytes`.

    Raises:
        DiskFullError: less is free on the folder's disk.
    """
    free = free_bytes(folder)
    if free < needed_bytes:
        raise DiskFullError(
            f"the render may need {needed_bytes / 1e9:.1f} GB in {folder} and {free / 1e9:.1f} GB are free",
            "make room, choose another folder with --work-dir, or render smaller with --size",
        )


def host_bytes() -> int | None:
    """Bytes of memory that this machine has free, or has at all where that is not told; None where nothing is."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            fields = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        return fields["MemAvailable"] * 1024
    except (OSError, KeyError, ValueError):
        pages = os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
        return pages * os.sysconf("SC_PAGE_SIZE") if pages > 0 else None
