"""Training of a transform network on a clip's own frames, by the losses of a render.

The losses are those that the optimiser of pixels uses (Johnson et al. 2016 train like that on many pictures; here they
are the clip's own frames). After the first part, another frame's painting, warped to the frame, is the start that the
temporal term holds the frame to (Huang et al. 2017, "Real-Time Neural Style Transfer for Videos"). Deviation: the
gradient flows through one of the two paintings, so the term is the same as for a warm start, and costs one pass more.

A step depends on the state, the samples and the seed alone, so a training that was interrupted goes on to the same
bytes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidnst.config.temporal import TrainingConfig
from vidnst.devices.determinism import reproducible_mode
from vidnst.errors import NumericalError, RunError
from vidnst.style.guidance import Guidance
from vidnst.style.losses.objective import Objective, WarmStart
from vidnst.style.losses.painted_patches import PaintedPatchLoss, PaintedSample
from vidnst.style.memory.modes import NO_SAVINGS, MemoryMode
from vidnst.style.stylizer import Stylizer
from vidnst.style.transform.network import TransformNetwork

_BETAS = (0.9, 0.99)
_MOMENTS = ("exp_avg", "exp_avg_sq")
"""Names of Adam's moments."""
_WARMUP_STEPS = 20


@dataclass(frozen=True, slots=True)
class PairedFrame:
    """A frame whose painting, warped, the painting of another frame is held to."""

    content: Tensor
    """`(1, 3, H, W)` in [0, 1]."""
    shares: Tensor | None
    """The shares of its styles, as the network takes them."""
    warp: Callable[[Tensor], WarmStart]
    """Turns its painting into the other frame's start."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A frame to learn from."""

    content: Tensor
    """`(1, 3, H, W)` in [0, 1]."""
    shares: Tensor | None = None
    """`(1, S, H, W)` or `(1, S, 1, 1)`, of its styles, as the network takes them; None if there is one style."""
    guidance: Guidance | None = None
    """The same as the losses take it."""
    pair: PairedFrame | None = None
    """The frame that it is held to."""


