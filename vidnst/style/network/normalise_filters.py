"""A network whose layers are equally strong, so that raw losses mean the same with any weights."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vidnst.style.network.backbones import VGG19_BACKBONE
from vidnst.style.network.vgg import VGG19
from vidnst.style.targets.style_variants import matched_size
from vidnst.style.tensors import resized

_AREA_PX = 256 * 256
_LEAST = 1e-6
"""Weakest mean that is scaled up; a layer below it is dead."""


@torch.no_grad()
def scale_to_unit(network: VGG19, pictures: Sequence[Tensor]) -> None:
    """Scale a network's filters so that the mean of every layer over some pictures is 1.

    Gatys 2015 do so with the mean of every filter over the images of ImageNet. Deviation: the mean of a whole layer,
    which leaves the order of channels by strength as it is, over the style pictures at `_AREA_PX`, since those are
    there.

    Args:
        network: on the CPU; changed.
        pictures: `(1, 3, H, W)` in [0, 1], of any sizes.
    """
    names = [conv.name for conv in VGG19_BACKBONE.up_to(network.last_layer)]
    sums = dict.fromkeys(names, 0.0)
    for picture in pictures:
        size = matched_size(picture.shape[2], picture.shape[3], _AREA_PX, network.smallest_side_px)
        for name, maps in network(resized(picture, *size), names).items():
            sums[name] += float(maps.mean(dtype=torch.float64))
    network.rescale({name: max(whole / len(pictures), _LEAST) for name, whole in sums.items()})
