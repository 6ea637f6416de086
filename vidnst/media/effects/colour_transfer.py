"""Transfer of the source's colours to stylized frames, or to style images beforehand (Gatys, Ecker, Bethge, Hertzmann,
Shechtman 2017, "Controlling Perceptual Factors in Neural Style Transfer", section 5).

Everything is computed on gamma-encoded values, as in the paper. Luma is that of Rec. 709 and not YIQ, as everywhere in
the package, since it is closer to the perceived brightness of sRGB colours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vidnst.frames import LEAST_VARIANCE, LUMA_WEIGHTS, linear_colour_map, luma
from vidnst.media.effects.colour_space import FloatImage, sample_pixels

_QUANTILES = 257
_SAMPLE = 4096
_ROTATIONS = 24

Transfer = Literal["histogram", "moments", "optimal"]


def transfer_chroma(source: FloatImage, stylized: FloatImage) -> FloatImage:
    """Combine the luma of `stylized` with the chroma of `source`.

    Adding the difference of lumas to all three channels replaces Y of YIQ and leaves I and Q. Where a channel would
    leave [0, 1], the paper clips it, which changes brightness and hue. Here the chroma is scaled down instead, toward
    the grey of that luma, until the colour fits: luma and hue are always exact, saturation wherever possible.

    Args:
        source: `(H, W, 3)` float32 sRGB in [0, 1].
        stylized: the same shape.
    """
    grey = np.clip(luma(stylized), 0, 1)[..., None]
    chroma = source - luma(source)[..., None]
    room = np.where(chroma > 0, 1 - grey, grey)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(np.abs(chroma) > room, room / np.abs(chroma), 1)
    return np.asarray(np.clip(grey + chroma * share.min(-1, keepdims=True), 0, 1), np.float32)


@dataclass(frozen=True, slots=True)
class ColourSample:
    """A sample of a clip's colours, drawn once for all of its frames, so that the transfer does not flicker."""

    sample: NDArray[np.float32]
    """`(N, 3)` sRGB in [0, 1], N at most 4096, rounded to 16 bits."""

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values that `from_json` restores exactly."""
        return {"sample": np.rint(self.sample * 65535).astype(int).tolist()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ColourSample":
        """Restore from `to_json`; raises LookupError, TypeError or ValueError for other values."""
        levels = np.array(values["sample"], np.float64)
        if levels.ndim != 2 or levels.shape[1] != 3 or len(levels) < 2 or not ((levels >= 0) & (levels <= 65535)).all():
            raise ValueError("not a sample of colours")
        return cls((levels / 65535).astype(np.float32))


def sample_colours(frames: Sequence[FloatImage], *, seed: int = 0) -> ColourSample:
    """Draw random pixels from some frames, the same number from each.

    Args:
        frames: `(H, W, 3)` float32 in [0, 1]; sizes may differ.
        seed: seed of the choice of pixels.
    """
    random = np.random.default_rng([seed, len(frames)])
    colours = sample_pixels(frames, _SAMPLE, random)
    return ColourSample((np.rint(colours * 65535) / 65535).astype(np.float32))


def match_luma(style: FloatImage, colours: ColourSample) -> FloatImage:
    """Return the style as a grey image whose luma has the source's mean and standard deviation, clipped to [0, 1].

    Deviation from Gatys 2017: the content that the network sees keeps its colours, since only luma is taken from the
    result.
    """
    target, own = colours.sample @ LUMA_WEIGHTS, luma(style)
    spread = float(target.std()) / max(float(own.std()), LEAST_VARIANCE)
    grey = np.clip((own - own.mean()) * spread + target.mean(), 0, 1)
    return np.repeat(grey[..., None], 3, axis=-1).astype(np.float32)


def transfer_colours(style: FloatImage, colours: ColourSample, transfer: Transfer, *, seed: int = 0) -> FloatImage:
    """Give a style image the colours of the source, clipped to [0, 1].

    Args:
        style: `(H, W, 3)` float32 in [0, 1].
        colours: the source's colours.
        transfer: `histogram` matches the distribution of each channel; `moments` is the linear map of least
            displacement that matches mean and covariance (Pitie and Kokaram 2007); `optimal` matches distributions
            along the axes of 24 random rotations (Pitie, Kokaram, Dahyot 2005), which approximates optimal transport.
        seed: seed of the random rotations.
    """
    flat = style.reshape(-1, 3).astype(np.float64)
    target = colours.sample.astype(np.float64)
    match transfer:
        case "histogram":
            moved = _match_axes(flat, target, np.eye(3))
        case "moments":
            moved = _match_moments(flat, target)
        case "optimal":
            moved, random = flat, np.random.default_rng([seed, 3])
            for _ in range(_ROTATIONS):
                axes, _triangle = np.linalg.qr(random.standard_normal((3, 3)))
                moved = _match_axes(moved, target, axes)
    return np.clip(moved, 0, 1).astype(np.float32).reshape(style.shape)


def _match_axes(
    colours: NDArray[np.float64], target: NDArray[np.float64], axes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Match the distribution of `(N, 3)` colours to `target` along each of three orthogonal axes (the columns)."""
    positions, goals = colours @ axes, target @ axes
    steps = np.linspace(0, 1, _QUANTILES)
    for axis in range(3):
        own, goal = np.quantile(positions[:, axis], steps), np.quantile(goals[:, axis], steps)
        # Equal quantiles (a plain background) are one level of the style: it is mapped to the mean of their goals.
        levels, group = np.unique(own, return_inverse=True)
        mean = np.bincount(group, goal) / np.bincount(group)
        positions[:, axis] = np.interp(positions[:, axis], levels, mean)
    return np.asarray(positions @ axes.T, np.float64)


def _match_moments(colours: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    linear = linear_colour_map(np.cov(colours.T), np.cov(target.T))
    return np.asarray((colours - colours.mean(0)) @ linear.T + target.mean(0), np.float64)
