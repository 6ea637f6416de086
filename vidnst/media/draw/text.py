"""Words on pictures, legible from twelve pixels on. The letters are Pillow's own: Latin, without accents."""

import unicodedata
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

SIZE_PX = 14
"""Usual height of letters, with what reaches below the line."""
INK = (34, 34, 34)

ImageBuffer: TypeAlias = NDArray[np.uint8]
"""`(H, W, 3)` uint8 RGB that is written on."""


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # what Pillow gives wherever a size is asked for
    return font


def drawable_text(text: str) -> str:
    """A text that can be drawn.

    Letters that the font lacks lose their accents, or else show as boxes. What no encoding knows (bytes of old file
    names) and controls become question marks. A space that does not break stays one.
    """
    known = text.encode("utf-8", "replace").decode("utf-8").replace("\u00a0", " ")
    return "".join(_drawable(letter) for letter in known)


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
    """Pixels across that a line takes."""
    return int(np.ceil(_font(size).getlength(drawable_text(text))))


def line_height(*, size: int = SIZE_PX) -> int:
    """Pixels from one line to the next."""
    return round(size * 1.3)


def wrap_text(text: str, *, width: int, lines: int = 3, size: int = SIZE_PX) -> list[str]:
    """A text as at most so many lines of at most that width; what does not fit ends with three dots.

    Breaks between words, and inside of those that are too long for a line. A line break in the text is kept, and
    nothing is broken at a space of the kind that does not break.
    """
    found: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            if text_width(f"{line} {word}".strip(), size=size) <= width:
                line = f"{line} {word}".strip()
                continue
            if line:
                found.append(line)
            *whole, line = _pieces(word, width, size)
            found += whole
        found.append(line)
    if len(found) > lines:
        found = [*found[: lines - 1], _cut(found[lines - 1] + "...", width, size)]
    return found


def _pieces(word: str, width: int, size: int) -> list[str]:
    pieces, piece = [], ""
    for letter in word:
        if piece and text_width(piece + letter, size=size) > width:
            pieces.append(piece)
            piece = ""
        piece += letter
    return [*pieces, piece]


def _cut(text: str, width: int, size: int) -> str:
    while len(text) > 3 and text_width(text, size=size) > width:
        text = text[:-4] + "..."
    return text


def draw_text(
    paper: ImageBuffer, text: str, x: int, y: int, *, size: int = SIZE_PX, colour: tuple[int, int, int] = INK
) -> None:
    """Write one line with its upper left corner at `x`, `y`; what lies outside the paper is left out."""
    text = drawable_text(text)
    left, top = max(0, x), max(0, y)
    right = min(paper.shape[1], x + text_width(text, size=size) + 2)
    bottom = min(paper.shape[0], y + 2 * size)
    if right <= left or bottom <= top:
        return
    part = Image.fromarray(np.ascontiguousarray(paper[top:bottom, left:right]))
    ImageDraw.Draw(part).text((x - left, y - top), text, font=_font(size), fill=colour)
    paper[top:bottom, left:right] = np.asarray(part)
