"""Masks of regions: what is taken for one, how edges soften, and that no pixel is given away twice."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.media import numbered_picture, write_pictures, write_video

from vidnst.errors import ConfigError
from vidnst.frames import ClipInfo
from vidnst.media.input.masks import MaskReader, feather_mask, normalise_masks, open_mask
from vidnst.media.input.probe import probe

SIZE = (96, 64)


def left_half(size: tuple[int, int] = SIZE, *, columns: int | None = None) -> NDArray[np.uint8]:
    mask = np.zeros((size[1], size[0], 3), np.uint8)
    mask[:, : size[0] // 2 if columns is None else columns] = 255
    return mask


@pytest.fixture
def clip(tmp_path: Path) -> ClipInfo:
    write_pictures(tmp_path / "clip", [numbered_picture(index) for index in range(6)])
    return probe(tmp_path / "clip")


def found(path: Path, clip: ClipInfo, *, start: int = 0, end: int = 6, size: tuple[int, int] = (48, 32)) -> MaskReader:
    return MaskReader(open_mask("sky", str(path), clip, start=start, end=end, size=size), size)


@pytest.mark.parametrize("size", [SIZE, (48, 32), (192, 128), (25, 17)])
def test_mask_of_the_shape_is_scaled_to_the_render(size: tuple[int, int], tmp_path: Path, clip: ClipInfo) -> None:
    path = write_pictures(tmp_path / "mask", [left_half(size)])[0]
    mask = found(path, clip)(4)
    assert mask.shape == (32, 48)
    assert (mask[:, :22] == 255).all()
    assert (mask[:, 26:] == 0).all()


def test_grey_is_partial_coverage(tmp_path: Path, clip: ClipInfo) -> None:
    path = write_pictures(tmp_path / "mask", [np.full((64, 96, 3), 100, np.uint8)])[0]
    assert (found(path, clip)(0) == 100).all()


def test_mask_sequence_covers_source_or_range(tmp_path: Path, clip: ClipInfo) -> None:
    write_pictures(tmp_path / "whole", [left_half(columns=8 * index) for index in range(6)])
    write_pictures(tmp_path / "part", [left_half(columns=8 * index) for index in (2, 3, 4)])
    whole, part = (found(tmp_path / name, clip, start=2, end=5, size=SIZE) for name in ("whole", "part"))
    for index in (2, 4, 3, 2):
        assert (whole(index)[0] > 0).sum() == 8 * index
        np.testing.assert_array_equal(whole(index), part(index))


def test_video_mask_restores_black_and_white(tmp_path: Path, clip: ClipInfo) -> None:
    video = write_video(tmp_path / "mask.mp4", [left_half()] * 6)
    mask = found(video, clip, size=SIZE)(3)
    assert (mask[:, :40] == 255).all()
    assert (mask[:, 56:] == 0).all()


def test_mask_of_other_size_or_length_is_refused(tmp_path: Path, clip: ClipInfo) -> None:
    tall = write_pictures(tmp_path / "tall", [left_half((64, 96))])[0]
    with pytest.raises(ConfigError, match=r"0000\.png of region sky has 64x96 pixels"):
        found(tall, clip)
    write_pictures(tmp_path / "five", [left_half()] * 5)
    with pytest.raises(ConfigError, match=r"five of region sky has 5 frames, .* has 6 and the range 3"):
        found(tmp_path / "five", clip, start=1, end=4)
    with pytest.raises(ConfigError, match=r"gone\.png of region sky cannot be used"):
        found(tmp_path / "gone.png", clip)


def test_feather_has_given_width() -> None:
    hard = np.zeros((40, 200), np.uint8)
    hard[:, :100] = 255
    soft = feather_mask(hard, 0.1)
    assert (soft[:, :90] == 255).all()
    assert (soft[:, 110:] == 0).all()
    partly = (soft[20] > 0) & (soft[20] < 255)
    assert 12 <= partly.sum() <= 20
    assert (np.diff(soft[20].astype(int)) <= 0).all()
    assert soft[20, 99] + soft[20, 100] == pytest.approx(255, abs=3)
    np.testing.assert_array_equal(feather_mask(hard, 0), hard)


@given(st.lists(st.lists(st.integers(0, 255), min_size=6, max_size=6), min_size=1, max_size=4))
def test_normalised_masks_sum_to_one_with_rest(levels: list[list[int]]) -> None:
    masks = [np.array(row, np.uint8).reshape(2, 3) for row in levels]
    shared, rest = normalise_masks(masks)
    np.testing.assert_array_equal(sum(one.astype(int) for one in [*shared, rest]), 255)
    total = sum(mask.astype(int) for mask in masks)
    for before, after in zip(masks, shared, strict=True):
        fair = before.astype(float) * 255 / np.maximum(total, 255)
        assert (np.abs(after - fair) < 4).all()
        assert (after[total <= 255] == before[total <= 255]).all()


def test_single_mask_is_unchanged() -> None:
    mask = np.arange(256, dtype=np.uint8).reshape(16, 16)
    shared, rest = normalise_masks([mask])
    np.testing.assert_array_equal(shared[0], mask)
    np.testing.assert_array_equal(rest, 255 - mask)
