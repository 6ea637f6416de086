"""The function that stylizes one picture."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidnst.config.loader import Settings, resolve_config
from vidnst.gpus import check_cards
from vidnst.style.minimize import OnStep
from vidnst.style.network.backbones import last_layer
from vidnst.style.network.weights import load_features, resolve_weights
from vidnst.style.stylizer import Stylizer
from vidnst.style.tensors import to_state


def stylize(
    content: Tensor,
    style: Tensor | Sequence[tuple[Tensor, float]],
    *,
    preset: str | None = None,
    config: Settings | None = None,
    features: Mapping[str, NDArray[np.float32]] | None = None,
    device: torch.device | str | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Stylize one picture with the style of another, or of several.

    Args:
        content: `(3, H, W)` or `(1, 3, H, W)` float32 sRGB in RGB order, in [0, 1].
        style: a picture like `content` of any size, or several with their weights.
        config: all settings; None takes the defaults.
        features: VGG19's filters; None loads those that `config.model.weights` names: see `resolve_weights`.
        device: device of all computations; None takes a GPU if there is one.
        on_step: called with the progress from time to time; may raise to cancel.

    Returns:
        A picture shaped like `content`, on the CPU.

    Raises:
        WeightsError: no usable weights.
        ConfigError: the picture is too small for the layers.
        FarmError: there is a GPU that cannot be used, and no `device`.
        NumericalError: a loss is NaN or infinite.
    """
    config = resolve_config(config, preset=preset)
    if features is None:
        backbone = config.model.backbone
        path = resolve_weights(config.model.weights, backbone=backbone)
        features = load_features(path, last_layer(config), backbone=backbone)
    if device is None:
        device = "cuda" if check_cards() else "cpu"
    pairs = [(style, 1.0)] if isinstance(style, Tensor) else list(style)
    styles = [(to_state(picture.reshape(1, *picture.shape[-3:])), weight) for picture, weight in pairs]
    stylizer = Stylizer(features, styles, config, device=device)
    result = stylizer.stylize(content.reshape(1, *content.shape[-3:]), on_step=on_step)
    return result.image.reshape(content.shape).cpu()
