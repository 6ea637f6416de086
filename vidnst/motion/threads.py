"""How many threads OpenCV may take."""

import cv2


def use_threads(count: int) -> None:
    """Let OpenCV use so many threads in this process.

    Left to itself it takes all cores, in every worker, however many there are. What it computes here has the same bytes
    with any number.
    """
    cv2.setNumThreads(count)