class Training:
    """A network and its optimizer, between two steps.

    Args:
        stylizer: computes the losses; the network is on its device.
        plan: the whole training.
        styles: number of styles.
        seed: of the network's first parameters, and of the order of samples.
        start: the network to start from; None draws one.
        clip_share: share of the objective's losses, where painted samples are learned, too.
    """

    def __init__(
        self,
        stylizer: Stylizer,
        plan: TrainingConfig,
        *,
        styles: int = 1,
        seed: int = 0,
        start: TransformNetwork | None = None,
        clip_share: float = 1.0,
    ) -> None:
        network = TransformNetwork(styles=styles, seed=seed) if start is None else start
        self.network = network.to(stylizer.device)
        self.step = 0
        self._stylizer = stylizer
        self._plan = plan
        self._clip_share = clip_share
        self._seed = seed
        self._adam = torch.optim.Adam(self.network.parameters(), lr=plan.rate, betas=_BETAS)

    def train(
        self,
        samples: Sequence[Sample],
        steps: int,
        *,
        painted: Sequence[PaintedSample] = (),
        memory_mode: MemoryMode = NO_SAVINGS,
    ) -> dict[str, float]:
        """Do steps, each on one sample, and on patches of one painted sample if there are any.

        Returns:
            The mean losses by the names of `objective.TERMS`, unless their share is 0, and `keys` if there are painted
            samples.

        Raises:
            NumericalError: a loss is NaN or infinite.
        """
        patch_loss = self._stylizer.patch_loss(memory_mode=memory_mode) if painted else None
        share = self._clip_share if painted else 1.0
        objectives = [
            self._stylizer.objective(sample.content, guidance=sample.guidance, memory_mode=memory_mode)
            for sample in samples
            if share
        ]
        sums: dict[str, float] = {}
        with reproducible_mode():
            for _ in range(steps):
                number = self._draw(len(samples))
                losses = self._losses(samples[number], objectives[number]) if objectives else {}
                if patch_loss is not None:
                    losses = self._with_patches(losses, painted, patch_loss)
                values = self._advance(losses)
                sums = {name: sums.get(name, 0.0) + value / steps for name, value in values.items()}
        return sums

    def _losses(self, sample: Sample, objective: Objective) -> dict[str, Tensor]:
        start = self._start(sample)
        self.network.train(self._uses_own_statistics())
        return objective.with_start(start)(self.network(sample.content, sample.shares))

    def _with_patches(
        self, losses: dict[str, Tensor], painted: Sequence[PaintedSample], patch_loss: PaintedPatchLoss
    ) -> dict[str, Tensor]:
        """Add the distance from patches of one of the paintings to losses, of which there may be none."""
        generator = np.random.default_rng((self._seed, self.step, 1))
        patches = painted[int(generator.integers(len(painted)))].patches(generator)
        self.network.train(self._uses_own_statistics())
        distance = patch_loss(self.network(patches.content, patches.shares), patches)
        total = self._clip_share * losses["total"] + distance if losses else distance
        return {**losses, "total": total, "keys": distance}

    def _advance(self, losses: dict[str, Tensor]) -> dict[str, float]:
        """Do a step down the gradient of the total."""
        for group in self._adam.param_groups:
            group["lr"] = self._rate()
        read = torch.stack([value.detach().float() for value in losses.values()]).tolist()  # one wait for the device
        values = dict(zip(losses, read, strict=True))
        if not math.isfinite(values["total"]):
            raise NumericalError(
                f"the loss is {values['total']} at training step {self.step}", "lower schedule.training.rate"
            )
        self._adam.zero_grad()
        losses["total"].backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        self.step += 1
        return values

    def _start(self, sample: Sample) -> WarmStart | None:
        """The painting of the paired frame, warped to the frame; None while frames are trained alone."""
        if sample.pair is None or self.step < self._plan.alone * self._plan.steps:
            return None
        with torch.no_grad():
            network = self.network.train(self._uses_own_statistics())
            start = sample.pair.warp(network(sample.pair.content, sample.pair.shares))
            return replace(start, hold=self._plan.hold)

    def _uses_own_statistics(self) -> bool:
        return self.step < self._plan.own_statistics * self._plan.steps

    def _draw(self, count: int) -> int:
        return int(np.random.default_rng((self._seed, self.step)).integers(count))

    def _rate(self) -> float:
        decay = (1 + math.cos(math.pi * min(1.0, self.step / self._plan.steps))) / 2
        return self._plan.rate * min(1.0, (self.step + 1) / _WARMUP_STEPS) * decay

    def state(self) -> NDArray[np.float32]:
        """All that the next step depends on besides the samples: the network's vector, then Adam's moments."""
        moments = [self._moment(parameter, name) for name in _MOMENTS for parameter in self.network.parameters()]
        return np.concatenate([self.network.to_vector(), *(moment.cpu().numpy().ravel() for moment in moments)])

    def _moment(self, parameter: Tensor, name: str) -> Tensor:
        moments = self._adam.state[parameter]
        return moments[name].detach() if moments else torch.zeros_like(parameter, requires_grad=False)

    def restore(self, state: NDArray[np.float32], step: int) -> None:
        """Go on where `state` was taken, after `step` steps.

        Raises:
            RunError: it belongs to another network.
        """
        parameters = list(self.network.parameters())
        count, size = len(self.network.to_vector()), sum(parameter.numel() for parameter in parameters)
        if len(state) != count + len(_MOMENTS) * size:
            raise RunError("the checkpoint belongs to another network", "start again with --restart")
        self.network.load_vector(state[:count])
        moments = iter(np.split(state[count:], np.cumsum([parameter.numel() for parameter in parameters] * 2)[:-1]))
        for parameter in parameters:
            self._adam.state[parameter] = {"step": torch.tensor(float(step))}
        for name in _MOMENTS:
            for parameter in parameters:
                values = torch.from_numpy(np.array(next(moments))).view(parameter.shape)
                self._adam.state[parameter][name] = values.to(parameter.device)
        self.step = step
