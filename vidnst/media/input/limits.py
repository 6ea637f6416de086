"""Limits on sources, since a few bytes of an untrusted file can demand any amount of memory and time."""

from vidnst.errors import SourceError

MAX_PIXELS = 2 * 89_478_485
"""Most pixels of an image or video frame, checked before anything is decoded; Pillow's decompression bomb limit."""
MAX_FRAMES = 2_000_000
"""Most frames of a clip or images of a sequence: more than two hours at 240 fps."""
MAX_ANIMATION_PIXELS = 50_000_000_000
"""Most pixels of all frames of a GIF or APNG together, in which a frame of any size can take a few bytes."""
MAX_IMAGE_BYTES = 2 << 30
"""Largest image file, which is read at once."""


def check_frame_pixels(what: str, width: int, height: int) -> None:
    """Raise SourceError, naming `what`, if a frame has more than `MAX_PIXELS`."""
    if width * height > MAX_PIXELS:
        raise SourceError(f"{what} has {width}x{height} pixels, more than {MAX_PIXELS}", "make it smaller")


def check_frame_count(what: str, frames: int) -> None:
    """Raise SourceError, naming `what`, if there are more than `MAX_FRAMES`."""
    if frames > MAX_FRAMES:
        raise SourceError(f"{what} has more than {MAX_FRAMES} frames", "cut it into parts")


def check_animation(what: str, frames: int, width: int, height: int) -> None:
    """Raise SourceError, naming `what`, if an animation decodes to more than `MAX_ANIMATION_PIXELS`."""
    if frames * width * height > MAX_ANIMATION_PIXELS:
        raise SourceError(
            f"{what} has {frames} frames of {width}x{height}, together more than {MAX_ANIMATION_PIXELS} pixels",
            "make it smaller, or cut it into parts",
        )
