"""Distillation of slim from VGG19.

This is Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", applied to feature maps.
Every layer of the student must predict the teacher's layer through a projection head, a 1x1 convolution, on crops of
pictures and on crops that are being stylized. The latter act as adversarial examples: style transfer moves pictures to
where the student's Gram matrices match, and there the student must agree with its teacher, too.
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
from vidnst.style.distill.initialise import initialise_student
from vidnst.style.distill.student import Student, gram_distance, grams, relational_loss, relative_error
from vidnst.style.network.vgg import VGG19

_WARMUP_STEPS = 100
_VARIANCE_BATCHES = 4
"""Batches over which the variances of the teacher's channels are computed."""
_STYLIZE_RATE = 0.03
"""Root mean square of a stylizing step, in units of the full range."""
_INITIAL_BATCH, _CANVAS_BATCH, _VARIANCE_BATCH, _RENEWAL_BATCH = 2**32, 2**33, 2**34, 2**35
"""Batch numbers beyond those of the training steps."""


@dataclass(frozen=True, slots=True)
class DistillSettings:
    """Settings of the training; the same on the same pictures give the same student on the same machine."""

    learn_to: str = "relu3_4"
    """The deepest layer that is trained."""
    steps: int = 8000
    fresh: int = 8
    """Crops of pictures in each training step."""
    painted: int = 4
    """Crops in each training step that are being stylized, each together with the crop that is its style."""
    life_steps: int = 60
    """Steps for which a crop is stylized before it is replaced."""
    crop_px: int = 64
    """Side of the crops."""
    rate: float = 3e-3
    """Peak learning rate of Adam, after a warm-up and before a cosine decay to zero."""
    style_weight: float = 1.0
    """Weight of the error of the style layers, doubled for that of the third block, the hardest to learn."""
    other_weight: float = 0.5
    """Weight of the error of all layers but the style layers and the last one."""
    last_weight: float = 0.5
    """Weight of the error of the last layer, the input of the random layers."""
    quiet: float = 0.05
    """Variance of a channel over its layer's mean below which its error counts less. A larger value favours the strong
    channels, which dominate the Gram matrices; a smaller one favours the channels' correlations."""
    gram_weight: float = 0.5
    """Weight of the relative distance between predicted and true Gram matrices."""
    judgement_weight: float = 0.1
    """Weight of the relational loss: the disagreement of student and teacher about the distances of textures."""
    seed: int = 0


def with_assignments(settings: DistillSettings, assignments: Iterable[str]) -> DistillSettings:
    """Settings changed by texts like `rate=0.001`; ConfigError for an unknown name or an invalid value."""
    kinds = {name: type(value) for name, value in asdict(settings).items()}
    for assignment in assignments:
        name, _, text = assignment.partition("=")
        if name not in kinds:
            raise ConfigError(f"there is no distillation setting {name!r}", f"use one of {', '.join(kinds)}")
        try:
            settings = replace(settings, **{name: kinds[name](text)})
        except ValueError as error:
            raise ConfigError(f"--set {assignment!r} is not a number", f"write {name}=1, for example") from error
    return settings


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """The result of a training step."""

    step: int
    """Number of steps done."""
    loss: float
    errors: dict[str, float]
    """Relative error of each layer: 0 for the teacher's own maps, 1 for their mean."""


