"""Movement between pictures: found to a fraction of a pixel, or not at all; and frames brought into one frame."""

from typing import Any, Literal

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vidnst.media.adjust.alignment import (
    Crop,
    Homography,
    align,
    common_rectangle,
    coverage,
    fill_borders,
    rescale_homography,
)
from vidnst.media.adjust.registration import estimate_homography, is_plausible, prepare_reference, to_grey

METHODS = ("ecc", "homography")
Method = Literal["ecc", "homography"]
SIZE = (320, 200)

SHIFT = np.array([[1, 0, 23.3], [0, 1, -14.6], [0, 0, 1]])
TURN = np.vstack([cv2.getRotationMatrix2D((160, 100), 6, 1.0), [0, 0, 1]])
ZOOM = np.vstack([cv2.getRotationMatrix2D((150, 90), -2, 1.04), [0, 0, 1]])
TILT = np.array([[1.01, 0.02, 6], [-0.015, 0.99, -4], [6e-5, -4e-5, 1]])


def textured(size: tuple[int, int] = SIZE, seed: int = 0) -> NDArray[np.uint8]:
    """`(H, W, 3)`: blobs of all sizes, smooth enough that they may be resampled."""
    random = np.random.default_rng(seed)
    layers = [random.integers(0, 256, (n * 5, n * 8, 3)).astype(np.float32) for n in (1, 3, 8, 12)]
    mixed = np.mean([cv2.resize(layer, size, interpolation=cv2.INTER_CUBIC) for layer in layers], axis=0)
    return np.clip((mixed - 128) * 2 + 128, 0, 255).astype(np.uint8)


def moved(pixels: NDArray[Any], matrix: Homography, border: int = cv2.BORDER_REFLECT) -> NDArray[Any]:
    """The picture in which a place of `pixels` is seen where `matrix` leads to."""
    size = (pixels.shape[1], pixels.shape[0])
    return cv2.warpPerspective(pixels, matrix, size, flags=cv2.INTER_CUBIC, borderMode=border)


def mismatch(found: Homography, true: Homography, size: tuple[int, int] = SIZE) -> float:
    """The largest distance in pixels between two movements, over a grid of places."""
    x, y = np.meshgrid(np.linspace(20, size[0] - 20, 5), np.linspace(20, size[1] - 20, 5))
    places = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    there = [matrix @ places for matrix in (found, true)]
    return float(np.abs(there[0][:2] / there[0][2] - there[1][:2] / there[1][2]).max())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("true", [SHIFT, TURN, ZOOM, TILT], ids=["shift", "turn", "zoom", "tilt"])
def test_known_motion_is_estimated_to_subpixel(method: Method, true: Homography) -> None:
    base = textured()
    found = estimate_homography(prepare_reference(to_grey(base), method), to_grey(moved(base, true)), method)
    assert found is not None
    assert mismatch(found, true) < 0.25


@pytest.mark.parametrize("size", [(160, 120), (161, 121), (640, 360)])
def test_ecc_finds_large_shift_at_any_size(size: tuple[int, int]) -> None:
    x, y = size[0] // 6, size[1] // 6
    wide = textured((size[0] + x, size[1] + y))
    here, there = to_grey(wide[y:, x:].copy()), to_grey(wide[:-y, :-x].copy())
    found = estimate_homography(prepare_reference(here, "ecc"), there, "ecc")
    assert found is not None
    assert mismatch(found, np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]]), size) < 0.25


@pytest.mark.parametrize("method", METHODS)
def test_estimation_does_not_modify_images(method: Method) -> None:
    here, there = to_grey(textured((160, 120))), to_grey(moved(textured((160, 120)), TURN))
    kept = here.copy(), there.copy()
    estimate_homography(prepare_reference(here, method), there, method)
    assert np.array_equal(here, kept[0])
    assert np.array_equal(there, kept[1])


@pytest.mark.parametrize("method", METHODS)
def test_estimation_is_robust_to_exposure_and_noise(method: Method) -> None:
    base = textured()
    noise = np.random.default_rng(1).normal(0, 3, base.shape)
    other = np.clip(moved(base, SHIFT) * 0.7 + 20 + noise, 0, 255).astype(np.uint8)
    found = estimate_homography(prepare_reference(to_grey(base), method), to_grey(other), method)
    assert found is not None
    assert mismatch(found, SHIFT) < 0.4


