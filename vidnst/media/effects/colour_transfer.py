"""The source's colours in a stylized picture, and in the style pictures before (Gatys, Ecker, Bethge, Hertzmann,
Shechtman 2017, "Controlling Perceptual Factors in Neural Style Transfer", section 5).

All of it is done on gamma-encoded values, as in the paper; luma is Rec. 709's and not YIQ's, since that is what the
rest of the package means by luma and it lies closer to how bright sRGB colours look.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vidnst.frames import LUMA_WEIGHTS, luma
from vidnst.media.effects.colour_space import FloatImage

_QUANTILES = 257
_SAMPLE = 4096
_ROUNDS = 24
_LEAST_VARIANCE = 1e-5
"""Of a direction of colour, in [0, 1] squared: less is noise, and would be blown up."""

Transfer = Literal["histogram", "moments", "optimal"]


def transfer_chroma(source: FloatImage, stylized: FloatImage) -> FloatImage:
    """The luma of `stylized` with the chroma of `source`.

    Adding the difference of lumas to all three channels exchanges Y of YIQ (of any such space) and leaves I and Q.
    Where a channel would leave [0, 1], the paper's way is to clip it, which changes brightness and hue. Here the
    chroma is scaled down there, toward the grey of that luma, until the colour fits: luma and hue are exact always,
    saturation wherever there is such a colour.

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
    """What colours a clip has, taken once for all of its frames, so that it is steady."""

    sample: NDArray[np.float32]
    """`(N, 3)` sRGB in [0, 1], N at most 4096, rounded to 16 bits."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` gives the very same colours."""
        return {"sample": np.rint(self.sample * 65535).astype(int).tolist()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ColourSample":
        """Read what `to_json` gave; LookupError, TypeError or ValueError for something else."""
        levels = np.array(values["sample"], np.float64)
        if levels.ndim != 2 or levels.shape[1] != 3 or len(levels) < 2 or not ((levels >= 0) & (levels <= 65535)).all():
            raise ValueError("no sample of colours")
        return cls((levels / 65535).astype(np.float32))


def sample_colours(frames: Sequence[FloatImage], *, seed: int = 0) -> ColourSample:
    """The colours of some frames, by as many of their pixels as are kept, each frame the same share.

    Args:
        frames: `(H, W, 3)` float32 in [0, 1]; sizes may differ.
        seed: of the choice of pixels.
    """
    random = np.random.default_rng([seed, len(frames)])
    each = max(1, _SAMPLE // len(frames))
    picked = []
    for frame in frames:
        colours = frame.reshape(-1, 3)
        picked.append(colours[random.choice(len(colours), min(each, len(colours)), replace=False)])
    return ColourSample((np.rint(np.concatenate(picked) * 65535) / 65535).astype(np.float32))


def match_luma(style: FloatImage, colours: ColourSample) -> FloatImage:
    """The style's luma, with mean and standard deviation of the source's, as a grey picture (Gatys 2017).

    What then lies outside [0, 1] is clipped. A deviation from the paper: the content that the network sees keeps its
    colours, since only luma is taken from the result.
    """
    wanted, own = colours.sample @ LUMA_WEIGHTS, luma(style)
    spread = float(wanted.std()) / max(float(own.std()), _LEAST_VARIANCE)
    grey = np.clip((own - own.mean()) * spread + wanted.mean(), 0, 1)
    return np.repeat(grey[..., None], 3, axis=-1).astype(np.float32)


def transfer_colours(style: FloatImage, colours: ColourSample, transfer: Transfer, *, seed: int = 0) -> FloatImage:
    """The style picture in the colours of the source; what leaves [0, 1] is clipped.

    Args:
        style: `(H, W, 3)` float32 in [0, 1].
        colours: the source's.
        transfer: histogram: each channel gets the source's distribution of values. moments: the linear map of least
            displacement that gives the source's mean and covariance (Pitie and Kokaram 2007). optimal:
            distributions are matched along random axes, again and again (Pitie, Kokaram, Dahyot 2005, here with 24
            rotations), which comes near the transport of the whole distribution.
        seed: of the random axes.
    """
    flat = style.reshape(-1, 3).astype(np.float64)
    wanted = colours.sample.astype(np.float64)
    match transfer:
        case "histogram":
            moved = _match_axes(flat, wanted, np.eye(3))
        case "moments":
            moved = _match_moments(flat, wanted)
        case "optimal":
            moved, random = flat, np.random.default_rng([seed, 3])
            for _ in range(_ROUNDS):
                axes, _triangle = np.linalg.qr(random.standard_normal((3, 3)))
                moved = _match_axes(moved, wanted, axes)
    return np.clip(moved, 0, 1).astype(np.float32).reshape(style.shape)


def _match_axes(
    colours: NDArray[np.float64], wanted: NDArray[np.float64], axes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """`(N, 3)` colours with the distribution of `wanted` along each of three orthogonal axes (the columns)."""
    places, goals = colours @ axes, wanted @ axes
    steps = np.linspace(0, 1, _QUANTILES)
    for axis in range(3):
        own, goal = np.quantile(places[:, axis], steps), np.quantile(goals[:, axis], steps)
        # Equal quantiles (a plain background) are one level of the style, which goes to the middle of theirs.
        levels, group = np.unique(own, return_inverse=True)
        mean = np.bincount(group, goal) / np.bincount(group)
        places[:, axis] = np.interp(places[:, axis], levels, mean)
    return np.asarray(places @ axes.T, np.float64)


def _match_moments(colours: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """A^(-1/2) (A^(1/2) B A^(1/2))^(1/2) A^(-1/2) for covariances A of the style and B of the source."""
    own = np.cov(colours.T) + _LEAST_VARIANCE * np.eye(3)
    goal = np.cov(wanted.T) + _LEAST_VARIANCE * np.eye(3)
    root = _power(own, 0.5)
    inverse = _power(own, -0.5)
    linear = inverse @ _power(root @ goal @ root, 0.5) @ inverse
    return np.asarray((colours - colours.mean(0)) @ linear.T + wanted.mean(0), np.float64)


def _power(matrix: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.maximum(values, 1e-12) ** exponent) @ vectors.T, np.float64)
