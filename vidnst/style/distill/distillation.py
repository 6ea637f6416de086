"""Teaching slim what VGG19 sees (Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", for feature maps).

Every layer of the student must predict the teacher's layer through a 1x1 convolution, on crops of pictures and on crops
that are being painted. The latter matter: style transfer goes where the student's Gram matrices are right, and without
having been there the student would not know where they deceive.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidnst.config import STYLE_LAYERS
from vidnst.errors import ConfigError, NumericalError, RunError
from vidnst.style.distill.crops import Crops
from vidnst.style.distill.initialise import inherit
from vidnst.style.distill.student import Spread, Student, disagreement, distance, grams
from vidnst.style.network.vgg import VGG19

_WARMUP_STEPS = 100
_SPREAD_BATCHES = 4
"""Batches over which the variances of the teacher's channels are taken."""
_PAINT_RATE = 0.03
"""Root mean square of a painting step, in units of the full range."""
_FIRST_LOOK, _CANVAS, _SPREADS, _RENEWALS = 2**32, 2**33, 2**34, 2**35
"""Numbers of batches beyond those of the steps."""


@dataclass(frozen=True, slots=True)
class DistillSettings:
    """How a student is taught; the same settings on the same pictures give the same student on the same machine."""

    learn_to: str = "relu3_4"
    """The deepest layer that is learned."""
    steps: int = 8000
    fresh: int = 8
    """Crops of pictures in each step."""
    painted: int = 4
    """Crops in each step that are being painted, each together with the crop that it is painted after."""
    life_steps: int = 60
    """How long a crop is painted before another takes its place."""
    crop_px: int = 64
    rate: float = 3e-3
    """Adam's, at its highest; it rises over the first steps and falls to nothing along a cosine."""
    style_weight: float = 1.0
    """Of the error of the layers that styles look at; twice that for the third block's, the hardest to learn."""
    other_weight: float = 0.5
    """Of the error of the layers on the way there."""
    last_weight: float = 0.5
    """Of the error of the last one, on which the random ones stand."""
    quiet: float = 0.05
    """Variance of a channel over its layer's mean under which its error counts less than that of others. A larger share
    serves the loud channels, which decide the Gram matrices; a smaller one the channels' correlations."""
    gram_weight: float = 0.5
    """Of the relative distance between predicted and true Gram matrices."""
    judgement_weight: float = 0.1
    """Of the difference between what student and teacher make of the distance of two textures."""
    seed: int = 0


def changed(settings: DistillSettings, assignments: Iterable[str]) -> DistillSettings:
    """Settings with some of them set to other values by texts like `rate=0.001`; ConfigError for an unknown one."""
    kinds = {name: type(value) for name, value in asdict(settings).items()}
    for assignment in assignments:
        name, _, text = assignment.partition("=")
        if name not in kinds:
            raise ConfigError(f"there is no setting {name!r} of teaching", f"take one of {', '.join(kinds)}")
        try:
            settings = replace(settings, **{name: kinds[name](text)})
        except ValueError as error:
            raise ConfigError(f"--set {assignment!r} is not a number", f"write for example {name}=1") from error
    return settings


@dataclass(frozen=True, slots=True)
class Lesson:
    """How a step went."""

    step: int
    """Steps done."""
    loss: float
    errors: dict[str, float]
    """Relative error of each layer: 0 for the teacher's own maps, 1 for a guess of their mean."""


