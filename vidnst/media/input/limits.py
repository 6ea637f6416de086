"""What a source may claim at most: a few bytes of a stranger's file can ask for any amount of memory and time."""

from vidnst.errors import SourceError

MAX_PIXELS = 2 * 89_478_485
"""Of a picture or a video's frame; also where Pillow raises its bomb error. Looked at before anything is decoded."""
MAX_FRAMES = 2_000_000
"""Of a clip, and pictures of a sequence: more than two hours at 240 a second."""
MAX_ANIMATION_PIXELS = 50_000_000_000
"""Of all frames of an animated picture together, where a frame of any size can take a few bytes: GIF, APNG."""
MAX_PICTURE_BYTES = 2 << 30
"""Of a picture's file, which is read whole."""

_SMALLER = "make it smaller, or cut it into parts"


def check_frame_pixels(what: str, width: int, height: int) -> None:
    """Refuse frames that no memory is for.

    Args:
        what: the file, as the message is to name it.
        width, height: in pixels.

    Raises:
        SourceError: more than `MAX_PIXELS`.
    """
    if width * height > MAX_PIXELS:
        raise SourceError(f"{what} has {width}x{height} pixels, more than {MAX_PIXELS}", "make it smaller")


def check_frame_count(what: str, frames: int) -> None:
    """Refuse more frames, or pictures, than `MAX_FRAMES` with a SourceError that names `what`."""
    if frames > MAX_FRAMES:
        raise SourceError(f"{what} has more than {MAX_FRAMES} frames", "cut it into parts")


def check_animation(what: str, frames: int, width: int, height: int) -> None:
    """Refuse an animated picture that decodes to more than `MAX_ANIMATION_PIXELS` with a SourceError."""
    if frames * width * height > MAX_ANIMATION_PIXELS:
        raise SourceError(
            f"{what} has {frames} frames of {width}x{height}, together more than {MAX_ANIMATION_PIXELS} pixels",
            _SMALLER,
        )
