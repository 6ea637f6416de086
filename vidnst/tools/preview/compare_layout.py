"""What is shown of the frames that are compared, at what size, and how far two lie from each other."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from vidnst.errors import ConfigError
from vidnst.frames import ClipInfo, Pixels

Zoom: TypeAlias = tuple[int, int, int, int]
"""x, y, width and height of a part, in pixels of the first of the compared."""


class Layout:
    """What is shown of a frame, and how large.

    Args:
        clip: the first of the compared.
        zoom: the part that is shown; None is all.
        height: in pixels; None is the clip's own.
        gain: of the difference; None shows none.

    Raises:
        ConfigError: the part reaches out of the clip's frames, or the height is not above 0.
    """

    def __init__(
        self, clip: ClipInfo, *, zoom: Zoom | None = None, height: int | None = None, gain: float | None = None
    ) -> None:
        self.gain = gain
        self._height = clip.height if height is None else height
        self._part: tuple[float, float, float, float] | None = None
        if self._height < 1:
            raise ConfigError(f"a height of {height} shows nothing", "give at least 1")
        if zoom is not None:
            x, y, across, down = zoom
            if min(x, y) < 0 or min(across, down) < 1 or x + across > clip.width or y + down > clip.height:
                text = ",".join(map(str, zoom))
                raise ConfigError(f"zoom {text} is no part of {clip.width}x{clip.height} pixels", "give x,y,w,h inside")
            self._part = (x / clip.width, y / clip.height, (x + across) / clip.width, (y + down) / clip.height)
            factor = max(1, self._height // down)
            self._size = (across * factor, down * factor)

    def show(self, pixels: Pixels) -> Pixels:
        """A frame `(H, W, 3)` as it is shown, 8 bits."""
        from vidnst.media.draw.contact_sheet import resize_image

        height, width = pixels.shape[:2]
        if self._part is None:
            return resize_image(pixels, max(1, round(width * self._height / height)), self._height)
        left, top, right, bottom = self._part
        rows = slice(round(top * height), max(round(top * height) + 1, round(bottom * height)))
        across = slice(round(left * width), max(round(left * width) + 1, round(right * width)))
        return resize_image(pixels[rows, across], *self._size)

    def row(self, frames: Sequence[Pixels]) -> list[Pixels]:
        """Frames of one moment as they are shown, with the difference of the last two where that is wanted."""
        shown = [self.show(pixels) for pixels in frames]
        return shown if self.gain is None else [*shown, difference_of(shown[-2], shown[-1], gain=self.gain)]


def difference_of(left: Pixels, right: Pixels, *, gain: float) -> Pixels:
    """`gain` times how far two pictures of 8 bits lie from each other, cut off at 255: black where they are equal."""
    from vidnst.media.draw.contact_sheet import resize_image

    other = resize_image(right, left.shape[1], left.shape[0])
    away = np.abs(left.astype(np.float32) - other.astype(np.float32)) * gain
    return np.clip(np.rint(away), 0, 255).astype(np.uint8)
