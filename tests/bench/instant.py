"""Measure the pretrained network on pictures and styles: `python tests/bench/instant.py CONTENTS --styles FILE ...`.

CONTENTS is a folder of pictures, painted at their own size. VGG19 evaluates the losses; each row is a style, with means
over the contents, and the seconds from a picture to its painting. With `--others FOLDER` it also evaluates another
program's results, which lie in FOLDER/STYLE/CONTENT*.png, and with `--sheet FILE` all are shown next to each other.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidnst.config import STYLE_LAYERS, LossConfig, StylesConfig
from vidnst.media.images import read_image, write_image
from vidnst.style.losses.objective import Objective
from vidnst.style.network.vgg import VGG19
from vidnst.style.network.weights import load_features, resolve_weights
from vidnst.style.targets.style_targets import StyleTargets
from vidnst.style.tensors import from_pixels, resize
from vidnst.style.transform.colour_map import ColourMoments
from vidnst.style.transform.pretrained import PRETRAINED_FILE, read_pretrained

_THUMBNAIL_PX = (170, 256)


def paint(content: Tensor, style: NDArray[np.uint8]) -> tuple[Tensor, float]:
    """Paint a picture as `--engine instant` does; returns it in 8-bit levels, and the seconds."""
    pretrained, began = read_pretrained(PRETRAINED_FILE), time.perf_counter()
    height, width = content.shape[-2:]
    network = pretrained.for_styles([(style, 1.0)], height, width, StylesConfig(), guided=False)
    network.match_colours(ColourMoments.of([content]), [ColourMoments.of([from_pixels(style)])])
    network.measure([(content, None)])
    painted = network.eval().paint(content)
    return (255 * painted).round() / 255, time.perf_counter() - began


def thumbnail(image: Tensor) -> NDArray[np.uint8]:
    """A picture of a sheet, `(170, 256, 3)` uint8."""
    small = resize(image, *_THUMBNAIL_PX)[0].permute(1, 2, 0).numpy()
    return np.asarray((255 * small).round(), np.uint8)


def other_result(folder: Path, style_file: Path, content_file: Path) -> Tensor:
    """Another program's picture of a content in a style."""
    (file,) = (folder / style_file.parent.name / style_file.stem).glob(f"{content_file.stem}*.png")
    return from_pixels(read_image(file))


def row(
    judge: VGG19, style_file: Path, contents: list[Path], others: Path | None
) -> tuple[list[float], NDArray[np.uint8]]:
    """The means of a style over the contents, and its line of the sheet."""
    style = read_image(style_file)
    numbers: list[list[float]] = []
    line = [thumbnail(from_pixels(style))]
    for file in contents:
        content = from_pixels(read_image(file))
        targets = StyleTargets([(style, 1.0)], network=judge, layers=STYLE_LAYERS).at(*content.shape[-2:])
        objective = Objective(judge, content, targets, LossConfig())
        painted, seconds = paint(content, style)
        images = [painted] if others is None else [painted, other_result(others, style_file, file)]
        losses = [objective(image) for image in images]
        values = [[float(of_one["style"]), float(of_one["content"])] for of_one in losses]
        numbers.append([seconds, *(value for of_one in values for value in of_one)])
        line += [thumbnail(image) for image in images]
    return np.mean(numbers, 0).tolist(), np.concatenate(line, 1)


@torch.no_grad()
def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("contents", type=Path)
    parser.add_argument("--styles", type=Path, nargs="+", required=True)
    parser.add_argument("--others", type=Path)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--weights", help="VGG19's")
    options = parser.parse_args()
    judge = VGG19(load_features(resolve_weights(options.weights), STYLE_LAYERS[-1]), last_layer=STYLE_LAYERS[-1])
    columns = ["style", "seconds", "style loss", "content loss"]
    if options.others is not None:
        columns += ["its style loss", "its content loss"]
    lines: list[NDArray[np.uint8]] = []
    means: list[list[float]] = []
    for cells in (columns, ["---"] * len(columns)):
        sys.stdout.write(f"| {' | '.join(cells)} |\n")
    for file in options.styles:
        mean, line = row(judge, file, sorted(options.contents.glob("*.png")), options.others)
        means.append(mean)
        lines.append(line)
        sys.stdout.write(f"| {file.parent.name}/{file.stem} | {' | '.join(f'{value:.3g}' for value in mean)} |\n")
        sys.stdout.flush()
    sys.stdout.write(f"| mean | {' | '.join(f'{value:.3g}' for value in np.mean(means, 0))} |\n")
    if options.sheet is not None:
        write_image(options.sheet, np.concatenate(lines, 0))


if __name__ == "__main__":
    main()
