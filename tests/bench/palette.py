"""Compare the packaged VGG19 with float filters: `python tests/bench/palette.py --float FILE --content A --style B`.

FILE has the float filters of the first layers, conv1_1 to conv3_4, each layer in a scale of its own
(`vgg19_hybrid.pth`). The first table has the relative error of every layer's maps on each content. The second has the
losses of a picture that was optimised with the packaged filters, and of one whose first layers were the float ones,
both judged by the latter.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vidnst.config.loader import build_config
from vidnst.media.images import read_image
from vidnst.style.network.backbones import VGG19_BACKBONE
from vidnst.style.network.packaged import find_packaged_vgg19
from vidnst.style.network.vgg import VGG19
from vidnst.style.network.weights import load_features
from vidnst.style.stylizer import Stylizer
from vidnst.style.tensors import from_pixels, resize, size_of_area

Features = dict[str, NDArray[np.float32]]
LAST_FLOAT, LAST = "relu3_4", "relu5_1"


def with_float_layers(packaged: Features, floats: Features) -> Features:
    """The packaged filters with the float ones in the first layers, each in the packaged layer's scale."""
    mixed = dict(packaged)
    before = 1.0
    for layer in VGG19_BACKBONE.up_to(LAST_FLOAT):
        ours, theirs = packaged[layer.weight_key], floats[layer.weight_key]
        factor = float((ours * theirs).sum() / np.square(theirs).sum())
        mixed[layer.weight_key] = theirs * np.float32(factor)
        before *= factor  # ReLU is homogeneous: a layer's scale is the product of the factors down to it
        mixed[layer.bias_key] = floats[layer.bias_key] * np.float32(before)
    return mixed


def map_errors(one: VGG19, other: VGG19, picture: torch.Tensor) -> dict[str, float]:
    """The relative error of each layer's maps: 0 for equal ones."""
    names = [layer.name for layer in VGG19_BACKBONE.up_to(LAST)]
    found, true = one(picture, names), other(picture, names)
    return {name: float((found[name] - true[name]).norm() / true[name].norm()) for name in names}


def write_row(cells: list[str]) -> None:
    """Write a row of a Markdown table."""
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


def write_losses(packaged: Mapping[str, NDArray[np.float32]], mixed: Features, options: argparse.Namespace) -> None:
    """Optimise each content in each style with both, and write the losses as the float filters see them."""
    config = build_config({"optimize": {"tolerance": 0, "iterations": options.iterations}})
    write_row(["content, style", "style loss, packaged", "float", "ratio", "content loss, packaged", "float", "ratio"])
    write_row(["---"] * 7)
    for content in options.content:
        for style in options.style:
            photo, painting = from_pixels(read_image(content)), read_image(style)
            photo = resize(photo, *size_of_area(*photo.shape[-2:], options.area, 16))
            judge = Stylizer(mixed, [(painting, 1.0)], config)
            made = [
                Stylizer(features, [(painting, 1.0)], config).stylize(photo).image for features in (packaged, mixed)
            ]
            losses = [judge.evaluate(photo, picture) for picture in made]
            cells = [f"{content.stem}, {style.stem}"]
            for name in ("style", "content"):
                ours, theirs = (found[name] for found in losses)
                cells += [f"{ours:.5f}", f"{theirs:.5f}", f"{ours / max(theirs, 1e-9):.4f}"]
            write_row(cells)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--float", type=Path, required=True, help="a file with float filters down to conv3_4")
    parser.add_argument("--content", type=Path, action="append", required=True)
    parser.add_argument("--style", type=Path, action="append", required=True)
    parser.add_argument("--area", type=int, default=256 * 144, help="of the pictures, in pixels")
    parser.add_argument("--iterations", type=int, default=150)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    packaged = load_features(find_packaged_vgg19(), LAST)
    mixed = with_float_layers(packaged, load_features(options.float, LAST_FLOAT))
    networks = [VGG19(features, last_layer=LAST) for features in (packaged, mixed)]
    pictures = [from_pixels(read_image(path)) for path in options.content]
    errors = [map_errors(*networks, resize(x, *size_of_area(*x.shape[-2:], 512 * 512, 16))) for x in pictures]
    write_row(["error of the maps", *(path.stem for path in options.content)])
    write_row(["---"] * (1 + len(errors)))
    for name in errors[0]:
        write_row([name, *(f"{found[name]:.4f}" for found in errors)])
    sys.stdout.write("\n")
    write_losses(packaged, mixed, options)


if __name__ == "__main__":
    main()
