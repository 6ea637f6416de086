"""The table of texture statistics by name: nothing else needs to know which one is in use."""

from vidnst.style.textures.gram import GramMatrix
from vidnst.style.textures.moments_and_mmd import GaussianKernel, LinearKernel, Moments, PolynomialKernel
from vidnst.style.textures.protocol import Statistic
from vidnst.style.textures.wasserstein import GaussianWasserstein, SlicedWasserstein

STATISTICS: dict[str, Statistic] = {
    "gram": GramMatrix(),
    "moments": Moments(),
    "mmd_linear": LinearKernel(),
    "mmd_polynomial": PolynomialKernel(),
    "mmd_gaussian": GaussianKernel(),
    "wasserstein": GaussianWasserstein(),
    "sliced": SlicedWasserstein(),
}
"""By the names of `losses.style_kinds`."""
