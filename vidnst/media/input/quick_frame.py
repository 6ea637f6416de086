"""Quick access to a frame near the beginning of a clip, without probing all of it."""

from contextlib import closing
from pathlib import Path

from vidnst.errors import SourceError
from vidnst.frames import Pixels
from vidnst.media import images
from vidnst.media.input.animation import AnimationReader
from vidnst.media.input.capture import choose_decoder, open_file, read_hdr
from vidnst.media.input.container import read_container
from vidnst.media.input.image_files import list_images
from vidnst.media.input.image_header import ImageHeader, read_image_header

MAX_QUICK_FRAMES = 64
"""Number of frames of a video that can be read quickly."""


def read_quick_frame(path: Path, number: int) -> Pixels:
    """Read frame `number` of a rendered output, `(H, W, 3)` sRGB in RGB order: uint8, or uint16 for more bits.

    Frames of a video are counted as they are decoded, which is right if all of them decode, as in a verified output.

    Args:
        path: a video, an animation, an image, or a folder of images.
        number: from 0; for a video less than `MAX_QUICK_FRAMES`.

    Raises:
        SourceError: the output does not exist, cannot be read, or has no such frame.
    """
    image_paths = list_images(path, gaps=True)
    if image_paths is not None and len(image_paths) == 1 and (header := read_image_header(image_paths[0])).frames > 1:
        return _read_animated(image_paths[0], header, number)
    if image_paths is not None:
        if not 0 <= number < len(image_paths):
            raise _no_frame(path, number)
        return images.read_image(image_paths[number])
    info = read_container(path)  # checks the size, and refuses playlists
    orientation, hdr = info.video.orientation, read_hdr(info)
    with closing(open_file(path, choose_decoder(path, info), orientation=orientation, hdr=hdr)) as capture:
        if not (0 <= number < MAX_QUICK_FRAMES and all(capture.grab() for _ in range(number + 1))):
            raise _no_frame(path, number)
        pixels = capture.retrieve()
    if pixels is None:
        raise SourceError(f"frame {number} of {path} does not decode", "check the file")
    return pixels


def _read_animated(path: Path, header: ImageHeader, number: int) -> Pixels:
    if not 0 <= number < min(header.frames, MAX_QUICK_FRAMES):
        raise _no_frame(path, number)
    with AnimationReader(path, header) as reader:
        return reader.read(number)


def _no_frame(path: Path, number: int) -> SourceError:
    return SourceError(f"{path} has no frame {number} that can be read quickly", "name an earlier one")
