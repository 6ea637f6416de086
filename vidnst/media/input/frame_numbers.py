"""Numbers of image sequences: patterns such as `shot_%04d.exr` and `shot.####.exr`, and numbers that are missing."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Literal

from vidnst.errors import SourceError
from vidnst.media.input.limits import MAX_FRAMES, check_frame_count

Missing = Literal["error", "repeat", "skip"]
"""What becomes of missing numbers: an error, the previous image again, or nothing, so that they are left out."""

_PRINTF = re.compile(r"(?<!%)(?:%%)*%(?P<zero>0?)(?P<width>\d{0,2})d")
_HASHES = re.compile(r"##+|(?<![^._-])#(?=\.)")
"""A single # counts only where it stands alone before the suffix: `shot.#.png`, but not `take#.png`."""
_DIGITS = re.compile(r"[0-9]+")
_MAX_DIGITS = 12
_NAMED_GAPS = 3


@dataclass(frozen=True, slots=True)
class NumberPattern:
    """A file name with a place for a number."""

    folder: Path
    before: str
    """Text before the number."""
    after: str
    """Text after it, with the suffix."""
    width: int
    """Least number of digits, with leading zeros; 1 has none."""

    @classmethod
    def parse(cls, path: Path) -> "NumberPattern | None":
        """Parse a name with `%d`, `%04d` (where `%%` is a percent sign) or `####`; None if it is not a pattern."""
        name = path.name
        if match := _PRINTF.search(name):
            before, after = name[: match.start("zero") - 1].replace("%%", "%"), name[match.end() :].replace("%%", "%")
            return cls(path.parent, before, after, int(match["width"] or 1) if match["zero"] else 1)
        if hashes := list(_HASHES.finditer(name)):
            match = hashes[-1]
            return cls(path.parent, name[: match.start()], name[match.end() :], len(match[0]))
        return None

    def path(self, number: int) -> Path:
        """Return the path of a number's file."""
        return self.folder / f"{self.before}{number:0{self.width}d}{self.after}"

    def number(self, name: str) -> int | None:
        """Return the number in a file name; None if the name does not match."""
        if not (name.startswith(self.before) and name.endswith(self.after)):
            return None
        digits = name[len(self.before) : len(name) - len(self.after)]
        fits = _DIGITS.fullmatch(digits) and self.width <= len(digits) <= max(self.width, _MAX_DIGITS)
        return int(digits) if fits else None

    def has_files(self) -> bool:
        """Return whether any file matches; False if the folder cannot be read."""
        try:
            with os.scandir(self.folder) as entries:
                return any(self.number(entry.name) is not None for entry in entries)
        except OSError:
            return False

    def files(self) -> dict[int, Path]:
        """Return the files that match, by number, ascending.

        Raises:
            SourceError: they are more than `MAX_FRAMES`.
            OSError: the folder cannot be read.
        """
        candidates = self.folder.iterdir() if self.folder.is_dir() else iter(())
        matching = (path for path in candidates if self.number(path.name) is not None and path.is_file())
        found = sorted(islice(matching, MAX_FRAMES + 1))
        check_frame_count(str(self.folder), len(found))
        return dict(sorted((self.number(path.name) or 0, path) for path in found))


@dataclass(frozen=True, slots=True)
class NumberedImages:
    """The images of a sequence in order, with their numbers."""

    paths: tuple[Path, ...]
    numbers: tuple[int, ...] = ()
    """Number of each image; empty if the names do not count."""
    notes: tuple[str, ...] = ()
    """What the user must know of missing numbers, a clause each."""


def number_images(paths: Sequence[Path], *, missing: Missing, source: str, is_pattern: bool) -> NumberedImages:
    """Find the numbers of images, and apply the policy for those that are missing.

    Args:
        paths: the images in natural order.
        source: the source as the user named it.
        is_pattern: True if it is a pattern. The images of a folder, a glob or a list are all that there are, so missing
            numbers are no error there: they are left out with a note, unless images are to be repeated.

    Raises:
        SourceError: numbers of a pattern are missing and the policy is `error`, or there would be too many frames.
    """
    numbers = numbers_of(paths)
    gaps = [(earlier + 1, later - 1) for earlier, later in pairwise(numbers) if later > earlier + 1]
    if not gaps:
        return NumberedImages(tuple(paths), numbers)
    many = len(gaps) > 1 or gaps[0][0] < gaps[0][1]
    what = f"number{'s' if many else ''} {_listed(gaps)} of {source} {'are' if many else 'is'} missing"
    if missing == "repeat":
        check_frame_count(source, numbers[-1] - numbers[0] + 1)
        return _with_repeats(paths, numbers, f"{what}: the image before is shown again")
    if missing == "error" and is_pattern:
        raise missing_numbers(what, numbers)
    return NumberedImages(tuple(paths), numbers, (f"{what}: left out, so the images around follow each other",))


def missing_numbers(what: str, numbers: Sequence[int]) -> SourceError:
    """Return the error for a sequence with gaps."""
    return SourceError(
        f"{what} ({numbers[0]} to {numbers[-1]} exist)",
        "restore what is missing, or add --missing repeat or --missing skip",
    )


def check_complete(pattern: str, numbers: Sequence[int]) -> None:
    """Raise SourceError, naming the first one, if a number between the first and the last is missing."""
    for earlier, later in pairwise(numbers):
        if later != earlier + 1:
            raise missing_numbers(f"number {earlier + 1} of {pattern} is missing", numbers)


def numbers_of(paths: Sequence[Path]) -> tuple[int, ...]:
    """Return the ascending numbers in names that are alike but for one run of digits; empty if there are none."""
    if not paths or any(path.parent != paths[0].parent for path in paths):
        return ()
    for match in reversed(list(_DIGITS.finditer(paths[0].stem))):
        name = paths[0].name
        zeros = len(match[0]) if match[0].startswith("0") else 1
        pattern = NumberPattern(paths[0].parent, name[: match.start()], name[match.end() :], zeros)
        numbers = [pattern.number(path.name) for path in paths]
        found = tuple(number for number in numbers if number is not None)
        if len(found) == len(paths) and all(later > earlier for earlier, later in pairwise(found)):
            return found
    return ()


def _with_repeats(paths: Sequence[Path], numbers: Sequence[int], note: str) -> NumberedImages:
    by_number = dict(zip(numbers, paths, strict=True))
    every = range(numbers[0], numbers[-1] + 1)
    shown, repeated = paths[0], []
    for number in every:
        shown = by_number.get(number, shown)
        repeated.append(shown)
    return NumberedImages(tuple(repeated), tuple(every), (note,))


def _listed(gaps: Sequence[tuple[int, int]]) -> str:
    """Name the first gaps: `5, 7 to 9 and 12 more`."""
    words = [str(first) if first == last else f"{first} to {last}" for first, last in gaps[:_NAMED_GAPS]]
    if rest := sum(last - first + 1 for first, last in gaps[_NAMED_GAPS:]):
        words.append(f"{rest} more")
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