class Distillation:
    """A student, its optimiser and its painted crops: all that goes on from one step to the next.

    Args:
        teacher: VGG19's filters, at least down to `settings.learn_to`.
        crops: what is looked at.
        settings: how.
    """

    def __init__(self, teacher: Mapping[str, NDArray[np.float32]], crops: Crops, settings: DistillSettings) -> None:
        self.settings = settings
        self.step = 0
        self.teacher = VGG19(teacher, last_layer=settings.learn_to)
        self.student = Student(settings.learn_to)
        self._names = [conv.name for conv in self.student.plan]
        # Textures are compared where styles look, and at the last layer, which stands for the deeper ones.
        self._textures = [name for name in self._names if name in STYLE_LAYERS or name == settings.learn_to]
        self._crops = crops
        self._adam = torch.optim.Adam(self.student.parameters(), lr=settings.rate, betas=(0.9, 0.99))
        inherit(self.student, self.teacher, teacher, crops.batch(_FIRST_LOOK, 4 * settings.fresh))
        self._spreads = self._look_around()
        self._canvas = crops.batch(_CANVAS, 2 * settings.painted)
        """First what is painted, then what it is painted after."""

    def advance(self) -> Lesson:
        """One step.

        Raises:
            NumericalError: the loss is NaN or infinity.
        """
        for group in self._adam.param_groups:
            group["lr"] = self._rate()
        self._renew()
        x = torch.cat([self._canvas, self._crops.batch(self.step, self.settings.fresh)])
        with torch.no_grad():
            true = self.teacher(x, self._names)
        own = self.student(x)
        loss, errors = self._loss(own, true)
        if not math.isfinite(float(loss.detach())):
            raise NumericalError(f"the loss is {float(loss)} at step {self.step}", "lower the rate of learning")
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._paint({name: grams(own[name].detach()) for name in self._textures})
        self._adam.step()
        self.step += 1
        return Lesson(self.step, float(loss.detach()), {name: float(error) for name, error in errors.items()})

    def _rate(self) -> float:
        done = self.step / self.settings.steps
        return self.settings.rate * min(1.0, (self.step + 1) / _WARMUP_STEPS) * (1 + math.cos(math.pi * done)) / 2

    @torch.no_grad()
    def _look_around(self) -> dict[str, Spread]:
        found: dict[str, list[Tensor]] = {name: [] for name in self._names}
        for batch in range(_SPREAD_BATCHES):
            x = self._crops.batch(_SPREADS + batch, 2 * self.settings.painted + self.settings.fresh)
            for name, maps in self.teacher(x, self._names).items():
                found[name].append(maps.transpose(0, 1).flatten(1))
        return {name: Spread(torch.cat(parts, 1).var(1), self.settings.quiet) for name, parts in found.items()}

    def _loss(self, own: Mapping[str, Tensor], true: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        predicted = self.student.predictions(own)
        errors = {name: self._spreads[name].error(predicted[name], true[name]) for name in self._names}
        parts = [self._weight(name) * error for name, error in errors.items()]
        pairs = self._pairs(next(iter(own.values())).shape[0])
        for name in self._textures:
            taught, seen = grams(true[name]), grams(own[name])
            guessed = self.student.predicted_gram(name, seen, own[name].mean((2, 3)))
            parts.append(self.settings.gram_weight * distance(guessed, taught).mean())
            parts.append(self.settings.judgement_weight * disagreement(seen, taught, pairs))
        return torch.stack(parts).sum(), {name: error.detach() for name, error in errors.items()}

    def _weight(self, name: str) -> float:
        if name in STYLE_LAYERS:
            return self.settings.style_weight * (2 if name == "relu3_1" else 1)
        return self.settings.last_weight if name == self.settings.learn_to else self.settings.other_weight

    def _pairs(self, count: int) -> tuple[Tensor, Tensor]:
        """Each painted crop and its model, and each crop and the next."""
        painted = self.settings.painted
        first = torch.cat([torch.arange(painted), torch.arange(count)])
        second = torch.cat([torch.arange(painted, 2 * painted), torch.arange(count).roll(-1)])
        return first, second

    def _renew(self) -> None:
        """Put new crops in the place of those painted for long; one by one, so that all ages are there."""
        settings = self.settings
        for index in range(settings.painted):
            age = self.step + index * settings.life_steps // settings.painted
            if age % settings.life_steps == 0:
                fresh = self._crops.batch(_RENEWALS + self.step * settings.painted + index, 2)
                self._canvas[index], self._canvas[settings.painted + index] = fresh[0], fresh[1]

    def _paint(self, seen: Mapping[str, Tensor]) -> None:
        """Move each painted crop a step toward its model, in the student's eyes."""
        painted = self.settings.painted
        if not painted:
            return
        x = self._canvas[:painted].clone().requires_grad_()
        maps = self.student(x)
        apart = [distance(grams(maps[name]), seen[name][painted : 2 * painted]) for name in self._textures]
        (gradient,) = torch.autograd.grad(torch.stack(apart).sum(), x)
        size = gradient.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        moved = x.detach() - _PAINT_RATE * (gradient / (size + 1e-12)).clamp(-3, 3)
        self._canvas[:painted] = moved.clamp(0, 1)

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on, besides settings and pictures; plain tensors by name."""
        state = {"step": torch.tensor(self.step), "canvas": self._canvas}
        state |= {f"student.{name}": value for name, value in self.student.state_dict().items()}
        for index, moments in self._adam.state_dict()["state"].items():
            state |= {f"adam.{index}.{name}": value for name, value in moments.items()}
        return {name: value.detach().clone().contiguous() for name, value in state.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave.

        Raises:
            RunError: it is not of a student like this one.
        """
        moments: dict[int, dict[str, Tensor]] = {}
        try:
            student = {name.removeprefix("student."): value for name, value in state.items() if "student." in name}
            self.student.load_state_dict(student)
            for name, value in state.items():
                if name.startswith("adam."):
                    _, index, moment = name.split(".")
                    moments.setdefault(int(index), {})[moment] = value
            groups = self._adam.state_dict()["param_groups"]
            self._adam.load_state_dict({"state": moments, "param_groups": groups})
            self._canvas.copy_(state["canvas"])
            self.step = int(state["step"])
        except (KeyError, ValueError, RuntimeError) as error:
            raise RunError("the checkpoint is of another student", "start afresh with --restart") from error