@pytest.mark.parametrize("method", METHODS)
def test_image_against_itself_gives_identity(method: Method) -> None:
    base = to_grey(textured())
    found = estimate_homography(prepare_reference(base, method), base, method)
    assert found is not None
    assert mismatch(found, np.eye(3)) < 0.01


@pytest.mark.parametrize("method", METHODS)
def test_estimation_is_deterministic(method: Method) -> None:
    base, other = to_grey(textured()), to_grey(moved(textured(), TILT))
    first, second = (estimate_homography(prepare_reference(base, method), other, method) for _ in range(2))
    assert first is not None
    assert np.array_equal(first, second)


@pytest.mark.parametrize("method", METHODS)
def test_estimation_from_16_bits(method: Method) -> None:
    base = textured().astype(np.uint16) * 257
    found = estimate_homography(prepare_reference(to_grey(base), method), to_grey(moved(base, SHIFT)), method)
    assert found is not None
    assert mismatch(found, SHIFT) < 0.25


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("what", ["flat", "noise", "another scene", "far too large"])
def test_unregistrable_images_give_none(method: Method, what: str) -> None:
    base = textured()
    other = {
        "flat": np.full_like(base, 90),
        "noise": np.random.default_rng(2).integers(0, 256, base.shape, np.uint8),
        "another scene": textured(seed=9),
        "far too large": moved(base, np.array([[2.2, 0, -180], [0, 2.2, -110], [0, 0, 1.0]])),
    }[what]
    assert estimate_homography(prepare_reference(to_grey(base), method), to_grey(other), method) is None


@pytest.mark.parametrize(
    "matrix",
    [
        np.diag([-1.0, 1, 1]) + np.array([[0, 0, 319], [0, 0, 0], [0, 0, 0]]),
        np.array([[1, 0, 250], [0, 1, 0], [0, 0, 1.0]]),
        np.diag([0.5, 0.5, 1]),
        np.array([[1, 0, 0], [0, 1, 0], [4e-3, 0, 1]]),
    ],
    ids=["mirrored", "far away", "half as large", "tilted far"],
)
def test_extreme_motion_is_not_plausible(matrix: Homography) -> None:
    assert not is_plausible(matrix, *SIZE)
    assert is_plausible(TILT, *SIZE)


def test_homography_is_rescaled_by_pixel_areas() -> None:
    small = np.array([[1, 0, 2], [0, 1, -1], [0, 0, 1.0]])
    assert np.allclose(rescale_homography(small, (80, 50), (320, 200))[:2, 2], (8, -4))
    back = rescale_homography(rescale_homography(TILT, SIZE, (800, 500)), (800, 500), SIZE)
    assert np.allclose(back, TILT)
    assert np.allclose(rescale_homography(np.diag([1.0, 1, 1]), (80, 50), SIZE), np.eye(3))


