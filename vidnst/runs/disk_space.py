"""Disk space that a run takes, and disk space and memory that this machine has."""

import os
import shutil
from pathlib import Path

from vidnst.errors import DiskFullError
from vidnst.formatting import format_gigabytes

SLACK_BYTES = 64 << 20
"""For everything in a run folder that is no frame or state."""
_MAX_FILES = 1_000_000


def required_bytes(*, frames: int, width: int, height: int, states: int, bits: int = 8, more_bits: int = 0) -> int:
    """Bytes that a run folder needs at most.

    Stylized images hardly compress, so a frame is counted at its raw size.

    Args:
        frames: number of frames that are rendered and kept until they are encoded.
        width, height: their size in pixels.
        states: number of states that are kept at once, 6 bytes a pixel.
        bits: bits per channel of a frame.
        more_bits: bits per channel of all further images of a frame that are kept.
    """
    pixels = width * height
    return frames * pixels * 3 * (bits + more_bits) // 8 + states * pixels * 6 + SLACK_BYTES


def free_bytes(folder: Path) -> int:
    """Bytes that are free on the disk of a folder, which need not exist yet."""
    return shutil.disk_usage(_existing_parent(folder)).free


def output_bytes(output: Path) -> int | None:
    """Return the size of an output in bytes, that of a folder without its subfolders; None where there is none."""
    try:
        files = [path for path in output.iterdir() if path.is_file()] if output.is_dir() else [output]
        return sum(path.stat().st_size for path in files)
    except OSError:
        return None


def file_system(folder: Path) -> int:
    """A number that identifies the file system on which a folder is, or would be made."""
    return _existing_parent(folder).stat().st_dev


def _existing_parent(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    parent = folder.absolute()
    while not parent.exists():
        parent = parent.parent
    return parent


def check_free_space(folder: Path, needed_bytes: int) -> None:
    """Make sure that a run fits on the disk.

    Args:
        folder: the run folder, which need not exist yet.
        needed_bytes: see `required_bytes`.

    Raises:
        DiskFullError: less is free on the folder's disk.
    """
    free = free_bytes(folder)
    if free < needed_bytes:
        raise DiskFullError(
            f"the render may need {format_gigabytes(needed_bytes)} in {folder} and {format_gigabytes(free)} are free",
            "free some space, choose another folder with --work-dir, or render smaller with --size",
        )


def host_bytes() -> int | None:
    """Bytes of memory that this machine has available, else its whole memory; None if neither is known."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            fields = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        return fields["MemAvailable"] * 1024
    except (OSError, KeyError, ValueError):
        pages = os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
        return pages * os.sysconf("SC_PAGE_SIZE") if pages > 0 else None


def folder_bytes(folder: Path) -> int | None:
    """Bytes that a folder takes up, links not followed; None if it cannot be read or has more than a million files."""
    total = files = 0
    try:
        for _, _, names, descriptor in os.fwalk(folder):
            files += len(names)
            if files > _MAX_FILES:
                return None
            for name in names:
                try:
                    total += os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_size
                except FileNotFoundError:  # a render deletes files meanwhile
                    continue
    except OSError:
        return None
    return total
