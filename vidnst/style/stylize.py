"""The function that stylizes one picture."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidnst.config.loader import Settings, resolve_config
from vidnst.devices.gpus import check_cards
from vidnst.errors import ConfigError
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
        ConfigError: a picture is not a tensor of that shape, holds numbers outside [0, 1] or not finite, or is too
            small for the layers.
        FarmError: there is a GPU that cannot be used, and no `device`.
        NumericalError: a loss is NaN or infinite.
    """
    config = resolve_config(config, preset=preset)
    pairs = [(style, 1.0)] if isinstance(style, Tensor) else list(style)
    _check_picture("content", content)
    for number, (picture, _) in enumerate(pairs):
        _check_picture("style" if len(pairs) == 1 else f"style {number}", picture)
    if features is None:
        backbone = config.model.backbone
        path = resolve_weights(config.model.weights, backbone=backbone)
        features = load_features(path, last_layer(config), backbone=backbone)
    if device is None:
        device = "cuda" if check_cards() else "cpu"
    styles = [(to_state(picture.reshape(1, *picture.shape[-3:])), weight) for picture, weight in pairs]
    stylizer = Stylizer(features, styles, config, device=device)
    result = stylizer.stylize(content.reshape(1, *content.shape[-3:]), on_step=on_step)
    return result.image.reshape(content.shape).cpu()


def _check_picture(name: str, picture: Tensor) -> None:
    """Make sure that a picture is what `stylize` takes."""
    if not isinstance(picture, Tensor) or not picture.is_floating_point():
        kind = str(picture.dtype) if isinstance(picture, Tensor) else type(picture).__name__
        raise ConfigError(f"{name} is of {kind}, not a tensor of float32", "convert it, with numbers in [0, 1]")
    if picture.shape[-3:-2] != (3,) or picture.shape[:-3] not in ((), (1,)) or not picture.numel():
        raise ConfigError(
            f"{name} has the shape {tuple(picture.shape)}, not (3, H, W) or (1, 3, H, W)", "put the channels first"
        )
    if not bool(picture.isfinite().all()):
        raise ConfigError(f"{name} holds numbers that are not finite", "replace them by numbers in [0, 1]")
    low, high = np.float32(picture.min().item()), np.float32(picture.max().item())
    if low < 0 or high > 1:
        raise ConfigError(
            f"{name} holds numbers from {low!s} to {high!s}, outside [0, 1]", "divide levels by 255, or clamp it"
        )
