"""Distillation of slim from VGG19.

This is Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", applied to feature maps.
Every layer of the student must predict the teacher's layer, through a projection head where it has fewer channels, on
crops of pictures and on crops that are being stylized (`canvas.py`). What counts in the end is that a render's losses
mean the same to both, so the relational loss compares the distances that they see.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidnst.config import STYLE_LAYERS
from vidnst.errors import NumericalError, RunError
from vidnst.style.distill.canvas import Canvas
from vidnst.style.distill.crops import Crops
from vidnst.style.distill.initialise import initialise_student
from vidnst.style.distill.student import (
    Student,
    content_distance,
    gram_distance,
    grams,
    relational_loss,
    relative_error,
)
from vidnst.style.network.vgg import VGG19

_WARMUP_STEPS = 100
_VARIANCE_BATCHES = 4
"""Batches over which the variances of the teacher's channels are computed."""
_CALIBRATION_CROPS = 8
_INITIAL_CROPS = 96
_CONTENT_LAYER = "relu4_2"
_INITIAL_BATCH, _VARIANCE_BATCH = 2**32, 2**34
"""Batch numbers beyond those of the training steps."""


@dataclass(frozen=True, slots=True)
class DistillSettings:
    """Settings of the training; the same on the same pictures give the same student on the same machine."""

    learn_to: str = "relu5_1"
    """The deepest layer that is trained."""
    steps: int = 1500
    fresh: int = 2
    """Crops of pictures in each training step."""
    painted: int = 2
    """Crops in each training step that are being stylized, each together with its style and its content."""
    life_steps: int = 100
    """Steps for which a crop is stylized before it is replaced."""
    crop_px: int = 96
    """Side of the crops."""
    rate: float = 5e-4
    """Peak learning rate of Adam, after a warm-up and before a cosine decay to zero."""
    used_weight: float = 1.0
    """Weight of the error of the maps of the default style and content layers."""
    other_weight: float = 0.25
    """Weight of the error of the maps of all other layers."""
    quiet: float = 0.2
    """Variance of a channel over its layer's mean below which its error counts less. A larger value favours the strong
    channels, which dominate the Gram matrices; a smaller one favours the channels' correlations."""
    gram_weight: float = 1.0
    """Weight of the relative distance between predicted and true Gram matrices."""
    judgement_weight: float = 0.05
    """Weight of the relational loss: the disagreement of student and teacher about distances of textures and contents.
    """
    seed: int = 0


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
        crops: the training data, on the device that trains.
        settings: of the training.
    """

    def __init__(self, teacher: Mapping[str, NDArray[np.float32]], crops: Crops, settings: DistillSettings) -> None:
        self.settings = settings
        self.step = 0
        self.teacher = VGG19(teacher, last_layer=settings.learn_to).to(crops.device)
        first = crops.batch(_INITIAL_BATCH, _INITIAL_CROPS)
        # So that one learning rate suits all layers.
        self.teacher.scale_to_unit_means([crop[None] for crop in first[:_CALIBRATION_CROPS]])
        self.student = Student(settings.learn_to).to(crops.device)
        self._names = [conv.name for conv in self.student.conv_layers]
        self._textures = [name for name in self._names if name in STYLE_LAYERS]
        self._content = _CONTENT_LAYER if _CONTENT_LAYER in self._names else settings.learn_to
        self._crops = crops
        self._adam = torch.optim.Adam(self.student.parameters(), lr=settings.rate, betas=(0.9, 0.99))
        initialise_student(self.student, self.teacher, first)
        self._variances = self._measure_variances()
        self._canvas = Canvas(crops, count=settings.painted, life_steps=settings.life_steps)

    def advance(self) -> TrainingStep:
        """Do one training step.

        Raises:
            NumericalError: the loss is NaN or infinity.
        """
        for group in self._adam.param_groups:
            group["lr"] = self._rate()
        self._canvas.renew(self.step)
        x = torch.cat([self._canvas.pictures, self._crops.batch(self.step, self.settings.fresh)])
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
        with torch.no_grad():
            targets = {name: self.student.predicted_gram(name, own[name]) for name in self._textures}
            content = self.student.prediction(self._content, own[self._content])
        self._canvas.paint(self.student, self.step, targets, (self._content, content))
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
            x = self._crops.batch(_VARIANCE_BATCH + batch, 3 * self.settings.painted + self.settings.fresh)
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
            true_gram, predicted_gram = grams(true[name]), self.student.predicted_gram(name, own[name])
            parts.append(self.settings.gram_weight * gram_distance(predicted_gram, true_gram).mean())
            distances = [gram_distance(all_[pairs[0]], all_[pairs[1]]) for all_ in (predicted_gram, true_gram)]
            parts.append(self.settings.judgement_weight * relational_loss(*distances))
        if painted := self.settings.painted:
            distances = [
                content_distance(all_[self._content][:painted], all_[self._content][2 * painted : 3 * painted])
                for all_ in (predicted, true)
            ]
            parts.append(self.settings.judgement_weight * relational_loss(*distances))
        return torch.stack(parts).sum(), {name: error.detach() for name, error in errors.items()}

    def _weight(self, name: str) -> float:
        used = name in (*self._textures, self._content)
        return self.settings.used_weight if used else self.settings.other_weight

    def _pairs(self, count: int) -> tuple[Tensor, Tensor]:
        """Indices of crops to compare: each stylized crop and its style, and each crop and the next."""
        painted = self.settings.painted
        first = torch.cat([torch.arange(painted), torch.arange(count)])
        second = torch.cat([torch.arange(painted, 2 * painted), torch.arange(count).roll(-1)])
        return first.to(self._crops.device), second.to(self._crops.device)

    def state(self) -> dict[str, Tensor]:
        """The checkpoint: all that the next step depends on besides settings and pictures, on the CPU, by name."""
        state = {"step": torch.tensor(self.step), **self._canvas.state()}
        state |= {f"student.{name}": value for name, value in self.student.state_dict().items()}
        for index, moments in self._adam.state_dict()["state"].items():
            state |= {f"adam.{index}.{name}": value for name, value in moments.items()}
        return {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}

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
            self._canvas.restore(state)
            self.step = int(state["step"])
        except (KeyError, ValueError, RuntimeError) as error:
            raise RunError("the checkpoint belongs to another student", "start again with --restart") from error
