"""Text on images, legible from 12 pixels on, in Pillow's built-in font: Latin letters without accents."""

import unicodedata
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

SIZE_PX = 14
"""Default height of letters, including descenders."""
INK = (34, 34, 34)

ImageBuffer: TypeAlias = NDArray[np.uint8]
"""`(H, W, 3)` uint8 RGB that is drawn on."""


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # Pillow returns this type whenever a size is given
    return font


def drawable_text(text: str) -> str:
    """Replace what the font cannot draw: accents are removed, other unknown letters become boxes, and undecodable bytes
    of file names and control characters become question marks. A no-break space becomes a space.
    """
    decoded = text.encode("utf-8", "replace").decode("utf-8").replace("\u00a0", " ")
    return "".join(_drawable(letter) for letter in decoded)


@cache
def _drawable(letter: str) -> str:
    if not letter.isprintable():
        return "?"
    if _drawn(letter) != _drawn("\uffff"):
        return letter
    base = unicodedata.normalize("NFKD", letter)[0]
    return base if _drawn(base) != _drawn("\uffff") else letter


def _drawn(letter: str) -> bytes:
    return bytes(_font(SIZE_PX).getmask(letter))


def text_width(text: str, *, size: int = SIZE_PX) -> int:
    """Return the width of a line in pixels."""
    return int(np.ceil(_font(size).getlength(drawable_text(text))))


def line_height(*, size: int = SIZE_PX) -> int:
    """Return the distance between lines in pixels."""
    return round(size * 1.3)


def wrap_text(text: str, *, width: int, lines: int = 3, size: int = SIZE_PX) -> list[str]:
    """Wrap a text to at most `lines` lines of at most `width` pixels; if it does not fit, it ends with three dots.

    Lines break between words, but not at no-break spaces, and inside words that are too long. Line breaks are kept.
    """
    wrapped: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            if text_width(f"{line} {word}".strip(), size=size) <= width:
                line = f"{line} {word}".strip()
                continue
            if line:
                wrapped.append(line)
            *complete, line = _pieces(word, width, size)
            wrapped += complete
        wrapped.append(line)
    if len(wrapped) > lines:
        wrapped = [*wrapped[: lines - 1], _shorten(wrapped[lines - 1] + "...", width, size)]
    return wrapped


def _pieces(word: str, width: int, size: int) -> list[str]:
    pieces, piece = [], ""
    for letter in word:
        if piece and text_width(piece + letter, size=size) > width:
            pieces.append(piece)
            piece = ""
        piece += letter
    return [*pieces, piece]


def _shorten(text: str, width: int, size: int) -> str:
    while len(text) > 3 and text_width(text, size=size) > width:
        text = text[:-4] + "..."
    return text


def draw_text(
    image: ImageBuffer, text: str, x: int, y: int, *, size: int = SIZE_PX, colour: tuple[int, int, int] = INK
) -> None:
    """Draw one line with its upper left corner at `x`, `y`, clipped to the image."""
    text = drawable_text(text)
    left, top = max(0, x), max(0, y)
    right = min(image.shape[1], x + text_width(text, size=size) + 2)
    bottom = min(image.shape[0], y + 2 * size)
    if right <= left or bottom <= top:
        return
    part = Image.fromarray(np.ascontiguousarray(image[top:bottom, left:right]))
    ImageDraw.Draw(part).text((x - left, y - top), text, font=_font(size), fill=colour)
    image[top:bottom, left:right] = np.asarray(part)
