"""Compare slim with VGG19: `python tests/bench/slim.py --content PICTURE --style PICTURE ...`.

Each style is transferred three times with equal evaluations: with VGG19, with slim, and with random filters of slim's
size. All results are judged by VGG19's relative losses: the style loss is 0 for the style picture itself, the content
loss is 0 for the content. The last line is the time of an evaluation at 256x144, VGG19's over slim's.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from vidnst.config import RenderConfig
from vidnst.config.loader import build_config
from vidnst.frames import Pixels
from vidnst.media.images import read_image, write_image
from vidnst.media.input.frame_reader import fit_size
from vidnst.style.network.backbones import last_layer
from vidnst.style.network.weights import load_features, resolve_weights
from vidnst.style.stylizer import Stylizer
from vidnst.style.tensors import from_pixels

SPEED_SIZE = (256, 144)
TERMS = ("style", "content")


def stylizer(model: dict[str, str], style: Pixels, optimize: dict[str, Any]) -> Stylizer:
    """Make a stylizer of one network with one style."""
    config = build_config({"model": model, "optimize": optimize})
    backbone = config.model.backbone
    found = resolve_weights(config.model.weights, backbone=backbone, download=False)
    return Stylizer(load_features(found, last_layer(config), backbone=backbone), [(style, 1.0)], config)


def shrunk(pixels: Pixels, longest: int) -> Pixels:
    """Scale a picture to a longest side."""
    size = fit_size(pixels.shape[1], pixels.shape[0], longest)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def compare(models: dict[str, dict[str, str]], content: Pixels, style: Pixels, iterations: int) -> list[Any]:
    """Stylize with each network; returns VGG19's losses, and the pictures."""
    photo = from_pixels(content)
    judge = stylizer(models["VGG19"], style, {})
    losses, pictures = [], []
    for model in models.values():
        made = stylizer(model, style, {"iterations": iterations, "tolerance": 0}).stylize(photo).image
        losses.append(judge.evaluate(photo, made))
        pictures.append((made[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))
    return [losses, pictures]


def seconds(model: dict[str, str], style: Pixels, iterations: int) -> float:
    """Time an evaluation at 256x144."""
    width, height = SPEED_SIZE
    made = stylizer(model, style, {"scales": 1, "tolerance": 0})
    photo = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    made.stylize(photo, iterations=2)
    began = time.perf_counter()
    made.stylize(photo, iterations=iterations)
    return (time.perf_counter() - began) / iterations


def main() -> None:
    """Print the table, and draw the sheet if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--weights", help="VGG19's weights; default: those installed with vidnst")
    parser.add_argument("--slim", help="slim's weights; default: the bundled ones")
    parser.add_argument("--content", type=Path, required=True)
    parser.add_argument("--style", type=Path, action="append", required=True)
    parser.add_argument("--longest", type=int, default=256, help="side of the pictures in pixels")
    parser.add_argument("--iterations", type=int, default=RenderConfig().optimize.iterations)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sheet", type=Path, help="also draw content, style and results here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    slim = {"backbone": "slim"} | ({"weights": options.slim} if options.slim else {})
    models = {
        "VGG19": {"weights": options.weights} if options.weights else {},
        "slim": slim,
        "random": {"backbone": "slim", "weights": "random"},
    }
    content = shrunk(read_image(options.content), options.longest)
    rows = []
    say = sys.stdout.write
    heads = ("style", *(f"{term} loss by {name}" for term in TERMS for name in models))
    ratios = tuple(f"{term}, slim / {name}" for term in TERMS for name in ("VGG19", "random"))
    say(f"| {' | '.join(heads + ratios)} |\n|{'---|' * len(heads + ratios)}\n")
    for path in options.style:
        style = read_image(path)
        losses, pictures = compare(models, content, style, options.iterations)
        numbers = [f"{found[term]:.4f}" for term in TERMS for found in losses]
        teacher, own, random = losses
        numbers += [f"{own[term] / other[term]:.3f}" for term in TERMS for other in (teacher, random)]
        say(f"| {path.stem} | {' | '.join(numbers)} |\n")
        sys.stdout.flush()
        small = cv2.resize(style, content.shape[1::-1], interpolation=cv2.INTER_AREA)
        rows.append(np.hstack([content, np.asarray(small, np.uint8), *pictures]))
    times = [seconds(models[name], style, 20) for name in ("VGG19", "slim", "VGG19", "slim")]
    full, own = min(times[::2]), min(times[1::2])
    say(f"\n{full:.4f} s an evaluation with VGG19, {own:.4f} s with slim at 256x144: {full / own:.1f} times\n")
    if options.sheet is not None:
        write_image(options.sheet, np.vstack(rows).astype(np.uint8))


if __name__ == "__main__":
    main()
