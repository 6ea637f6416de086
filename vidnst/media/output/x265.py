"""Parameters of x265 that ffmpeg hands on as one option, so that all of them must be known at once."""

_SMALLEST_TREE_SIDE = 64


def x265_words(width: int, height: int) -> list[str]:
    """Return the parameters that every encoding needs, at frames of this size in pixels.

    Below 64 pixels the propagation of costs between macroblocks (cutree) writes outside of its memory, and x265 crashes
    now and then.
    """
    return ["log-level=error", *(["cutree=0"] if min(width, height) < _SMALLEST_TREE_SIDE else [])]
