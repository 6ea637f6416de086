"""Order of pictures by their time of capture, and a look at whether their names agree with it."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Literal, TypeAlias

from vidnst.errors import SourceError
from vidnst.media.input.image_files import natural_sort_key

PictureOrder: TypeAlias = Literal["auto", "given", "name", "time"]
"""auto: files named one by one stay as given, unless a shell seems to have expanded a glob; others go by name."""

_FEWEST_EXPANDED = 3


def by_capture_time(paths: Sequence[Path], taken: Sequence[datetime | None]) -> list[int]:
    """Return the positions of pictures in the order in which they were taken; those of one moment go by name.

    Args:
        taken: the time of capture of each picture.

    Raises:
        SourceError: a picture has no time of capture.
    """
    times: list[datetime] = []
    for path, moment in zip(paths, taken, strict=True):
        if moment is None:
            raise SourceError(f"{path} has no time of capture (EXIF DateTimeOriginal)", "use --order name")
        times.append(moment)
    return sorted(range(len(paths)), key=lambda number: (times[number], natural_sort_key(paths[number])))


def disagreement(paths: Sequence[Path], taken: Sequence[datetime | None]) -> str:
    """Return a note if pictures are not in the order in which they were taken; empty if they are, or do not tell."""
    timed = [(path, moment) for path, moment in zip(paths, taken, strict=True) if moment is not None]
    wrong = [(one[0], two[0]) for one, two in pairwise(timed) if one[1] > two[1]]
    if not wrong:
        return ""
    earlier, later = wrong[0]
    more = f", and {len(wrong) - 1} more like it" if len(wrong) > 1 else ""
    return f"{earlier.name} comes before {later.name} but was taken after it{more}: use --order time if that is wrong"


def arrange_named(paths: Sequence[Path], order: PictureOrder) -> tuple[list[Path], str]:
    """Arrange pictures that were named one by one; those in order of time are arranged later.

    A shell expands `img*.jpg` to img1, img10, img2: pictures in exactly that order are taken for a glob, and sorted.

    Returns:
        The pictures, and a note if they were taken for a glob.
    """
    natural = sorted(paths, key=natural_sort_key)
    if order == "name":
        return natural, ""
    is_expanded = len(paths) >= _FEWEST_EXPANDED and list(paths) == sorted(paths, key=str) != natural
    if order != "auto" or not is_expanded:
        return list(paths), ""
    first = next(one for one, two in zip(paths, natural, strict=True) if one != two)
    note = f"the pictures look like a glob that the shell expanded ({first.name} too early) and go by number"
    return natural, f"{note}: use --order given if they are as you want them"
