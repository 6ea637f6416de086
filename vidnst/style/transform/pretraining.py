"""Pretraining of the transform network and its style predictor on many pictures and styles.

The losses are those of a render, judged by slim at first, and by VGG19 at the end. Every frame of a step has its own
style, and all count alike, whatever the size of their losses: the gradient is that of the losses' logarithms. Styles
are varied, since there are few paintings and a predictor must not learn them by heart: channels change places, light
becomes dark, pictures are mirrored, turned and cut. Some are drawn, and some are photographs.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from vidnst.config import STYLE_LAYERS, LossConfig
from vidnst.errors import NumericalError, RunError
from vidnst.frames import Pixels
from vidnst.style.distill.crops import Crops
from vidnst.style.losses.objective import Objective
from vidnst.style.network.vgg import VGG19
from vidnst.style.targets.style_targets import StyleTarget, StyleTargets
from vidnst.style.tensors import from_pixels
from vidnst.style.transform.colour_map import ColourMoments, colour_map
from vidnst.style.transform.network import TransformNetwork
from vidnst.style.transform.style_predictor import STYLE_KINDS, StylePredictor, describe

_BETAS = (0.9, 0.99)
_PREDICTORS_RATE = 4
"""The predictor's learning rate over the network's."""
_WARMUP_STEPS = 40
_LARGEST_GRADIENT = 20.0
"""Gradients are scaled down to this norm."""
_SMALLEST_PART = 0.5
"""Least share of a style's sides that is cut out of it."""
_PHOTOGRAPHS, _DRAWN = 0.2, 0.35
"""Shares of the styles that are a content picture, and that are drawn."""


@dataclass(frozen=True, slots=True)
class PretrainSettings:
    """Settings of a pretraining; the same on the same pictures give the same network on the same machine."""

    steps: int = 2000
    frames: int = 4
    """Crops in each step, each in a style of its own."""
    styles: int = 512
    """Number of varied styles; all are described before the first step."""
    crop_px: int = 192
    """Side of the crops."""
    largest_frame: float = 2.5
    """Largest area of the frames that the style is scaled for, over a crop's; the smallest is a crop's."""
    rate: float = 2e-3
    """Learning rate of Adam, after a warm-up and before the last part, in which it falls to zero."""
    last: float = 0.25
    """Share of the steps that VGG19 judges, at the end."""
    seed: int = 0


@dataclass(slots=True)
class _Style:
    picture: Pixels
    side_px: int
    """The side of the frames that it is scaled for, which are square."""
    target: StyleTarget
    description: Tensor
    colours: ColourMoments
    is_by_slim: bool = True
    """Whether slim computed the target."""


