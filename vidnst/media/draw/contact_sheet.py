"""Contact sheets: labelled images in rows and columns."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vidnst.frames import Pixels, to_bits
from vidnst.media.draw.text import INK, ImageBuffer, draw_text, line_height, text_width, wrap_text

GAP_PX = 8
"""Gap between images, and around everything."""
_WHITE = 255
_ROW_LABEL_PX = 200
_NARROWEST_PX = 72
"""Least width of a column, so that labels fit."""


@dataclass(frozen=True, slots=True)
class SheetTile:
    """An image on a contact sheet, with its caption."""

    pixels: Pixels
    """`(H, W, 3)` uint8 or uint16 sRGB, RGB order; drawn at its own size."""
    caption: str = ""


@dataclass(frozen=True, slots=True)
class TileBox:
    """The position and size of an image on a sheet, in pixels from the upper left corner."""

    x: int
    y: int
    width: int
    height: int

    def crop(self, pixels: Pixels) -> Pixels:
        """Return this part of a sheet `(H, W, 3)`."""
        return pixels[self.y : self.y + self.height, self.x : self.x + self.width]


@dataclass(frozen=True, slots=True)
class ContactSheet:
    """A drawn sheet, with the positions of its images."""

    pixels: ImageBuffer
    """`(H, W, 3)` uint8 sRGB, RGB order."""
    boxes: tuple[tuple[TileBox | None, ...], ...]
    """Boxes of the images, row by row; None for empty cells."""


def draw_table(
    tiles: Sequence[Sequence[SheetTile | None]],
    *,
    columns: Sequence[str] = (),
    rows: Sequence[str] = (),
    title: str = "",
) -> ContactSheet:
    """Draw images in rows and columns on white; no image is resized.

    Args:
        tiles: rows of equal length; None leaves a cell empty.
        columns: labels above the columns, wrapped to their width.
        rows: labels left of the rows; line breaks are kept.
        title: text above everything.

    Raises:
        ValueError: rows of different length, or a wrong number of labels.
    """
    count = len(tiles[0])
    uneven = any(len(row) != count for row in tiles)
    if uneven or len(columns) not in (0, count) or len(rows) not in (0, len(tiles)):
        raise ValueError(f"{len(tiles)} rows and {count} columns with {len(rows)} and {len(columns)} labels")
    widths = [max([_NARROWEST_PX, *(_width(row[number]) for row in tiles)]) for number in range(count)]
    margin = _label_width(rows)
    column_lefts = [GAP_PX + margin + sum(widths[:number]) + GAP_PX * number for number in range(count)]
    sheet_width = column_lefts[-1] + widths[-1] + GAP_PX
    title_lines = wrap_text(title, width=sheet_width - 2 * GAP_PX) if title else []
    column_lines = [wrap_text(text, width=widths[number]) for number, text in enumerate(columns)]
    top = GAP_PX + _text_height(title_lines) + _text_height(max(column_lines, key=len, default=[]))
    caption_lines = [[_caption(tile, width) for tile, width in zip(row, widths, strict=True)] for row in tiles]
    labels = [wrap_text(text, width=margin, lines=8) for text in rows] or [[] for _ in tiles]
    row_heights = [_row_height(*parts) for parts in zip(tiles, caption_lines, labels, strict=True)]
    row_tops = [top + sum(row_heights[:number]) + GAP_PX * number for number in range(len(tiles))]
    sheet = np.full((row_tops[-1] + row_heights[-1] + GAP_PX, sheet_width, 3), _WHITE, np.uint8)
    _write_lines(sheet, title_lines, GAP_PX, GAP_PX)
    for x, head in zip(column_lefts, column_lines, strict=False):
        _write_lines(sheet, head, x, top - _text_height(head))
    boxes = []
    for row, lines_below, label, y in zip(tiles, caption_lines, labels, row_tops, strict=True):
        _write_lines(sheet, label, GAP_PX, y)
        boxes.append(tuple(_paste(sheet, tile, x, y) for tile, x in zip(row, column_lefts, strict=True)))
        for tile, lines, x in zip(row, lines_below, column_lefts, strict=True):
            if tile is not None:
                _write_lines(sheet, lines, x, y + tile.pixels.shape[0] + 2)
    return ContactSheet(sheet, tuple(boxes))


def join_columns(columns: Sequence[Pixels], labels: Sequence[str]) -> ContactSheet:
    """Draw images side by side, each under its label of one line, with even sides, as video requires.

    Args:
        columns: `(H, W, 3)` uint8 or uint16 RGB, usually of one height.
        labels: one for each image.
    """
    strip = line_height() + 4
    gaps = GAP_PX * (len(columns) - 1)
    sheet_width = sum(max(pixels.shape[1], 1) for pixels in columns) + gaps
    sheet_height = strip + max(pixels.shape[0] for pixels in columns)
    sheet = np.full((sheet_height + sheet_height % 2, sheet_width + sheet_width % 2, 3), _WHITE, np.uint8)
    boxes: list[TileBox | None] = []
    x = 0
    for pixels, label in zip(columns, labels, strict=True):
        draw_text(sheet, wrap_text(label, width=pixels.shape[1] - 4, lines=1)[0], x + 2, 1)
        boxes.append(_paste(sheet, SheetTile(pixels), x, strip))
        x += pixels.shape[1] + GAP_PX
    return ContactSheet(sheet, (tuple(boxes),))


def resize_image(pixels: Pixels, width: int, height: int) -> Pixels:
    """Resize to 8 bits: averaged if the image shrinks, exact pixels if it grows by an integer factor, else bicubic."""
    old_height, old_width = pixels.shape[:2]
    pixels_8 = to_bits(pixels, 8)
    if (old_width, old_height) == (width, height):
        return pixels_8
    if width % old_width == 0 and height % old_height == 0:
        interpolation = cv2.INTER_NEAREST
    else:
        interpolation = cv2.INTER_AREA if width < old_width else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels_8, (width, height), interpolation=interpolation), np.uint8)


def stack_images(images: Sequence[Pixels], width: int, height: int) -> Pixels:
    """Stack images vertically, as large as fits into a size in pixels."""
    each = (height - 2 * (len(images) - 1)) // len(images)
    parts = [_fitted(pixels, width, max(1, each)) for pixels in images]
    sheet = np.full(
        (sum(part.shape[0] + 2 for part in parts) - 2, max(part.shape[1] for part in parts), 3), 255, np.uint8
    )
    y = 0
    for part in parts:
        _paste(sheet, SheetTile(part), 0, y)
        y += part.shape[0] + 2
    return sheet


def _fitted(pixels: Pixels, width: int, height: int) -> Pixels:
    """Resize an image to fit into a size in pixels, in its own proportions."""
    old_height, old_width = pixels.shape[:2]
    scale = min(width / old_width, height / old_height)
    return resize_image(pixels, max(1, round(old_width * scale)), max(1, round(old_height * scale)))


def _width(tile: SheetTile | None) -> int:
    return 0 if tile is None else int(tile.pixels.shape[1])


def _caption(tile: SheetTile | None, width: int) -> list[str]:
    return wrap_text(tile.caption, width=width) if tile is not None and tile.caption else []


def _label_width(rows: Sequence[str]) -> int:
    lines = [line for text in rows for line in text.split("\n")]
    return min(_ROW_LABEL_PX, max(map(text_width, lines), default=0)) + (GAP_PX if rows else 0)


def _row_height(row: Sequence[SheetTile | None], caption_lines: Sequence[Sequence[str]], label: Sequence[str]) -> int:
    heights = [
        tile.pixels.shape[0] + 2 + _text_height(lines) for tile, lines in zip(row, caption_lines, strict=True) if tile
    ]
    tallest: int = max([*heights, _text_height(label)])
    return tallest


def _text_height(lines: Sequence[str]) -> int:
    return len(lines) * line_height()


def _write_lines(sheet: ImageBuffer, lines: Sequence[str], x: int, y: int) -> None:
    for number, line in enumerate(lines):
        draw_text(sheet, line, x, y + number * line_height(), colour=INK)


def _paste(sheet: ImageBuffer, tile: SheetTile | None, x: int, y: int) -> TileBox | None:
    if tile is None:
        return None
    height, width = tile.pixels.shape[:2]
    sheet[y : y + height, x : x + width] = to_bits(tile.pixels, 8)
    return TileBox(x, y, width, height)
