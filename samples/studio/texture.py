"""Seeded textures and small picture arithmetic that every sample draws with.

Pictures here are `(H, W, 3)` float32, RGB order, display-referred (sRGB) values in [0, 1]; masks and heights are
`(H, W)` float32.
"""

from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Picture: TypeAlias = NDArray[np.float32]
Field: TypeAlias = NDArray[np.float32]


def tileable_noise(
    rng: np.random.Generator, size: int, *, slope: float = 2.0, low: float = 1.0, high: float = 1e9
) -> Field:
    """Gaussian noise whose edges meet, with amplitude `1 / frequency ** slope` between two frequencies.

    Args:
        rng: where the randomness comes from.
        size: side of the square in pixels.
        slope: 1 is rough like gravel, 2 soft like clouds.
        low: lowest frequency kept, in cycles per side.
        high: highest frequency kept, in cycles per side.

    Returns:
        `(size, size)` float32 of mean 0 and standard deviation 1.
    """
    spectrum = np.fft.rfft2(rng.standard_normal((size, size)))
    fy = np.fft.fftfreq(size, 1 / size)[:, None]
    fx = np.fft.rfftfreq(size, 1 / size)[None, :]
    frequency = np.hypot(fy, fx)
    gain = np.where((frequency >= low) & (frequency <= high), np.maximum(frequency, 1) ** -slope, 0)
    noise = np.fft.irfft2(spectrum * gain, s=(size, size))
    noise -= noise.mean()
    return np.asarray(noise / noise.std(), np.float32)


def noise_like(rng: np.random.Generator, shape: tuple[int, int], *, slope: float, low: float = 1.0) -> Field:
    """Noise as `tileable_noise` makes it, cut to `shape` (its longer side is one tile)."""
    tile = tileable_noise(rng, max(shape), slope=slope, low=low)
    return np.asarray(tile[: shape[0], : shape[1]], np.float32)


def look_up(texture: Field, u: ArrayLike, v: ArrayLike) -> Field:
    """Values of a tileable texture at `(u, v)`, in tiles to the right and down, repeated without end."""
    size = texture.shape[0]
    x = np.asarray(np.mod(u, 1.0) * size, np.float32)
    y = np.asarray(np.mod(v, 1.0) * size, np.float32)
    return np.asarray(cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.float32)


def smoothstep(low: float, high: float, value: ArrayLike) -> Field:
    """0 below `low`, 1 above `high`, an S between; falls instead of rising where `low > high`."""
    t = np.clip((np.asarray(value, np.float32) - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def mix(below: ArrayLike, above: ArrayLike, share: ArrayLike) -> Picture:
    """`share` of `above` over the rest of `below`; an `(H, W)` share serves all three channels."""
    alpha = np.asarray(share, np.float32)
    if alpha.ndim == 2:
        alpha = alpha[..., None]
    lower = np.asarray(below, np.float32)
    return np.asarray(lower + (np.asarray(above, np.float32) - lower) * alpha, np.float32)


def ramp(position: ArrayLike, stops: ArrayLike, colours: ArrayLike) -> Picture:
    """Colours read off a gradient: `colours[i]` at `stops[i]`, linear between; adds an axis of length 3."""
    at = np.asarray(position, np.float32)
    table = np.asarray(colours, np.float32)
    channels = [np.interp(at, np.asarray(stops), table[:, channel]) for channel in range(3)]
    return np.asarray(np.stack(channels, -1), np.float32)


def hex_colours(*codes: str) -> Picture:
    """`(N, 3)` colours from codes such as `"f4c430"`."""
    return np.asarray(np.asarray([list(bytes.fromhex(code)) for code in codes]) / 255, np.float32)


def grid(shape: tuple[int, int]) -> tuple[Field, Field]:
    """Pixel coordinates `(x, y)` of a picture of that height and width."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


def relief(height: ArrayLike, *, strength: float, angle: float = 225.0) -> Field:
    """How much a surface of that height turns to a light at `angle` (degrees, 0 right, 90 down): about 0 where flat."""
    surface = np.asarray(height, np.float32)
    dx = cv2.Sobel(surface, cv2.CV_32F, 1, 0, ksize=3) / 8
    dy = cv2.Sobel(surface, cv2.CV_32F, 0, 1, ksize=3) / 8
    turn = np.deg2rad(angle)
    slope = -(dx * np.cos(turn) + dy * np.sin(turn)) * strength
    return np.asarray(slope / np.sqrt(1 + slope * slope), np.float32)


def blur(picture: ArrayLike, sigma: float) -> NDArray[np.float32]:
    """The picture or mask, softened by a Gaussian of `sigma` pixels."""
    return np.asarray(cv2.GaussianBlur(np.asarray(picture, np.float32), (0, 0), sigma), np.float32)


def halve(picture: ArrayLike) -> NDArray[np.float32]:
    """The picture or mask at half its size, each pixel the mean of four."""
    large = np.asarray(picture, np.float32)
    height, width = large.shape[:2]
    return np.asarray(cv2.resize(large, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.float32)


def as_taken(picture: Picture, exposure: float) -> Picture:
    """The picture as a camera would hand it over: exposed, a little darker in the corners."""
    height, width = picture.shape[:2]
    x, y = grid((height, width))
    edge = ((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2)[..., None]
    return np.asarray(np.clip(picture * exposure * (1.04 - 0.42 * edge), 0, 1), np.float32)


def to_bytes(picture: Picture) -> NDArray[np.uint8]:
    """The picture as `(H, W, 3)` uint8, clipped and rounded."""
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def write_jpeg(path: Path, picture: Picture, *, quality: int) -> None:
    """Write a JPEG without chroma subsampling, so that thin coloured strokes keep their colour.

    Raises:
        OSError: when the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    bgr = cv2.cvtColor(to_bytes(picture), cv2.COLOR_RGB2BGR)
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    done, data = cv2.imencode(".jpg", bgr, options)
    if not done:
        raise OSError(f"OpenCV could not encode {path}")
    path.write_bytes(data.tobytes())
