"""Sheets and charts: pictures lie where it is said, words fit and never fail."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vidnst.media.draw.contact_sheet import SheetTile, draw_table, join_columns, resize_image, stack_images
from vidnst.media.draw.loss_chart import LossChart, LossCurve, ticks
from vidnst.media.draw.text import draw_text, drawable_text, text_width, wrap_text


def noise(width: int, height: int, seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 200, (height, width, 3), np.uint8)


def test_table_boxes_contain_images_without_overlap() -> None:
    tiles = [
        [SheetTile(noise(30 + 50 * column, 20 + 30 * row, 3 * row + column), "a caption") for column in range(3)]
        for row in range(2)
    ]
    tiles[1][1] = None
    drawn = draw_table(
        tiles, columns=["one", "two " * 20, "three"], rows=["first\nrow", "second"], title="A title " * 40
    )
    taken = np.zeros(drawn.pixels.shape[:2], int)
    for row, places in zip(tiles, drawn.boxes, strict=True):
        for tile, place in zip(row, places, strict=True):
            assert (tile is None) == (place is None)
            if tile is not None and place is not None:
                assert np.array_equal(place.crop(drawn.pixels), tile.pixels)
                taken[place.y : place.y + place.height, place.x : place.x + place.width] += 1
    assert taken.max() == 1
    words = drawn.pixels.min(axis=2) < 128
    first = drawn.boxes[0][0]
    assert first is not None
    assert words[: first.y, first.x : first.x + first.width].any(), "no column label"
    assert words[first.y : first.y + first.height, : first.x].any(), "no row label"
    assert words[first.y + first.height : first.y + first.height + 20, first.x : first.x + first.width].any(), (
        "no caption"
    )


def test_table_refuses_wrong_label_count() -> None:
    tile = SheetTile(noise(8, 8, 0))
    for tiles, columns, rows in (
        ([[tile], [tile, tile]], (), ()),
        ([[tile]], ("a", "b"), ()),
        ([[tile]], (), ("a", "b")),
    ):
        with pytest.raises(ValueError, match="labels"):
            draw_table(tiles, columns=columns, rows=rows)


def test_joined_columns_have_even_sides_and_are_level() -> None:
    parts = [noise(31, 21, 0), noise(40, 21, 1), noise(8, 21, 2)]
    drawn = join_columns(parts, ["one", "a label that is far too long for its picture", "w"])
    height, width = drawn.pixels.shape[:2]
    assert (height % 2, width % 2) == (0, 0)
    (places,) = drawn.boxes
    for pixels, place in zip(parts, places, strict=True):
        assert place is not None
        assert place.y == places[0].y if places[0] else False
        assert np.array_equal(place.crop(drawn.pixels), pixels)


def test_resize_is_exact_by_integers_and_averages_below() -> None:
    pixels = noise(6, 4, 0)
    assert np.array_equal(resize_image(pixels, 18, 12)[1::3, 1::3], pixels)
    small = resize_image(pixels, 3, 2).astype(float)
    assert np.abs(small - pixels.reshape(2, 2, 3, 2, 3).mean(axis=(1, 3))).max() <= 0.5
    assert np.array_equal(resize_image(pixels.astype(np.uint16) * 257, 6, 4), pixels)


def test_stacked_images_fit_into_size() -> None:
    pile = stack_images([noise(50, 80, 0), noise(200, 20, 1), noise(30, 30, 2)], 96, 64)
    assert pile.shape[0] <= 64
    assert pile.shape[1] <= 96


@given(
    st.text(max_size=60) | st.just(os.fsdecode(b"\xff\xe9.jpg")) | st.just("שלום 絵 🎨 e\u0301\n\x00"),
    st.integers(20, 200),
)
def test_any_text_is_drawn_and_wrapped_to_width(text: str, width: int) -> None:
    lines = wrap_text(text, width=width, lines=3)
    assert 1 <= len(lines) <= 3
    assert all(text_width(line) <= width or len(line) <= 3 for line in lines)
    paper = np.full((40, 60, 3), 255, np.uint8)
    for number, line in enumerate(lines):
        draw_text(paper, line, 50 - number, 30)


def test_unknown_letters_lose_their_accents() -> None:
    assert drawable_text("Übung é ñ") == "Ubung e n"
    assert drawable_text("tab\tand\u00a0space") == "tab?and space"


def test_text_is_drawn_at_its_position() -> None:
    paper = np.full((40, 200, 3), 255, np.uint8)
    draw_text(paper, "relu4_2", 20, 5)
    rows, columns = np.where(paper.min(axis=2) < 128)
    assert 20 <= columns.min() < 24
    assert columns.max() <= 20 + text_width("relu4_2")
    assert rows.min() >= 5
    assert rows.max() < 5 + 20


STEPS = list(range(1, 101))


def dark(pixels: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.bool_]:
    return np.asarray(np.abs(pixels.astype(int) - np.array(colour)).max(axis=2) < 40)


def test_curve_is_drawn_up_to_step() -> None:
    red = (200, 30, 30)
    chart = LossChart(STEPS, [LossCurve("loss", red, [1 / step for step in STEPS])], size=(400, 200))
    early, late = dark(chart.draw_until(10), red), dark(chart.draw_until(100), red)
    left = slice(0, 300)  # the legend is right of it
    ends = [np.where(found[:, left].any(axis=0))[0].max() for found in (early, late)]
    assert ends[0] < ends[1] - 50
    columns = np.where(late[:, left].any(axis=0))[0]
    heights = [np.where(late[:, column])[0].mean() for column in columns]
    assert np.corrcoef(columns, heights)[0, 1] > 0.99, "1/x is a straight line where both axes are logarithmic"
    assert not np.array_equal(chart.draw_until(10), chart.draw_until(11))


def test_non_positive_values_and_single_step() -> None:
    zeros = LossCurve("tv", (0, 150, 0), [0.0] * 100)
    steps = LossCurve("style", (200, 0, 0), [0.0, *([0.5] * 99)])
    assert not dark(LossChart(STEPS, [zeros, steps], size=(300, 160)).draw_until(100), (0, 150, 0)).any()
    chart = LossChart([1], [LossCurve("style", (200, 0, 0), [3.0])], size=(300, 160))
    assert chart.draw_until(1).shape == (160, 300, 3)
    assert LossChart([1], [zeros], size=(300, 160)).draw_until(1).shape == (160, 300, 3)


def test_ticks_are_round_and_within_range() -> None:
    assert ticks(0.004, 12) == [0.01, 0.1, 1, 10]
    assert ticks(3, 60) == [5, 10, 20, 50]