class Pretraining:
    """A transform network, its style predictor and their optimizer, between two steps.

    Args:
        slim: slim's network, down to the deepest layer of the losses, on the device that trains.
        vgg19: VGG19's, on the same device, which judges the last steps.
        contents: photographs, `(H, W, 3)` uint8 or uint16; all sides at least `settings.crop_px`.
        styles: paintings, likewise of any size.
        draw: draws a style at random.
        settings: of the training.
    """

    def __init__(
        self,
        slim: VGG19,
        vgg19: VGG19,
        contents: Sequence[Pixels],
        styles: Sequence[Pixels],
        draw: Callable[[np.random.Generator], Pixels],
        settings: PretrainSettings,
    ) -> None:
        self.step = 0
        self.settings = settings
        self._slim, self._vgg19, self._losses = slim, vgg19, LossConfig()
        self._slim_steps = settings.steps - round(settings.last * settings.steps)
        self._photographs, self._paintings, self._draw = contents, styles, draw
        device = slim.mean.device
        self._crops = Crops(contents, side_px=settings.crop_px, seed=settings.seed, device=device)
        self.network = TransformNetwork(seed=settings.seed).to(device)
        self._styles = [self._style(number) for number in range(settings.styles)]
        examples = torch.stack([style.description for style in self._styles])
        self.predictor = StylePredictor(self.network, examples.shape[1], seed=settings.seed).to(device)
        self.predictor.standardize(examples)
        self._parameters = [*self.network.parameters(), *self.predictor.parameters()]
        groups = [{"params": list(module.parameters())} for module in (self.network, self.predictor)]
        self._adam = torch.optim.Adam(groups, betas=_BETAS)

    def advance(self) -> dict[str, float]:
        """Do one step; returns the mean losses by the names of `objective.TERMS`.

        Raises:
            NumericalError: a loss is NaN or infinite.
        """
        for group, speed in zip(self._adam.param_groups, (1, _PREDICTORS_RATE), strict=True):
            group["lr"] = speed * self._rate()
        self._adam.zero_grad()
        self.network.train()
        chosen = np.random.default_rng((self.settings.seed, self.step)).integers(
            len(self._styles), size=self.settings.frames
        )
        sums: dict[str, float] = {}
        for content, number in zip(self._crops.batch(self.step, len(chosen))[:, None], chosen, strict=True):
            losses = self._losses_of(content, self._styles[int(number)])
            total = losses["total"]
            if not math.isfinite(float(total.detach())):
                raise NumericalError(f"the loss is {float(total)} at step {self.step}", "lower the rate")
            (total / (total.detach() * len(chosen))).backward()  # type: ignore[no-untyped-call]
            sums = {name: sums.get(name, 0.0) + float(value.detach()) for name, value in losses.items()}
        nn.utils.clip_grad_norm_(self._parameters, _LARGEST_GRADIENT)
        self._adam.step()
        self.step += 1
        return {name: value / len(chosen) for name, value in sums.items()}

    def _losses_of(self, content: Tensor, style: _Style) -> dict[str, Tensor]:
        values = self.predictor(style.description[None])
        values["colours"] = colour_map(ColourMoments.of([content]), style.colours)[None].to(content.device)
        painted = functional_call(self.network, values, (content,))
        judge = self._slim
        if self.step >= self._slim_steps:
            judge = self._vgg19
            if style.is_by_slim:
                style.target, style.is_by_slim = _target(judge, style.picture, style.side_px), False
        losses: dict[str, Tensor] = Objective(judge, content, [style.target], self._losses)(painted)
        return losses

    def _rate(self) -> float:
        left = (self.settings.steps - self.step) / max(1, self.settings.steps - self._slim_steps)
        return self.settings.rate * min(1.0, (self.step + 1) / _WARMUP_STEPS, left)

    def _style(self, number: int) -> _Style:
        """A varied style, scaled for frames of a random area."""
        generator = np.random.default_rng((self.settings.seed, number))
        kind = generator.random()
        if kind < _DRAWN:
            picture = self._draw(generator)
        else:
            pictures = self._photographs if kind < _DRAWN + _PHOTOGRAPHS else self._paintings
            picture = varied(pictures[int(generator.integers(len(pictures)))], generator)
        side = round(self.settings.crop_px * math.sqrt(self.settings.largest_frame ** generator.random()))
        target = _target(self._slim, picture, side)
        return _Style(picture, side, target, describe(target), ColourMoments.of([from_pixels(picture)]))

    def state(self) -> dict[str, Tensor]:
        """The checkpoint: all that the next step depends on besides settings and pictures, on the CPU, by name."""
        state = {"step": torch.tensor(self.step)}
        for part, module in (("network", self.network), ("predictor", self.predictor)):
            state |= {f"{part}.{name}": value for name, value in module.state_dict().items()}
        for index, moments in self._adam.state_dict()["state"].items():
            state |= {f"adam.{index}.{name}": value for name, value in moments.items()}
        return {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restore a checkpoint that `state` returned.

        Raises:
            RunError: it belongs to another network.
        """
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "predictor": {}}
        moments: dict[int, dict[str, Tensor]] = {}
        try:
            for name, value in state.items():
                part, _, rest = name.partition(".")
                if part == "adam":
                    index, _, moment = rest.partition(".")
                    moments.setdefault(int(index), {})[moment] = value
                elif part in parts:
                    parts[part][rest] = value
            self.network.load_state_dict(parts["network"])
            self.predictor.load_state_dict(parts["predictor"])
            groups = self._adam.state_dict()["param_groups"]
            self._adam.load_state_dict({"state": moments, "param_groups": groups})
            self.step = int(state["step"])
        except (KeyError, ValueError, RuntimeError) as error:
            raise RunError("the checkpoint belongs to another network", "start again with --restart") from error


def _target(judge: VGG19, picture: Pixels, side_px: int) -> StyleTarget:
    targets = StyleTargets([(picture, 1.0)], network=judge, layers=STYLE_LAYERS, kinds=STYLE_KINDS)
    return targets.at(side_px, side_px)[0]


def varied(pixels: Pixels, generator: np.random.Generator) -> Pixels:
    """Vary a style picture at random: colours, light, orientation, and the part that is seen."""
    height, width = pixels.shape[:2]
    share = generator.uniform(_SMALLEST_PART, 1)
    rows, columns = (max(1, round(size * share)) for size in (height, width))
    top, left = int(generator.integers(height - rows + 1)), int(generator.integers(width - columns + 1))
    part = pixels[top : top + rows, left : left + columns]
    if generator.random() < 0.6:
        part = part[..., generator.permutation(3)]
    if generator.random() < 0.2:
        part = np.iinfo(part.dtype).max - part
    if generator.random() < 0.5:
        part = part[:, ::-1]
    if generator.random() < 0.5:
        part = part.swapaxes(0, 1)
    return part.copy()
