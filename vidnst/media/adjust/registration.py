"""Registration of hand-held frames: a homography estimated from brightness (ECC) or features (SIFT)."""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from vidnst.frames import Pixels, to_bits
from vidnst.media.adjust.alignment import Homography, rescale_homography

RegistrationMethod: TypeAlias = Literal["ecc", "homography"]
GreyImage: TypeAlias = NDArray[np.uint8]
"""`(H, W)` uint8 luma."""

LONGEST_SIDE = 800
"""Size in pixels at which motion is estimated: accurate to some hundredths of a pixel, with less noise than at full
size."""

_MIN_DEVIATION = 3.0  # standard deviation, of 255, below which nothing can be matched
_COARSEST_SIDE = 80  # pixels: the shorter side of the coarsest pyramid level
_BLUR = 5  # pixels: ECC's Gaussian filter against noise
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 80, 1e-6)
_MIN_CORRELATION = 0.6  # of the aligned images; below, ECC has converged to a wrong optimum
_FEATURES = 3000
_RATIO = 0.75  # Lowe 2004: a match must be this much better than the next best
_MAX_ERROR_PX = 1.5
_MIN_MATCHES = 24
_AREA_RATIOS = (0.6, 1.7)  # ratio of the areas of the moved and the original frame: beyond is a zoom
_MIN_OVERLAP = 0.4
_MAX_TILT = 0.3  # change of depth across the image


@dataclass(frozen=True, slots=True)
class Reference:
    """The reference image of a registration, with its features."""

    grey: GreyImage
    keypoints: NDArray[np.float32] | None = None
    """`(N, 2)` positions of features in pixels; None for ECC."""
    descriptors: NDArray[np.float32] | None = None
    """`(N, 128)` SIFT."""


def to_grey(pixels: Pixels) -> GreyImage:
    """Convert `(H, W, 3)` uint8 or uint16 RGB to `(H, W)` 8-bit luma."""
    return cast(GreyImage, cv2.cvtColor(to_bits(pixels, 8), cv2.COLOR_RGB2GRAY))


def prepare_reference(image: GreyImage, method: RegistrationMethod) -> Reference:
    """Prepare a reference image for `estimate_homography`."""
    return Reference(image) if method == "ecc" else Reference(image, *_features(image))


def estimate_homography(
    reference: Reference, image: GreyImage, method: RegistrationMethod, initial: Homography | None = None
) -> Homography | None:
    """Estimate the homography from the reference to another image of the same size, in pixels of that size.

    Args:
        reference: the result of `prepare_reference`.
        image: `(H, W)` uint8.
        method: `ecc` maximises the correlation of brightness (Evangelidis and Psarakis 2008), over a pyramid;
            `homography` matches SIFT features (Lowe 2004) and fits with MAGSAC++ (Barath 2020).
        initial: an initial guess, such as the result for the frame before.

    Returns:
        `(3, 3)` float64 with 1 in its last corner; None if there is too little texture, nothing fits, or the result is
        no plausible motion of a hand.
    """
    if min(float(reference.grey.std()), float(image.std())) < _MIN_DEVIATION:
        return None
    matrix = _by_brightness(reference.grey, image, initial) if method == "ecc" else _by_features(reference, image)
    if matrix is None or not np.isfinite(matrix).all() or abs(matrix[2, 2]) < 1e-6:
        return None
    matrix = matrix / matrix[2, 2]
    height, width = image.shape
    return matrix if is_plausible(matrix, width, height) else None


def is_plausible(matrix: Homography, width: int, height: int) -> bool:
    """Return whether a hand can cause this motion: similar area, no flip, little tilt, and enough overlap."""
    corners = np.array([[0, 0, 1], [width - 1, 0, 1], [width - 1, height - 1, 1], [0, height - 1, 1]], np.float64)
    moved = corners @ matrix.T
    depth = moved[:, 2]
    if depth.min() < 1 - _MAX_TILT or depth.max() > 1 + _MAX_TILT:
        return False
    positions = (moved[:, :2] / depth[:, None]).astype(np.float32)
    frame_area = float((width - 1) * (height - 1))
    area = cv2.contourArea(positions, oriented=True) / frame_area
    if not (_AREA_RATIOS[0] <= area <= _AREA_RATIOS[1] and cv2.isContourConvex(positions)):
        return False
    shared, _ = cv2.intersectConvexConvex(positions, corners[:, :2].astype(np.float32))
    return shared / frame_area >= _MIN_OVERLAP


