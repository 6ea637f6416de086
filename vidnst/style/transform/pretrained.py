"""The pretrained transform network: its file, and a network for some styles made from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vidnst.config import STYLE_LAYERS, StylesConfig
from vidnst.errors import WeightsError
from vidnst.files.weights_file import (
    checked_tensor,
    encode_safetensors,
    open_weights,
    read_metadata,
    weights_fingerprint,
)
from vidnst.frames import Pixels
from vidnst.style.network.backbones import deepest
from vidnst.style.network.vgg import VGG19
from vidnst.style.network.weights import SLIM_FILE, load_features
from vidnst.style.targets.style_targets import StyleTargets
from vidnst.style.transform.network import TransformNetwork
from vidnst.style.transform.style_predictor import STYLE_KINDS, StylePredictor, describe

PRETRAINED_FILE = Path(__file__).with_name("pretrained.safetensors")
"""The network that ships."""
KIND = "vidnst pretrained transform network"
_NETWORK, _PREDICTOR = "network.", "predictor."
_MAX_BYTES = 1 << 26
_REMEDY = "install vidnst again"


@dataclass(frozen=True, slots=True)
class PretrainedNetwork:
    """A network that paints any style after a look at it, without training."""

    network: TransformNetwork
    predictor: StylePredictor
    fingerprint: str
    notes: Mapping[str, str]

    @torch.no_grad()
    def for_styles(
        self, styles: Sequence[tuple[Pixels, float]], height: int, width: int, config: StylesConfig, *, guided: bool
    ) -> TransformNetwork:
        """A network that paints frames of `height` x `width` pixels in some styles; it does not know colours yet.

        Args:
            styles: pictures `(H, W, 3)` uint8 or uint16 with their weights.
            height, width: of the frames.
            config: scales and rotations of the styles.
            guided: True for a network that mixes the styles where the frames ask for them, False for one style that
                mixes all by their weights.
        """
        targets = StyleTargets(styles, network=_slim(), layers=STYLE_LAYERS, kinds=STYLE_KINDS, config=config)
        found = targets.at(height, width)
        descriptions = torch.stack([describe(target) for target in found])
        if not guided:
            shares = torch.tensor([target.share for target in found])
            descriptions = (shares[:, None] * descriptions).sum(0, keepdim=True)
        result = TransformNetwork(styles=len(descriptions))
        values = {**self.network.state_dict(), **self.predictor(descriptions), "colours": result.colours}
        result.load_state_dict(values)
        return result


def encode_pretrained(network: TransformNetwork, predictor: StylePredictor, notes: Mapping[str, str]) -> bytes:
    """Encode both in half precision as a safetensors file, reproducible to the byte."""
    halves = {
        prefix + name: value.detach().half().cpu().contiguous().numpy()
        for prefix, module in ((_NETWORK, network), (_PREDICTOR, predictor))
        for name, value in module.state_dict().items()
    }
    return encode_safetensors(halves, {"network": KIND, **notes})


def read_pretrained(path: Path) -> PretrainedNetwork:
    """Read a pretrained network, executing nothing in the file.

    Raises:
        WeightsError: the file is missing, damaged, too large, or of another network.
    """
    network = TransformNetwork()
    arrays: dict[str, NDArray[np.float32]] = {}
    with open_weights(path, network=KIND, max_bytes=_MAX_BYTES, remedy=_REMEDY) as tensors:
        center = tensors.get(f"{_PREDICTOR}center")
        if center is None or center.ndim != 1:
            raise WeightsError(f"{path} is no pretrained network", _REMEDY)
        predictor = StylePredictor(network, len(center))
        for prefix, module in ((_NETWORK, network), (_PREDICTOR, predictor)):
            for name, value in module.state_dict().items():
                key = prefix + name
                if key not in tensors:
                    raise WeightsError(f"{path} lacks {key}, which a pretrained network has", _REMEDY)
                arrays[key] = checked_tensor(path, key, tensors[key], tuple(value.shape), _REMEDY)
            module.load_state_dict(
                {name: torch.from_numpy(arrays[prefix + name].copy()) for name in module.state_dict()}
            )
    return PretrainedNetwork(network, predictor, weights_fingerprint(arrays), read_metadata(path))


@cache
def _slim() -> VGG19:
    last = deepest(STYLE_LAYERS)
    return VGG19(load_features(SLIM_FILE, last, backbone="slim"), last_layer=last)
