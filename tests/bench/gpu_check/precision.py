"""Losses, gradients and finished pictures in each precision against float32 on the CPU."""

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from bench.gpu_check.check import Check, relative_error
from bench.gpu_check.findings import FAIL, LOOK, OK
from bench.gpu_check.material import (
    KINDS,
    config_of,
    content_of,
    losses_and_gradient,
    stylizer_of,
    warm_start,
)
from torch import Tensor

from vidnst.devices.determinism import reproducible_mode
from vidnst.style.guidance import Guidance, RegionGuidance, StyleMix
from vidnst.style.losses.objective import WarmStart

BOUNDS = {"float32": (1e-3, 2e-2), "bfloat16": (5e-2, 0.35)}
"""Largest relative errors of losses and of gradients. A rectifier or a maximum that falls the other way changes a
gradient far more than a loss."""
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class _Case:
    """One objective."""

    name: str
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)
    lit: bool = False
    in_regions: bool = False


def check_losses(check: Check) -> None:
    """Each statistic and each loss, with its gradient, against the CPU's float32."""
    worst: dict[str, tuple[float, float, str]] = {}
    rows: dict[str, dict[str, tuple[float, float]]] = {}
    cases = _cases(check.dry)
    for case in cases:
        reference = _evaluate(check, case, CPU, "float32")
        rows[case.name] = {}
        for precision, (most_loss, most_gradient) in BOUNDS.items():
            found = _evaluate(check, case, check.device, precision)
            loss, gradient = _errors(found, reference)
            rows[case.name][precision] = loss, gradient
            if not (loss <= most_loss and gradient <= most_gradient):
                verdict = FAIL if loss > 10 * most_loss or not np.isfinite(gradient) else LOOK
                check.say(f"{case.name}, {precision}", f"losses off by {loss:.1e}, gradient by {gradient:.1e}", verdict)
            worst[precision] = max(worst.get(precision, (0.0, 0.0, "")), (gradient, loss, case.name))
    check.keep(errors=rows, bounds=BOUNDS)
    for precision, (gradient, loss, name) in worst.items():
        text = f"largest error of a gradient {gradient:.1e} ({name}), of its losses {loss:.1e}"
        good = all(row[precision][0] <= BOUNDS[precision][0] for row in rows.values())
        check.judge(f"{precision} against a CPU's float32, {len(cases)} cases", text, good)


def _cases(dry: bool) -> list[_Case]:
    cases = [_Case(kind, {"losses": {"style_kinds": {kind: 1.0}, "edges_weight": 1.0}}) for kind in KINDS]
    cases += [_Case("light and static areas", lit=True), _Case("two regions", in_regions=True)]
    if dry:
        return cases
    cases += [_Case(f"padding {name}", {"model": {"padding": name}}) for name in ("replicate", "reflect")]
    cases += [_Case("average pooling", {"model": {"pooling": "average"}})]
    cases += [_Case(f"scale {name}", {"losses": {"scale": name}}) for name in ("gatys", "mean")]
    cases += [
        _Case(f"{kind} in two regions", {"losses": {"style_kinds": {kind: 1.0}}}, in_regions=True)
        for kind in ("wasserstein", "sliced", "mmd_gaussian")
    ]
    return cases


def _evaluate(check: Check, case: _Case, device: torch.device, precision: str) -> tuple[dict[str, float], Tensor]:
    size = check.small_size
    sections = {**case.sections, "model": {**case.sections.get("model", {}), "precision": precision}}
    stylizer = stylizer_of(check, config_of(check, **sections), device)
    content = content_of(check, size, device)
    start: WarmStart = warm_start(size, device, lit=case.lit)
    picture = (content * 0.6 + 0.4 * start.picture).clamp(0, 1)
    guidance = _halves(size) if case.in_regions else None
    with reproducible_mode():
        return losses_and_gradient(stylizer.objective(content, start=start, guidance=guidance), picture)


def _halves(size: tuple[int, int]) -> Guidance:
    """The one style on either side."""
    width, height = size
    left = np.zeros((height, width), np.uint8)
    left[:, : width // 2] = 255
    mixes = (StyleMix(1.0, ((0, 1.0),)),)
    return Guidance((RegionGuidance(mixes, left), RegionGuidance(mixes, 255 - left)))


def _errors(found: tuple[dict[str, float], Tensor], reference: tuple[dict[str, float], Tensor]) -> tuple[float, float]:
    losses, gradient = found
    wanted, slope = reference
    off = max(abs(losses[name] - value) / max(abs(value), 1e-9) for name, value in wanted.items())
    return off, relative_error(gradient, slope)


def check_precision(check: Check) -> None:
    """Finished pictures in each precision, all judged in float32; and that float32 is no TF32."""
    size, count = ((64, 48), 4) if check.dry else ((640, 360), 100)
    content = content_of(check, size)
    judge = stylizer_of(check, config_of(check, model={"precision": "float32"}))
    losses: dict[str, dict[str, float]] = {}
    images: dict[str, Tensor] = {}
    seconds: dict[str, float] = {}
    for precision in BOUNDS:
        stylizer = stylizer_of(check, config_of(check, model={"precision": precision}))
        stylizer.stylize(content, iterations=2)
        check.synchronize()
        began = time.perf_counter()
        images[precision] = stylizer.stylize(content, iterations=count).image
        check.synchronize()
        seconds[precision] = time.perf_counter() - began
        losses[precision] = judge.evaluate(content, images[precision])
    ratios = {name: losses["bfloat16"][name] / losses["float32"][name] for name in ("total", "style", "content")}
    check.keep(losses=losses, seconds=seconds)
    shown = ", ".join(f"{name} {ratio:.4f}" for name, ratio in ratios.items())
    took = f"{seconds['bfloat16']:.2f} s for {seconds['float32']:.2f} s"
    good = abs(ratios["total"] - 1) < 0.02
    check.judge(f"bfloat16 against float32 after {count} evaluations", f"{shown}; {took}", good)
    _no_tf32(check)


def _no_tf32(check: Check) -> None:
    """A convolution and a product of float32, against float64."""
    generator = torch.Generator().manual_seed(2)
    maps, filters = torch.randn(1, 64, 32, 32, generator=generator), torch.randn(64, 64, 3, 3, generator=generator)
    exact = torch.nn.functional.conv2d(maps.double(), filters.double(), padding=1)
    product = maps[0].reshape(64, -1).double() @ maps[0].reshape(64, -1).double().T
    with reproducible_mode():
        here = torch.nn.functional.conv2d(maps.to(check.device), filters.to(check.device), padding=1)
        rows = maps[0].reshape(64, -1).to(check.device)
        errors = relative_error(here, exact), relative_error(rows @ rows.T, product)
    good = max(errors) < 1e-5  # TF32 is off by some 3e-4
    text = f"a convolution off by {errors[0]:.1e}, a product by {errors[1]:.1e}"
    check.say("float32 is not rounded to TF32", text, OK if good else FAIL)
