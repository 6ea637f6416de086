"""What a layer's maps say about their texture, and how far two textures are apart: a table of ways, each by a name.

A statistic forgets where things are. `of` makes it from maps, weighing positions by a guide where there is one (guided
Gram matrices: Gatys et al. 2017, "Controlling Perceptual Factors in Neural Style Transfer"); `distance` compares two;
`mixed` lies between several. Nothing else needs to know which one is in use.
"""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from vidnst.style.losses import terms
from vidnst.style.losses.terms import Scale
from vidnst.style.textures.gaussian_wasserstein import Wasserstein
from vidnst.style.textures.moments_and_mmd import GaussianKernel, LinearKernel, Moments, PolynomialKernel
from vidnst.style.textures.protocol import Statistic, Texture, mixed
from vidnst.style.textures.sliced_wasserstein import Sliced

__all__ = ["STATISTICS", "GramMatrix", "Statistic", "Texture", "mixed"]


class GramMatrix(Statistic):
    """Products of channels (Gatys 2015): see `terms.gram` and `terms.style`."""

    additive = True
    takes_half = True

    def of(self, maps: Tensor, guide: Tensor | None = None) -> Texture:
        """The Gram matrix `(N, N)`."""
        return (terms.gram(maps, guide),)

    def distance(self, found: Texture, target: Texture, *, scale: Scale) -> Tensor:
        """See `terms.style`."""
        return terms.style(found[0], target[0], scale=scale)

    def toward(self, target: Texture, *, scale: Scale) -> Callable[[Texture], Tensor]:
        """The target's energy is computed once."""
        factor = terms.of_mean_gram(target[0], scale)
        return lambda found: functional.mse_loss(found[0], target[0]) * factor


STATISTICS: dict[str, Statistic] = {
    "gram": GramMatrix(),
    "moments": Moments(),
    "mmd_linear": LinearKernel(),
    "mmd_polynomial": PolynomialKernel(),
    "mmd_gaussian": GaussianKernel(),
    "wasserstein": Wasserstein(),
    "sliced": Sliced(),
}
"""By the names of `terms.style_kinds`."""
