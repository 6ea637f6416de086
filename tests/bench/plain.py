"""Compare the time to plain Adam's loss: 300 steps as in most PyTorch code of the field, against vidnst.

    python tests/bench/plain.py CONTENT STYLE --weights FILE --size 256x144 [--set KEY=VALUE ...] [--pictures FOLDER]

The reference is written here from scratch in the plainest way: VGG19 as a list of modules in float32 with torch's
default layout, Gram matrices by torch.mm, autograd, torch.optim.Adam at a constant rate of 0.02, one scale, from the
content. It minimises the same total loss, which is checked first on one picture. Then vidnst paints the picture with
the settings given, and what counts is the first picture whose total loss is no more than the reference's last. Both
losses are evaluated by the reference, in float32, and both run with the same number of threads, one after the other, in
one process.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vidnst.config import RenderConfig
from vidnst.config.loader import load_config
from vidnst.farm.malloc import keep_freed_memory
from vidnst.media.images import read_image
from vidnst.style.minimize import StepReport
from vidnst.style.network.backbones import VGG19_BACKBONE, last_layer
from vidnst.style.network.weights import load_features, resolve_weights
from vidnst.style.stylizer import Stylizer
from vidnst.style.tensors import from_pixels

STEPS, RATE = 300, 0.02


class Plain:
    """The reference: content and style losses relative to their targets, smoothness, and Adam."""

    def __init__(self, features: Mapping[str, NDArray[np.float32]], config: RenderConfig) -> None:
        self._losses = config.losses
        self._modules: list[tuple[str, nn.Module]] = []
        block = 0
        for conv in VGG19_BACKBONE.up_to(last_layer(config)):
            if conv.block != block:
                self._modules.append(("", nn.MaxPool2d(2)))
                block = conv.block
            module = nn.Conv2d(conv.inputs, conv.outputs, 3, padding=1)
            module.weight.data = torch.from_numpy(np.array(features[conv.weight_key], np.float32))
            module.bias.data = torch.from_numpy(np.array(features[conv.bias_key], np.float32))  # type: ignore[union-attr]
            self._modules += [("", module.requires_grad_(False)), (conv.name, nn.ReLU())]
        self._mean = torch.tensor((0.485, 0.456, 0.406)).view(1, 3, 1, 1)
        self._deviation = torch.tensor((0.229, 0.224, 0.225)).view(1, 3, 1, 1)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        found = {}
        x = (x - self._mean) / self._deviation
        for name, module in self._modules:
            x = module(x)
            if name:
                found[name] = x
        return found

    def aim(self, content: Tensor, style: Tensor) -> None:
        with torch.no_grad():
            self._content = {name: self.maps(content)[name] for name in self._losses.content_layers}
            maps = self.maps(style)
            self._grams = {name: _gram(maps[name]) for name in self._losses.style_layers}

    def __call__(self, picture: Tensor) -> dict[str, Tensor]:
        maps = self.maps(picture)
        content = [_relative(maps[name], wanted) for name, wanted in self._content.items()]
        style = [_relative(_gram(maps[name]), wanted) for name, wanted in self._grams.items()]
        down, across = picture.diff(dim=2).square().mean(), picture.diff(dim=3).square().mean()
        terms = {"content": torch.stack(content).mean(), "style": torch.stack(style).mean(), "tv": down + across}
        total = sum(getattr(self._losses, f"{name}_weight") * term for name, term in terms.items())
        return {"total": total, **terms}

    def paint(self, content: Tensor) -> tuple[Tensor, float]:
        """Run all steps; returns the picture and the seconds."""
        picture = content.clone().requires_grad_()
        optimizer = torch.optim.Adam([picture], lr=RATE)
        began = time.perf_counter()
        for _ in range(STEPS):
            optimizer.zero_grad()
            self(picture)["total"].backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            with torch.no_grad():
                picture.clamp_(0, 1)
        return picture.detach(), time.perf_counter() - began

    def judge(self, picture: Tensor) -> dict[str, float]:
        with torch.no_grad():
            return {name: float(term) for name, term in self(picture).items()}


def _gram(maps: Tensor) -> Tensor:
    rows = maps.view(maps.shape[1], -1)
    return torch.mm(rows, rows.t()) / rows.shape[1]


def _relative(found: Tensor, wanted: Tensor) -> Tensor:
    return nn.functional.mse_loss(found, wanted) / wanted.square().mean()


def ours(stylizer: Stylizer, plain: Plain, content: Tensor, goal: float) -> dict[str, Any]:
    """Time vidnst until the first picture whose total loss is at most the goal; null if there is none."""
    seen: list[tuple[float, int, Tensor]] = []
    looking = 0.0
    began = time.perf_counter()

    def look(step: StepReport) -> None:
        nonlocal looking
        # A little above the goal by its own arithmetic: the reference decides afterwards.
        if step.picture.shape == content.shape and step.losses["total"] < goal * 1.01:
            now = time.perf_counter()
            seen.append((now - began - looking, step.evaluation, step.picture.clone()))
            looking += time.perf_counter() - now

    made = stylizer.stylize(content, on_step=look)
    whole = time.perf_counter() - began
    for seconds, evaluations, picture in seen:
        losses = plain.judge(picture)
        if losses["total"] <= goal:
            return {"seconds": seconds, "evaluations": evaluations, "losses": losses, "picture": picture}
    return {"seconds": None, "evaluations": made.evaluations, "whole_seconds": whole, "losses": plain.judge(made.image)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("content", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--size", default="256x144")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--pictures", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    width, height = map(int, asked.size.split("x"))
    config = load_config(assignments=asked.settings)
    features = load_features(resolve_weights(asked.weights, backbone="vgg19"), last_layer(config), backbone="vgg19")
    content = from_pixels(covered(read(asked.content), width, height))
    style = resized_to(read(asked.style), width * height)  # at a size that neither scales again
    stylizer = Stylizer(features, [(style, 1.0)], config)
    plain = Plain(features, config)
    plain.aim(content, from_pixels(style))
    check(stylizer, plain, content)
    picture, seconds = plain.paint(content)
    keep_freed_memory()  # as vidnst's workers do; the reference runs with torch's defaults
    reference = plain.judge(picture)
    found = ours(stylizer, plain, content, reference["total"])
    best = found.pop("picture", None)
    over = {name: found["losses"][name] / reference[name] for name in ("total", "content", "style")}
    report = {
        "size": asked.size,
        "threads": asked.threads,
        "settings": asked.settings,
        "reference": {"seconds": seconds, "steps": STEPS, "losses": reference},
        "ours": found,
        "over_reference": over,
        "share_of_time": None if found["seconds"] is None else found["seconds"] / seconds,
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    if asked.pictures:
        asked.pictures.mkdir(parents=True, exist_ok=True)
        for name, tensor in (("plain", picture), ("ours", best)):
            if tensor is not None:
                pixels = (tensor[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
                cv2.imwrite(str(asked.pictures / f"{name}.png"), pixels[:, :, ::-1])


def read(path: Path) -> NDArray[np.uint8]:
    return np.asarray(read_image(path, bits=8), np.uint8)


def resized_to(pixels: NDArray[np.uint8], area: int) -> NDArray[np.uint8]:
    """Scale a picture to about `area` pixels, in its own proportions."""
    factor = math.sqrt(area / (pixels.shape[0] * pixels.shape[1]))
    size = (round(pixels.shape[1] * factor), round(pixels.shape[0] * factor))
    return np.ascontiguousarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def covered(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Scale a picture to cover a size, and crop it to its middle."""
    factor = max(width / pixels.shape[1], height / pixels.shape[0])
    scaled = (math.ceil(pixels.shape[1] * factor), math.ceil(pixels.shape[0] * factor))
    large = cv2.resize(np.ascontiguousarray(pixels), scaled, interpolation=cv2.INTER_AREA)
    top, left = (large.shape[0] - height) // 2, (large.shape[1] - width) // 2
    return np.ascontiguousarray(large[top : top + height, left : left + width])


def check(stylizer: Stylizer, plain: Plain, content: Tensor) -> None:
    """Check that both programs compute the same losses of a picture, within rounding."""
    mixed = content.lerp(content.flip(3), 0.5)
    one, other = plain.judge(mixed), stylizer.evaluate(content, mixed)
    for name in ("content", "style", "tv"):
        if abs(one[name] - other[name]) > 0.01 * one[name]:
            raise SystemExit(f"{name} is {one[name]:.4g} in the reference and {other[name]:.4g} here")


if __name__ == "__main__":
    main()
