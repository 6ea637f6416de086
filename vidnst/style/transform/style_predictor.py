"""Prediction of a transform network's styles from style pictures, so that it paints a style that it never saw.

Ghiasi, Lee, Kudlur, Dumoulin & Shlens 2017, "Exploring the structure of a real-time, arbitrary neural artistic
stylization network": a second network reads the scales and shifts of all normalisations off the style picture, and both
are trained together, with the losses of style transfer, on many styles. Deviations: the style is described by the
moments of slim's maps in the layers of the style loss, which adaptive instance normalisation (Huang & Belongie 2017)
also goes by, instead of one layer of Inception; and the prediction is a change of the network's own scales and shifts.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vidnst.config import STYLE_LAYERS
from vidnst.style.targets.style_targets import StyleTarget
from vidnst.style.transform.network import ClipNorm, TransformNetwork

_HIDDEN = 96
_OUTPUT_SCALE = 0.1
"""Standard deviation of the first predictions, so that training begins near the network's own values."""


STYLE_KINDS = ("gram", "moments")
"""Statistics that a target needs so that it can be both described and aimed at."""


def describe(target: StyleTarget) -> Tensor:
    """The means, then the standard deviations, of all channels of each style layer: `(N,)` float32."""
    parts: list[Tensor] = []
    for layer in STYLE_LAYERS:
        mean, square = target.textures["moments"][layer]
        parts += [mean, (square - mean.square()).clamp(min=0).sqrt()]
    return torch.cat(parts).float()


class StylePredictor(nn.Module):
    """Predicts the scales and shifts of a transform network's normalisations from descriptions of styles.

    Args:
        network: the network whose normalisations are predicted; it is not stored.
        inputs: length of a description.
        seed: of the initial parameters.
    """

    center: Tensor
    spread: Tensor

    def __init__(self, network: TransformNetwork, inputs: int, *, seed: int = 0) -> None:
        super().__init__()
        self._sizes = {
            name: norm.scale.shape[1] for name, norm in network.named_modules() if isinstance(norm, ClipNorm)
        }
        generator = torch.Generator().manual_seed(seed)
        outputs = 2 * sum(self._sizes.values())
        self.hidden = nn.Linear(inputs, _HIDDEN)
        self.output = nn.Linear(_HIDDEN, outputs)
        with torch.no_grad():
            self.hidden.weight.copy_(torch.randn(_HIDDEN, inputs, generator=generator))
            self.output.weight.copy_(torch.randn(outputs, _HIDDEN, generator=generator) * _OUTPUT_SCALE)
            self.hidden.bias.zero_()
            self.output.bias.zero_()
        self.register_buffer("center", torch.zeros(inputs))
        self.register_buffer("spread", torch.ones(inputs))

    def standardize(self, descriptions: Tensor) -> None:
        """Set the mean and deviation by which descriptions are standardized, from `(S, N)` examples."""
        self.center.copy_(descriptions.mean(0))
        deviations = descriptions.std(0)
        self.spread.copy_(deviations + 1e-3 * deviations.mean())

    def forward(self, descriptions: Tensor) -> dict[str, Tensor]:
        """The scales and shifts of styles `(S, N)`, each `(S, C)`, by the names of the network's parameters."""
        # Divided by the root of their number, so that Adam's step, the same for all weights, is small for the sum.
        inputs = (descriptions - self.center) / (self.spread * descriptions.shape[1] ** 0.5)
        values = self.output(functional.relu(self.hidden(inputs)) / _HIDDEN**0.5)
        parts = iter(values.split([size for size in self._sizes.values() for _ in range(2)], dim=1))
        predicted: dict[str, Tensor] = {}
        for name in self._sizes:
            predicted[f"{name}.scale"] = 1 + next(parts)
            predicted[f"{name}.shift"] = next(parts)
        return predicted
