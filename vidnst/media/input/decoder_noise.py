"""What decoders have to say about damaged files: kept off standard error, and put into one line."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

# OpenCV would print what it finds wrong with a file to standard error.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow, which warns of damaged tags, and of large images at half the size that it refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def one_line(error: Exception) -> str:
    """Return the message of a decoder's error as one short line."""
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
