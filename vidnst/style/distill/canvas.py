"""Crops that are being stylized while a student learns, as a render would stylize them with that student."""

from collections.abc import Mapping

import torch
from torch import Tensor

from vidnst.config import RenderConfig
from vidnst.style.distill.crops import Crops
from vidnst.style.distill.student import Student, content_distance, gram_distance
from vidnst.style.losses.terms import total_variation

_FIRST_BATCH, _RENEWAL_BATCH = 2**33, 2**35
"""Batch numbers of crops, beyond those of the training steps."""
_BETAS = (0.9, 0.999)
_EPSILON = 1e-8


class Canvas:
    """Pictures that start as photographs and approach a style, step by step, by the student's own losses.

    They act as adversarial examples: style transfer moves pictures to where the student's losses are small, and there
    the student must agree with its teacher, too. Weights and step are those of a default render.

    Args:
        crops: contents and styles.
        count: pictures at a time.
        life_steps: steps after which a picture is replaced; they are replaced one by one, so all ages are present.
    """

    def __init__(self, crops: Crops, *, count: int, life_steps: int) -> None:
        self.count = count
        self._crops, self._life_steps = crops, life_steps
        self._losses, self._rate = RenderConfig().losses, RenderConfig().optimize.learning_rate
        first = crops.batch(_FIRST_BATCH, 2 * count)
        self.pictures = torch.cat([first[:count], first[count:], first[:count]])
        """The pictures, then their styles, then their contents: `(3 count, 3, side, side)` in [0, 1]."""
        self._moments = torch.zeros(2, *first[:count].shape, device=crops.device)

    def renew(self, step: int) -> None:
        """Replace the picture that has been stylized long enough at this step of the training."""
        for index in range(self.count):
            if self._age(index, step) == 0:
                content, style = self._crops.batch(_RENEWAL_BATCH + step * self.count + index, 2)
                for place, crop in enumerate((content, style, content)):
                    self.pictures[place * self.count + index] = crop
                self._moments[:, index] = 0

    def paint(self, student: Student, step: int, grams: Mapping[str, Tensor], content: tuple[str, Tensor]) -> None:
        """Move each picture a step of Adam (Kingma & Ba 2015) down the student's losses.

        Args:
            grams: the student's Gram matrices of `pictures`, predicted, by style layer.
            content: the content layer, and the student's predicted maps of `pictures` there.
        """
        if not self.count:
            return
        x = self.pictures[: self.count].clone().requires_grad_()
        maps = student(x)
        styles, contents = (slice(place * self.count, (place + 1) * self.count) for place in (1, 2))
        distances = [
            gram_distance(student.predicted_gram(name, maps[name]), of_layer[styles])
            for name, of_layer in grams.items()
        ]
        layer, of_content = content[0], content[1][contents]
        loss = self._losses.style_weight * torch.stack(distances).mean(0).sum()
        apart = content_distance(student.prediction(layer, maps[layer]), of_content)
        loss = loss + self._losses.content_weight * apart.sum()
        loss = loss + self._losses.tv_weight * self.count * total_variation(x)
        (gradient,) = torch.autograd.grad(loss, x)
        self._step(gradient, step)

    def _step(self, gradient: Tensor, step: int) -> None:
        ages = torch.tensor([self._age(index, step) + 1.0 for index in range(self.count)])
        ages = ages.to(gradient.device).view(-1, 1, 1, 1)
        for moment, beta, value in zip(self._moments, _BETAS, (gradient, gradient.square()), strict=True):
            moment.lerp_(value, 1 - beta)
        mean, square = (moment / (1 - beta**ages) for moment, beta in zip(self._moments, _BETAS, strict=True))
        moved = self.pictures[: self.count] - self._rate * mean / (square.sqrt() + _EPSILON)
        self.pictures[: self.count] = moved.clamp(0, 1)

    def _age(self, index: int, step: int) -> int:
        return (step + index * self._life_steps // self.count) % self._life_steps

    def state(self) -> dict[str, Tensor]:
        """The tensors that the next step depends on, by name."""
        return {"canvas": self.pictures, "canvas_moments": self._moments}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state` returned; KeyError or RuntimeError if it belongs to another canvas."""
        self.pictures.copy_(state["canvas"])
        self._moments.copy_(state["canvas_moments"])
