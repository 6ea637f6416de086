"""The image files that a source names: a folder, glob, pattern of numbers or file name, in natural order."""

import re
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from vidnst.errors import SourceError
from vidnst.media.input.bounded_glob import bounded_glob
from vidnst.media.input.frame_numbers import NumberPattern, check_complete
from vidnst.media.input.limits import MAX_FRAMES, check_frame_count

WRITABLE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".tif", ".tiff", ".webp", ".bmp", ".exr"})
"""Suffixes of images that can be written, in lower case."""
IMAGE_SUFFIXES = WRITABLE_SUFFIXES | {".heic", ".heif", ".hif", ".avif", ".dpx"}
"""Suffixes of images that can be read, in lower case."""

_MAGIC = frozenset("*?[")

_NaturalText = tuple[tuple[int, int, str], ...]


def natural_sort_key(path: Path) -> tuple[tuple[_NaturalText, ...], _NaturalText, _NaturalText, str]:
    """Return a sort key that puts img2 before img10: digits compare as numbers, letters case-insensitively.

    Folders come first, then names without their suffix, so that `img (1).jpg`, a copy, follows `img.jpg`.
    """
    folders = tuple(_natural(part) for part in path.parent.parts)
    return folders, _natural(path.stem), _natural(path.suffix), str(path)


def _natural(text: str) -> _NaturalText:
    parts = re.split(r"([0-9]+)", text.casefold())
    return tuple((1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts)


def is_image(path: Path) -> bool:
    """Return whether a name is that of an image; hidden files (also macOS's `._` twins) are not."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def list_images(source: str | Path, *, gaps: bool = False) -> tuple[Path, ...] | None:
    """List the images of a folder, glob, pattern (`img_%04d.png`, `img.####.exr`) or file name, in natural order.

    Other files are ignored. Parts of a glob that exist are taken literally: `shoot [2024]/*.jpg`. Returns None if the
    source is one file that is not an image.

    Args:
        gaps: True if numbers of a pattern may be missing.

    Raises:
        SourceError: there is no image, or a number is missing in a pattern.
    """
    try:
        path = Path(source).expanduser()
        if path.is_dir():
            images = _bounded(filter(is_image, path.iterdir()), path)
            return _not_empty(sorted(images, key=natural_sort_key), f"in the folder {path}")
        if path.exists():
            return (path,) if is_image(path) else None
        if pattern := NumberPattern.parse(path):
            return _numbered(path, pattern, gaps)
        if _MAGIC & set(str(path)):
            return _glob(path)
    except (OSError, ValueError, RuntimeError) as error:  # name too long, no such user, unsupported pattern
        raise SourceError(f"{str(source)[:200]} cannot be accessed: {error}"[:500], "check the name") from error
    raise SourceError(f"there is no {path}", "check the name")


def _bounded(paths: Iterable[Path], where: Path) -> list[Path]:
    """List the paths; raises SourceError if there are more than `MAX_FRAMES`."""
    found = list(islice(paths, MAX_FRAMES + 1))
    check_frame_count(str(where), len(found))
    return found


def _not_empty(paths: Sequence[Path], where: str) -> tuple[Path, ...]:
    if not paths:
        raise SourceError(f"there are no images {where}", f"images end with {', '.join(sorted(IMAGE_SUFFIXES))}")
    return tuple(paths)


def _glob(pattern: Path) -> tuple[Path, ...]:
    matching = (path for path in bounded_glob(Path(), pattern) if is_image(path) and path.is_file())
    return _not_empty(sorted(_bounded(matching, pattern), key=natural_sort_key), f"that match {pattern}")


def _numbered(path: Path, pattern: NumberPattern, gaps: bool) -> tuple[Path, ...]:
    found = pattern.files()
    if not gaps:
        check_complete(str(path), list(found))
    return _not_empty(list(found.values()), f"that match {path}")
