"""Contact sheets: pictures in rows and columns, with words that say what they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vidnst.frames import Pixels, to_bits
from vidnst.media.draw.text import INK, ImageBuffer, draw_text, line_height, text_width, wrap_text

GAP_PX = 8
"""Between pictures, and around everything."""
_WHITE = 255
_ROW_LABEL_PX = 200
_NARROWEST_PX = 72
"""A column is at least this wide, so that words fit."""


@dataclass(frozen=True, slots=True)
class SheetTile:
    """A picture on a sheet."""

    pixels: Pixels
    """`(H, W, 3)` uint8 or uint16 sRGB, RGB order; shown pixel by pixel."""
    caption: str = ""
    """Under it."""


@dataclass(frozen=True, slots=True)
class TileBox:
    """Where a picture lies on a sheet, in pixels from the upper left corner."""

    x: int
    y: int
    width: int
    height: int

    def crop(self, pixels: Pixels) -> Pixels:
        """What a sheet `(H, W, 3)` shows there."""
        return pixels[self.y : self.y + self.height, self.x : self.x + self.width]


@dataclass(frozen=True, slots=True)
class ContactSheet:
    """A drawn sheet."""

    pixels: ImageBuffer
    """`(H, W, 3)` uint8 sRGB, RGB order."""
    places: tuple[tuple[TileBox | None, ...], ...]
    """Of the pictures, row by row; None where there is none."""


def draw_table(
    tiles: Sequence[Sequence[SheetTile | None]],
    *,
    columns: Sequence[str] = (),
    rows: Sequence[str] = (),
    title: str = "",
) -> ContactSheet:
    """Lay pictures out in rows and columns on white; no picture is resized.

    Args:
        tiles: rows of equal length; None leaves a place empty.
        columns: words above each column, broken into lines that fit.
        rows: words left of each row; a line break stays one.
        title: words above everything.

    Raises:
        ValueError: rows of different length, or labels that are not as many as rows or columns.
    """
    count = len(tiles[0])
    if (
        any(len(row) != count for row in tiles)
        or (columns and len(columns) != count)
        or len(rows) not in (0, len(tiles))
    ):
        raise ValueError(f"{len(tiles)} rows and {count} columns with {len(rows)} and {len(columns)} labels")
    widths = [max([_NARROWEST_PX, *(_width(row[number]) for row in tiles)]) for number in range(count)]
    margin = _label_width(rows)
    left = [GAP_PX + margin + sum(widths[:number]) + GAP_PX * number for number in range(count)]
    across = left[-1] + widths[-1] + GAP_PX
    headline = wrap_text(title, width=across - 2 * GAP_PX) if title else []
    heads = [wrap_text(text, width=widths[number]) for number, text in enumerate(columns)]
    top = GAP_PX + _tall(headline) + _tall(max(heads, key=len, default=[]))
    captions = [[_caption(tile, widths[number]) for number, tile in enumerate(row)] for row in tiles]
    labels = [wrap_text(text, width=margin, lines=8) for text in rows] or [[] for _ in tiles]
    tall = [_row_height(row, below, label) for row, below, label in zip(tiles, captions, labels, strict=True)]
    tops = [top + sum(tall[:number]) + GAP_PX * number for number in range(len(tiles))]
    paper = np.full((tops[-1] + tall[-1] + GAP_PX, across, 3), _WHITE, np.uint8)
    _write_lines(paper, headline, GAP_PX, GAP_PX)
    for x, head in zip(left, heads, strict=False):
        _write_lines(paper, head, x, top - _tall(head))
    places = []
    for row, below, label, y in zip(tiles, captions, labels, tops, strict=True):
        _write_lines(paper, label, GAP_PX, y)
        places.append(tuple(_put(paper, tile, x, y) for tile, x in zip(row, left, strict=True)))
        for tile, lines, x in zip(row, below, left, strict=True):
            if tile is not None:
                _write_lines(paper, lines, x, y + tile.pixels.shape[0] + 2)
    return ContactSheet(paper, tuple(places))


def join_columns(columns: Sequence[Pixels], labels: Sequence[str]) -> ContactSheet:
    """Pictures side by side, each under its label, with even sides as video wants them.

    Args:
        columns: `(H, W, 3)` uint8 or uint16 RGB, usually of one height.
        labels: one for each; cut to one line.
    """
    strip = line_height() + 4
    gaps = GAP_PX * (len(columns) - 1)
    across = sum(max(pixels.shape[1], 1) for pixels in columns) + gaps
    down = strip + max(pixels.shape[0] for pixels in columns)
    paper = np.full((down + down % 2, across + across % 2, 3), _WHITE, np.uint8)
    places: list[TileBox | None] = []
    x = 0
    for pixels, label in zip(columns, labels, strict=True):
        draw_text(paper, wrap_text(label, width=pixels.shape[1] - 4, lines=1)[0], x + 2, 1)
        places.append(_put(paper, SheetTile(pixels), x, strip))
        x += pixels.shape[1] + GAP_PX
    return ContactSheet(paper, (tuple(places),))


def resize_image(pixels: Pixels, width: int, height: int) -> Pixels:
    """A picture of 8 bits at another size: means where it shrinks; where it grows by a whole factor, its very pixels.

    Args:
        pixels: `(H, W, 3)` uint8 or uint16.
        width, height: of the result, in pixels.
    """
    tall, wide = pixels.shape[:2]
    narrow = to_bits(pixels, 8)
    if (wide, tall) == (width, height):
        return narrow
    if width % wide == 0 and height % tall == 0:
        how = cv2.INTER_NEAREST
    else:
        how = cv2.INTER_AREA if width < wide else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(narrow, (width, height), interpolation=how), np.uint8)


def stack_images(pictures: Sequence[Pixels], width: int, height: int) -> Pixels:
    """Several pictures below each other, as large as goes into so many pixels."""
    each = (height - 2 * (len(pictures) - 1)) // len(pictures)
    parts = [_fitted(pixels, width, max(1, each)) for pixels in pictures]
    paper = np.full(
        (sum(part.shape[0] + 2 for part in parts) - 2, max(part.shape[1] for part in parts), 3), 255, np.uint8
    )
    y = 0
    for part in parts:
        _put(paper, SheetTile(part), 0, y)
        y += part.shape[0] + 2
    return paper


def _fitted(pixels: Pixels, width: int, height: int) -> Pixels:
    """A picture in its own proportions, as large as goes into so many pixels."""
    tall, wide = pixels.shape[:2]
    scale = min(width / wide, height / tall)
    return resize_image(pixels, max(1, round(wide * scale)), max(1, round(tall * scale)))


def _width(tile: SheetTile | None) -> int:
    return 0 if tile is None else int(tile.pixels.shape[1])


def _label_width(rows: Sequence[str]) -> int:
    lines = [line for text in rows for line in text.split("\n")]
    return min(_ROW_LABEL_PX, max(map(text_width, lines), default=0)) + (GAP_PX if rows else 0)


def _caption(tile: SheetTile | None, width: int) -> list[str]:
    return wrap_text(tile.caption, width=width) if tile is not None and tile.caption else []


def _row_height(row: Sequence[SheetTile | None], captions: Sequence[Sequence[str]], label: Sequence[str]) -> int:
    heights = [tile.pixels.shape[0] + 2 + _tall(lines) for tile, lines in zip(row, captions, strict=True) if tile]
    tallest: int = max([*heights, _tall(label)])
    return tallest


def _tall(lines: Sequence[str]) -> int:
    return len(lines) * line_height()


def _write_lines(paper: ImageBuffer, lines: Sequence[str], x: int, y: int) -> None:
    for number, line in enumerate(lines):
        draw_text(paper, line, x, y + number * line_height(), colour=INK)


def _put(paper: ImageBuffer, tile: SheetTile | None, x: int, y: int) -> TileBox | None:
    if tile is None:
        return None
    height, width = tile.pixels.shape[:2]
    paper[y : y + height, x : x + width] = to_bits(tile.pixels, 8)
    return TileBox(x, y, width, height)
