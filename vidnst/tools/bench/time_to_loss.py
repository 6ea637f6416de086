"""Measures how soon the present settings reach the loss of plain Adam, so that speed is not bought with quality."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vidnst.config import RenderConfig
from vidnst.style.minimize import StepReport
from vidnst.style.stylizer import Stylizer
from vidnst.style.tensors import from_pixels
from vidnst.tools.bench.synthetic_scene import MovingScene, synthetic_style

_REFERENCE = {
    "optimizer": "adam",
    "iterations": 300,
    "learning_rate": 0.02,
    "final_rate": 1.0,
    "scales": 1,
    "tolerance": 0.0,
    "init": "content",
}
"""300 steps of Adam at a constant rate, from the content, at one scale."""
_BUDGETS = (1, 2, 4)
"""Multiples of the default evaluations that are tried; the least that reaches the reference counts."""
_TERMS = ("total", "style", "content")


def measure_time_to_loss(
    features: Mapping[str, NDArray[np.float32]], device: torch.device, size: tuple[int, int], *, backbone: str
) -> dict[str, Any]:
    """Measure seconds and evaluations of a cold frame until its total loss is the reference's, in plain JSON values.

    Losses at coarse scales are of other pictures, so only those at the frame's own size count, but seconds and
    evaluations include the coarse scales. `reached` is null if the largest budget does not suffice.

    Args:
        features: the backbone's filters.
        size: width and height in pixels.
    """
    width, height = size
    content = from_pixels(MovingScene(1, width, height, square_px=height // 3).pixels(0), device)
    defaults = RenderConfig.model_validate({"model": {"backbone": backbone}})
    plain = RenderConfig.model_validate(
        {"model": {"backbone": backbone, "precision": "float32"}, "optimize": _REFERENCE}
    )
    styles = [(synthetic_style(), 1.0)]
    reference = _TimedRun(Stylizer(features, styles, plain, device=device), content, plain.optimize.iterations)
    stylizer = Stylizer(features, styles, defaults, device=device)
    runs: list[_TimedRun] = []
    reached: dict[str, Any] | None = None
    for budget in (times * defaults.optimize.iterations for times in _BUDGETS):
        runs.append(_TimedRun(stylizer, content, budget))
        if step := runs[-1].first_below(reference.losses["total"]):
            reached = {"budget": budget, **step, "losses_over_reference": _ratios(step["losses"], reference.losses)}
            break
    return {
        "size": f"{width}x{height}",
        "reference": {"evaluations": reference.evaluations, "seconds": reference.seconds, "losses": reference.losses},
        "default": {
            "evaluations": runs[0].evaluations,
            "seconds": runs[0].seconds,
            "losses_over_reference": _ratios(runs[0].losses, reference.losses),
        },
        "reached": reached,
    }


def _ratios(losses: Mapping[str, float], reference: Mapping[str, float]) -> dict[str, float | None]:
    return {name: losses[name] / reference[name] if reference[name] else None for name in _TERMS}


class _TimedRun:
    """One optimisation of a cold frame after a short warm-up, with the time of every reported step.

    On a GPU losses are reported every ten evaluations only, so that reporting costs nothing.
    """

    def __init__(self, stylizer: Stylizer, content: torch.Tensor, budget: int) -> None:
        stylizer.stylize(content, iterations=4)
        self._shape = tuple(content.shape[-2:])
        self._steps: list[tuple[float, int, dict[str, float]]] = []
        self._began = time.perf_counter()
        result = stylizer.stylize(content, iterations=budget, on_step=self._record)
        self.seconds = self._steps[-1][0]
        self.losses = {name: result.losses[name] for name in _TERMS}
        self.evaluations = result.evaluations

    def _record(self, report: StepReport) -> None:
        if (report.height, report.width) == self._shape:
            seconds = time.perf_counter() - self._began
            self._steps.append((seconds, report.evaluation, dict(report.losses)))

    def first_below(self, total: float) -> dict[str, Any] | None:
        for seconds, evaluation, losses in self._steps:
            if losses["total"] <= total:
                return {"evaluations": evaluation, "seconds": seconds, "losses": losses}
        return None
