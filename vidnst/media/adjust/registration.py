"""How a picture from the hand moved against another: a homography, by its brightness (ECC) or by its features."""

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
"""Pixels: at which movement is estimated. Both methods are right to some hundredths of a pixel there, and noise is less
than in the full picture."""

_FLAT_LEVELS = 3.0  # standard deviation, of 255, under which nothing can be matched
_COARSEST_SIDE = 80  # pixels: where the pyramid ends
_BLUR = 5  # pixels: ECC's own, against noise
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 80, 1e-6)
_LEAST_CORRELATION = 0.6  # of the aligned pictures; below, ECC has settled on something else
_FEATURES = 3000
_RATIO = 0.75  # Lowe 2004: a match must be this much better than the next best
_ERROR_PX = 1.5
_FEWEST_MATCHES = 24
_AREA = (0.6, 1.7)  # of the frame after and before: more is a zoom, not a hand
_OVERLAP = 0.4
_TILT = 0.3  # change of depth across the picture


@dataclass(frozen=True, slots=True)
class Reference:
    """The picture that others are brought to, with what is computed of it once."""

    grey: GreyImage
    keypoints: NDArray[np.float32] | None = None
    """`(N, 2)` places of features in pixels; None for ECC."""
    descriptors: NDArray[np.float32] | None = None
    """`(N, 128)` SIFT."""


def to_grey(pixels: Pixels) -> GreyImage:
    """`(H, W, 3)` uint8 or uint16 RGB as `(H, W)` luma of 8 bits."""
    return cast(GreyImage, cv2.cvtColor(to_bits(pixels, 8), cv2.COLOR_RGB2GRAY))


def prepare_reference(picture: GreyImage, method: RegistrationMethod) -> Reference:
    """Get a picture ready to be registered against."""
    return Reference(picture) if method == "ecc" else Reference(picture, *_features(picture))


def estimate_homography(
    reference: Reference, picture: GreyImage, method: RegistrationMethod, near: Homography | None = None
) -> Homography | None:
    """The homography from the reference to another picture of the same size, in pixels of that size.

    Args:
        reference: see `prepare_reference`.
        picture: `(H, W)` uint8.
        method: `ecc` maximises the correlation of brightness (Evangelidis and Psarakis 2008), over a pyramid;
            `homography` matches SIFT features (Lowe 2004) and fits with MAGSAC++ (Barath 2020).
        near: a movement that may be close, as that of the frame before.

    Returns:
        `(3, 3)` float64 with 1 in its corner; None where there is too little texture, nothing fits, or what fits is no
        movement of a hand.
    """
    if min(float(reference.grey.std()), float(picture.std())) < _FLAT_LEVELS:
        return None
    matrix = _by_brightness(reference.grey, picture, near) if method == "ecc" else _by_features(reference, picture)
    if matrix is None or not np.isfinite(matrix).all() or abs(matrix[2, 2]) < 1e-6:
        return None
    matrix = matrix / matrix[2, 2]
    height, width = picture.shape
    return matrix if is_plausible(matrix, width, height) else None


def is_plausible(matrix: Homography, width: int, height: int) -> bool:
    """Whether a hand could have moved so: about the same area, not turned over or tilted far, much still in sight."""
    corners = np.array([[0, 0, 1], [width - 1, 0, 1], [width - 1, height - 1, 1], [0, height - 1, 1]], np.float64)
    moved = corners @ matrix.T
    depth = moved[:, 2]
    if depth.min() < 1 - _TILT or depth.max() > 1 + _TILT:
        return False
    places = (moved[:, :2] / depth[:, None]).astype(np.float32)
    whole = float((width - 1) * (height - 1))
    area = cv2.contourArea(places, oriented=True) / whole
    if not (_AREA[0] <= area <= _AREA[1] and cv2.isContourConvex(places)):
        return False
    shared, _ = cv2.intersectConvexConvex(places, corners[:, :2].astype(np.float32))
    return shared / whole >= _OVERLAP


def _by_brightness(reference: GreyImage, picture: GreyImage, near: Homography | None) -> Homography | None:
    levels = [(reference, picture)]
    while min(levels[-1][0].shape) >= 2 * _COARSEST_SIDE:
        levels.append((cast(GreyImage, cv2.pyrDown(levels[-1][0])), cast(GreyImage, cv2.pyrDown(levels[-1][1]))))
    full = reference.shape[::-1]
    matrix, correlation = _best_start(*levels[-1], near, full), 0.0
    for number, (fixed, moving) in reversed(list(enumerate(levels))):
        size = fixed.shape[::-1]
        # Few numbers first: on a small picture the eight of a homography would follow noise.
        for motion in (cv2.MOTION_EUCLIDEAN, *([cv2.MOTION_HOMOGRAPHY] if number == 0 else [])):
            found = _climb(fixed, moving, rescale_homography(matrix, full, size), motion)
            if found is not None:
                matrix, correlation = rescale_homography(found[0], size, full), found[1]
            elif motion == cv2.MOTION_HOMOGRAPHY:
                return None
    return matrix if correlation >= _LEAST_CORRELATION else None


