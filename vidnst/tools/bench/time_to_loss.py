"""How soon the present settings are where plain Adam comes: speed that is paid for with worse pictures is none."""

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
from vidnst.tools.bench.full_renders import painted_style
from vidnst.tools.bench.synthetic_scene import MovingScene

_PLAIN = {
    "optimizer": "adam",
    "iterations": 300,
    "learning_rate": 0.02,
    "final_rate": 1.0,
    "scales": 1,
    "tolerance": 0.0,
    "init": "content",
}
"""The reference: 300 steps of Adam at a constant rate, from the content, at one scale."""
_BUDGETS = (1, 2, 4)
"""Times the usual evaluations: the least of them that reaches the reference counts."""


def reach_row(
    features: Mapping[str, NDArray[np.float32]], device: torch.device, size: tuple[int, int], *, backbone: str
) -> dict[str, Any]:
    """Seconds and evaluations of a cold frame until its total loss is the reference's, as plain JSON.

    Losses at coarse scales are of other pictures, so only those at the frame's own size count; seconds and evaluations
    of the coarse ones do. `reached` is null where four times the usual evaluations do not suffice.

    Args:
        features: the backbone's filters.
        size: width and height in pixels.
    """
    width, height = size
    content = from_pixels(MovingScene(1, width, height, square_px=height // 3).pixels(0), device)
    usual = RenderConfig.model_validate({"model": {"backbone": backbone}})
    exact = {"backbone": backbone, "precision": "float32"}
    plain = RenderConfig.model_validate({"model": exact, "optimize": _PLAIN})
    styles = [(painted_style(), 1.0)]
    reference = _Watch(Stylizer(features, styles, plain, device=device), content, plain.optimize.iterations)
    stylizer = Stylizer(features, styles, usual, device=device)
    target = reference.losses["total"]
    found: dict[str, Any] | None = None
    default: _Watch | None = None
    for times in _BUDGETS:
        budget = times * usual.optimize.iterations
        watch = _Watch(stylizer, content, budget)
        default = default or watch
        if at := watch.first_below(target):
            found = {"budget": budget, **at, "losses_over_reference": _over(at["losses"], reference.losses)}
            break
    assert default is not None
    return {
        "size": f"{width}x{height}",
        "reference": {"evaluations": reference.evaluations, "seconds": reference.seconds, "losses": reference.losses},
        "default": {
            "evaluations": default.evaluations,
            "seconds": default.seconds,
            "losses_over_reference": _over(default.losses, reference.losses),
        },
        "reached": found,
    }


def _over(losses: Mapping[str, float], reference: Mapping[str, float]) -> dict[str, float | None]:
    return {name: losses[name] / reference[name] if reference[name] else None for name in ("total", "style", "content")}


class _Watch:
    """A cold frame painted once, after a short try that loads what has to be loaded, with the time of every look.

    On a GPU the losses are looked at every ten evaluations only, so that looking costs nothing.
    """

    def __init__(self, stylizer: Stylizer, content: torch.Tensor, budget: int) -> None:
        stylizer.stylize(content, iterations=4)
        self._shape = tuple(content.shape[-2:])
        self._seen: list[tuple[float, int, dict[str, float]]] = []
        self._began = time.perf_counter()
        made = stylizer.stylize(content, iterations=budget, on_step=self._note)
        self.seconds = self._seen[-1][0]
        self.losses = {name: made.losses[name] for name in ("total", "style", "content")}
        self.evaluations = made.evaluations

    def _note(self, report: StepReport) -> None:
        if (report.height, report.width) == self._shape:
            seconds = time.perf_counter() - self._began
            self._seen.append((seconds, report.evaluation, dict(report.losses)))

    def first_below(self, total: float) -> dict[str, Any] | None:
        for seconds, evaluation, losses in self._seen:
            if losses["total"] <= total:
                return {"evaluations": evaluation, "seconds": seconds, "losses": losses}
        return None