@pytest.mark.parametrize("size", [(320, 200), (321, 201), (1999, 1301)])
def test_common_rectangle_is_even_inside_and_maximal(size: tuple[int, int]) -> None:
    width, height = size
    matrices = [np.eye(3), SHIFT, TURN, TILT]
    crop = common_rectangle(matrices, width, height)
    assert crop is not None
    assert crop.width % 2 == crop.height % 2 == 0

    def inside(rectangle: Crop, slack: float) -> bool:
        right, low = rectangle.x + rectangle.width - 1, rectangle.y + rectangle.height - 1
        corners = np.array([(x, y, 1) for x in (rectangle.x, right) for y in (rectangle.y, low)]).T
        for matrix in matrices:
            x, y, depth = matrix @ corners
            x, y = x / depth, y / depth
            if min(x.min(), y.min(), (width - 1 - x).min(), (height - 1 - y).min()) < -slack:
                return False
        return rectangle.x >= 0 and rectangle.y >= 0 and right < width and low < height

    assert inside(crop, 1e-4)
    step = 2 * -(-width // 1024) + 2
    wider = Crop(crop.x - step, crop.y, crop.width + 2 * step, crop.height)
    higher = Crop(crop.x, crop.y - 4, crop.width, crop.height + 8)
    assert not inside(wider, 1.0)
    assert not inside(higher, 1.0)


def test_unmoved_frames_are_cropped_to_even_sides_only() -> None:
    assert common_rectangle([np.eye(3)] * 3, 320, 200) == Crop(0, 0, 320, 200)
    assert common_rectangle([np.eye(3)], 321, 201) == Crop(0, 0, 320, 200)


def test_disjoint_frames_have_no_rectangle() -> None:
    apart = [np.array([[1, 0, x], [0, 1, 0], [0, 0, 1.0]]) for x in (-200, 200)]
    assert common_rectangle(apart, *SIZE) is None


def test_crop_contains_only_own_pixels() -> None:
    """The frames are grey, and all around them is bright red."""
    matrices = [SHIFT, TURN, ZOOM, TILT]
    crop = common_rectangle(matrices, *SIZE)
    assert crop is not None
    around = 60
    for matrix in matrices:
        frame = np.full((SIZE[1] + 2 * around, SIZE[0] + 2 * around, 3), (255, 0, 0), np.uint8)
        frame[around:-around, around:-around] = 100
        shifted = np.array([[1, 0, around], [0, 1, around], [0, 0, 1.0]]) @ matrix
        for size in ((crop.width, crop.height), (crop.width // 2, crop.height // 2)):
            assert np.abs(align(frame, shifted, crop, size).astype(int) - 100).max() <= 1


def test_align_moves_frame_onto_reference() -> None:
    base = textured()
    crop = common_rectangle([TILT], *SIZE)
    assert crop is not None
    aligned = align(moved(base, TILT), TILT, crop, (crop.width, crop.height))
    wanted = base[crop.y : crop.y + crop.height, crop.x : crop.x + crop.width]
    assert np.abs(aligned.astype(int) - wanted).mean() < 1.0
    assert np.abs(moved(base, TILT).astype(int) - base).mean() > 5


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_align_by_identity_keeps_pixels(kind: Any) -> None:
    base = textured().astype(kind) * (257 if kind == np.uint16 else 1)
    out = align(base, np.eye(3), Crop(10, 20, 200, 100), (200, 100))
    assert out.dtype == kind
    assert np.array_equal(out, base[20:120, 10:210])


def test_align_averages_when_shrinking() -> None:
    stripes = np.zeros((200, 320, 3), np.uint8)
    stripes[:, ::2] = 255
    small = align(stripes, np.eye(3), Crop(0, 0, 320, 200), (80, 50))
    assert np.abs(small.astype(int) - 127.5).max() < 2
    base = textured()
    exact = cv2.resize(base, (80, 50), interpolation=cv2.INTER_AREA)
    assert np.abs(align(base, np.eye(3), Crop(0, 0, 320, 200), (80, 50)).astype(int) - exact).max() <= 1


def test_coverage_is_where_frame_has_pixels() -> None:
    there = coverage(SHIFT, Crop(0, 0, *SIZE), SIZE, SIZE)
    assert there.shape == (200, 320)
    assert there[60, 100]
    assert not there[:14].any(), "the frame's first row is seen in row 14.6"
    assert not there[:, 297:].any()
    assert there[17:, :294].all()
    assert coverage(np.eye(3), Crop(0, 0, *SIZE), SIZE, SIZE).all()


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_fill_takes_layers_then_own_border(kind: Any) -> None:
    def layer(level: int, columns: slice) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        there = np.zeros((40, 100), bool)
        there[:, columns] = True
        return np.full((40, 100, 3), level, kind), there

    mixed = fill_borders([layer(100, slice(0, 50)), layer(200, slice(20, 80)), layer(0, slice(0, 80))])
    assert mixed.dtype == kind
    assert (mixed[:, :48] == 100).all()
    assert (mixed[:, 52:78] == 200).all()
    assert (mixed[:, 80:] == 100).all(), "nobody covers it"


def test_fill_seam_is_soft_and_covered_image_unchanged() -> None:
    there = np.ones((200, 400), bool)
    there[:, 200:] = False
    dark, bright = np.full((200, 400, 3), 60, np.uint8), np.full((200, 400, 3), 160, np.uint8)
    everywhere = np.ones_like(there)
    row = fill_borders([(dark, there), (bright, everywhere)])[100, :, 0].astype(int)
    assert (row[0], row[-1]) == (60, 160)
    assert np.abs(np.diff(row)).max() < 30
    assert fill_borders([(dark, everywhere), (bright, everywhere)]) is dark


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(2, 2), (16, 16), (3, 200), (400, 5)])
def test_tiny_and_narrow_images_are_aligned(method: Method, size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    here, there = (random.integers(0, 256, size[::-1], np.uint8) for _ in range(2))
    estimate_homography(prepare_reference(here, method), there, method)
