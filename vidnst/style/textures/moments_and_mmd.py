"""Textures as moments and as mean embeddings of kernels.

Li, Wang, Liu & Hou 2017, "Demystifying Neural Style Transfer", show that matching Gram matrices is matching the
distribution of a layer's activations under a kernel, by the maximum mean discrepancy (MMD), and try other kernels and
the moments of batch normalisation. Here each is a mean over positions of some features of the activations, so every
position has a gradient, guides weight positions and textures can be mixed.

Scales. gatys and mean: the MMD over 4 N^2, their equation 6, under which the distance of `GramMatrix` at gatys is that
of the polynomial kernel (x y)^2; for the moments 1/N, their equation 8. relative: over the target's own value of the
statistic, then times a factor for each class, by which the distance of photographs from paintings is about that of the
Gram matrix (0.64 in the mean over three photographs, four paintings and five layers of slim): a style weight then means
about the same for each.
"""

from functools import lru_cache

import torch
from torch import Tensor

from vidnst.style.textures.gram import gram
from vidnst.style.textures.protocol import (
    NO_ENERGY,
    Distance,
    Scale,
    Statistic,
    Texture,
    as_columns,
    mean_over_positions,
)

FREQUENCIES = 128
"""Random frequencies of the Gaussian kernel, each with a cosine and a sine."""
_SEED = 20170104
_MOMENTS_LIKE_GRAM, _LINEAR_LIKE_GRAM, _POLYNOMIAL_LIKE_GRAM, _GAUSSIAN_LIKE_GRAM = 2.7, 2.1, 1.6, 3.6


class Moments(Statistic):
    """Mean and standard deviation of each channel, the statistics of batch normalisation (Li 2017, equation 8).

    Stored as means of the activations and of their squares, so a mix has the pooled moments of both textures. In double
    precision, so that a variance keeps its accuracy as the difference of two large numbers.
    """

    additive = True
    takes_bfloat16 = False

    def compute(self, maps: Tensor, guide: Tensor | None = None) -> Texture:
        """Means `(N,)` and means of squares `(N,)`, float64."""
        columns = as_columns(maps)
        mean = mean_over_positions(columns, guide)
        variance = mean_over_positions((columns - mean[:, None]).square(), guide).double()
        mean = mean.double()
        return mean, variance + mean.square()

    def distance_to(self, target: Texture, *, scale: Scale) -> Distance:
        """1/N sum (mu_F - mu_S)^2 + (sigma_F - sigma_S)^2."""
        deviation, energy = _deviation(target), target[1].mean() + NO_ENERGY

        def distance(texture: Texture) -> Tensor:
            apart = (texture[0] - target[0]).square().mean() + (_deviation(texture) - deviation).square().mean()
            if scale == "relative":
                apart = _MOMENTS_LIKE_GRAM * apart / energy
            return apart.float()

        return distance


def _deviation(texture: Texture) -> Tensor:
    mean, square = texture
    return ((square - mean.square()).clamp(min=0) + NO_ENERGY).sqrt()


class LinearKernel(Statistic):
    """The kernel k(x, y) = x y: the mean activation of each channel."""

    additive = True
    takes_bfloat16 = False

    def compute(self, maps: Tensor, guide: Tensor | None = None) -> Texture:
        """Means `(N,)`."""
        return (mean_over_positions(as_columns(maps), guide),)

    def distance_to(self, target: Texture, *, scale: Scale) -> Distance:
        """||mu_F - mu_S||^2, which is the MMD."""
        energy = target[0].square().mean() + NO_ENERGY

        def distance(texture: Texture) -> Tensor:
            apart = (texture[0] - target[0]).square().mean()
            if scale != "relative":
                return apart / (4 * len(target[0]))
            return _LINEAR_LIKE_GRAM * apart / energy

        return distance


class PolynomialKernel(Statistic):
    """The kernel k(x, y) = (x y + c)^2: products of channels and their means together.

    Deviation: Li 2017 take c = 0, which is the Gram matrix. Here c is the mean of ||y||^2 over the target, so that both
    parts count whatever the scale of the activations. The MMD is then exactly
    ||G_F - G_S||^2 + 2 c ||mu_F - mu_S||^2, G being the mean of x x^T.
    """

    additive = True
    takes_bfloat16 = False

    def compute(self, maps: Tensor, guide: Tensor | None = None) -> Texture:
        """Gram matrix `(N, N)` and means `(N,)`."""
        return gram(maps, guide), mean_over_positions(as_columns(maps), guide)

    def distance_to(self, target: Texture, *, scale: Scale) -> Distance:
        """The MMD, with the target's constant."""
        constant = target[0].trace()
        energy = _squared_norm(target[0], target[1], constant) + NO_ENERGY

        def distance(texture: Texture) -> Tensor:
            apart = _squared_norm(texture[0] - target[0], texture[1] - target[1], constant)
            if scale != "relative":
                return apart / (4 * len(target[1]) ** 2)
            return _POLYNOMIAL_LIKE_GRAM * apart / energy

        return distance


def _squared_norm(products: Tensor, mean: Tensor, constant: Tensor) -> Tensor:
    return products.square().sum() + 2 * constant * mean.square().sum()


class GaussianKernel(Statistic):
    """The kernel k(x, y) = exp(-||x - y||^2 / 2 s^2): all moments at once, in the limit.

    Deviations from Li 2017. The kernel's mean is taken by random Fourier features (Rahimi & Recht 2007, "Random
    Features for Large-Scale Kernel Machines"): `FREQUENCIES` seeded ones, so that the MMD is that of an approximate
    kernel, within some 1 / sqrt(FREQUENCIES). And s^2 is the mean of ||x||^2 over a picture's own activations, where
    they take the mean squared distance in a sample of pairs: neither picture then falls outside the kernel's reach.
    This makes the kernel blind to the overall strength of the activations, which is therefore compared separately.
    """

    additive = False
    takes_bfloat16 = False

    def compute(self, maps: Tensor, guide: Tensor | None = None) -> Texture:
        """Mean embedding `(2 * FREQUENCIES,)`, and the mean of ||x||^2, `(1,)`."""
        columns = as_columns(maps)
        square = mean_over_positions(columns.square().sum(dim=0, keepdim=True), guide)
        phase = _frequencies(len(columns), columns.dtype, str(columns.device)) @ columns / (square + NO_ENERGY).sqrt()
        waves = torch.cat([mean_over_positions(phase.cos(), guide), mean_over_positions(phase.sin(), guide)])
        return waves / FREQUENCIES**0.5, square

    def distance_to(self, target: Texture, *, scale: Scale) -> Distance:
        """The MMD and the squared difference of root mean squares over the target's; not relative: their plain sum."""
        wanted, energy = (target[1] + NO_ENERGY).sqrt(), target[0].square().sum() + NO_ENERGY

        def distance(texture: Texture) -> Tensor:
            apart = (texture[0] - target[0]).square().sum()
            strength = (((texture[1] + NO_ENERGY).sqrt() - wanted) / wanted).square().sum()
            if scale != "relative":
                return apart + strength
            return _GAUSSIAN_LIKE_GRAM * (apart / energy + strength)

        return distance


@lru_cache(maxsize=32)
def _frequencies(channels: int, dtype: torch.dtype, device: str) -> Tensor:
    generator = torch.Generator().manual_seed(_SEED)
    return torch.randn(FREQUENCIES, channels, generator=generator, dtype=torch.float64).to(device, dtype)