def _by_brightness(reference: GreyImage, image: GreyImage, initial: Homography | None) -> Homography | None:
    levels = [(reference, image)]
    while min(levels[-1][0].shape) >= 2 * _COARSEST_SIDE:
        levels.append((cast(GreyImage, cv2.pyrDown(levels[-1][0])), cast(GreyImage, cv2.pyrDown(levels[-1][1]))))
    full = reference.shape[::-1]
    matrix, correlation = _initial_homography(*levels[-1], initial, full), 0.0
    for number, (fixed, moving) in reversed(list(enumerate(levels))):
        size = fixed.shape[::-1]
        # Few parameters first: on a small image the eight of a homography would fit noise.
        for motion in (cv2.MOTION_EUCLIDEAN, *([cv2.MOTION_HOMOGRAPHY] if number == 0 else [])):
            found = _refine_ecc(fixed, moving, rescale_homography(matrix, full, size), motion)
            if found is not None:
                matrix, correlation = rescale_homography(found[0], size, full), found[1]
            elif motion == cv2.MOTION_HOMOGRAPHY:
                return None
    return matrix if correlation >= _MIN_CORRELATION else None


def _initial_homography(
    reference: GreyImage, image: GreyImage, initial: Homography | None, full: tuple[int, int]
) -> Homography:
    """Choose the best start among no motion, the given guess, and the shift found by phase correlation."""
    size = (reference.shape[1], reference.shape[0])
    fixed, moving = reference.astype(np.float32), image.astype(np.float32)
    window = cv2.createHanningWindow(size, cv2.CV_32F)
    # Copies: if the size suits its Fourier transform, OpenCV multiplies the window into the images in place.
    (x, y), _ = cv2.phaseCorrelate(fixed.copy(), moving.copy(), window)
    shift = rescale_homography(np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64), size, full)
    starts = [np.eye(3), shift] + ([] if initial is None else [initial])
    return max(starts, key=lambda start: _correlation(fixed, moving, rescale_homography(start, full, size)))


def _correlation(fixed: NDArray[np.float32], moving: NDArray[np.float32], matrix: Homography) -> float:
    """Correlate two images, one of them warped, over their overlap; -1 if the overlap is too small."""
    size = (fixed.shape[1], fixed.shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpPerspective(moving, matrix, size, flags=flags)
    inside = cv2.warpPerspective(np.ones_like(moving), matrix, size, flags=flags) > 0.999
    if inside.mean() < _MIN_OVERLAP:
        return -1.0
    a, b = fixed[inside] - fixed[inside].mean(), moved[inside] - moved[inside].mean()
    return float(a @ b / (np.sqrt((a @ a) * (b @ b)) + 1e-6))


def _refine_ecc(fixed: GreyImage, moving: GreyImage, start: Homography, motion: int) -> tuple[Homography, float] | None:
    """Run ECC from a start; return the homography and its correlation, or None if it does not converge."""
    rows = 3 if motion == cv2.MOTION_HOMOGRAPHY else 2
    initial_values: Any = _nearest_rigid(start) if rows == 2 else start
    try:
        correlation, found = cv2.findTransformECC(
            fixed, moving, initial_values[:rows].astype(np.float32), motion, _STOP, cast(Any, None), _BLUR
        )
    except cv2.error:  # OpenCV raises if the problem is singular or there is no overlap
        return None
    matrix = np.eye(3)
    matrix[:rows] = found
    return (matrix, correlation) if np.isfinite(matrix).all() else None


def _nearest_rigid(matrix: Homography) -> Homography:
    """Return the rotation and shift nearest to a homography, of which the first two rows are taken as affine."""
    angle = np.arctan2(matrix[1, 0] - matrix[0, 1], matrix[0, 0] + matrix[1, 1])
    rigid = np.eye(3)
    rigid[0, :2], rigid[1, :2] = (np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))
    rigid[:2, 2] = matrix[:2, 2]
    return rigid


def _features(image: GreyImage) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    found, descriptors = cv2.SIFT.create(nfeatures=_FEATURES).detectAndCompute(image, cast(Any, None))
    positions = np.array([point.pt for point in found], np.float32).reshape(-1, 2)
    return positions, cast("NDArray[np.float32] | None", descriptors)


def _by_features(reference: Reference, image: GreyImage) -> Homography | None:
    positions, descriptors = _features(image)
    if reference.descriptors is None or descriptors is None or len(descriptors) < 2:
        return None
    assert reference.keypoints is not None
    # Brute force: FLANN's forests are random, and the same images must give the same homography.
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(reference.descriptors, descriptors, k=2)
    good = [pair[0] for pair in pairs if len(pair) == 2 and pair[0].distance < _RATIO * pair[1].distance]
    if len(good) < _MIN_MATCHES:
        return None
    reference_points = reference.keypoints[[match.queryIdx for match in good]]
    image_points = positions[[match.trainIdx for match in good]]
    matrix, inliers = cv2.findHomography(
        reference_points, image_points, cv2.USAC_MAGSAC, _MAX_ERROR_PX, maxIters=5000, confidence=0.999
    )
    if matrix is None or int(np.count_nonzero(inliers)) < _MIN_MATCHES:
        return None
    return matrix.astype(np.float64)