def _best_start(reference: GreyImage, picture: GreyImage, near: Homography | None, full: tuple[int, int]) -> Homography:
    """Of no movement, the one given, and the shift that phase correlation finds, the one that fits best."""
    size = (reference.shape[1], reference.shape[0])
    fixed, moving = reference.astype(np.float32), picture.astype(np.float32)
    window = cv2.createHanningWindow(size, cv2.CV_32F)
    # Copies: where the size suits its Fourier transform, OpenCV multiplies the window into the pictures themselves.
    (x, y), _ = cv2.phaseCorrelate(fixed.copy(), moving.copy(), window)
    shift = rescale_homography(np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64), size, full)
    starts = [np.eye(3), shift] + ([] if near is None else [near])
    return max(starts, key=lambda start: _likeness(fixed, moving, rescale_homography(start, full, size)))


def _likeness(fixed: NDArray[np.float32], moving: NDArray[np.float32], matrix: Homography) -> float:
    """Correlation of two pictures, one of them moved, where they overlap; -1 where too little does."""
    size = (fixed.shape[1], fixed.shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpPerspective(moving, matrix, size, flags=flags)
    inside = cv2.warpPerspective(np.ones_like(moving), matrix, size, flags=flags) > 0.999
    if inside.mean() < _OVERLAP:
        return -1.0
    a, b = fixed[inside] - fixed[inside].mean(), moved[inside] - moved[inside].mean()
    return float(a @ b / (np.sqrt((a @ a) * (b @ b)) + 1e-6))


def _climb(fixed: GreyImage, moving: GreyImage, start: Homography, motion: int) -> tuple[Homography, float] | None:
    """ECC from a start: the movement and the correlation it reaches; None where it does not converge."""
    rows = 3 if motion == cv2.MOTION_HOMOGRAPHY else 2
    begin: Any = _as_turn(start) if rows == 2 else start
    try:
        correlation, found = cv2.findTransformECC(
            fixed, moving, begin[:rows].astype(np.float32), motion, _STOP, cast(Any, None), _BLUR
        )
    except cv2.error:  # singular, or no overlap: how OpenCV says that it does not converge
        return None
    matrix = np.eye(3)
    matrix[:rows] = found
    return (matrix, correlation) if np.isfinite(matrix).all() else None


def _as_turn(matrix: Homography) -> Homography:
    """The rotation and shift nearest to a movement, taking its first two rows for affine."""
    angle = np.arctan2(matrix[1, 0] - matrix[0, 1], matrix[0, 0] + matrix[1, 1])
    turn = np.eye(3)
    turn[0, :2], turn[1, :2] = (np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))
    turn[:2, 2] = matrix[:2, 2]
    return turn


def _features(picture: GreyImage) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    found, descriptors = cv2.SIFT.create(nfeatures=_FEATURES).detectAndCompute(picture, cast(Any, None))
    places = np.array([point.pt for point in found], np.float32).reshape(-1, 2)
    return places, cast("NDArray[np.float32] | None", descriptors)


def _by_features(reference: Reference, picture: GreyImage) -> Homography | None:
    places, descriptors = _features(picture)
    if reference.descriptors is None or descriptors is None or len(descriptors) < 2:
        return None
    assert reference.keypoints is not None
    # By brute force: FLANN's forests are random, and the same pictures must give the same movement.
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(reference.descriptors, descriptors, k=2)
    good = [pair[0] for pair in pairs if len(pair) == 2 and pair[0].distance < _RATIO * pair[1].distance]
    if len(good) < _FEWEST_MATCHES:
        return None
    here = reference.keypoints[[match.queryIdx for match in good]]
    there = places[[match.trainIdx for match in good]]
    matrix, used = cv2.findHomography(here, there, cv2.USAC_MAGSAC, _ERROR_PX, maxIters=5000, confidence=0.999)
    if matrix is None or int(np.count_nonzero(used)) < _FEWEST_MATCHES:
        return None
    return matrix.astype(np.float64)
