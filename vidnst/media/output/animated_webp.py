"""Frames of an animated WebP: neither OpenCV nor PyAV reads them, so Pillow does."""

import warnings
from fractions import Fraction
from pathlib import Path

from PIL import Image

from vidnst.errors import SourceError


def read_webp_times(path: Path) -> tuple[list[Fraction], list[Fraction], tuple[int, int]]:
    """Decode an animated WebP of our own making.

    Returns:
        Start and duration of each frame in seconds, and width and height in pixels.

    Raises:
        SourceError: a frame does not decode.
    """
    starts, durations = [], []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large images at half the size it refuses
            with Image.open(path) as image:
                for number in range(getattr(image, "n_frames", 1)):
                    image.seek(number)
                    image.load()
                    starts.append(Fraction(int(image.info.get("timestamp", 0)), 1000))
                    durations.append(Fraction(int(image.info.get("duration", 0)), 1000))
                return starts, durations, image.size
    except Exception as error:  # Pillow's readers raise a dozen types
        raise SourceError(f"{path} does not decode ({error})") from error