class Distillation:
    """The training state: a student, its optimizer and the crops that are being stylized.

    Args:
        teacher: VGG19's filters, at least down to `settings.learn_to`.
        crops: the training data.
        settings: of the training.
    """

    def __init__(self, teacher: Mapping[str, NDArray[np.float32]], crops: Crops, settings: DistillSettings) -> None:
        self.settings = settings
        self.step = 0
        self.teacher = VGG19(teacher, last_layer=settings.learn_to)
        self.student = Student(settings.learn_to)
        self._names = [conv.name for conv in self.student.conv_layers]
        # Textures are compared at the style layers, and at the last layer, on behalf of the deeper ones.
        self._textures = [name for name in self._names if name in STYLE_LAYERS or name == settings.learn_to]
        self._crops = crops
        self._adam = torch.optim.Adam(self.student.parameters(), lr=settings.rate, betas=(0.9, 0.99))
        initialise_student(self.student, self.teacher, teacher, crops.batch(_INITIAL_BATCH, 4 * settings.fresh))
        self._variances = self._measure_variances()
        self._canvas = crops.batch(_CANVAS_BATCH, 2 * settings.painted)
        """The crops that are being stylized, followed by their styles."""

    def advance(self) -> TrainingStep:
        """Do one training step.

        Raises:
            NumericalError: the loss is NaN or infinity.
        """
        for group in self._adam.param_groups:
            group["lr"] = self._rate()
        self._renew_canvas()
        x = torch.cat([self._canvas, self._crops.batch(self.step, self.settings.fresh)])
        with torch.no_grad():
            true = self.teacher(x, self._names)
        own = self.student(x)
        loss, errors = self._loss(own, true)
        if not math.isfinite(float(loss.detach())):
            raise NumericalError(
                f"the loss is {float(loss)} at step {self.step}", "lower the learning rate with --set rate"
            )
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._stylize_canvas({name: grams(own[name].detach()) for name in self._textures})
        self._adam.step()
        self.step += 1
        return TrainingStep(self.step, float(loss.detach()), {name: float(error) for name, error in errors.items()})

    def _rate(self) -> float:
        done = self.step / self.settings.steps
        return self.settings.rate * min(1.0, (self.step + 1) / _WARMUP_STEPS) * (1 + math.cos(math.pi * done)) / 2

    @torch.no_grad()
    def _measure_variances(self) -> dict[str, Tensor]:
        columns: dict[str, list[Tensor]] = {name: [] for name in self._names}
        for batch in range(_VARIANCE_BATCHES):
            x = self._crops.batch(_VARIANCE_BATCH + batch, 2 * self.settings.painted + self.settings.fresh)
            for name, maps in self.teacher(x, self._names).items():
                columns[name].append(maps.transpose(0, 1).flatten(1))
        return {name: torch.cat(parts, 1).var(1) for name, parts in columns.items()}

    def _loss(self, own: Mapping[str, Tensor], true: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        predicted = self.student.predictions(own)
        errors = {
            name: relative_error(predicted[name], true[name], self._variances[name], quiet=self.settings.quiet)
            for name in self._names
        }
        parts = [self._weight(name) * error for name, error in errors.items()]
        pairs = self._pairs(next(iter(own.values())).shape[0])
        for name in self._textures:
            true_gram, own_gram = grams(true[name]), grams(own[name])
            predicted_gram = self.student.predicted_gram(name, own_gram, own[name].mean((2, 3)))
            parts.append(self.settings.gram_weight * gram_distance(predicted_gram, true_gram).mean())
            parts.append(self.settings.judgement_weight * relational_loss(own_gram, true_gram, pairs))
        return torch.stack(parts).sum(), {name: error.detach() for name, error in errors.items()}

    def _weight(self, name: str) -> float:
        if name in STYLE_LAYERS:
            return self.settings.style_weight * (2 if name == "relu3_1" else 1)
        return self.settings.last_weight if name == self.settings.learn_to else self.settings.other_weight

    def _pairs(self, count: int) -> tuple[Tensor, Tensor]:
        """Indices of crops to compare: each stylized crop and its style, and each crop and the next."""
        painted = self.settings.painted
        first = torch.cat([torch.arange(painted), torch.arange(count)])
        second = torch.cat([torch.arange(painted, 2 * painted), torch.arange(count).roll(-1)])
        return first, second

    def _renew_canvas(self) -> None:
        """Replace crops that were stylized long enough, one by one, so that all ages are present."""
        settings = self.settings
        for index in range(settings.painted):
            age = self.step + index * settings.life_steps // settings.painted
            if age % settings.life_steps == 0:
                fresh = self._crops.batch(_RENEWAL_BATCH + self.step * settings.painted + index, 2)
                self._canvas[index], self._canvas[settings.painted + index] = fresh[0], fresh[1]

    def _stylize_canvas(self, own_grams: Mapping[str, Tensor]) -> None:
        """Move each crop of the canvas a step toward its style, by the student's Gram matrices of the whole batch."""
        painted = self.settings.painted
        if not painted:
            return
        x = self._canvas[:painted].clone().requires_grad_()
        maps = self.student(x)
        distances = [
            gram_distance(grams(maps[name]), own_grams[name][painted : 2 * painted]) for name in self._textures
        ]
        (gradient,) = torch.autograd.grad(torch.stack(distances).sum(), x)
        size = gradient.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        moved = x.detach() - _STYLIZE_RATE * (gradient / (size + 1e-12)).clamp(-3, 3)
        self._canvas[:painted] = moved.clamp(0, 1)

    def state(self) -> dict[str, Tensor]:
        """The checkpoint: all that the next step depends on besides settings and pictures, as tensors by name."""
        state = {"step": torch.tensor(self.step), "canvas": self._canvas}
        state |= {f"student.{name}": value for name, value in self.student.state_dict().items()}
        for index, moments in self._adam.state_dict()["state"].items():
            state |= {f"adam.{index}.{name}": value for name, value in moments.items()}
        return {name: value.detach().clone().contiguous() for name, value in state.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restore a checkpoint that `state` returned.

        Raises:
            RunError: it belongs to a student of another shape.
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
            raise RunError("the checkpoint belongs to another student", "start again with --restart") from error
