"""What one actor does: stylize frames, or find flows. Plain classes that a test can call; no Ray here."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vidnst.config import MotionConfig, RenderConfig
from vidnst.errors import FarmError
from vidnst.farm.jobs import FlowJob, Start, Stylized, StylizeJob
from vidnst.frames import Pixels, unit, widen
from vidnst.motion.fill import match_colours
from vidnst.motion.flow import Flow, estimate_flow
from vidnst.motion.warp import warp
from vidnst.raft.flow import Raft
from vidnst.raft.weights import build_raft
from vidnst.style.stylize import Stylizer, from_pixels, to_state


@dataclass(frozen=True)
class StyleWorkerFactory:
    """Makes a stylizing worker where it is to live; travels there with all it needs, so no file is read there."""

    config: RenderConfig
    features: Mapping[str, NDArray[np.float32]] | None
    """Weights of the network by name; None where no frame is to be optimised."""
    styles: Sequence[tuple[Pixels, float]]
    """Style pictures with their weights."""
    threads: int | None = None
    """Threads of torch on a CPU; None leaves them as they are."""

    def __call__(self) -> "StyleWorker":
        device = pick_device(self.config.farm.device)
        if self.threads is not None and device.type == "cpu":
            torch.set_num_threads(self.threads)
        if self.features is None:
            return StyleWorker(None, device)
        return StyleWorker(Stylizer(self.features, self.styles, self.config, device=device), device)


def pick_device(wanted: str) -> torch.device:
    """The device a worker computes on.

    Raises:
        FarmError: CUDA was asked for and torch sees none.
    """
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise FarmError("farm.device is cuda, but torch sees no GPU", "run `vidnst doctor`, or set farm.device=cpu")
    return torch.device("cuda" if available and wanted != "cpu" else "cpu")


class StyleWorker:
    """Holds a network on one device and stylizes one frame at a time."""

    def __init__(self, stylizer: Stylizer | None, device: torch.device) -> None:
        self._stylizer = stylizer
        self._device = device

    def run(self, job: StylizeJob) -> Stylized:
        """Stylize a frame.

        Raises:
            NumericalError: the optimisation gave NaN or infinity.
        """
        began = time.perf_counter()
        if job.iterations == 0 or self._stylizer is None:
            return Stylized(widen(job.content), {}, 0, time.perf_counter() - began)
        content = from_pixels(job.content, self._device)
        start, mask = self._starting_point(job)
        result = self._stylizer.stylize(
            content, start=start, mask=mask, iterations=job.iterations, seed=job.seed, step_scale=job.step_scale
        )
        return Stylized(to_state(result.image), result.losses, result.evaluations, time.perf_counter() - began)

    def _starting_point(self, job: StylizeJob) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        if not job.starts:
            return None, None
        start, mask = blend_starts(job.content, job.starts)
        return self._to_device(start), self._to_device(mask[..., None])

    def _to_device(self, picture: NDArray[np.float32]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None].to(self._device)


class FlowWorker:
    """Finds optical flows, with OpenCV or with a network on one device."""

    def __init__(self, config: MotionConfig, raft: Raft | None = None) -> None:
        self._config = config
        self._raft = raft

    def run(self, job: FlowJob) -> Flow:
        """Flow that fetches the job's reference onto its frame.

        Raises:
            FarmError: RAFT is asked for, and the worker was made without it.
        """
        config = self._config
        if self._raft is not None:
            return self._raft.estimate_flow(job.frame, job.reference)
        if config.method == "raft":
            raise FarmError("motion.method is raft, but no weights came with the flow worker", "set it to dis")
        return estimate_flow(
            job.frame,
            job.reference,
            preset=config.preset,
            size=config.size,
            consistency=config.consistency,
            slack_px=config.slack_px,
        )


@dataclass(frozen=True)
class FlowWorkerFactory:
    """Makes a flow worker where it is to live; travels there with all it needs, so no file is read there."""

    config: MotionConfig
    raft: Mapping[str, NDArray[np.float32]] | None = None
    """RAFT's weights by name; None where the method is another, or no flow is to be found."""
    device: str = "auto"
    """What RAFT computes on: auto, cpu or cuda."""
    threads: int | None = None
    """Threads of torch for RAFT on a CPU; None leaves them as they are."""

    def __call__(self) -> FlowWorker:
        config = self.config
        if config.method == "dis" or self.raft is None:
            return FlowWorker(config)
        device = pick_device(self.device)
        if self.threads is not None and device.type == "cpu":
            torch.set_num_threads(self.threads)
        network = build_raft(self.raft, device)
        raft = Raft(network, device=device, size=config.size, consistency=config.consistency, slack_px=config.slack_px)
        return FlowWorker(config, raft)


def blend_starts(content: Pixels, starts: Sequence[Start]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where a warm frame begins: the warped states, blended by validity, and recoloured content where none is valid.

    Returns:
        The picture, `(H, W, 3)` float32 in [0, 1], and where it comes from states, `(H, W)` float32 in [0, 1].
    """
    total = np.zeros(content.shape, np.float32)
    trust = np.zeros(content.shape[:2], np.float32)
    mask = np.zeros_like(trust)
    for start in starts:
        warped, valid = warp(unit(start.state), start.flow)
        total += warped * valid[..., None]
        trust += valid
        mask = np.maximum(mask, valid)
    warped_mean = np.asarray(total / np.maximum(trust, 1e-6)[..., None], np.float32)
    fill = match_colours(unit(content), warped_mean, mask)
    blended = mask[..., None] * warped_mean + (1 - mask[..., None]) * fill
    return blended.astype(np.float32, copy=False), mask
