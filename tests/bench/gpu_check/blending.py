"""Blending, warping and light on the device against OpenCV."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from bench.gpu_check.check import Check
from bench.gpu_check.findings import FAIL
from bench.gpu_check.material import jobs_of

from vidnst.farm.jobs import StylizeJob
from vidnst.motion.blend import BlendedStart, WarmSource, blend
from vidnst.motion.flow import Flow
from vidnst.motion.gpu.blend import BlendedTensors, blend_on_device
from vidnst.motion.gpu.upload import upload

_ON_LATTICE = 2e-4
"""Largest difference where OpenCV rounds no position."""
_MEAN_OFF_LATTICE = 1e-3
"""Largest mean difference where it rounds them to 1/32 of a pixel."""
_VALIDITY = 1e-4
_LIGHT_MEAN = 2e-3
"""Largest mean difference of a change of light, whose blur has another border."""


def check_blending(check: Check) -> None:
    """What a warm frame begins with, on the device and by OpenCV."""
    size = (160, 112) if check.dry else check.size_720p
    (job,) = jobs_of(1, size, with_sources=True)
    rounded = [_on_lattice(source, size) for source in job.starts]
    gaps = replace(rounded[1], flow=_with_gaps(rounded[1].flow))
    cases: dict[str, Sequence[WarmSource]] = {
        "own state and two neighbours": rounded,
        "two neighbours": rounded[1:],
        "one neighbour": rounded[1:2],
        "one neighbour, a third of it invalid": [gaps],
    }
    for name, sources in cases.items():
        _compare(check, name, job, sources, most=_ON_LATTICE)
    _compare(check, "as flows come", job, job.starts, mean=_MEAN_OFF_LATTICE)
    for name, light, levels in (
        ("light", True, 0.0),
        ("static areas", False, 4.0),
        ("light and static areas", True, 4.0),
    ):
        _compare(check, f"with {name}", job, rounded, mean=_MEAN_OFF_LATTICE, follow_light=light, static_levels=levels)
    _time(check, job)


def _on_lattice(source: WarmSource, size: tuple[int, int]) -> WarmSource:
    """The flow at full size, in steps of 1/32 of a pixel."""
    if source.flow is None:
        return source
    vectors = cv2.resize(source.flow.vectors_px, size) * (size[0] / source.flow.vectors_px.shape[1])
    valid = (cv2.resize(source.flow.valid, size) > 127).astype(np.uint8) * np.uint8(255)
    return replace(source, flow=Flow((np.rint(vectors * 32) / 32).astype(np.float32), valid))


def _with_gaps(flow: Flow | None) -> Flow:
    assert flow is not None
    valid = np.full_like(flow.valid, 255)
    valid[:, : valid.shape[1] // 3] = 0
    return Flow(flow.vectors_px, valid)


def _compare(
    check: Check,
    name: str,
    job: StylizeJob,
    sources: Sequence[WarmSource],
    *,
    most: float = 1.0,
    mean: float = 1.0,
    follow_light: bool = False,
    static_levels: float = 0.0,
) -> None:
    content = upload(job.content, check.device)
    options = {"follow_light": follow_light, "static_levels": static_levels}
    one, two = (blend_on_device(content, sources, **options) for _ in range(2))  # type: ignore[arg-type]
    wanted = blend(job.content, sources, **options)  # type: ignore[arg-type]
    off = np.abs(one.picture[0].cpu().numpy() - wanted.picture)
    validity = np.abs(one.valid[0, 0].cpu().numpy() - wanted.valid)
    maps = _map_errors(one, wanted)
    same = torch.equal(one.picture, two.picture) and torch.equal(one.valid, two.valid)
    good = off.max() <= most and off.mean() <= mean and all(error <= _LIGHT_MEAN for error in maps.values())
    # At a border of static areas one pixel may count as static here and not there.
    good = good and (validity.mean() if static_levels else validity.max()) <= _VALIDITY * (10 if static_levels else 1)
    shown = "".join(f", {key} {error:.1e} in the mean" for key, error in maps.items())
    text = f"off by up to {off.max():.1e}, {off.mean():.1e} in the mean; validity by up to {validity.max():.1e}{shown}"
    check.judge(name, text if same else f"{text}; two runs differ", good and same, bad=FAIL)


def _map_errors(found: BlendedTensors, wanted: BlendedStart) -> dict[str, float]:
    """Mean differences of the maps that only some settings make."""
    errors = {}
    for key in ("luma_change", "static", "warped_source"):
        here, there = getattr(found, key), getattr(wanted, key)
        if (here is None) != (there is None):
            errors[f"{key} is only on one side"] = float("inf")
        elif here is not None:
            errors[key] = float(np.abs(here.cpu().numpy().reshape(np.shape(there)) - there).mean())
    return errors


def _time(check: Check, job: StylizeJob) -> None:
    content = upload(job.content, check.device)
    milliseconds = {}
    for name, light, levels in (("plain", False, 0.0), ("light and static areas", True, 4.0)):
        options = {"follow_light": light, "static_levels": levels}
        milliseconds[name] = [
            1e3 * check.shortest_seconds(lambda o=options: blend_on_device(content, job.starts, **o)),  # type: ignore[misc]
            1e3 * check.shortest_seconds(lambda o=options: blend(job.content, job.starts, **o)),  # type: ignore[misc]
        ]
    check.keep(milliseconds=milliseconds)
    shown = "; ".join(f"{name} {here:.2f} and {there:.1f}" for name, (here, there) in milliseconds.items())
    check.say("three states, upload included, and by OpenCV, ms", shown)
