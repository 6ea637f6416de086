"""One frame near the beginning of a clip, without looking through all of it."""

from pathlib import Path

from vidnst.errors import SourceError
from vidnst.frames import Pixels
from vidnst.media import images
from vidnst.media.input.container import read_container
from vidnst.media.input.video_capture import VideoCapture

MAX_QUICK_FRAMES = 64
"""Frames that are decoded at most on the way to one of a video."""


def read_quick_frame(path: Path, number: int) -> Pixels:
    """Frame `number` of what a render has written, `(H, W, 3)` sRGB in RGB order: uint8, of pictures also uint16.

    Of a video it is the one that comes out of the decoder after so many others, which is the right one where all
    decode, as in an output that has been checked.

    Args:
        path: a video, an animation, a picture, or a folder of pictures.
        number: from 0; of a video less than `MAX_QUICK_FRAMES`.

    Raises:
        SourceError: it is not there, cannot be read, or has no such frame.
    """
    found = images.list_images(path)
    if found is not None:
        if not 0 <= number < len(found):
            raise _none(path, number)
        return images.read_image(found[number])
    read_container(path)  # bounds its size, and refuses what is no real container
    with VideoCapture(path) as capture:
        if not (0 <= number < MAX_QUICK_FRAMES and all(capture.grab() for _ in range(number + 1))):
            raise _none(path, number)
        pixels = capture.retrieve()
    if pixels is None:
        raise SourceError(f"frame {number} of {path} does not decode", "check the file")
    return pixels


def _none(path: Path, number: int) -> SourceError:
    return SourceError(f"{path} has no frame {number} that can be had quickly", "name an earlier one")
