"""Reading of the pictures that a shipped network is trained on: from files, folders, globs and clips."""

import fnmatch
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidnst.events import OnEvent, Stage, ignore
from vidnst.frames import Pixels, spread_over
from vidnst.media.input.frame_reader import FrameReader, fit_size
from vidnst.media.input.image_files import list_images
from vidnst.media.input.probe import probe

_LONGEST_SIDE_PX = 1280
"""Larger images are scaled down as they are read."""


@dataclass(frozen=True, slots=True)
class NamedImage:
    """An image to train on or to evaluate with."""

    name: str
    pixels: Pixels


def read_images(
    texts: Iterable[str], *, held_out: Sequence[str] = (), clip_frames: int, on_event: OnEvent = ignore
) -> tuple[list[NamedImage], list[NamedImage]]:
    """Read the images to train on, and those that are held out.

    Args:
        texts: folders, globs, pictures and clips.
        held_out: patterns of file names.
        clip_frames: number of evenly spread frames taken from each clip.
        on_event: hears of the progress.

    Raises:
        SourceError: one of them cannot be read.
    """
    files = [path for text in texts for path in list_images(text) or (Path(text).expanduser(),)]
    training: list[NamedImage] = []
    apart: list[NamedImage] = []
    for number, path in enumerate(files):
        on_event(Stage("reading", number, len(files)))
        is_held_out = any(fnmatch.fnmatch(path.name, pattern) for pattern in held_out)
        (apart if is_held_out else training).extend(_read_file(path, clip_frames))
    on_event(Stage("reading", len(files), len(files)))
    return training, apart


def _read_file(path: Path, clip_frames: int) -> list[NamedImage]:
    clip = probe(path)
    reader = FrameReader(clip, size=fit_size(clip.width, clip.height, _LONGEST_SIDE_PX), on_bad_frame="repeat")
    if clip.frame_count == 1:
        return [NamedImage(path.name, reader.read(0).pixels)]
    indices = spread_over(0, clip.frame_count, clip_frames)
    return [NamedImage(f"{path.name}:{index}", reader.read(index).pixels) for index in indices]


def images_digest(images: Iterable[NamedImage]) -> str:
    """SHA-256 of the pixels, in hexadecimal digits."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{image.pixels.shape}{image.pixels.dtype}".encode())
        digest.update(image.pixels.tobytes())
    return digest.hexdigest()
